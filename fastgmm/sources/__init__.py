"""Rows from anywhere, walked once for every pass; knows nothing of mixtures."""

from fastgmm.sources.blocks import blocks
from fastgmm.sources.opening import open_source
from fastgmm.sources.source import Source
from fastgmm.sources.types import Block, Chunk
from fastgmm.sources.weighted import with_weights

__all__ = [
    "Block",
    "Chunk",
    "Source",
    "blocks",
    "open_source",
    "with_weights",
]
