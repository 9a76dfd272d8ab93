"""Runs on Dask's workers: a pass over one partition, and combining the results."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastgmm.errors import ClusterError, DataError
from fastgmm.sources.blocks import blocks
from fastgmm.sources.cells import Place, real
from fastgmm.sources.columns import Chosen
from fastgmm.sources.source import Source
from fastgmm.sources.tables import Table, as_table
from fastgmm.sources.types import Block, Chunk
from fastgmm.version import __version__

# numbers of first rows where lengths are not known: apart by more rows than a partition can hold
APART = 1 << 40


class Layout(NamedTuple):
    """What a task must know of the collection."""

    name: str
    found: Sequence[Hashable]  # the labels of all columns
    labels: Sequence[Hashable]  # of the features
    chosen: Chosen
    dtype: np.dtype[Any]
    block_rows: int
    n_rows: int | None  # of all partitions, if it is known
    may_lack: bool = False  # whether values may be missing


class Found(NamedTuple):
    """Result of a pass over some partitions."""

    result: Any  # None where there were no rows
    n_rows: int
    row_weight: float
    heaviest: float | None  # weight of a row, where they are weighed
    fingerprint: int


class Stand(NamedTuple):
    """Where a partition stands among the others."""

    number: int
    start: int | None  # the number of its first row, if it is known
    n_rows: int | None  # as the collection announces them

    def name(self, whole: str) -> str:
        """What messages call the partition."""
        after = f", which begins at row {self.start}" if self.start else ""
        return f"partition {self.number} of {whole}{after}"


class Partition(Source):
    """The rows of one partition, where they live."""

    lasting = True

    def __init__(self, layout: Layout, rows: Any, weights: Any, stand: Stand) -> None:
        place = Place(stand.name(layout.name))
        self._table, self._chosen = _table_of(rows, layout, place), layout.chosen
        self._given = weights
        self.first_row = stand.number * APART if stand.start is None else stand.start
        self.row_weight, self.may_lack = 0.0, layout.may_lack
        self._whole_rows = layout.n_rows
        super().__init__(place.name, layout.labels, layout.dtype, self._table.n_rows)
        if stand.n_rows not in (None, self.n_rows):
            raise DataError(
                f"{self.name} has {self.n_rows} rows where the collection announces "
                f"{stand.n_rows}; give Dask the right shape, or call compute_chunk_sizes()"
            )
        if weights is not None:
            self._given = _checked_weights(weights, self._table.n_rows, place)

    @property
    def whole_rows(self) -> int | None:
        """How many rows all partitions have together, if it is known."""
        return self._whole_rows

    def chunks(self) -> Iterator[Chunk]:
        """Walk the rows: views of an array, where nothing had to be chosen."""
        step = self._table.rows_per_chunk(self._chosen)
        for start in range(0, self._table.n_rows, step):
            rows = slice(start, start + step)
            found, weights = self._table.chunk(self._chosen, rows, Place(self.name, start))
            yield Chunk(found, weights if self._given is None else self._given[rows])

    def weighed(self, walk: Iterable[Block]) -> Iterator[Block]:
        """Sum the weights of the blocks as they pass, and keep the largest."""
        for block in walk:
            weights = block.weights
            if weights is not None:
                self.heaviest = max(self.heaviest or 0.0, float(weights.max()))
            with np.errstate(over="ignore"):
                self.row_weight += len(block.rows) if weights is None else float(weights.sum())
            yield block

    def found(self, result: Any) -> Found:
        """Return the result of a pass, with what tells whether the rows have changed."""
        n_rows = self._table.n_rows
        kept = result if n_rows else None
        return Found(kept, n_rows, self.row_weight, self.heaviest, self._fingerprint or 0)


def _table_of(rows: Any, layout: Layout, place: Place) -> Table:
    """Wrap a partition as a table, and check it against what the collection announced."""
    table = as_table(rows, place)
    if several := [label for label in table.groups if label in layout.found]:
        features, weight = layout.chosen.features, layout.chosen.weight
        asked = {layout.found[at] for at in (*features, *([] if weight is None else [weight]))}
        if not asked.isdisjoint(several):
            raise DataError(
                f"{place.name} holds several numbers in each cell of {several}, and how many, a "
                "Dask frame does not announce; make a column of each of them first, or leave these "
                "out with X.drop(columns=[...])"
            )
        rows = rows.copy(deep=False)
        rows[several] = 0.0  # they are not asked for
        table = as_table(rows, place)
    if list(table.labels) != list(layout.found):
        raise DataError(
            f"{place.name} has the columns {list(table.labels)} where the collection announces "
            f"{list(layout.found)}; give Dask the right meta"
        )
    dtype = table.dtype(layout.chosen, place)
    if np.result_type(dtype, layout.dtype) != layout.dtype:
        raise DataError(
            f"{place.name} holds {dtype} where the collection announces {layout.dtype}; give Dask "
            "the right dtype, so that no digit is lost"
        )
    return table


def _checked_weights(weights: Any, n_rows: int, place: Place) -> npt.NDArray[np.float64]:
    found = np.asarray(weights)
    if found.shape != (n_rows,):
        raise DataError(
            f"{place.name} has {n_rows} rows and sample weights of the shape {found.shape}; give "
            "weights that are cut as the rows are, one for each row"
        )
    return np.asarray(real(found[:, None], ["sample_weight"], place)[:, 0], np.float64)


class Walk(NamedTuple):
    """Work that is done on each partition, and combined."""

    layout: Layout
    walk: Callable[[Source, Iterable[Block]], Any]

    def __call__(self, partition: Partition) -> Found:
        """Do it."""
        with closing(blocks(partition, self.layout.block_rows)) as walked:
            return partition.found(self.walk(partition, partition.weighed(walked)))


class Fill(NamedTuple):
    """Work that leaves entries for every row of each partition."""

    layout: Layout
    fill: Callable[[Block, npt.NDArray[Any]], None]
    width: tuple[int, ...]
    dtype: np.dtype[Any]

    def __call__(self, partition: Partition) -> npt.NDArray[Any]:
        """Do it."""
        return partition.tabulate(self.fill, self.width, self.dtype, self.layout.block_rows)


class Begin(NamedTuple):
    """Work that takes the first rows of one partition."""

    layout: Layout
    most: int

    def __call__(self, partition: Partition) -> Block | None:
        """Do it."""
        return partition.first_rows(self.most)


def done(sent: bytes, rows: Any, weights: Any, *stand: Any) -> Any:
    """Do the work that was sent on one partition, which stands where `Stand` says."""
    of_client, packed = pickle.loads(sent)
    if of_client != versions():
        raise ClusterError(
            f"a worker has {_listed(versions())} where the client has {_listed(of_client)}; "
            "install the same on all, or their sums may differ"
        )
    work = pickle.loads(packed)
    with _one_thread():
        return work(Partition(work.layout, rows, weights, Stand(*stand)))


def combined(combine: Callable[[Any, Any], Any], total: Found, *others: Found) -> Found:
    """Combine what neighbours found, from the first to the last."""
    for other in others:
        if total.result is None or other.result is None:
            result = other.result if total.result is None else total.result
        else:
            result = combine(total.result, other.result)
        with np.errstate(over="ignore"):
            total = Found(
                result,
                total.n_rows + other.n_rows,
                total.row_weight + other.row_weight,
                max((h for h in (total.heaviest, other.heaviest) if h is not None), default=None),
                (total.fingerprint + other.fingerprint) % 2**64,
            )
    return total


@contextmanager
def _one_thread() -> Generator[None, None, None]:
    """Compute on the task's own thread: Dask has as many tasks at once as it was given threads."""
    from numba import get_num_threads, set_num_threads

    before = get_num_threads()
    set_num_threads(1)
    try:
        yield
    finally:
        set_num_threads(before)


def versions() -> dict[str, str]:
    """Return versions that decide about the bits of a sum."""
    import numba

    return {"fastgmm": __version__, "numba": numba.__version__}


def _listed(versions: dict[str, str]) -> str:
    return " and ".join(f"{name} {version}" for name, version in versions.items())
