"""Parquet files, one or many, read a few row groups' rows at a time."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

import numpy as np

from fastgmm.errors import require
from fastgmm.sources.arrow import BatchSource, counted
from fastgmm.sources.arrow_types import spread
from fastgmm.sources.cells import Place
from fastgmm.sources.columns import ALL, Reading, choose
from fastgmm.sources.formats.file import File
from fastgmm.sources.tables import ArrowTable

BUFFER_BYTES = 2**18  # decoding takes 0.94 of its processor time with 1 MB
# Processors, all but a few of which compute: with no more of them pyarrow's own threads take from
# those that compute what they save the one that reads. On two a pass with them took 0.93 to 1.01 of
# one without (reading alone 0.72), and the processors were as long at work: no gain.
FEW_PROCESSORS = 4


class ParquetSource(BatchSource):
    """Parquet files whose columns are matched by name, one file after the other."""

    reads_ahead = True
    guarded = True

    def __init__(
        self,
        files: list[File],
        name: str,
        reading: Reading = ALL,
    ) -> None:
        footers = [_footer(file) for file in files]
        self._files = files
        self._starts = [0, *accumulate(n_rows for _, n_rows in footers)]
        n_rows = self._starts[-1]
        super().__init__(name, footers[0][0], reading, n_rows)
        dtypes = [
            self._dtype(file, schema) for file, (schema, _) in zip(files, footers, strict=True)
        ]
        self.dtype = np.result_type(*dtypes)

    def _dtype(self, file: File, schema: Any) -> np.dtype[Any]:
        """Find the columns in one file, and whether all are float32 there."""
        table = ArrowTable(schema.empty_table(), spread(schema, self._lengths))
        chosen = choose(table.labels, Reading(self.labels, self.weight), file.name, table.groups)
        return table.dtype(chosen, Place(file.name))

    def batches(self) -> Iterator[tuple[Place, Any]]:
        """Walk the files."""
        pyarrow = require("pyarrow", "io")
        for file in self._files:
            with file.reading(pyarrow.ArrowException), _open(file) as reader:
                batches = reader.iter_batches(
                    self.chunk_rows, columns=self.names, use_threads=_may_decode_in_threads()
                )
                yield from counted(file.name, batches)

    def place(self, row: int) -> str:
        """Name the file and the row within it."""
        at = bisect_right(self._starts, row, hi=len(self._files)) - 1
        return Place(self._files[at].name, -self._starts[at]).row(row)


def _may_decode_in_threads() -> bool:
    """Whether pyarrow's threads may share the work of the thread that reads."""
    return (os.cpu_count() or 1) > FEW_PROCESSORS


def _footer(file: File) -> tuple[Any, int]:
    """Read the schema and the number of rows."""
    pyarrow = require("pyarrow", "io")
    with file.reading(pyarrow.ArrowException), _open(file) as reader:
        return reader.schema_arrow, reader.metadata.num_rows


def _open(file: File) -> Any:
    """Open a file so that it is read in megabytes.

    By default pyarrow fetches every row group at once: 371 MB for one of 4 million rows by 10,
    which is 51 MB and no slower this way.
    """
    parquet = require("pyarrow.parquet", "io")
    return parquet.ParquetFile(file.path, buffer_size=BUFFER_BYTES, pre_buffer=False)
