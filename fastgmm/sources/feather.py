"""Arrow files (Feather, version 2), read one record batch at a time by plain reads."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import Any

from fastgmm.errors import require
from fastgmm.sources.arrow import BatchSource
from fastgmm.sources.cells import Place
from fastgmm.sources.files import File


class FeatherSource(BatchSource):
    """An Arrow IPC file. Memory holds one batch as its writer cut them, of the columns needed."""

    reads_ahead = True
    guarded = True

    def __init__(
        self,
        file: File,
        columns: Sequence[Hashable] | None = None,
        weight: Hashable | None = None,
        chunk_rows: int | None = None,
    ) -> None:
        self._file = file
        pyarrow = require("pyarrow", "io")
        with file.reading(pyarrow.ArrowException), pyarrow.OSFile(str(file.path)) as opened:
            schema = pyarrow.ipc.open_file(opened).schema
        super().__init__(file.name, schema, columns, weight, chunk_rows)
        self._fields = [schema.get_field_index(name) for name in self.names]

    def batches(self) -> Iterator[tuple[Place, Any]]:
        """Walk the record batches of the file."""
        pyarrow = require("pyarrow", "io")
        options = pyarrow.ipc.IpcReadOptions(included_fields=self._fields)
        start = 0
        with (
            self._file.reading(pyarrow.ArrowException),
            pyarrow.OSFile(str(self._file.path)) as opened,
        ):
            reader = pyarrow.ipc.open_file(opened, options=options)
            for number in range(reader.num_record_batches):
                batch = reader.get_batch(number)
                yield Place(self.name, start), batch
                start += batch.num_rows
