"""The marker `fault`: in the ids of tests, and as a count at the end of every run."""

from __future__ import annotations

import pytest
from faults.catalogue import FAULTS, STRUCK

PROPERTY = "fault"


def pytest_configure(config):
    config.addinivalue_line(
        "markers", "fault(*numbers): shows that these numbers of tests/faults/catalogue.py hold"
    )


def pytest_generate_tests(metafunc):
    """Put the numbers into the id of a test: `test_x[fault-014]`."""
    numbers = [n for mark in metafunc.definition.iter_markers("fault") for n in mark.args]
    if numbers:
        metafunc.fixturenames.append("_fault")
        metafunc.parametrize("_fault", [None], ids=["-".join(f"fault-{n:03}" for n in numbers)])


def pytest_collection_modifyitems(items):
    for item in items:
        for mark in item.iter_markers("fault"):
            unknown = [number for number in mark.args if number not in FAULTS]
            if unknown or not mark.args:
                raise pytest.UsageError(f"{item.nodeid}: no number of the catalogue: {mark}")
            item.user_properties += [(PROPERTY, number) for number in mark.args]


def pytest_terminal_summary(terminalreporter):
    passed, failed = _numbers(terminalreporter, "passed"), set()
    for outcome in ("failed", "error", "skipped"):
        failed |= _numbers(terminalreporter, outcome)
    if not passed and not failed:
        return
    covered = passed - failed
    missing = FAULTS.keys() - covered - STRUCK.keys()
    terminalreporter.section("faults", sep="-")
    terminalreporter.line(
        f"faults: {len(covered)} of {len(FAULTS)} covered; "
        f"struck: {_listed(STRUCK.keys() - covered)}; missing: {_listed(missing)}"
    )


def _numbers(terminalreporter, outcome):
    """The numbers on tests that ended so."""
    reports = terminalreporter.stats.get(outcome, ())
    return {
        value
        for report in reports
        for key, value in getattr(report, "user_properties", ())
        if key == PROPERTY
    }


def _listed(numbers):
    """Numbers in order, runs joined: '3, 68-82', or 'none'."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and runs[-1][-1] == number - 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{r[0]}-{r[-1]}" if len(r) > 1 else str(r[0]) for r in runs) or "none"
