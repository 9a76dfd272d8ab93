"""Rows from anywhere, walked once for every pass; knows nothing of mixtures."""

from fastgmm.sources.blocks import Block, blocks
from fastgmm.sources.dask.collection import is_dask
from fastgmm.sources.formats.chunked import is_stored
from fastgmm.sources.in_memory import with_weights
from fastgmm.sources.opening import open_source
from fastgmm.sources.source import Chunk, Source
from fastgmm.sources.unsupported import is_elsewhere

__all__ = [
    "Block",
    "Chunk",
    "Source",
    "blocks",
    "is_dask",
    "is_elsewhere",
    "is_stored",
    "open_source",
    "with_weights",
]
