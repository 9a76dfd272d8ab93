"""Dask collections: every pass is computed where their partitions live.

A task for each partition hands its rows to the function of the pass, and a tree whose shape follows
from the number of partitions combines what they found: which worker did what, and how often, cannot
show. What travels is the function, one bytes object a pass, and what was found.
"""

from __future__ import annotations

import ast
import copy
import math
import pickle
import re
import sys
import uuid
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt

from fastgmm.errors import ClusterError, DataError, require
from fastgmm.sources.arrays import refuse_shape
from fastgmm.sources.cells import Place
from fastgmm.sources.columns import ALL, Reading, choose, position_of
from fastgmm.sources.dask.worker import (
    Begin,
    Fill,
    Layout,
    Partition,
    Stand,
    Walk,
    combined,
    done,
    versions,
)
from fastgmm.sources.source import Source
from fastgmm.sources.tables import as_table, is_instance
from fastgmm.sources.types import Block, Chunk
from fastgmm.sources.weights import (
    as_weights,
    check_total_weight,
    check_weights_length,
    refuse_second_weights,
)

_GIVEN_UP = re.compile(r"Task (.+) marked as failed because \d+ workers died")
_AT_ONCE = 20  # tasks that a worker may have held: so far apart are lines of one death at most
FAN_IN = 8  # results that one task combines: a pass of P partitions has P / 7 such tasks


class DaskSource(Source):
    """A Dask array or dataframe, cut into partitions of rows.

    Nothing is computed here: each pass is a graph, for the scheduler that is active then.
    """

    def __init__(
        self,
        data: Any,
        reading: Reading = ALL,
    ) -> None:
        name = f"the Dask {type(data).__name__}"
        if reading.chunk_rows is not None:
            raise DataError(f"{name} is read by partitions; cut it anew instead of by chunk_rows")
        table = as_table(_empty(data, name), Place(name))
        chosen = choose(table.labels, reading, name, table.groups)
        labels = table.labels if chosen.all else [table.labels[at] for at in chosen.features]
        dtype = table.dtype(chosen, Place(name))
        self._lengths = _lengths(data)
        n_rows = None if self._lengths is None else sum(self._lengths)
        super().__init__(name, labels, dtype, n_rows, reading.weight)
        self._layout = Layout(name, table.labels, labels, chosen, dtype, 0, n_rows)
        self._data = data  # keeps what is persisted from being released while passes need it
        self._partitions = _partitions(data)
        self._weights: list[Any] | None = None
        self._weighed_by: Any = None  # as is what weights are persisted

    def lacking(self) -> DaskSource:
        """Return the same rows, of which values may be missing."""
        found = super().lacking()
        found._layout = found._layout._replace(may_lack=True)
        return found

    def weighted(self, weights: Any) -> DaskSource:
        """Return a source with row weights, from an array or a Dask collection cut alike."""
        refuse_second_weights(self.weight, self.name)
        cut = self._cut(weights)
        found = copy.copy(self)
        found.weight, found._weights, found._weighed_by = "sample_weight", _partitions(cut), cut
        if len(found._weights) != len(self._partitions):
            raise DataError(
                f"{self.name} has {len(self._partitions)} partitions and its sample weights "
                f"{len(found._weights)}; cut them alike"
            )
        return found

    def _cut(self, weights: Any) -> Any:
        """Cut weights as the rows are cut."""
        if is_dask(weights):
            _refuse_loose(weights, "the sample weights are")
            if weights.ndim != 1:
                raise DataError(f"sample weights must be 1-d; these have {weights.ndim} dimensions")
            given = _lengths(weights)
            if given is None or self._lengths is None or given == self._lengths:
                return weights  # each partition compares its own
            check_weights_length(sum(given), sum(self._lengths), self.name)
            return weights.rechunk((self._lengths,))
        array = as_weights(weights)
        self.count_rows()
        assert self._lengths is not None
        check_weights_length(len(array), sum(self._lengths), self.name)
        dask_array = require("dask.array", "dask")
        return dask_array.from_array(array, chunks=(self._lengths,)).persist()

    def count_rows(self) -> None:
        """Ask every partition for its length, unless they are known: then rows have numbers."""
        if self._lengths is None:
            length = require("dask", "dask").delayed(len)
            self._lengths = tuple(self._compute([length(each) for each in self._partitions]))
            self.n_rows = sum(self._lengths)

    def label_cells(self, label: Hashable) -> Iterator[npt.NDArray[Any]]:
        """Fetch the cells of one column."""
        at = position_of(label, self._layout.found, self.name)
        is_array = is_instance(self._data, "dask.array", "Array")
        column = self._data[:, [at]] if is_array else self._data.iloc[:, [at]]
        table = as_table(self._compute(column), Place(self.name))
        yield table.cells(0)

    def chunks(self) -> Iterator[Chunk]:
        """Fetch partition after partition, for `partial_fit`; no pass of a fit does so."""
        for stand in self._stands():
            weights = None if self._weights is None else self._weights[stand.number]
            rows, given = self._compute([self._partitions[stand.number], weights])
            yield from Partition(self._layout, rows, given, stand).chunks()

    def first_rows(self, most: int) -> Block | None:
        """Take the first rows where they are: no more of them travel."""
        parts: list[Block] = []
        n_rows = 0
        for at in range(len(self._partitions)):
            if n_rows == most:
                break
            part = self._begin(at, most - n_rows)
            if part is not None:
                parts.append(part)
                n_rows += len(part.rows)
        if not parts:
            return None
        rows = np.concatenate([part.rows for part in parts])
        weights = [part.weights for part in parts if part.weights is not None]
        return Block(rows, np.concatenate(weights) if weights else None, 0)

    def _begin(self, at: int, most: int) -> Block | None:
        name = (f"fastgmm-first-{uuid.uuid4().hex}", at)
        graph = self._tasks(Begin(self._layout, most), self._weights, [name], [self._stands()[at]])
        return self._compute(self._delayed(name, graph))

    def gather(
        self,
        walk: Callable[[Source, Iterable[Block]], Any],
        combine: Callable[[Any, Any], Any],
        block_rows: int,
    ) -> Any:
        """Have every partition walked where it lives; combine what is found by a tree."""
        token = uuid.uuid4().hex
        work = Walk(self._layout._replace(block_rows=block_rows, n_rows=self.n_rows), walk)
        names = [(f"fastgmm-pass-{token}", at) for at in range(len(self._partitions))]
        graph, level = self._tasks(work, self._weights, names, self._stands()), names
        spec = require("dask._task_spec", "dask")
        while len(level) > 1:
            groups = [level[at : at + FAN_IN] for at in range(0, len(level), FAN_IN)]
            level = [(f"fastgmm-combine-{token}", len(graph) + at) for at in range(len(groups))]
            for key, group in zip(level, groups, strict=True):
                graph[key] = spec.Task(key, combined, combine, *map(spec.TaskRef, group))
        found = self._compute(self._delayed(level[0], graph))
        self.complete(found.n_rows, found.fingerprint)
        if found.n_rows and self.weight is not None:
            check_total_weight(found.row_weight, self.name)
        self.heaviest = found.heaviest
        return found.result

    def tabulate(
        self,
        fill: Callable[[Block, npt.NDArray[Any]], None],
        width: tuple[int, ...],
        dtype: npt.DTypeLike,
        block_rows: int,
    ) -> Any:
        """Make a lazy Dask array of entries, cut as the rows are."""
        token = uuid.uuid4().hex
        layout = self._layout._replace(block_rows=block_rows)
        name = f"fastgmm-entries-{token}"
        names = [(name, at, *(0 for _ in width)) for at in range(len(self._partitions))]
        work = Fill(layout, fill, width, np.dtype(dtype))
        graph = self._tasks(work, None, names, self._stands())
        return require("dask.array", "dask").Array(
            self._holding(self._highlevel(name, graph)),
            name,
            chunks=(self._lengths or (math.nan,) * len(names), *((each,) for each in width)),
            dtype=dtype,
        )

    def _tasks(
        self,
        work: Walk | Fill | Begin,
        weights: list[Any] | None,
        names: Sequence[Any],
        stands: Sequence[Stand],
    ) -> dict[Any, Any]:
        """Write a graph that does some work on some partitions.

        The work is one node of the graph, not scattered beside it: so it is there again after the
        worker that held it is lost.
        """
        spec = require("dask._task_spec", "dask")
        sent = f"fastgmm-work-{uuid.uuid4().hex}"
        packed = pickle.dumps((versions(), pickle.dumps(work)))
        graph = {sent: spec.DataNode(sent, packed)}
        for name, stand in zip(names, stands, strict=True):
            rows = spec.TaskRef(self._partitions[stand.number].key)
            given = None if weights is None else spec.TaskRef(weights[stand.number].key)
            graph[name] = spec.Task(name, done, spec.TaskRef(sent), rows, given, *stand)
        return graph

    def _stands(self) -> list[Stand]:
        """Return the place of each partition."""
        if self._lengths is None:
            return [Stand(number, None, None) for number in range(len(self._partitions))]
        starts = accumulate(self._lengths[:-1], initial=0)
        return list(map(Stand, range(len(self._partitions)), starts, self._lengths))

    def _highlevel(self, name: str, graph: dict[Any, Any]) -> Any:
        """Put our tasks on top of those that make the partitions."""
        below = [self._partitions[0], *(self._weights or ())[:1]]
        graphs = require("dask.highlevelgraph", "dask").HighLevelGraph
        return graphs.from_collections(name, graph, dependencies=below)

    def _holding(self, graph: Any) -> Any:
        """Have a graph hold what is persisted, since its user may drop it and keep the graph.

        Delayed objects name it, and do not hold it (Dask 2026.8).
        """
        held = _futures(self._data)
        if not held:
            return graph
        name = f"fastgmm-held-{uuid.uuid4().hex}"
        dependencies = {each: {*below, name} for each, below in graph.dependencies.items()}
        return type(graph)({**graph.layers, name: held}, {**dependencies, name: set()})

    def _delayed(self, key: Any, graph: dict[Any, Any]) -> Any:
        delayed = require("dask.delayed", "dask").Delayed
        name = f"fastgmm-{uuid.uuid4().hex}"
        return delayed(key, self._highlevel(name, graph), layer=name)

    def _compute(self, wanted: Any) -> Any:
        """Compute on the scheduler that is active, and say what a failing cluster was at."""
        dask = require("dask", "dask")
        try:
            (found,) = dask.compute(wanted)
        except Exception as error:
            said = _failure(error, self.name, [each.key for each in self._partitions])
            is_unmade = said is None or "lost dependencies" in str(error)
            if is_unmade and (_are_lost(self._data) or _are_lost(self._weighed_by)):
                said = (
                    f"partitions of {self.name} or their weights, which were persisted or "
                    "scattered, are held by no worker of the cluster that is active: another has "
                    "them, or they died with a worker and nothing says how to make them; load and "
                    "persist them anew"
                )
            if said is None:
                raise
            raise ClusterError(said) from error
        return found


def is_dask(data: object) -> bool:
    """Whether it is Dask's: an array, dataframe or series, or what may be made one of those."""
    return (
        is_instance(data, "dask.array", "Array")
        or is_instance(data, "dask.dataframe", "DataFrame", "Series")
        or _is_loose(data)
    )


def _is_loose(data: Any) -> bool:
    """Whether Dask itself does not know what it holds."""
    return is_instance(data, "dask.delayed", "Delayed") or is_instance(data, "dask.bag", "Bag")


def _refuse_loose(data: Any, who: str) -> None:
    if _is_loose(data):
        raise DataError(
            f"{who} a Dask {type(data).__name__}, which does not say what it holds; make it an "
            "array or a dataframe, with dask.array.from_delayed, dask.dataframe.from_delayed or "
            "Bag.to_dataframe"
        )


def _empty(data: Any, name: str) -> Any:
    """Return no rows of the collection, which show its columns and their types."""
    _refuse_loose(data, "this is")
    if not is_instance(data, "dask.array", "Array"):
        if data.ndim == 1:
            raise DataError(f"{name} is one column; make it a table with .to_frame()")
        return data._meta
    refuse_shape(data.shape, name)
    if math.isnan(data.shape[1]):
        raise DataError(f"{name} does not know its number of columns; call compute_chunk_sizes()")
    if data.numblocks[1] > 1:
        raise DataError(
            f"{name} is cut into {data.numblocks[1]} groups of columns, and a row would have to be "
            "put together in every pass; give X.rechunk({1: -1}).persist()"
        )
    return np.empty((0, data.shape[1]), data.dtype)


def _lengths(data: Any) -> tuple[int, ...] | None:
    """Return the rows of every partition, where they are known."""
    chunks = getattr(data, "chunks", None)
    if chunks is None or any(map(math.isnan, chunks[0])):
        return None
    return tuple(map(int, chunks[0]))


def _partitions(data: Any) -> list[Any]:
    """Return the partitions as delayed objects, which share one graph."""
    delayed = data.to_delayed()
    return list(delayed.ravel() if isinstance(delayed, np.ndarray) else delayed)


def _futures(data: Any) -> dict[Any, Any]:
    """Return what a cluster keeps of a collection, as a graph."""
    distributed = sys.modules.get("distributed")
    return {} if distributed is None else {each.key: each for each in distributed.futures_of(data)}


def _are_lost(data: Any) -> bool:
    """Whether a cluster keeps nothing any more of what it was to keep."""
    return any(each.status in ("cancelled", "lost") for each in _futures(data).values())


def _failure(error: Exception, name: str, partitions: list[Any]) -> str | None:
    """Return the message for a cluster's failure; None for any other error."""
    kind = type(error).__name__
    if kind == "KilledWorker":
        key = error.args[0]
        at = _partition(key, partitions)
        if at is None and (others := _blamed_with(key)):
            found = [_partition(each, partitions) for each in others]
            at = next((each for each in found if each is not None), None)
        where = f"the task {key!r}" if at is None else f"partition {at} of {name}"
        return (
            f"{where} was given to {error.args[2] + 1} workers, and each died with it: this task, "
            "or another that they held, killed them; give workers more memory or cut the partition "
            "smaller, and see their logs for the cause (dask's "
            "distributed.scheduler.allowed-failures allows more deaths)"
        )
    if kind in ("FutureCancelledError", "CommClosedError", "CancelledError"):
        return (
            f"the Dask cluster was lost in the middle of a pass over {name} ({error}); start "
            "another and fit again: a checkpoint goes on from the last pass that was finished"
        )
    return None


def _partition(key: Any, partitions: list[Any]) -> int | None:
    """Return the number of the partition that a task makes or sums, if any."""
    if str(key[0]).startswith("fastgmm-pass-"):
        return int(key[1])
    return partitions.index(key) if key in partitions else None


def _blamed_with(key: Any) -> list[Any]:
    """Return the other tasks that Dask gave up in the same breath, out of the scheduler's log.

    What dies takes along what waits on the same worker, sums of other partitions among it, and any
    of those may be the one that Dask reports: one of 15 fits was ended by a sum.
    """
    clients = sys.modules["distributed"]
    lines = [line for _, line in clients.default_client().get_scheduler_logs()]  # newest first
    said = [match[1] for line in lines if (match := _GIVEN_UP.search(line))]
    at = said.index(str(key)) if str(key) in said else 0
    near = said[max(at - _AT_ONCE, 0) : at + _AT_ONCE + 1]
    return [ast.literal_eval(each) for each in near if each.startswith("(")]
