"""Arrow files (Feather, version 2) and streams, read one record batch at a time by plain reads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastgmm.errors import DataError, require
from fastgmm.sources.arrow import BatchSource, counted
from fastgmm.sources.cells import Place
from fastgmm.sources.columns import ALL, Reading
from fastgmm.sources.formats.file import File

VERSION_1 = b"FEA1"
MAGIC = b"ARROW1"  # at the head of a file; a stream has none


class FeatherSource(BatchSource):
    """An Arrow IPC file or stream. Memory holds a batch as its writer cut it, of what is needed."""

    reads_ahead = True
    guarded = True

    def __init__(
        self,
        file: File,
        reading: Reading = ALL,
    ) -> None:
        self._file = file
        with file.open() as opened:
            found = opened.read(len(MAGIC))
        self._is_stream = found != MAGIC
        if found.startswith(VERSION_1):
            raise DataError(
                f"{file.name} is Feather of version 1, which pyarrow gives up; write it anew: "
                "from pyarrow import feather; "
                "feather.write_feather(feather.read_table(path), path)"
            )
        with self._opened() as reader:
            schema = reader.schema
        self._columns = schema.names
        super().__init__(file.name, schema, reading)

    def batches(self) -> Iterator[tuple[Place, Any]]:
        """Walk the record batches."""
        pyarrow = require("pyarrow", "io")
        fields = [self._columns.index(name) for name in self.names]
        options = pyarrow.ipc.IpcReadOptions(included_fields=fields)
        with self._opened(options=options) as reader:
            if self._is_stream:
                yield from counted(self.name, reader)
            else:
                numbers = range(reader.num_record_batches)
                yield from counted(self.name, map(reader.get_batch, numbers))

    @contextmanager
    def _opened(self, **options: Any) -> Iterator[Any]:
        pyarrow = require("pyarrow", "io")
        read = pyarrow.ipc.open_stream if self._is_stream else pyarrow.ipc.open_file
        with (
            self._file.reading(pyarrow.ArrowException),
            self._file.stream() as opened,
        ):
            yield read(opened, **options)
