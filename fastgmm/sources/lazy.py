"""Tables that are not read yet: lazy polars frames, pyarrow datasets and Parquet files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from fastgmm.errors import require
from fastgmm.sources.arrow import BatchSource, counted
from fastgmm.sources.cells import Place
from fastgmm.sources.columns import ALL, Reading
from fastgmm.sources.formats.parquet import BUFFER_BYTES, open_parquet


class LazySource(BatchSource):
    """A polars LazyFrame, computed anew in every pass by polars' streaming engine."""

    reads_ahead = True

    def __init__(
        self,
        data: Any,
        reading: Reading = ALL,
    ) -> None:
        self._data = data
        schema = data.collect_schema().to_frame().to_arrow().schema
        super().__init__("the LazyFrame", schema, reading)

    def batches(self) -> Iterator[tuple[Place, Any]]:
        """Walk the frames that polars streams, or slices where it is too old to."""
        chosen = self._data.select(self.names)
        if hasattr(chosen, "collect_batches"):
            frames = chosen.collect_batches(chunk_size=self.chunk_rows, maintain_order=True)
        else:
            frames = self._slices(chosen)
        yield from counted(
            self.name, (batch for f in frames for batch in f.to_arrow().to_batches())
        )

    def _slices(self, chosen: Any) -> Iterator[Any]:
        start = 0
        while (frame := chosen.slice(start, self.chunk_rows).collect()).height:
            yield frame
            start += frame.height


class DatasetSource(BatchSource):
    """A pyarrow Dataset, or a fragment of one: files that Arrow reads, in the dataset's order."""

    reads_ahead = True

    def __init__(
        self,
        data: Any,
        reading: Reading = ALL,
    ) -> None:
        self._data = data
        is_part = not hasattr(data, "schema")
        schema = data.physical_schema if is_part else data.schema
        super().__init__("the Fragment" if is_part else "the Dataset", schema, reading)

    def batches(self) -> Iterator[tuple[Place, Any]]:
        """Walk the record batches, one fragment at a time."""
        batches = self._data.to_batches(
            columns=self.names,
            batch_size=self.chunk_rows,
            batch_readahead=1,  # of its own, of 16 batches and 4 files: 0.5 GB
            fragment_readahead=1,
            **self._parquet_options(),
        )
        yield from counted(self.name, batches)

    def _parquet_options(self) -> dict[str, Any]:
        """Read Parquet in megabytes, as `ParquetSource` does."""
        dataset = require("pyarrow.dataset", "io")
        if not isinstance(getattr(self._data, "format", None), dataset.ParquetFileFormat):
            return {}
        options = dataset.ParquetFragmentScanOptions(
            use_buffered_stream=True, buffer_size=BUFFER_BYTES, pre_buffer=False
        )
        return {"fragment_scan_options": options}


def _open_parquet_dataset(data: Any, reading: Reading = ALL) -> DatasetSource:
    """Open the files of a pyarrow ParquetDataset."""
    dataset = require("pyarrow.dataset", "io")
    files = dataset.dataset(data.files, filesystem=data.filesystem, format="parquet")
    return DatasetSource(files, reading)


# what pyarrow has opened, by its class
OPENED: tuple[tuple[str, tuple[str, ...], Callable[..., BatchSource]], ...] = (
    ("pyarrow.dataset", ("Dataset", "Fragment"), DatasetSource),
    ("pyarrow.parquet", ("ParquetFile",), open_parquet),
    ("pyarrow.parquet", ("ParquetDataset",), _open_parquet_dataset),
)
