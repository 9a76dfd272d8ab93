"""What is called by its address is the kernel that was compiled for such arguments, or refused."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from fastgmm.kernels.by_address import call_for_float, call_for_nothing, entry_of
from fastgmm.kernels.jit import kernel


class Line(NamedTuple):
    slope: np.ndarray
    height: float


@kernel
def value(line, x):
    if x < 0.0:
        raise ValueError("negative")
    return line.slope[0] * x + line.height


@kernel
def write(out, x):
    out[:] = x


@kernel
def valued(entry, line, x):
    address, mark = entry
    return call_for_float(address, mark, (line, x))


@kernel
def written(entry, out, x):
    address, mark = entry
    call_for_nothing(address, mark, (out, x))


LINE = Line(np.array([2.0]), 1.0)


def test_a_kernel_is_called_with_its_arguments_and_gives_its_result():
    assert valued(entry_of(value, LINE, 0.0), LINE, 3.0) == 7.0
    out = np.zeros(4)
    written(entry_of(write, out, 0.0), out, 5.0)
    np.testing.assert_array_equal(out, 5.0)


def test_an_error_in_it_is_raised():
    with pytest.raises(ValueError, match="negative"):
        valued(entry_of(value, LINE, 0.0), LINE, -1.0)


@pytest.mark.parametrize(
    "other",
    [
        Line(LINE.slope.astype(np.float32), 1.0),
        Line(np.zeros(4)[::2], 1.0),
        Line(LINE.slope, 1),
    ],
    ids=["float32", "with steps", "an integer"],
)
def test_a_kernel_for_other_types_is_refused(other):
    with pytest.raises(TypeError, match="compiled for other types"):
        valued(entry_of(value, LINE, 0.0), other, 1.0)


def test_arrays_that_cannot_be_written_are_another_type():
    locked = np.zeros(3)
    locked.flags.writeable = False
    assert entry_of(value, Line(locked, 1.0), 0.0) != entry_of(value, LINE, 0.0)
    assert entry_of(value, Line(np.ones(3), 2.0), 4.0) == entry_of(value, LINE, 0.0)
