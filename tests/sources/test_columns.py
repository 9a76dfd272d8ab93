import pytest

from fastgmm.errors import DataError
from fastgmm.sources.columns import Reading, choose

NAMES = ["speed", "height", "mass"]


def test_columns_are_chosen_in_the_order_asked_for():
    assert choose(NAMES, Reading(["mass", "speed"], None), "t").features == (2, 0)
    assert choose(NAMES, Reading(None, "height"), "t") == ((0, 2), 1, False)
    assert choose(NAMES, Reading(None, None), "t").all
    assert choose(range(4), Reading([3, -4], 1), "t").features == (3, 0)


@pytest.mark.parametrize(
    ("labels", "columns", "weight", "said"),
    [
        (
            NAMES,
            ["sped"],
            None,
            r"no column 'sped' \(did you mean 'speed'\?\); its columns are 'speed', 'height'",
        ),
        (NAMES, None, "q", "no column 'q'; its columns are 'speed', 'height', 'mass'"),
        (NAMES, ["speed"], "speed", "'speed' of t cannot be a feature and the weight"),
        (NAMES, ["mass", "mass"], None, "columns 'mass' and 'mass' are one in t"),
        (NAMES, "mass", None, r"write columns=\['mass'\]"),
        (NAMES, [], None, "no column that could be a feature"),
        (["w"], None, "w", "no column that could be a feature"),
        (["a", "b", "a"], None, None, "'a' stands twice in t"),
        (range(3), [3], None, "no column 3; its columns are numbered from 0 to 2"),
        (range(3), [0], -4, "no column -4"),
        (range(3), [1, -2], None, "columns 1 and -2 are one"),
        (range(3), ["a"], None, "no column 'a'; its columns are numbered"),
    ],
)
def test_what_cannot_be_chosen_is_named(labels, columns, weight, said):
    with pytest.raises(DataError, match=said):
        choose(labels, Reading(columns, weight), "t")
