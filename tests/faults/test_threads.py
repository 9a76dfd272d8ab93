"""Threads, forks and pools: no crash, no hang, no more threads than allowed, and the same bits."""

from __future__ import annotations

import os

import pytest
from faults import processes

LAYERS = ("omp", "workqueue")  # of Numba: tbb needs a library of its own
MANY = os.cpu_count() + 6  # so that 7 threads, and one more than there are processors, are tried

PATIENCE = 230  # seconds, for where all those threads have one processor and share it with others


@pytest.mark.slow
@pytest.mark.parametrize("layer", LAYERS)
def test_any_number_of_threads_of_any_kind_gives_the_same_bits(layer):
    printed = processes.run(
        "threads",
        layer,
        timeout=PATIENCE,
        NUMBA_THREADING_LAYER=layer,
        NUMBA_NUM_THREADS=max(MANY, 7),
    )
    assert printed.split() == ["numbers_of_threads", "limits", "fits_at_once", "one_object"]


@pytest.mark.slow
@pytest.mark.parametrize("layer", LAYERS)
def test_children_of_a_fork_fit_with_the_same_bits(layer):
    variables = {"NUMBA_THREADING_LAYER": layer, "NUMBA_NUM_THREADS": 4}
    assert (
        processes.run("forks", layer, timeout=PATIENCE, **variables) == "all children came home\n"
    )


@pytest.mark.slow
def test_a_fork_waits_for_a_compilation_in_another_thread():
    printed = processes.run("forks", "any", "compiling", FASTGMM_CACHE=0)
    assert printed == "all children came home\n"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["spawn", "forkserver", "loky", "threading"])
def test_pools_give_the_same_bits_and_no_more_threads_than_allowed(kind):
    assert processes.run("pools", kind) == "as alone\n"
