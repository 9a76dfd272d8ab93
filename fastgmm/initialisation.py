"""The first Parameters: labels found on a sample of the rows, and the M-step of those labels.

The sample is bounded and drawn in one pass over any source. Where it is small, equal rows are merged (their weights
summed) and sorted, so that neither the order of rows nor writing one twice instead of weighing it double can matter.

k-means++ is Arthur and Vassilvitskii (2007), greedy as in their experiments; k-means is Lloyd (1982).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fastgmm.covariance import Family
from fastgmm.kernels.lanes import block_rows
from fastgmm.kernels.seeding import assign, squared_distances
from fastgmm.parameters import Parameters
from fastgmm.sources import Source, blocks
from fastgmm.statistics import Array, SufficientStatistics

SAMPLE_ROWS = 50_000  # centres found on these err by 1/50 of a cluster's width with 20 clusters: EM's first pass mends it
SAMPLE_NUMBERS = 2_000_000  # features times rows: 16 MB
SORTED_ROWS = 10_000  # sorting more would take longer than a pass
LLOYD_ROUNDS = 300
LLOYD_TOLERANCE = 1e-4  # of the mean variance of the features, on the squared movement of all centres


class Share(NamedTuple):
    """What a component starts from: rows with their weights, and where it stands if it has none."""

    rows: Array  # (m, d) of the sample
    weights: Array  # (m,)
    centre: Array  # (d,)


class Sample(NamedTuple):
    """Rows that stand for a source, their weights, and where zero was put."""

    rows: Array  # (m, d) less the origin
    weights: Array  # (m,)
    origin: Array  # (d,)


def initial_parameters(
    source: Source,
    method: str,
    n_components: int,
    family: Family,
    reg_covar: float,
    rng: np.random.Generator,
) -> Parameters:
    """Find parameters for EM to start from.

    Parameters
    ----------
    source : Source
    method : {"auto", "kmeans", "k-means++", "random", "random_from_data"}
        "auto" is k-means on standardised features; "random" gives each row random
        responsibilities, that follow from its values and the seed; the others label rows by
        the nearest of their centres.
    n_components : int
    family : Family
    reg_covar : float
    rng : numpy.random.Generator

    Returns
    -------
    Parameters

    Raises
    ------
    DegenerateCovarianceError
        If a component's covariance is not positive definite: more components than different
        rows, say, with reg_covar=0.
    """
    return start_from(draw_sample(source, rng), method, n_components, family, reg_covar, rng)


def start_from(
    sample: Sample,
    method: str,
    n_components: int,
    family: Family,
    reg_covar: float,
    rng: np.random.Generator,
) -> Parameters:
    """Find parameters on a sample that has been drawn."""
    if method == "random":
        shares = random_shares(sample, n_components, rng)
        return _maximise(sample, shares, family, reg_covar)
    centres, labels = METHODS[method](sample, n_components, rng)
    members = (
        Share(sample.rows[labels == k], sample.weights[labels == k], centre)
        for k, centre in enumerate(centres)
    )
    return _maximise(sample, members, family, reg_covar)


def draw_sample(source: Source, rng: np.random.Generator) -> Sample:
    """Draw a bounded sample of the rows of positive weight, in one pass.

    More rows than the bound are drawn by weight without replacement (Efraimidis and Spirakis
    2006: the largest of log(u) / weight), with random numbers that belong to a row's place in
    the source, not to the chunks it came in.
    """
    most = max(1, min(SAMPLE_ROWS, SAMPLE_NUMBERS // source.n_features))
    seed = rng.integers(2**63)
    kept = _Reservoir(most, seed)
    for block in blocks(source, block_rows(source.n_features)):
        kept.offer(block.rows, block.weights, block.start)
    rows, weights = kept.rows_and_weights()
    if len(rows) <= SORTED_ROWS:
        rows, weights = merge_equal_rows(rows, weights)
    origin = np.average(rows, axis=0, weights=weights)
    return Sample(np.ascontiguousarray(rows - origin), weights / weights.sum(), origin)


class _Reservoir:
    """The rows of largest keys so far; all of them, with their weights, until there are too many."""

    def __init__(self, most: int, seed: int) -> None:
        self.most, self.seed = most, seed
        self.parts: list[tuple[npt.NDArray[np.float64], Array, Array]] = []  # rows, weights, keys
        self.held, self.drawn, self.floor = 0, False, -np.inf

    def offer(self, rows: npt.NDArray, weights: npt.NDArray | None, start: int) -> None:
        """Add a block's rows."""
        weights = np.ones(len(rows)) if weights is None else weights
        uniform = np.random.Generator(np.random.Philox(key=[self.seed, start])).random(len(rows))
        with np.errstate(divide="ignore"):
            keys = np.log(uniform) / weights
        good = (weights > 0.0) & (keys > self.floor)
        self.parts.append((rows[good].astype(np.float64), weights[good], keys[good]))
        self.held += int(good.sum())
        if self.held > self.most:
            self.shrink()

    def shrink(self) -> None:
        """Keep the largest keys, in the order of the rows."""
        rows, weights, keys = (np.concatenate(part) for part in zip(*self.parts, strict=True))
        if len(keys) > self.most:
            self.drawn = True
            self.floor = np.partition(keys, len(keys) - self.most)[len(keys) - self.most]
            good = keys >= self.floor
            rows, weights, keys = rows[good], weights[good], keys[good]
        self.parts, self.held = [(rows, weights, keys)], len(keys)

    def rows_and_weights(self) -> tuple[Array, Array]:
        """Return the sample; rows that were drawn by weight count one each."""
        self.shrink()
        rows, weights, _ = self.parts[0]
        return rows, np.ones(len(rows)) if self.drawn else weights


def merge_equal_rows(rows: Array, weights: Array) -> tuple[Array, Array]:
    """Sort the rows and sum the weights of equal ones."""
    rows = rows + 0.0  # -0.0 becomes 0.0
    order = np.lexsort(rows.T[::-1])
    rows, weights = rows[order], weights[order]
    new = np.ones(len(rows), bool)
    new[1:] = (rows[1:] != rows[:-1]).any(axis=1)
    # equal rows are summed smallest weight first, so that their order cannot show
    group = np.cumsum(new) - 1
    weights = weights[np.lexsort((weights, group))]
    return rows[new], np.add.reduceat(weights, np.flatnonzero(new))


def random_shares(
    sample: Sample, n_components: int, rng: np.random.Generator
) -> Iterator[Share]:
    """Give each row random shares that follow from its values: equal rows have equal shares."""
    directions = rng.standard_normal((n_components, sample.rows.shape[1]))
    offsets = rng.random(n_components)
    # the fractional part of a long projection: as good as random, and a function of the row alone
    scale = 1e3 / np.maximum(np.abs(sample.rows).max(axis=0), np.finfo(float).tiny)

    def share(k: int) -> Array:
        phase = np.einsum("ij,j->i", sample.rows, scale * directions[k]) + offsets[k]
        return phase - np.floor(phase)

    total = sum(share(k) for k in range(n_components))
    for k in range(n_components):
        yield Share(sample.rows, sample.weights * share(k) / total, np.zeros(len(scale)))


def k_means_plus_plus(
    sample: Sample, n_components: int, rng: np.random.Generator
) -> tuple[Array, npt.NDArray[np.int64]]:
    """Choose rows far from one another: each the best of 2 + log K drawn by squared distance."""
    rows, weights = sample.rows, sample.weights
    n_trials = 2 + int(np.log(n_components))
    chosen = _draw(weights, rng, 1)
    nearest = _distances(rows, rows[chosen])[0]
    while len(chosen) < n_components:
        potential = weights * nearest
        trials = _draw(potential if potential.sum() > 0.0 else weights, rng, n_trials)
        distances = np.minimum(_distances(rows, rows[trials]), nearest)
        best = int(np.argmin(distances @ weights))
        chosen = np.append(chosen, trials[best])
        nearest = distances[best]
    centres = rows[chosen]
    return centres, _label(sample, centres)[0]


def random_rows(
    sample: Sample, n_components: int, rng: np.random.Generator
) -> tuple[Array, npt.NDArray[np.int64]]:
    """Choose rows by weight, none twice while there are others."""
    with np.errstate(divide="ignore"):
        keys = np.log(rng.random(len(sample.rows))) / sample.weights
    chosen = np.resize(np.argsort(keys, kind="stable")[::-1], n_components)
    centres = sample.rows[chosen]
    return centres, _label(sample, centres)[0]


def k_means(
    sample: Sample, n_components: int, rng: np.random.Generator
) -> tuple[Array, npt.NDArray[np.int64]]:
    """Move centres to the means of the rows nearest to them until they rest."""
    centres, labels = k_means_plus_plus(sample, n_components, rng)
    variance = sample.weights @ (sample.rows**2).mean(axis=1)
    for _ in range(LLOYD_ROUNDS):
        labels, mass, sums = _label(sample, centres)
        held = mass > 0.0
        moved = np.where(held[:, None], sums / np.where(held, mass, 1.0)[:, None], centres)
        movement = ((moved - centres) ** 2).sum()
        centres = moved
        if movement <= LLOYD_TOLERANCE * variance:
            break
    return centres, _label(sample, centres)[0]


def standardised_k_means(
    sample: Sample, n_components: int, rng: np.random.Generator
) -> tuple[Array, npt.NDArray[np.int64]]:
    """Label by k-means on features of variance one, so that their units do not matter."""
    deviations = np.sqrt(sample.weights @ sample.rows**2)
    scale = np.where(deviations > 0.0, deviations, 1.0)
    centres, labels = k_means(sample._replace(rows=sample.rows / scale), n_components, rng)
    return centres * scale, labels


Method = Callable[
    [Sample, int, np.random.Generator], tuple[Array, npt.NDArray[np.int64]]
]
METHODS: dict[str, Method] = {
    "auto": standardised_k_means,
    "kmeans": k_means,
    "k-means++": k_means_plus_plus,
    "random_from_data": random_rows,
}


def _draw(weights: Array, rng: np.random.Generator, count: int) -> npt.NDArray[np.intp]:
    """Draw indices with probability proportional to weights."""
    cumulative = np.cumsum(weights)
    found = np.searchsorted(cumulative, rng.random(count) * cumulative[-1], side="right")
    return np.minimum(found, len(weights) - 1)


def _distances(rows: Array, centres: Array) -> Array:
    """Squared distances (K, m)."""
    out = np.empty((len(centres), len(rows)))
    squared_distances(rows, centres, out)
    return out


def _label(sample: Sample, centres: Array) -> tuple[npt.NDArray[np.int64], Array, Array]:
    """Label every row with its nearest centre: labels (m,), their weights (K,) and weighted rows (K, d)."""
    labels = np.empty(len(sample.rows), np.int64)
    mass, sums = np.zeros(len(centres)), np.zeros(centres.shape)
    assign(sample.rows, sample.weights, centres, labels, mass, sums)
    return labels, mass, sums


def _maximise(
    sample: Sample, shares: Iterable[Share], family: Family, reg_covar: float
) -> Parameters:
    """Take the M-step of given shares of the rows.

    A component without rows stays at its centre, with the covariance of the sample and the weight
    of one row.
    """
    found = _statistics(sample, shares, family.structure)
    covariances = family.estimate(found, found.means, reg_covar)
    empty = found.weight <= 0.0
    if empty.any() and family.structure != "tied":
        everything = [Share(sample.rows, sample.weights, np.zeros(sample.rows.shape[1]))]
        whole = _statistics(sample, everything, family.structure)
        covariances[empty] = family.estimate(whole, whole.means, reg_covar)
    weights = np.where(empty, 1.0 / len(sample.rows), found.weight)
    return Parameters.from_covariances(
        family.structure, weights / weights.sum(), found.means + sample.origin, covariances
    )


def _statistics(sample: Sample, shares: Iterable[Share], structure: str) -> SufficientStatistics:
    """Sum the shares of every component about their mean, or about the centre of one without rows."""
    weights, origins, seconds = [], [], []
    for share in shares:
        weight = float(share.weights.sum())
        origin = share.weights @ share.rows / weight if weight > 0.0 else share.centre
        weights.append(weight)
        origins.append(origin)
        seconds.append(_products(share.rows - origin, share.weights, structure))
    return SufficientStatistics(
        weight=np.array(weights),
        first=np.zeros((len(weights), sample.rows.shape[1])),
        second=np.sum(seconds, axis=0) if structure == "tied" else np.array(seconds),
        log_likelihood=0.0,
        n_rows=len(sample.rows),
        row_weight=1.0,
        origin=np.array(origins),
        structure=structure,
    )


def _products(centred: Array, weights: Array, structure: str) -> Array:
    """Weighted products of centred rows, in the structure's shape."""
    if structure in ("tied", "full"):
        return (centred * weights[:, None]).T @ centred
    squares = weights @ centred**2
    return squares.sum() if structure == "spherical" else squares
