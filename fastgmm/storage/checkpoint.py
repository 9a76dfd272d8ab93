"""Writes and reads checkpoints: a fit resumes after a kill, with the same bits.

Two files are kept, ``run.ckpt`` and ``run.ckpt.previous``, each whole or not there (see `atomic`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, NamedTuple, NoReturn

import numpy as np

from fastgmm import em
from fastgmm.em.acceleration import Acceleration
from fastgmm.errors import (
    CheckpointError,
    CheckpointWarning,
    DataError,
    DegenerateCovarianceError,
    ModelFileError,
    warn,
)
from fastgmm.mixture.heavy_tails import Tailed
from fastgmm.mixture.noise import WithNoise
from fastgmm.mixture.parameters import Parameters
from fastgmm.mixture.posterior import Posterior
from fastgmm.mixture.prior import Prior
from fastgmm.storage import archive
from fastgmm.storage.archive import Arrays, Header
from fastgmm.storage.atomic import PREVIOUS, demand_replaceable
from fastgmm.storage.fit_identity import Identity, differences

KIND = "checkpoint"
NO_NUMBERS = ("rule", "trace", "outcome", "failure")  # fields of a state with a form of their own
# what the other fields may be: frozen dataclasses of numbers, texts and arrays
CLASSES: dict[str, Any] = {
    each.__name__: each for each in (Parameters, Posterior, Tailed, WithNoise, Acceleration, Prior)
}
# A write is safe from the end of its process at once: 1.2 ms for six components. The disk is waited
# for in this share of the time at most, since some take 20 ms; a crash of the machine then loses a
# second or two of work.
SHARE_OF_TIME = 0.02


@dataclass(frozen=True, eq=False)
class Moment:
    """All that a fit needs to go on."""

    states: tuple[em.State, ...]  # of every start, those that have stopped included
    repairing: tuple[em.State, ...] = ()  # what may take the place of some of them
    n_rounds: int = 0  # of repairs, or of merges, that were tried
    n_rows: int | None = None  # of positive weight
    row_weight: float | None = None  # of all rows
    failures: Mapping[int, Exception] = field(default_factory=dict)  # of starts, by their number


class Sampled(NamedTuple):
    """What says that rows are the same, where not only the first were looked at."""

    seed: int
    digest: str  # of all rows, and of the sample that the seed draws


class Record(NamedTuple):
    """What a file holds: a moment, once it is known by which rule it was made."""

    sampled: Sampled
    header: Header
    arrays: Arrays

    @property
    def is_finished(self) -> bool:
        """Whether the fit has ended."""
        return bool(self.header["is_finished"])

    def moment(self, rule: em.UpdateRule) -> Moment:
        """Return the moment of a fit by this rule.

        Raises
        ------
        CheckpointError
            If another fastgmm, which kept other fields, wrote the file.
        """
        try:
            return _unpacked(self.header, self.arrays, rule)
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"the checkpoint was written by another fastgmm ({error}); finish the fit with "
                "that one, or delete the file to start afresh"
            ) from error


class Checkpoint:
    """The files of one fit.

    Parameters
    ----------
    path : path
        Of the newest file; the one before it is named ``<path>.previous``.
    identity : Identity
        What the fit is of.

    Raises
    ------
    OSError
        If no file can be written there.
    """

    def __init__(self, path: str | os.PathLike[str], identity: Identity) -> None:
        self.path = os.fspath(path)
        self.identity = identity
        # that is, whole and on the disk: what another process has left may not be
        self._newest_is_safe = False
        self._resting_until = 0.0
        demand_replaceable(self.path)
        demand_replaceable(self.previous)

    @property
    def previous(self) -> str:
        """Path of the file before the newest."""
        return self.path + PREVIOUS

    def write(
        self,
        moment: Moment,
        sampled: Sampled,
        is_finished: bool = False,
        durable: bool = False,
    ) -> None:
        """Write a moment; a failure is a warning.

        The disk is waited for where ``durable`` says so, or little time goes that way. What is not
        known to have reached it never becomes the older file: a crash of the machine leaves one.
        """
        started = time.monotonic()
        durable = durable or started >= self._resting_until
        header, arrays = _packed(moment)
        header |= {"kind": KIND, "identity": self.identity, "sampled": sampled}
        header["is_finished"] = is_finished
        try:
            archive.write(self.path, header, arrays, self._newest_is_safe, durable)
            self._newest_is_safe = durable
        except OSError as error:
            warn(
                f"the checkpoint {self.path!r} could not be written ({error.strerror or error}); "
                "the fit goes on, and what was written before it stays",
                CheckpointWarning,
            )
        finally:
            if durable:
                now = time.monotonic()
                self._resting_until = now + (now - started) * (1.0 / SHARE_OF_TIME - 1.0)

    def read(self) -> Record | None:
        """Return the newest record that can be read, or None where there is no file.

        Raises
        ------
        CheckpointError
            If the files are of another fit, no checkpoints, or damaged both.
        """
        if not (os.path.lexists(self.path) or os.path.lexists(self.previous)):
            return None
        try:
            return self._record(self.path)
        except (ModelFileError, FileNotFoundError) as error:
            return self._older(error)

    def _older(self, wrong: Exception) -> Record:
        """Return what the file before the newest holds, and say so."""
        said = str(wrong) if isinstance(wrong, ModelFileError) else f"{self.path!r} is missing"
        try:
            record = self._record(self.previous)
        except (ModelFileError, FileNotFoundError):
            raise CheckpointError(
                f"{said}, and there is no sound {self.previous!r}; name another file, or delete "
                "both, if they were checkpoints, to start afresh"
            ) from wrong
        warn(
            f"{said}; the fit goes on from {self.previous!r}, the one before it",
            CheckpointWarning,
        )
        return record

    def _record(self, path: str) -> Record:
        header, arrays = archive.read(path)
        if header.get("kind") != KIND:
            raise CheckpointError(f"{path!r} holds a model, no checkpoint; name another file")
        if found := differences(header["identity"], self.identity):
            self.refuse("; ".join(found))
        return Record(Sampled(*header["sampled"]), header, arrays)

    def refuse(self, found: str) -> NoReturn:
        """Raise an error that names the differences between the two fits."""
        raise CheckpointError(
            f"{self.path!r} belongs to another fit: {found}. Go on with the data and arguments of "
            f"that fit, or name another file, or delete this one and {self.previous!r} to start "
            "afresh"
        )


def _packed(moment: Moment) -> tuple[Header, Arrays]:
    """A moment as a header and arrays: what may be infinite is an array, JSON having no such."""
    states = (*moment.states, *moment.repairing)
    arrays: Arrays = {}
    header = {
        "states": [_described(state, c, arrays) for c, state in enumerate(states)],
        "n_repairing": len(moment.repairing),
        "failures": {str(c): _told(failure) for c, failure in moment.failures.items()},
        "n_rounds": moment.n_rounds,
        "n_rows": moment.n_rows,
        "row_weight": moment.row_weight,
    }
    return header, arrays


def _described(state: em.State, c: int, arrays: Arrays) -> Header:
    """A state, its numbers in `arrays`."""
    arrays[f"trace_{c}"] = np.array(state.trace)
    numbers = {
        each.name: _numbers(getattr(state, each.name), f"{each.name}_{c}", arrays)
        for each in fields(state)
        if each.name not in NO_NUMBERS
    }
    # of the rule all else is known
    numbers["prior"] = _numbers(state.rule.prior, f"prior_{c}", arrays)
    failure = None if state.failure is None else _told(state.failure)
    return {"outcome": state.outcome.value, "failure": failure, "numbers": numbers}


def _told(failure: Exception) -> Header:
    """Describe what went wrong."""
    if isinstance(failure, DegenerateCovarianceError):
        return {"component": failure.component, "feature": failure.feature}
    return {"message": str(failure)}


def _numbers(value: Any, name: str, arrays: Arrays) -> Any:
    """A value as JSON has it; arrays, and floats, which JSON cannot all hold, by name."""
    if is_dataclass(value):
        parts = {
            each.name: _numbers(getattr(value, each.name), f"{name}_{each.name}", arrays)
            for each in fields(value)
        }
        return {"class": type(value).__name__, "parts": parts}
    if isinstance(value, np.ndarray | float):
        arrays[name] = np.asarray(value)
        return {"array" if isinstance(value, np.ndarray) else "number": name}
    return value


def _value(described: Any, arrays: Arrays) -> Any:
    """What `_numbers` has described."""
    if not isinstance(described, dict):
        return described
    if "array" in described:
        return arrays[described["array"]]
    if "number" in described:
        return float(arrays[described["number"]])
    parts = {name: _value(part, arrays) for name, part in described["parts"].items()}
    return CLASSES[described["class"]](**parts)


def _unpacked(header: Header, arrays: Arrays, rule: em.UpdateRule) -> Moment:
    states = [_state(c, each, arrays, rule) for c, each in enumerate(header["states"])]
    n_alone = len(states) - header["n_repairing"]
    return Moment(
        tuple(states[:n_alone]),
        tuple(states[n_alone:]),
        header["n_rounds" if "n_rounds" in header else "n_repairs"],  # until 2026-11-30
        header["n_rows"],
        header["row_weight"],
        {int(c): _failure(each) for c, each in header["failures"].items()},
    )


def _state(c: int, described: Header, arrays: Arrays, rule: em.UpdateRule) -> em.State:
    numbers = {name: _value(each, arrays) for name, each in described["numbers"].items()}
    return em.State(
        rule.under(numbers.pop("prior")),
        trace=tuple(arrays[f"trace_{c}"].tolist()),
        outcome=em.Outcome(described["outcome"]),
        failure=None if described["failure"] is None else _failure(described["failure"]),
        **numbers,
    )


def _failure(described: Mapping[str, Any]) -> Exception:
    """What `_told` has described."""
    if "message" in described:
        return DataError(described["message"])
    return DegenerateCovarianceError(described["component"], described["feature"])
