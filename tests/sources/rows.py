"""Small rows, walked and put together again."""

import numpy as np

from fastgmm.sources import blocks, open_source


def some_rows(n_rows=23, n_features=3, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).normal(size=(n_rows, n_features)).astype(dtype)


def walk(source, block_rows=4):
    """All rows and weights of one pass, after a look at the shape of every block."""
    found = list(blocks(source, block_rows))
    for block in found[:-1]:
        assert len(block.rows) == block_rows
    for block in found:
        assert block.rows.flags.c_contiguous
        assert block.rows.flags.aligned
        assert block.rows.dtype == source.dtype
        assert block.rows.dtype.isnative
    assert [block.start for block in found] == list(range(0, source.n_rows, block_rows))
    rows = np.concatenate([block.rows for block in found])
    if found[0].weights is None:
        return rows, None
    return rows, np.concatenate([block.weights for block in found])


def rows_of(data, **choices):
    """The rows that a source made of the data gives, twice the same."""
    source = open_source(data, **choices)
    first, second = walk(source)[0], walk(source, 7)[0]
    np.testing.assert_array_equal(first, second)
    return first
