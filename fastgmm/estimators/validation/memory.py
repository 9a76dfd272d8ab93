"""Checks that a fit or a search fits into memory, before it begins."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from fastgmm import passes
from fastgmm.covariance import Family
from fastgmm.initialisation.auto import most_candidates
from fastgmm.initialisation.short_runs import MOST_RESPONSIBILITIES
from fastgmm.initialisation.work import from_above
from fastgmm.passes.subsample import SAMPLE_ROWS, most_rows
from fastgmm.sources import Source

# Of the means and covariances, alive at once: before and after a step, Cholesky factors, what the
# kernels read, moments. A fit at d = 600 took 5.5 times its covariances beside its partials; the
# candidates of a default start, whose first parameters stay, 7.8 each
COPIES, COPIES_IN_A_START = 6, 8
ALTERNATIVES = 16  # of three pairs and thirteen other families, for each number of a search
SAMPLE_COPIES = 5  # the sample, the sub-sample, and their coordinates
SHARES = 4  # arrays of what components have of a sub-sample
ALWAYS_FITS = 100_000_000  # bytes that are not worth a look
CGROUP = Path("/sys/fs/cgroup")


class Mixture(NamedTuple):
    """What is to be fitted."""

    n_components: int
    family: Family
    may_have_factors: bool = False  # as a way out, where matrices are too large

    def n_bytes(self, n_features: int) -> int:
        """Count the bytes of its means and covariances."""
        shape = self.family.structure.shape(self.n_components, n_features)
        return 8 * (math.prod(shape) + self.n_components * n_features)


def demand(source: Source, mixtures: Sequence[Mixture], start: str) -> None:
    """Refuse mixtures that need more than the memory there is, all at once.

    Parameters
    ----------
    source : Source
    mixtures : sequence of Mixture
        That share the passes: one, one for each restart, or the candidates of a search; those
        of more components than rows are never begun.
    start : {"auto", "merged", "given"} or other
        Where they start from: the default, what a search merges, parameters, or another method.

    Raises
    ------
    MemoryError
        It says how many bytes are needed and how many there are, and what needs fewer.
    """
    n_rows = source.n_rows
    mixtures = [each for each in mixtures if n_rows is None or each.n_components <= n_rows]
    if not mixtures:
        return  # that is said where rows are counted
    climb = needed(source, mixtures, "given")
    most = climb if start == "given" else max(climb, needed(source, mixtures, start))
    available = available_bytes() if most > ALWAYS_FITS else None
    if available is not None and most > available:
        raise MemoryError(
            f"{_what(mixtures, source.n_features, start)} needs about {most:,} bytes and "
            f"{available:,} are available; "
            f"{_way(mixtures, start == 'auto' and climb <= available)}, or choose fewer features"
        )


def needed(source: Source, mixtures: Sequence[Mixture], start: str) -> int:
    """Estimate the bytes held at once, beside the rows that the user holds."""
    n_features = source.n_features
    each = [mixture.n_bytes(n_features) for mixture in mixtures]
    largest = max(mixtures, key=lambda mixture: mixture.n_bytes(n_features))
    most_bytes = largest.n_bytes(n_features)
    of_pass = passes.held_bytes(source, most_bytes)
    if start == "given":
        return of_pass + COPIES * sum(each)
    n_components = max(mixture.n_components for mixture in mixtures)
    n_rows = min(most_rows(n_features), source.n_rows or SAMPLE_ROWS)
    if start == "merged":
        n_components = from_above(n_components)
        above = largest._replace(n_components=from_above(largest.n_components))
        most_bytes = above.n_bytes(n_features)
    n_starts = most_candidates(n_components, n_rows) if start in ("auto", "merged") else 1
    if start == "merged":
        n_starts = max(n_starts, ALTERNATIVES)
    # responsibilities of the components of other families, and those for unions with a copy
    shares = 3 * n_components * n_rows if start == "merged" else 0
    if start in ("auto", "merged"):
        shares += SHARES * min(n_components * n_rows, MOST_RESPONSIBILITIES)
    rows = SAMPLE_COPIES * n_rows * n_features
    begun = 2 * sum(each) + COPIES_IN_A_START * n_starts * most_bytes
    return of_pass + begun + 8 * (rows + shares)


def _what(mixtures: Sequence[Mixture], n_features: int, start: str) -> str:
    n_components = max(mixture.n_components for mixture in mixtures)
    names = list(dict.fromkeys(mixture.family.covariance_type for mixture in mixtures))
    is_search = start == "merged" and len(mixtures) > 1  # of one candidate, with rows held out
    if len({mixture.n_components for mixture in mixtures}) > 1 or len(names) > 1 or is_search:
        kinds = ", ".join(map(repr, names))
        return (
            f"a search among {len(mixtures)} mixtures of up to {n_components} component(s) of "
            f"{n_features} features, with covariance_type {kinds},"
        )
    restarts = f" and n_init={len(mixtures)}" if len(mixtures) > 1 else ""
    return (
        f"a fit of {n_components} component(s) of {n_features} features with "
        f"covariance_type={names[0]!r}{restarts}"
    )


def _way(mixtures: Sequence[Mixture], start_alone: bool) -> str:
    """Name what needs less memory."""
    if start_alone:  # the candidates of the default start are what does not fit
        return "take init_params='kmeans', which starts from one candidate"
    factors = "'factors', " if all(each.may_have_factors for each in mixtures) else ""
    with_matrices = [e.family for e in mixtures if e.family.structure.has_matrices]
    way = "take fewer components"
    if len(mixtures) > 1:
        way += " or fewer of these at a time"
    if any(not each.structure.is_shared for each in with_matrices):
        return way + f", covariance_type={factors}'tied', 'diag' or 'spherical'"
    if len(with_matrices) == len(mixtures):
        return f"take covariance_type={factors}'diag' or 'spherical'"
    return way


def available_bytes() -> int | None:
    """Return what the system and the container leave to this process, or None if neither says."""
    known = [count for count in (_of_system(), _of_container()) if count is not None]
    return min(known, default=None)


def _of_system() -> int | None:
    """Free memory, and what the kernel would give up for it; Linux says."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    found = [int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
    return found[0] * 1024 if found else None


def _of_container() -> int | None:
    """What is left under the limit of a container; files that are cached there make room."""
    try:
        limit = (CGROUP / "memory.max").read_text().strip()
        used = int((CGROUP / "memory.current").read_text())
        stat = dict(line.split() for line in (CGROUP / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return None
    if limit == "max":
        return None
    return max(0, int(limit) - used + int(stat.get("file", 0)))
