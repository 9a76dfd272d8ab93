"""Clumps: compact clusters inside a broad one, found where rows lie closer than a mixture says.

k-means cuts a broad field in parts before it sees a clump of one row in a hundred, and a sub-sample
holds few of its rows. So balls about some thousands of rows are compared with what the leading
mixture expects in them (Kulldorff 1997, A spatial scan statistic, Communications in Statistics 26).
Where one holds far more, a component is put there in exchange for a pair that loses little when it
is merged, on a sub-sample that holds more of the ball's rows.

The ratio of rows found to rows expected in a ball B is the sum of 1 / f(x) over the rows x in it,
divided by n times the volume of B: by that estimate of a volume, what the density f explains does
not count, however narrow a component is.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fastgmm import em
from fastgmm.initialisation.kmeans import strata
from fastgmm.initialisation.short_runs import Division, ShortRuns
from fastgmm.initialisation.split_merge import Merge, Pair, merges
from fastgmm.kernels.scan import grow_tree, scan
from fastgmm.mixture.arrays import Array
from fastgmm.mixture.parameters import Parameters
from fastgmm.parallel.blas import one_blas_thread
from fastgmm.passes.subsample import Sample

# Rows that are looked at: they hold 12 of a clump of 300 rows in 100 000. Where one was found, more
# are, in larger leaves, since others may be as near and sparser
SCANNED, MORE_SCANNED = 4_000, 16_000
LEAF, LARGE_LEAF = 32, 128  # rows at most
PAIRS = LEAF * SCANNED  # of rows in all leaves: leaves are larger where rows are fewer
DEPTHS = 16  # of the tree before its hyperplanes repeat
NEAREST_CUT = 0.25  # of a node's rows, on the one side of a hyperplane at least
SPARSEST = 300.0  # logarithm of how many times sparser than elsewhere: its square is a number, too
MOST_EXPECTED = 0.25  # rows in the largest ball, of those in a leaf
# nats above the logarithm of the number of rows: the best ball of noise stays below in 19 of 20
ABOVE_NOISE = 3.0
MOST_BALLS, SHIFTS = 4, 4  # tried together; moves of a ball to the mean of its rows
FEWEST = 10  # different rows of a clump
AROUND = 1.5  # radii about a ball within which the sub-sample holds more rows
PAIRS_TRIED = 4
FIRST_PASSES, MORE_PASSES = 2, 8
HOPELESS = 0.15  # nats per row behind after the first passes, as among other exchanges
WORTH_IT = 1e-3  # nats per row
# On the whole sample, where the sub-sample does not tell: one of three clumps of 300 to 500 rows in
# 100 000 of eight features was lost to a component that held eight rows of the sub-sample
DOUBT, FINALISTS, WHOLE_PASSES = 0.1, 3, (1, 4)


class Ball(NamedTuple):
    """A ball that holds more rows than a mixture expects."""

    gain: float  # log-likelihood ratio, in nats of the rows looked at
    centre: Array  # (d,) in the coordinates of the scan
    square: float  # of the radius

    def marks(self, rows: Array, wider: float = 1.0) -> npt.NDArray[np.bool_]:
        """Mark which rows are within so many radii of the centre."""
        return np.asarray(((rows - self.centre) ** 2).sum(axis=1) <= wider**2 * self.square)

    def meets(self, other: Ball) -> bool:
        """Whether the one is about the place of the other."""
        apart = float(((self.centre - other.centre) ** 2).sum())
        return apart <= self.square + other.square


class Scan:
    """Looks for clumps among the rows of a sample about zero.

    Parameters
    ----------
    whole : Sample
    parameters : Parameters
        Distances are measured by the covariance within these components.
    rule : Maximisation
    rng : numpy.random.Generator
    most, leaf : int
        Rows that are looked at, and those in one leaf.

    Raises
    ------
    numpy.linalg.LinAlgError
        If that covariance is singular.
    """

    @one_blas_thread()
    def __init__(
        self,
        whole: Sample,
        parameters: Parameters,
        rule: em.Maximisation,
        rng: np.random.Generator,
        most: int = SCANNED,
        leaf: int = LEAF,
    ) -> None:
        self.whole = whole
        within = np.einsum("k,kij->ij", parameters.weights, parameters.matrices)
        lower = np.linalg.cholesky(within)
        self._whitener = np.linalg.inv(lower).T
        rows, weights, d = whole.rows, whole.weights, whole.rows.shape[1]
        if len(rows) > most:
            chosen, counts = strata(weights, most, rng)
            rows, weights = rows[chosen], counts / most
        white, n_rows = self.white(rows), len(rows)
        order, ends = np.empty(n_rows, np.int64), np.empty(n_rows, np.int64)
        parts = NEAREST_CUT + (1.0 - 2.0 * NEAREST_CUT) * rng.random(n_rows)
        directions = rng.standard_normal((DEPTHS, d))
        leaf = max(leaf, PAIRS // n_rows)
        if n_rows > leaf:
            n_leaves = grow_tree(white, leaf, directions, parts, order, ends)
        else:  # a tree of one leaf, which nothing is compiled for
            order[:], ends[0], n_leaves = np.arange(n_rows), n_rows, 1
        self._ends, self._white, self._weights = ends[:n_leaves], white[order], weights[order]
        scanned = whole._replace(rows=rows[order], weights=self._weights)
        self._short = ShortRuns(scanned, rule)
        self._most_expected = MOST_EXPECTED * min(leaf, LARGE_LEAF) / n_rows
        self._log_scale = float(np.log(np.diagonal(lower)).sum())
        self._log_ball = 0.5 * d * math.log(math.pi) - math.lgamma(0.5 * d + 1.0)

    @one_blas_thread()
    def white(self, rows: Array) -> Array:
        """Return rows in the coordinates of the scan."""
        return np.asarray(rows @ self._whitener)

    def balls(self, parameters: Parameters) -> list[Ball]:
        """Return the balls that hold far more rows than the mixture expects, the best first."""
        white, (n_rows, d) = self._white, self._white.shape
        log_density = self._short.log_densities(parameters) + self._log_scale
        top = float(log_density.max())  # so that exponentials stay numbers
        log_ball, sparser = self._log_ball + top, np.minimum(top - log_density, SPARSEST)
        log_reach = 2.0 / d * (math.log(self._most_expected) - log_ball + sparser)
        reach = np.exp(np.minimum(log_reach, 2.0 * SPARSEST))
        volumes = self._weights * np.exp(sparser)
        gains, squares = np.empty(n_rows), np.empty(n_rows)
        scan(white, self._ends, volumes, reach, log_ball, gains, squares)
        found: list[Ball] = []
        for _ in range(MOST_BALLS):
            best = int(np.argmax(gains))
            if gains[best] < math.log(n_rows) + ABOVE_NOISE:
                break
            first = Ball(float(gains[best]), white[best], float(squares[best]))
            ball = self._shifted(first, volumes, log_ball)
            # rows about it would find it again
            gains[first.marks(white, 3.0) | ball.marks(white, 3.0)] = 0.0
            if not any(ball.meets(other) for other in found):
                found.append(ball)
        return sorted(found, key=lambda ball: -ball.gain)

    @one_blas_thread()
    def _shifted(self, ball: Ball, volumes: Array, log_ball: float) -> Ball:
        """Move a ball to the mean of its rows, and grow or shrink it, while its ratio rises."""
        centre, d = ball.centre, self._white.shape[1]
        for _ in range(SHIFTS):
            distances = ((self._white - centre) ** 2).sum(axis=1)
            near = np.flatnonzero((distances <= 4.0 * ball.square) & (distances > 0.0))
            order = near[np.argsort(distances[near], kind="stable")]
            if len(order) < 3:
                break
            held, within = volumes[order], distances[order]
            volume, spread = np.cumsum(held), np.cumsum(held**2)
            log_ratio = np.maximum(np.log(volume) - log_ball - 0.5 * d * np.log(within), 0.0)
            gains = volume**2 / spread * (log_ratio - 1.0 + np.exp(-log_ratio))
            gains[:2] = 0.0
            best = int(np.argmax(gains))
            if not gains[best] > ball.gain:
                break
            ball = Ball(float(gains[best]), centre, float(within[best]))
            inside = order[: best + 1]
            centre = self._weights[inside] @ self._white[inside] / self._weights[inside].sum()
        return ball

    def is_clump(self, ball: Ball) -> bool:
        """Whether a ball holds enough rows that differ, so that a component has a covariance."""
        d = self._white.shape[1]
        rows = self.whole.rows[ball.marks(self.white(self.whole.rows))]
        return len(np.unique(rows, axis=0)) >= max(FEWEST, 2 * (d + 1))

    def resampled(self, fewer: Sample, ball: Ball, most: int, rng: np.random.Generator) -> Sample:
        """Hold the rows about a ball, at most so many, in the place of those that were drawn."""
        whole = self.whole
        if len(fewer.rows) == len(whole.rows):
            return fewer
        near = np.flatnonzero(ball.marks(self.white(whole.rows), AROUND))
        rows, weights = whole.rows[near], whole.weights[near]
        share = float(weights.sum())
        if len(near) > most:
            chosen, counts = strata(weights, most, rng)
            rows, weights = rows[chosen], counts * share / most
        far = ~ball.marks(self.white(fewer.rows), AROUND)
        others = fewer.weights[far]
        others = others * (1.0 - share) / others.sum()
        return fewer._replace(
            rows=np.concatenate([fewer.rows[far], rows]),
            weights=np.concatenate([others, weights]),
        )


@one_blas_thread()
def with_clumps(
    state: em.State, short: ShortRuns, whole: Sample, most: int, rng: np.random.Generator
) -> tuple[em.State, ShortRuns]:
    """Put components on clumps, one at a time, while that raises the log-likelihood.

    Parameters
    ----------
    state : State
        The leader of the short runs.
    short : ShortRuns
        On a sub-sample.
    whole : Sample
        That it was drawn from, about zero.
    most : int
        Rows about a clump that the sub-sample is to hold.
    rng : numpy.random.Generator

    Returns
    -------
    state : State
        The same if there are no clumps.
    short : ShortRuns
        On a sub-sample that holds more of the clumps' rows.
    """
    if not short.has_few_products(min(len(whole.rows), SCANNED)):
        return state, short  # looking would take longer than all else
    try:
        look = Scan(whole, state.parameters, short.rule, rng)
    except np.linalg.LinAlgError:
        return state, short
    enough = worth_it(short.rule, whole)
    for _ in range(2 * state.parameters.n_components):
        balls = [ball for ball in look.balls(state.parameters) if look.is_clump(ball)]
        if not balls:
            break
        sample = short.sample
        for ball in balls:
            sample = look.resampled(sample, ball, most, rng)
        short = ShortRuns(sample, short.rule)
        inside = [ball.marks(look.white(sample.rows)) for ball in balls]
        before, *trials = _climbed(state.parameters, inside, short)
        better = _better(before, trials, ShortRuns(whole, short.rule), len(sample.rows), enough)
        # the sub-sample has changed: without exchanges, too, there may be something to gain
        if better is None and before.trace[-1] < before.trace[0] + enough:
            return before, short
        state = before if better is None else better
        if better is not None and short.has_few_products(MORE_SCANNED):
            look = Scan(whole, state.parameters, short.rule, rng, MORE_SCANNED, LARGE_LEAF)
    return state, short


def worth_it(rule: em.Maximisation, whole: Sample) -> float:
    """Return the gain in nats per row that an exchange must make.

    As elsewhere, or less where that would pay for a component's parameters by BIC: a clump of 300
    rows in 100 000 may be worth 0.0005.
    """
    d, family = whole.rows.shape[1], rule.family
    n_parameters = family.n_parameters(2, d) - family.n_parameters(1, d)
    return min(WORTH_IT, 0.5 * n_parameters * math.log(len(whole.rows)) / len(whole.rows))


def _climbed(
    parameters: Parameters, clumps: Iterable[npt.NDArray[np.bool_]], short: ShortRuns
) -> list[em.State]:
    """Climb from the parameters and from exchanges for clumps; those come after, best first."""
    begin = [parameters, *short.begun(exchanges(parameters, clumps, short))]
    before, *trials = short.advance([em.State(short.rule, each) for each in begin], FIRST_PASSES)
    hopeful = [each for each in trials if each.trace[-1] > before.trace[-1] - HOPELESS]
    before, *trials = short.advance([before, *hopeful], MORE_PASSES)
    sound = [each for each in trials if each.failure is None]
    return [before, *sorted(sound, key=lambda each: -each.trace[-1])]


def _better(
    before: em.State, trials: Sequence[em.State], on_all: ShortRuns, n_rows: int, enough: float
) -> em.State | None:
    """Return what is likelier by enough on the whole sample; None if nothing is.

    The sub-sample of `n_rows` rows decides which trials are looked at.
    """
    if not trials or trials[0].trace[-1] < before.trace[-1] - DOUBT:
        return None
    if n_rows == len(on_all.sample.rows):
        return trials[0] if trials[0].trace[-1] >= before.trace[-1] + enough else None
    near = [each for each in trials if each.trace[-1] > trials[0].trace[-1] - DOUBT]
    states = [em.State(on_all.rule, each.parameters) for each in (before, *near[:FINALISTS])]
    for n_passes in WHOLE_PASSES:
        states = on_all.advance(states, n_passes)
        sound = [each for each in states[1:] if each.failure is None]
        best = max(sound, key=lambda each: each.trace[-1], default=states[0])
        if best.trace[-1] >= states[0].trace[-1] + enough:
            return best
    return None


def exchanges(
    parameters: Parameters, clumps: Iterable[npt.NDArray[np.bool_]], short: ShortRuns
) -> Iterator[Division]:
    """Yield divisions of the rows: each clump has the component of a pair that is merged."""
    shares = short.responsibilities(parameters)
    pairs = pairs_to_merge(parameters)
    for inside in clumps:
        for pair in pairs:
            yield functools.partial(_exchanged, shares, pair, inside)


def _exchanged(shares: Array, pair: Pair, inside: npt.NDArray[np.bool_]) -> Array:
    """Return the responsibilities (K, m) after an exchange."""
    i, j = pair
    found = shares.copy()
    found[i] += found[j]
    found *= ~inside
    found[j] = inside
    return found


def pairs_to_merge(parameters: Parameters) -> list[Pair]:
    """Return pairs whose merge loses little, by two estimates in turn.

    The bound of Runnalls ranks a clump that is already found above two halves of a field: those
    overlap, and a merge loses less than the bound by as much as the labels of the rows say.
    """
    bounds = merges(parameters)
    weights = parameters.weights

    def of_labels(merge: Merge) -> float:
        loss, *pair = merge
        each = np.maximum(weights[pair], 1e-300)  # under a prior both may hold no rows
        return loss - float(each.sum() * np.log(each.sum()) - (each * np.log(each)).sum())

    by_labels = sorted(bounds, key=of_labels)
    in_turn = (merge[1:] for each in zip(bounds, by_labels, strict=True) for merge in each)
    return list(dict.fromkeys(in_turn))[:PAIRS_TRIED]
