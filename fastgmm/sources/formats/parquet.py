"""Parquet files, read a few row groups' rows at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

from fastgmm.errors import require
from fastgmm.sources.arrow import BatchSource, counted
from fastgmm.sources.cells import Place
from fastgmm.sources.columns import ALL, Reading
from fastgmm.sources.formats.file import File

BUFFER_BYTES = 2**18  # decoding takes 0.94 of its processor time with 1 MB
# Processors, all but a few of which compute: with no more of them pyarrow's own threads take from
# those that compute what they save the one that reads. On two a pass with them took 0.93 to 1.01 of
# one without (reading alone 0.72), and the processors were as long at work: no gain.
FEW_PROCESSORS = 4


class OpenedParquetSource(BatchSource):
    """What `pyarrow.parquet.ParquetFile` reads, opened for every pass."""

    reads_ahead = True

    def __init__(
        self,
        opened: Callable[[], AbstractContextManager[Any]],
        name: str,
        reading: Reading = ALL,
    ) -> None:
        self._opened = opened
        with opened() as reader:
            schema, n_rows = reader.schema_arrow, reader.metadata.num_rows
        super().__init__(name, schema, reading, n_rows)

    def batches(self) -> Iterator[tuple[Place, Any]]:
        """Walk the row groups."""
        with self._opened() as reader:
            batches = reader.iter_batches(
                self.chunk_rows, columns=self.names, use_threads=_may_decode_in_threads()
            )
            yield from counted(self.name, batches)


class ParquetSource(OpenedParquetSource):
    """A Parquet file."""

    guarded = True

    def __init__(self, file: File, reading: Reading = ALL) -> None:
        super().__init__(partial(_open, file), file.name, reading)


def open_parquet(data: Any, reading: Reading = ALL) -> OpenedParquetSource:
    """Open a ParquetFile that the caller has open; it must stay so."""
    return OpenedParquetSource(lambda: nullcontext(data), "the ParquetFile", reading)


def _may_decode_in_threads() -> bool:
    """Whether pyarrow's threads may share the work of the thread that reads."""
    return (os.cpu_count() or 1) > FEW_PROCESSORS


@contextmanager
def _open(file: File) -> Iterator[Any]:
    """Open a file so that it is read in megabytes.

    By default pyarrow fetches every row group at once: 371 MB for one of 4 million rows by 10,
    which is 51 MB and no slower this way.
    """
    pyarrow, parquet = require("pyarrow", "io"), require("pyarrow.parquet", "io")
    with (
        file.reading(pyarrow.ArrowException),
        file.stream() as opened,
        parquet.ParquetFile(opened, buffer_size=BUFFER_BYTES, pre_buffer=False) as reader,
    ):
        yield reader
