"""Reads and writes the checkpoint of one fit."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fastgmm.passes.subsample import Sample, sample_of
from fastgmm.sources import Source
from fastgmm.storage.checkpoint import Checkpoint, Moment, Record, Sampled
from fastgmm.storage.fit_identity import digest, identity_of


class Kept(NamedTuple):
    """The checkpoint of one fit; without a file, nothing is compared or kept."""

    source: Source
    checkpoint: Checkpoint | None = None
    record: Record | None = None  # what an earlier call has left
    sampled: Sampled = Sampled(0, "")

    @property
    def compares(self) -> bool:
        """Whether all rows are to be marked, to be compared with those of another call."""
        return self.checkpoint is not None

    @property
    def seed(self) -> int:
        """The seed of the sample that the earlier call has drawn."""
        return 0 if self.record is None else self.record.sampled.seed

    def compared(self, seed: int, sample: Sample | None) -> Kept:
        """Compare all rows, by the mark in this sample or in one of its own, with the record's.

        Raises
        ------
        CheckpointError
            If they are other rows.
        """
        if self.checkpoint is None:
            return self
        known = sample or sample_of(self.source, seed, marked=True)
        mark = np.array(known.mark, np.uint64)
        found = Sampled(seed, digest(known.rows, known.weights, known.origin, mark))
        if self.record is not None and self.record.sampled.digest != found.digest:
            self.checkpoint.refuse("other rows follow the first")
        return self._replace(sampled=found)

    def keep(self, moment: Moment, is_finished: bool = False, durable: bool = False) -> None:
        """Write down how far a fit has come."""
        if self.checkpoint is None or (self.record is not None and self.record.is_finished):
            return
        self.checkpoint.write(moment, self.sampled, is_finished, durable)


def opened(
    path: str | os.PathLike[str] | None, settings: Callable[[], dict[str, Any]], source: Source
) -> Kept:
    """Open the checkpoint at a path, and read what an earlier call has left.

    Raises
    ------
    CheckpointError
        If that call was of other first rows or other settings, or its files are damaged.
    """
    if path is None:
        return Kept(source)
    checkpoint = Checkpoint(path, identity_of(settings(), source))
    return Kept(source, checkpoint, checkpoint.read())
