"""The first call: with whatever cache, home and processor there is, and at what price."""

from __future__ import annotations

import platform
import shutil

import pytest
from faults import processes

PACKAGE = processes.FOLDER.parents[2] / "fastgmm"


def told(printed):
    """What programs/first_call.py says, by its first words; it warns no more than once."""
    lines = [line.split(" ", 1) for line in printed.splitlines()]
    assert len(dict(lines)) == len(lines)
    return dict(lines)


def first_call(*arguments, **variables):
    return told(processes.run("first_call", *arguments, FASTGMM_CACHE=1, **variables))


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache of one kernel, made by one process, and what that process said."""
    folder = tmp_path_factory.mktemp("cache")
    return folder, first_call(NUMBA_CACHE_DIR=folder)


def test_a_second_process_compiles_nothing(cache):
    folder, first = cache
    second = first_call(NUMBA_CACHE_DIR=folder)
    assert second["bits"] == first["bits"]
    assert (first["hits"], second["hits"]) == ("0", "1")


@pytest.mark.slow
def test_a_fit_of_compiled_kernels_begins_in_time():
    first_call("fit")
    found = first_call("fit")
    # in processor time, which others at work do not lengthen by much; 1 and 3 s are usual
    assert float(found["import"]) < 5.0
    assert float(found["all"]) < 20.0


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["cut", "noise", "empty"])
@pytest.mark.parametrize("suffix", ["nbi", "nbc"])
def test_a_damaged_cache_is_no_more_than_a_cache_that_is_not_there(cache, tmp_path, damage, suffix):
    shutil.copytree(cache[0], tmp_path / "cache")
    paths = list(tmp_path.rglob(f"*.{suffix}"))
    assert paths
    for path in paths:
        content = path.read_bytes()
        spoilt = {"cut": content[: len(content) // 2], "noise": content[::-1], "empty": b""}
        path.write_bytes(spoilt[damage])
    found = first_call(NUMBA_CACHE_DIR=tmp_path / "cache")
    assert found["bits"] == cache[1]["bits"]


@pytest.mark.slow
def test_two_processes_may_compile_at_once(cache, tmp_path):
    variables = {"NUMBA_CACHE_DIR": tmp_path, "FASTGMM_CACHE": 1}
    both = [processes.start("first_call", **variables) for _ in range(2)]
    for process in both:
        assert told(processes.finish(process))["bits"] == cache[1]["bits"]
    again = first_call(NUMBA_CACHE_DIR=tmp_path)
    assert (again["bits"], again["hits"]) == (cache[1]["bits"], "1")


@pytest.mark.slow
def test_no_home_and_no_folder_to_write_to_are_no_failure(cache, tmp_path):
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PACKAGE, tmp_path / "fastgmm", ignore=ignored)
    # a folder that not even root can make, as tests may be run by root
    (tmp_path / "fastgmm" / "kernels" / "__pycache__").write_text("in the way")
    nowhere = {"HOME": "/dev/null", "XDG_CACHE_HOME": "/dev/null", "NUMBA_CACHE_DIR": None}
    found = first_call(PYTHONPATH=tmp_path, PYTHONDONTWRITEBYTECODE=1, **nowhere)
    assert (found["bits"], found["hits"]) == (cache[1]["bits"], "0")


@pytest.mark.slow
@pytest.mark.parametrize("layer", ["default", "no_such_layer"])
def test_threads_that_fail_cost_a_warning_and_nothing_else(layer):
    found = first_call("fit", "without a parallel compiler", NUMBA_THREADING_LAYER=layer)
    assert found["warned"].startswith("ThreadsWarning")
    assert found["bits"] == first_call("fit")["bits"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "processor",
    [
        {"NUMBA_CPU_NAME": "generic"},
        {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2,+fma"},
        {"NUMBA_CPU_FEATURES": "-avx512f,-avx512dq,-avx512bw,-avx512vl,-avx512cd"},
    ],
    ids=["generic", "AVX2", "no AVX-512"],
)
def test_a_cache_of_another_processor_is_not_used_and_results_differ_by_rounding(cache, processor):
    found = first_call(NUMBA_CACHE_DIR=cache[0], **processor)
    assert found["hits"] == "0"
    assert float(found["sum"]) == pytest.approx(float(cache[1]["sum"]), rel=1e-13)
    again = first_call(NUMBA_CACHE_DIR=cache[0], **processor)
    assert (again["hits"], again["bits"]) == ("1", found["bits"])
    assert first_call(NUMBA_CACHE_DIR=cache[0])["hits"] == "1"  # neither drives the other out


@pytest.mark.slow
def test_machines_of_one_setting_share_a_cache_whatever_registers_they_have(tmp_path):
    settings = {"NUMBA_CPU_NAME": "generic", "NUMBA_CACHE_DIR": tmp_path}
    here = first_call("fit", **settings)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nb?")}
    elsewhere = first_call("fit", "without AVX-512", **settings)
    assert elsewhere["bits"] == here["bits"]
    assert files == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nb?")}


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="others have FMA")
@pytest.mark.parametrize(
    ("processor", "said"),
    [
        ({"NUMBA_CPU_NAME": "generic"}, "NUMBA_CPU_NAME is 'generic', NUMBA_CPU_FEATURES ''"),
        ({"NUMBA_CPU_FEATURES": "-fma"}, "NUMBA_CPU_NAME is None, NUMBA_CPU_FEATURES '-fma'"),
        ({"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "+avx2,+fma"}, None),
        ({"NUMBA_CPU_NAME": "x86-64-v3", "NUMBA_CPU_FEATURES": ""}, None),
        ({}, None),
    ],
)
def test_a_processor_without_fma_is_told_of_once_with_the_way_out(processor, said):
    variables = {"NUMBA_CPU_NAME": None, "NUMBA_CPU_FEATURES": None} | processor
    warned = first_call(**variables).get("warned")
    if said is None:
        assert warned is None
    else:
        assert warned.startswith("RuntimeWarning")
        assert said in warned
        assert "NUMBA_CPU_FEATURES=+avx2,+fma" in warned
