"""The catalogue is whole, what is struck has a reason, and the document says what the tests do."""

from __future__ import annotations

import re

from faults.answers import ANSWERS, DOCUMENT, marked
from faults.catalogue import CONTAIN, FAULTS, HANDLE, REFUSE, STRUCK, WARN


def test_the_catalogue_has_118_numbers_each_with_a_promise():
    assert sorted(FAULTS) == list(range(1, 119))
    assert {fault.promise for fault in FAULTS.values()} == {REFUSE, HANDLE, WARN, CONTAIN}
    assert len({fault.description for fault in FAULTS.values()}) == 118
    assert ANSWERS.keys() <= FAULTS.keys()


def test_what_is_struck_is_in_the_catalogue_and_has_a_reason():
    assert STRUCK.keys() <= FAULTS.keys()
    assert all(len(reason.split()) > 5 for reason in STRUCK.values())


def document():
    """The lines of the table in docs/reliability.md, by number."""
    cells = re.findall(r"^\| (\d+) \|(.*)\|(.*)\|(.*)\|$", DOCUMENT.read_text(), re.MULTILINE)
    return {int(number): rest for number, *rest in cells}


def test_the_document_has_every_number_and_names_files_that_show_it():
    lines, files = document(), marked()
    assert lines.keys() == FAULTS.keys()
    for number, (_, _, shown) in lines.items():
        named = re.findall(r"`(.*?)`", shown)
        assert set(named) <= set(files[number]), number
        assert named or number in STRUCK


def test_the_document_strikes_what_the_catalogue_strikes_for_the_same_reason():
    struck = {n: cells[1] for n, cells in document().items() if "struck:" in cells[1]}
    assert struck.keys() == STRUCK.keys()
    assert all(reason in struck[number] for number, reason in STRUCK.items())
