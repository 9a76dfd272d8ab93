"""Rows to blocks to lanes: a plan that follows from shapes alone.

Each lane of a block sums into its own partials, and partials are added in order. Neither the number of threads nor the
chunks that a source yields can change the plan, so they cannot change a bit of the sums.
"""

from typing import NamedTuple

from fastgmm.kernels.tiles import TILE

LANES = 32  # a block's lanes: enough to balance many threads, few enough to add up
PARTIAL_BYTES = 32 << 20  # what the partials of all lanes may take
CALL_OPERATIONS = 4e9  # multiply-adds in one call: about 0.2 s, so that Ctrl-C is felt
SHARED_OPERATIONS = 2e6  # below this (about 0.1 ms) waking threads costs more than they save
MOST_TILES, FEWEST_TILES = 16, 4  # of a lane: fewer than four would spend 5% on adding up partials


class Plan(NamedTuple):
    """How many rows a lane and a block hold, and what a row costs in multiply-adds."""

    lane_rows: int
    block_rows: int
    row_operations: float

    def n_lanes(self, n_rows: int) -> int:
        """Count the lanes of a block of ``n_rows``."""
        return -(-n_rows // self.lane_rows)

    def is_small(self, n_rows: int) -> bool:
        """Tell whether ``n_rows`` are too little work to share among threads."""
        return n_rows * self.row_operations < SHARED_OPERATIONS or n_rows <= self.lane_rows


def plan(row_operations: float, n_moments: int = 0) -> Plan:
    """Plan the passes of a model from its cost a row and from the numbers that a lane sums."""
    lanes = LANES
    while lanes > 2 and lanes * n_moments * 8 > PARTIAL_BYTES:
        lanes //= 2
    tiles = int(CALL_OPERATIONS / (lanes * TILE * row_operations))
    lane_rows = TILE * max(FEWEST_TILES, min(MOST_TILES, tiles))
    return Plan(lane_rows, lanes * lane_rows, row_operations)
