"""What ties a fit to its checkpoint: what it goes on from, and what it leaves for the next time."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from fastgmm.estimators.fitting import Climb
from fastgmm.passes.subsample import Sample, draw_seed, sample_of
from fastgmm.sources import Source
from fastgmm.storage.checkpoint import Checkpoint, Record, Sampled
from fastgmm.storage.fit_identity import digest, identity_of


class Kept:
    """The checkpoint of one fit, or that there is none.

    Parameters
    ----------
    path : path or None
    settings : callable
        Returns what the fit depends on beside the rows, a dict; asked if there is a path.
    source : Source

    Attributes
    ----------
    record : Record or None
        What an earlier call has left.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None,
        settings: Callable[[], dict[str, Any]],
        source: Source,
    ) -> None:
        self.source = source
        self.seed, self.digest = 0, ""
        self.checkpoint: Checkpoint | None = None
        self.record: Record | None = None
        if path is None:
            return
        self.checkpoint = Checkpoint(path, identity_of(settings(), source))
        self.record = self.checkpoint.read()
        if self.record is not None and source.n_rows is None:
            source.n_rows = self.record.sampled.n_rows  # every pass is held to it

    @property
    def compares(self) -> bool:
        """Whether all rows are to be marked, to be held against those of another call."""
        return self.checkpoint is not None

    @property
    def is_finished(self) -> bool:
        """Whether an earlier call has come to the end."""
        return self.record is not None and self.record.is_finished

    def choose_seed(self, rng: np.random.Generator | None) -> int:
        """Return the seed of the sample: what it was, or one drawn now."""
        if self.record is not None:
            self.seed = self.record.sampled.seed
        elif rng is not None:
            self.seed = draw_seed(rng)
        return self.seed

    def compare(self, sample: Sample | None) -> None:
        """Hold all rows, and the sample of them, or one drawn for this, against an earlier call."""
        if self.checkpoint is None:
            return
        known = sample or sample_of(self.source, self.seed, marked=True)
        mark = np.array(known.mark, np.uint64)
        self.digest = digest(known.rows, known.weights, known.origin, mark)
        if self.record is not None and self.record.sampled.digest != self.digest:
            self.checkpoint.refuse("other rows follow the first")

    def keep(self, climb: Climb, is_finished: bool = False, durable: bool = False) -> None:
        """Write down how far a climb has come."""
        if self.checkpoint is not None and not self.is_finished:
            sampled = Sampled(self.source.n_rows, self.seed, self.digest)
            self.checkpoint.write(climb.moment, sampled, is_finished, durable)
