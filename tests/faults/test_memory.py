"""Memory that runs out leaves object and files as they were; no kernel leaves its arrays."""

from __future__ import annotations

import pytest
from faults import processes


@pytest.mark.slow
def test_a_failure_of_any_allocation_leaves_object_and_file_as_they_were(tmp_path):
    printed = processes.run("memory", "injected", tmp_path)
    counts = {name: int(n) for name, n in (line.split() for line in printed.splitlines())}
    assert counts["fit"] > 50  # so many places can fail
    assert counts["auto"] > 500
    assert counts["save"] > 2


@pytest.mark.slow
@pytest.mark.parametrize("layer", ["omp", "workqueue"])
def test_a_limit_of_the_system_leaves_the_object_as_it_was(layer):
    assert "went through" in processes.run("memory", "limited", NUMBA_THREADING_LAYER=layer)


@pytest.mark.slow
def test_no_kernel_reads_or_writes_past_its_arrays():
    # without a cache all kernels compile first: 123 s of processor time
    printed = processes.run("guard_pages", "kernels", timeout=200)
    assert printed == "nothing was touched\n"


@pytest.mark.slow
def test_no_piece_of_a_kernel_reads_or_writes_past_its_tiles():
    printed = processes.run("guard_pages", "pieces", NUMBA_BOUNDSCHECK=1, FASTGMM_CACHE=0)
    assert printed == "nothing was touched\n"


@pytest.mark.slow
def test_no_truncated_pass_reads_or_writes_past_its_arrays():
    assert processes.run("guard_pages", "truncated") == "nothing was touched\n"


def test_the_guard_bites():
    process = processes.start("guard_pages", "a register past the end")
    process.communicate(timeout=60)
    assert process.returncode < 0  # killed by a signal: SIGSEGV or SIGBUS


def test_bounds_checks_are_on_where_they_are_asked_for():
    printed = processes.run(
        "guard_pages", "an element past the end", NUMBA_BOUNDSCHECK=1, FASTGMM_CACHE=0
    )
    assert printed == "refused\n"
