"""Small rows, walked and put together again."""

import numpy as np

from fastgmm.sources import blocks, open_source


def some_rows(n_rows=23, n_features=3, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).normal(size=(n_rows, n_features)).astype(dtype)


def kept(source, block_rows):
    """All blocks of one pass, copied before the next is asked for, after a look at their layout."""
    found = []
    for block in blocks(source, block_rows):
        assert block.rows.flags.c_contiguous
        assert block.rows.flags.aligned
        assert not block.rows.flags.writeable
        assert block.rows.dtype == source.dtype
        assert block.rows.dtype.isnative
        found.append(block._replace(rows=block.rows.copy()))
    return found


def walk(source, block_rows=4):
    """All rows and weights of one pass, after a look at the shape of every block."""
    found = kept(source, block_rows)
    assert all(len(block.rows) == block_rows for block in found[:-1])
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
