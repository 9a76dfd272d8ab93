"""Rows from anywhere, walked once for every pass; knows nothing of mixtures."""

from fastgmm.sources.blocks import Block, blocks
from fastgmm.sources.in_memory import with_weights
from fastgmm.sources.opening import open_source
from fastgmm.sources.source import Chunk, Source

__all__ = [
    "Block",
    "Chunk",
    "Source",
    "blocks",
    "open_source",
    "with_weights",
]
