"""Rows per block, slices per call, rows per slice: sizes that follow from shapes alone.

Each slice of a block has partial sums of its own, which are added in order. Neither the number of
threads nor the chunks that a source yields can change the plan, so they cannot change a bit of the
sums.
"""

from typing import NamedTuple

from fastgmm.kernels.tiles import TILE

SLICES = 32  # of a full call: enough to balance many threads, few enough to add up
FEWEST_SLICES = 2  # so that two threads have always work
MOST_TILES, FEWEST_TILES = 16, 4  # of a full call's slice: fewer spend more on adding up partials
SHORTEST_SLICE = 2 * TILE  # of what is left for a last call; half of that where rows are wide
PARTIAL_BYTES = 32 << 20  # what the partials of all slices may take
CALL_OPERATIONS = 8e9  # multiply-adds in one call: about 0.2 s, so that Ctrl-C is felt
PARALLEL_OPERATIONS = 2e6  # below this (about 0.1 ms) waking threads costs more than they save
BLOCK_BYTES = 32 << 20  # rows held at a time of a source that is not in memory
WIDE = BLOCK_BYTES // (8 * SLICES * TILE)  # features, 682: above, a block is shorter than 32 slices


class Plan(NamedTuple):
    """The sizes of a call: a call sums slices of a block in one run of compiled code."""

    most_slices: int
    call_rows: int
    row_operations: float  # multiply-adds a row
    shortest_slice: int = SHORTEST_SLICE

    def slice_rows(self, n_rows: int) -> int:
        """Rows per slice, except in the last, of a call of ``n_rows``: equal, in whole tiles.

        With slices as long as those of a full call, the last call of 20 000 rows of 128 features
        had eleven, one of them of 32 rows: a thread of two waited for a sixth of it.
        """
        return max(self.shortest_slice, -(-n_rows // (self.most_slices * TILE)) * TILE)

    def n_slices(self, n_rows: int) -> int:
        """Return the number of slices of ``n_rows``."""
        return -(-n_rows // self.slice_rows(n_rows))

    def is_small(self, n_rows: int) -> bool:
        """Tell whether ``n_rows`` are too little work for several threads."""
        return n_rows <= self.shortest_slice or n_rows * self.row_operations < PARALLEL_OPERATIONS


def block_rows(n_features: int) -> int:
    """Rows per block, which depend on their width alone: all candidates see the same blocks.

    No fewer than a tile, whose columns a kernel has space for anyway. With 32 slices at least, the
    three blocks that are read in rotation took 948 MB at 10 000 features.
    """
    rows = SLICES * MOST_TILES * TILE
    while rows * n_features * 8 > BLOCK_BYTES and rows > TILE:
        rows //= 2
    return rows


def partial_bytes(slice_bytes: int, n_rows: int) -> int:
    """Bytes that the partial sums of ``n_rows`` take at most, at ``slice_bytes`` per slice."""
    slices = min(SLICES, -(-n_rows // TILE))
    return min(slices * slice_bytes, max(PARTIAL_BYTES, FEWEST_SLICES * slice_bytes))


def plan(row_operations: float, n_moments: int = 0, n_features: int = 1) -> Plan:
    """Plan the calls of a model, from the operations per row and the sums per slice.

    Blocks of wide rows are short, and so are their slices: all threads get some. Slices and blocks
    are powers of two times TILE, so that calls fill blocks without a ragged end.
    """
    slices, tiles = SLICES, MOST_TILES
    while slices > FEWEST_SLICES and slices * n_moments * 8 > PARTIAL_BYTES:
        slices //= 2
    while tiles > FEWEST_TILES and slices * tiles * TILE * row_operations > CALL_OPERATIONS:
        tiles //= 2
    shortest = TILE if n_features > WIDE else SHORTEST_SLICE
    return Plan(slices, slices * tiles * TILE, row_operations, shortest)


def longest(cut: Plan) -> Plan:
    """Return a plan of the same slices with the longest calls, for rows that take little time."""
    return cut._replace(call_rows=cut.most_slices * MOST_TILES * TILE)
