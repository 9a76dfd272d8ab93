"""Rows to blocks to lanes: a plan that follows from shapes alone.

Each lane of a block sums into its own partials, and partials are added in order. Neither the number
of threads nor the chunks that a source yields can change the plan, so they cannot change a bit of
the sums.
"""

from typing import NamedTuple

from fastgmm.kernels.tiles import TILE

LANES = 32  # of a full call: enough to balance many threads, few enough to add up
FEWEST_LANES = 2  # so that two threads have always work
MOST_TILES, FEWEST_TILES = 16, 4  # of a full call's lane: fewer spend more on adding up partials
SHORTEST_LANE = 2 * TILE  # of what is left for a last call; half of that where rows are wide
PARTIAL_BYTES = 32 << 20  # what the partials of all lanes may take
CALL_OPERATIONS = 8e9  # multiply-adds in one call: about 0.2 s, so that Ctrl-C is felt
SHARED_OPERATIONS = 2e6  # below this (about 0.1 ms) waking threads costs more than they save
BLOCK_BYTES = 32 << 20  # rows held at a time of a source that is not in memory
WIDE = BLOCK_BYTES // (8 * LANES * TILE)  # features, 682: above, a block is shorter than 32 lanes


class Plan(NamedTuple):
    """How many lanes and rows a call has; a call is one visit of compiled code."""

    most_lanes: int
    call_rows: int
    row_operations: float  # multiply-adds a row
    shortest_lane: int = SHORTEST_LANE

    def lane_rows(self, n_rows: int) -> int:
        """Rows of each lane but the last, in a call of ``n_rows``: all lanes alike, in whole tiles.

        With lanes as long as those of a full call, the last call of 20 000 rows of 128 features
        had eleven, one of them of 32 rows: a thread of two waited for a sixth of it.
        """
        return max(self.shortest_lane, -(-n_rows // (self.most_lanes * TILE)) * TILE)

    def n_lanes(self, n_rows: int) -> int:
        """Count the lanes of ``n_rows``."""
        return -(-n_rows // self.lane_rows(n_rows))

    def is_small(self, n_rows: int) -> bool:
        """Tell whether ``n_rows`` are too little work to share among threads."""
        return n_rows <= self.shortest_lane or n_rows * self.row_operations < SHARED_OPERATIONS


def block_rows(n_features: int) -> int:
    """Rows of a block, by their width alone: every candidate of a pass is given the same blocks.

    No fewer than a tile, whose columns a kernel makes room for anyway. With 32 lanes at least, the
    three blocks that are read in turn took 948 MB at 10 000 features.
    """
    rows = LANES * MOST_TILES * TILE
    while rows * n_features * 8 > BLOCK_BYTES and rows > TILE:
        rows //= 2
    return rows


def partial_bytes(lane_bytes: int, n_rows: int) -> int:
    """Bytes of the partials of all lanes of so many rows, each of so many bytes, at most."""
    lanes = min(LANES, -(-n_rows // TILE))
    return min(lanes * lane_bytes, max(PARTIAL_BYTES, FEWEST_LANES * lane_bytes))


def plan(row_operations: float, n_moments: int = 0, n_features: int = 1) -> Plan:
    """Plan a model's calls from what a row costs and from how many numbers a lane sums.

    A block of wide rows is short: its lanes are, too, so that there are some to share.

    Lanes, tiles and blocks are powers of two times TILE, so that calls fit into blocks without a
    ragged end.
    """
    lanes, tiles = LANES, MOST_TILES
    while lanes > FEWEST_LANES and lanes * n_moments * 8 > PARTIAL_BYTES:
        lanes //= 2
    while tiles > FEWEST_TILES and lanes * tiles * TILE * row_operations > CALL_OPERATIONS:
        tiles //= 2
    shortest = TILE if n_features > WIDE else SHORTEST_LANE
    return Plan(lanes, lanes * tiles * TILE, row_operations, shortest)
