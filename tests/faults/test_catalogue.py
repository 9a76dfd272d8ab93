"""The catalogue is whole, and what is struck has a reason."""

from __future__ import annotations

from faults.catalogue import CONTAIN, FAULTS, HANDLE, REFUSE, STRUCK, WARN


def test_the_catalogue_has_118_numbers_each_with_a_promise():
    assert sorted(FAULTS) == list(range(1, 119))
    assert {fault.promise for fault in FAULTS.values()} == {REFUSE, HANDLE, WARN, CONTAIN}
    assert len({fault.description for fault in FAULTS.values()}) == 118


def test_what_is_struck_is_in_the_catalogue_and_has_a_reason():
    assert STRUCK.keys() <= FAULTS.keys()
    assert all(len(reason.split()) > 5 for reason in STRUCK.values())
