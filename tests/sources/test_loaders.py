"""Data sets and loaders in torch's manner; classes that behave like torch's stand in for it."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sources.rows import kept, some_rows

from fastgmm import GaussianMixture
from fastgmm.errors import DataError, SourceChangedError
from fastgmm.sources import open_source

ROWS = some_rows(50)


class Tensor:
    """What we need of a tensor: no protocol of NumPy's works while it wants gradients."""

    def __init__(self, numbers, wants_gradients=True):
        self.numbers, self.wants_gradients = np.asarray(numbers), wants_gradients
        self.ndim, self.shape = self.numbers.ndim, self.numbers.shape

    def __array__(self, *_, **__):
        raise RuntimeError("Can't call numpy() on Tensor that requires grad.")

    def detach(self):
        return Tensor(self.numbers, wants_gradients=False)

    def numpy(self):
        assert not self.wants_gradients
        return self.numbers


class MapStyle:
    """A data set: a length, and an item for every number; not iterable."""

    def __init__(self, item):
        self.item = item

    def __len__(self):
        return 50

    def __getitem__(self, number):
        if number >= 50:
            raise IndexError
        return self.item(number)


class Loader:
    """A loader: a fresh iterator of batches whenever asked."""

    def __init__(self, batch, shuffles=False):
        self.batch, self.rng = batch, np.random.default_rng(0) if shuffles else None

    def __len__(self):
        return 5

    def __iter__(self):
        rows = ROWS if self.rng is None else self.rng.permutation(ROWS)
        return (self.batch(part) for part in np.split(rows, 5))


def walked(data, **choices):
    source = open_source(data, **choices)
    first = np.concatenate([block.rows for block in kept(source, 7)])
    assert source.n_rows == 50
    assert_array_equal(np.concatenate([block.rows for block in kept(source, 16)]), first)
    return first


@pytest.mark.parametrize(
    "item",
    [
        lambda n: ROWS[n],
        lambda n: Tensor(ROWS[n]),
        lambda n: (Tensor(ROWS[n]), 3),
        lambda n: (ROWS[n], np.ones(2), "name"),
        lambda n: ROWS[n].tolist(),
        lambda n: tuple(ROWS[n]),
    ],
)
@pytest.mark.parametrize("chunk_rows", [None, 8])
def test_a_data_set_gives_its_rows_and_of_tuples_the_first(item, chunk_rows):
    assert_array_equal(walked(MapStyle(item), chunk_rows=chunk_rows), ROWS)


@pytest.mark.parametrize(
    "batch",
    [lambda x: x, Tensor, lambda x: (Tensor(x), Tensor(x[:, 0])), lambda x: [x, x[:, 0]]],
)
def test_a_loader_gives_its_batches_and_of_tuples_the_first(batch):
    assert_array_equal(walked(Loader(batch)), ROWS)
    model = GaussianMixture(2, random_state=0).fit(Loader(batch))
    assert_array_equal(model.means_, GaussianMixture(2, random_state=0).fit(ROWS).means_)


def test_a_list_of_pairs_is_a_list_of_chunks():
    assert_array_equal(walked([(ROWS[:20], None), (ROWS[20:], None)]), ROWS)


def test_a_loader_may_shuffle_but_not_augment():
    shuffled = GaussianMixture(2, random_state=0, tol=1e-3).fit(Loader(Tensor, shuffles=True))
    assert shuffled.n_rows_ == 50
    rng = np.random.default_rng(0)
    noisy = Loader(lambda x: x + rng.normal(scale=0.01, size=x.shape))
    with pytest.raises(SourceChangedError, match="drawn at random or augmented"):
        GaussianMixture(2, random_state=0).fit(noisy)


def test_items_that_are_no_rows_are_refused_by_their_number():
    images = MapStyle(lambda n: np.zeros((4, 4)))
    with pytest.raises(DataError, match=r"item 0 of the MapStyle has the shape \(4, 4\)"):
        open_source(images)


def test_batches_on_another_device_are_refused():
    class Far(Tensor):
        def __dlpack_device__(self):
            return (2, 0)

    with pytest.raises(DataError, match=r"the Far lies on another device; .* X.cpu\(\)"):
        open_source(Loader(Far))
