"""Which rows are computed with all components, where passes leave some out: one of every 256."""

import numpy as np

from fastgmm.kernels.jit import subroutine

AUDIT = 256  # rows of which one is audited
STRIDE = 97  # its place among them moves on by so much, so that no period of the rows meets it


@subroutine
def audited(n_rows, first, weights):
    """Return which rows of a segment are audited, (n,) int32 with room for more, and how many.

    ``first`` is the place of the segment in the call. Rows of no weight are not.
    """
    chosen, count = np.zeros(n_rows // AUDIT + 8, np.int32), 0
    for turn in range(first // AUDIT, (first + n_rows - 1) // AUDIT + 1):
        place = AUDIT * turn + (STRIDE * turn) % AUDIT - first
        if 0 <= place < n_rows and weights[place] > 0.0:
            chosen[count] = place
            count += 1
    return chosen, count
