"""The default start where covariances have many numbers: few candidates, of few parameters.

Where K d^2 is large, a pass of EM over a sub-sample costs as much as one over the rows; and rows
are few for the parameters, so that short runs with full covariances choose what over-fits most. So
candidates climb with one covariance for all components (`tied_runs`) and with variances alone,
and the best of either kind is opened: given the covariances of the fit. Of these, that one is taken
which predicts rows best when they are left out, and the strength of a prior by which it does
(`prior_strength`). How much is tried follows from shapes (`work`).

Clusters of what is best are exchanged by their own rows (`local_exchanges`); fits without
correlations begin with that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fastgmm import em
from fastgmm.covariance import family
from fastgmm.errors import DegenerateCovarianceError
from fastgmm.initialisation import coordinates
from fastgmm.initialisation.kmeans import (
    MANY_TRIALS,
    Members,
    far_rows,
    label,
    members,
    rested,
    sums_of,
    swap,
    thinned,
)
from fastgmm.initialisation.local_exchanges import (
    LocalExchanges,
    MatrixExchanges,
    RoundExchanges,
)
from fastgmm.initialisation.prior_strength import (
    Regularised,
    common_covariance_of,
    has_many_rows,
    score,
    unit_of,
)
from fastgmm.initialisation.short_runs import TILE_NUMBERS, ShortRuns, coefficients
from fastgmm.initialisation.split_merge import exchanges
from fastgmm.initialisation.tied_runs import Run, TiedRuns
from fastgmm.initialisation.work import (
    ENOUGH_PASSES,
    FIRST_PASSES,
    LEADERS,
    LLOYD_ROUNDS,
    MORE_PASSES,
    OPENED,
    PASSES_BEFORE,
    ROUNDS,
    SYSTEMS,
    TIED_PASSES,
    TIED_ROUNDS,
    TRIAL_PASSES,
    WITHIN_ROUNDS,
    Shape,
    n_axes,
    planned,
)
from fastgmm.mixture.arrays import Array
from fastgmm.mixture.parameters import Parameters
from fastgmm.mixture.prior import Prior
from fastgmm.mixture.statistics import SufficientStatistics
from fastgmm.parallel.blas import one_blas_thread
from fastgmm.passes.subsample import Sample

# K d^2 and d up to which `auto` goes its own way: its sub-sample then is small beside most fits
NARROW, FEW_FEATURES = 5_000, 8
# rows besides those of `prior_strength`: five clusters of one shape, 400 rows each of 300 features,
# were predicted 70 nats per row better with 10 000 than with 100
MORE_STRENGTHS = (1e3, 1e4)
# rows that are tried first, where a covariance has five rows per feature, fewer, fewer than one
FIRST_STRENGTH, FIRST_OF_FEW, FIRST_OF_FEWER, FEW_ROWS = 10.0, 100.0, 1000.0, 5
# of few features: 50 clusters of 20 000 x 3 were predicted 0.02 nats per row better than with 10
FIRST_OF_NARROW = 1.0
OTHER_UNITS = 2.0  # the largest standard deviation over the least: beyond, raw features differ
ALIKE = 0.99  # of the rows: divisions that agree on them are one
WORTH_IT = 1e-3  # nats per row along the principal axes: an exchange that gains less is noise
REGULARISATION = 1e-6  # of standardised rows
VARIANCE_ROWS = 10.0  # of the prior, where clusters with variances are exchanged
POWERS = 3  # rounds of the power method

Labels = npt.NDArray[np.int64]


def is_wide(n_components: int, n_features: int) -> bool:
    """Whether short runs with the covariances of the fit cost too much."""
    return n_features > FEW_FEATURES and n_components * n_features**2 > NARROW


def wide_start(
    sample: Sample,
    n_components: int,
    rule: em.Maximisation,
    strengths: Sequence[float],
    rng: np.random.Generator,
) -> Regularised | None:
    """Choose a start, and of some strengths the prior with which it predicts best.

    Without strengths, the prior is that of the rule. None if every candidate degenerates.
    """
    n_parameters = rule.family.n_parameters(n_components, sample.rows.shape[1])
    if len(strengths) > 1 and has_many_rows(sample, n_parameters):
        strengths = ()
    elif len(strengths) > 1:
        strengths = [each * unit_of(sample) for each in (*strengths, *MORE_STRENGTHS)]
    found = _Search(sample, n_components, rule, rng).best(strengths)
    if found is None:
        return None
    means = found.parameters.means + sample.origin
    return found._replace(parameters=replace(found.parameters, means=means))


def exchanged_start(
    sample: Sample,
    n_components: int,
    rule: em.Maximisation,
    rng: np.random.Generator,
    times: float,
) -> Parameters | None:
    """Find many clusters of few features on a sample about zero, mostly by exchanges of clusters.

    It may cost so many times what a start of many features may. None if every candidate
    degenerates.
    """
    found = _Search(sample, n_components, rule, rng, times).best(())
    return None if found is None else found.parameters


class _Search:
    """The search for a start on one sample."""

    def __init__(
        self,
        sample: Sample,
        n_components: int,
        rule: em.Maximisation,
        rng: np.random.Generator,
        times: float = 1.0,
    ) -> None:
        n_sampled, n_features = sample.rows.shape
        n_rows = max(sample.n_rows, n_sampled)
        shape = Shape(n_rows, n_features, n_components, rule.family.structure, times)
        self.plan = planned(shape, n_sampled)
        self.n_components, self.rule, self.rng = n_components, rule, rng
        self.structure, self.origin = rule.family.structure, sample.origin
        self.sample = sample._replace(origin=np.zeros_like(sample.origin))
        deviations = np.sqrt(np.einsum("i,ij->j", sample.weights, sample.rows**2))
        if not self.structure.tells_features_apart:
            deviations[:] = np.sqrt((deviations**2).mean())
        self.scale = np.where(deviations > 0.0, deviations, 1.0)
        self.fewer = thinned(self.sample, self.plan.rows, rng)

    def best(self, strengths: Sequence[float]) -> Regularised | None:
        """Open the candidates, and return the best with the best of the strengths."""
        known = list[Labels]()
        for labels in self._candidates():
            if not any(_are_alike(labels, each, self.n_components) for each in known):
                known.append(labels)
        judge = self._judge(self.sample)
        first = self._first(strengths)
        found = [judge.opened(self._members(self.sample, each), first) for each in known]
        sound = [each for each in found if each is not None]
        if not sound:
            return None
        sound = sorted(sound, key=lambda each: -each.score)
        if self.structure.has_matrices and self.plan.cluster_rows > 0:
            labels = self._exchanged_apart(sound[0].parameters, self._first_rows())
            found.append(judge.opened(self._members(self.sample, labels), first))
            if found[-1] is not None and found[-1].score >= sound[0].score:
                sound = [found[-1], *sound]
        if self.plan.n_passes > 0:
            judge = self._judge(thinned(self.sample, self.plan.passing_rows, self.rng))
            sound = sound[: max(1, self.plan.n_passes // ENOUGH_PASSES)]
            n_passes = self.plan.n_passes // len(sound)
            sound = [judge.climbed(each, n_passes) for each in sound]
        best = max(sound, key=lambda each: each.score)
        best = judge.walked(best, strengths, self.plan.n_judged - len(found))
        prior = None
        if best.strength:
            prior = Prior(best.strength, best.common)
        return Regularised(best.parameters, prior)

    def _judge(self, sample: Sample) -> _Judge:
        n_scored = self.plan.scored_rows if self.plan.n_judged > 0 else 0
        few = thinned(sample, n_scored, self.rng) if n_scored else None
        own_weight = sample.own_weight * len(sample.rows) / len(self.sample.rows)
        return _Judge(sample, self.rule, self.origin, own_weight, few)

    def _first(self, strengths: Sequence[float]) -> float | None:
        """Return the strength that is tried first."""
        if not strengths:
            return None
        first = self._first_rows() * unit_of(self.sample)
        return min(strengths, key=lambda each: abs(each - first))

    def _first_rows(self) -> float:
        """Return the rows of a prior that suits the number of rows per feature."""
        n_covariances = 1 if self.structure.is_shared else self.n_components
        per_feature = self.sample.n_rows / (n_covariances * self.sample.rows.shape[1])
        if not is_wide(self.n_components, self.sample.rows.shape[1]):
            return FIRST_OF_NARROW
        # each row tells of each variance: clusters of 83 rows and 100 features were predicted 15
        # nats per row better than after 1000, of 100 rows 4 better than after 100
        if self.structure.is_axis_parallel or per_feature >= FEW_ROWS:
            return FIRST_STRENGTH
        return FIRST_OF_FEW if per_feature >= 1.0 else FIRST_OF_FEWER

    def _candidates(self) -> Iterator[Labels]:
        """Yield labels of the sample, by the best runs of either kind."""
        if self.structure.is_axis_parallel:
            yield from self._of_variances()
            return
        divisions = [self._k_means(rows) for rows in self._systems()]
        if self.plan.exchanging_rows > 0 and not self.structure.is_shared:
            divisions += self._exchanged(divisions)
        by_variances = self._by_variances(divisions)
        if self.structure.is_shared:
            divisions += [labels_by(each, self.fewer.rows) for each in by_variances[:1]]
        tied = TiedRuns(self.fewer.rows / self.scale, self.fewer.weights)
        runs = [
            tied.advance(tied.begun(each, self.n_components), TIED_PASSES) for each in divisions
        ]
        best = max(runs, key=lambda run: run.log_likelihood)
        if self.structure.is_shared and self.plan.exchanging_rows > 0:
            tied, best = self._exchanged_tied(tied, best)
        yield tied.labels(best, self.sample.rows / self.scale)
        if not self.structure.is_shared:
            yield from (labels_by(each, self.sample.rows) for each in by_variances[:1])

    def _of_variances(self) -> Iterator[Labels]:
        """Yield labels of the sample for covariances without correlations."""
        left = OPENED
        if self.n_components > 2:
            yield self._exchanged_apart(self._within_clusters(), VARIANCE_ROWS)
            left -= 1
        if self.plan.has_runs:
            runs = self._by_variances([self._k_means(rows) for rows in self._systems()])
            yield from (labels_by(each, self.sample.rows) for each in runs[:left])

    def _within_clusters(self) -> Parameters:
        """Find clusters by k-means, in units of the variances within clusters.

        Those are told by a first k-means, of standardised features and fewer rows.
        """
        scale = self.scale
        for most in (self.plan.first_rows, self.plan.seeding_rows):
            few = thinned(self.sample, most, self.rng)
            seen = few._replace(rows=few.rows / scale)
            centres = far_rows(seen, self.n_components, self.rng, MANY_TRIALS)
            swap(seen, self.rng.random(self.n_components), centres)
            centres = rested(seen, centres, 0.0, WITHIN_ROUNDS) * scale
            scale = self._within(few, label(seen, centres / scale)[0])
        weights = np.full(len(centres), 1.0 / len(centres))
        variances = np.broadcast_to(scale**2, centres.shape)
        return Parameters.from_covariances(family("diag").structure, weights, centres, variances)

    def _exchanged_apart(self, begun: Parameters, prior_rows: float) -> Labels:
        """Label the sample after exchanges of clusters, each by the rows of three of them."""
        if self.plan.cluster_rows == 0:
            return labels_by(begun, self.sample.rows)
        seen = thinned(self.sample, self.plan.cluster_rows, self.rng)
        n_seen = self.sample.own_weight * len(seen.rows) / len(self.sample.rows) / unit_of(seen)
        if not self.structure.is_axis_parallel:
            kind: type[LocalExchanges] = MatrixExchanges
        else:
            kind = LocalExchanges if self.structure.tells_features_apart else RoundExchanges
        rows = seen.rows / self.scale
        local = kind(rows, seen.weights, n_seen, self.plan.for_clusters, prior_rows)
        clusters = local.exchanged(labels_by(begun, seen.rows), self.n_components)
        return local.labels(clusters, self.sample.rows / self.scale)

    def _exchanged(self, divisions: Sequence[Labels]) -> Iterator[Labels]:
        """Yield the best division after exchanges of components, seen along principal axes."""
        most, weights = self.n_components, self.fewer.weights
        axes = leading(self.fewer.rows / self.scale, weights, most, self.rng)
        axes = np.ascontiguousarray(axes[:, : n_axes(self.scale.size, most)])
        n_rows = self.plan.exchanging_rows
        chosen = np.linspace(0, len(axes) - 1, n_rows).astype(np.intp)
        weights = weights[chosen] / weights[chosen].sum()
        nowhere = np.zeros(axes.shape[1])
        seen = self.fewer._replace(rows=axes[chosen], weights=weights, origin=nowhere)
        rule = em.Maximisation(family("full"), REGULARISATION)
        short = ShortRuns(seen, rule)
        begun = short.begun_apart(self._members(seen, each[chosen]) for each in divisions)
        states = [em.State(rule, each) for each in begun]
        for n_passes in (FIRST_PASSES, MORE_PASSES):
            states = best_of(short.advance(states, n_passes), 1)
        for state in states:
            yield labels_by(exchanged(state, short).parameters, axes)

    def _exchanged_tied(self, tied: TiedRuns, run: Run) -> tuple[TiedRuns, Run]:
        """Return a run after exchanges of components, and the runs of the rows that it saw."""
        if self.plan.exchanging_rows > len(self.fewer.rows):
            # what an exchange gains on few rows may be noise
            seen = thinned(self.sample, self.plan.exchanging_rows, self.rng)
            rows = seen.rows / self.scale
            labels = tied.labels(run, rows)
            tied = TiedRuns(rows, seen.weights)
            run = tied.begun(labels, self.n_components)
        return tied, tied.exchanged(tied.advance(run, PASSES_BEFORE), TIED_ROUNDS)

    def _systems(self) -> Iterator[Array]:
        """Yield the rows in as many coordinate systems as are planned."""
        standardised = self.fewer.rows / self.scale
        yield standardised
        axes = leading(standardised, self.fewer.weights, self.n_components, self.rng)
        # other random numbers are another chance, where raw features would be the same again
        yield self.fewer.rows if self.scale.max() > OTHER_UNITS * self.scale.min() else axes
        if self.plan.n_systems > 2:
            yield axes
        if self.plan.n_systems == SYSTEMS[0]:
            whitening, _ = coordinates.whitening(self.fewer.rows, self.fewer.weights)
            invariant = whitening.of(self.fewer.rows).invariant
            if invariant.shape[1] > 0:
                yield invariant
            if self.n_components <= invariant.shape[1]:
                yield np.ascontiguousarray(invariant[:, : self.n_components - 1])

    def _within(self, sample: Sample, labels: Labels) -> Array:
        """Return the standard deviations within clusters, (d,); one unit for spheres."""
        if not self.structure.tells_features_apart:
            return self.scale
        found = sums_of(sample, self._members(sample, labels), family("diag").structure)
        deviations = np.sqrt(found.second.sum(axis=0) / found.weight.sum())
        return np.where(deviations > 0.0, deviations, self.scale)

    def _k_means(self, rows: Array) -> Labels:
        """Label the rows in one coordinate system; centres are moved on few of them."""
        seen = self.fewer._replace(rows=rows)
        few = thinned(seen, self.plan.seeding_rows, self.rng)
        centres = far_rows(few, self.n_components, self.rng)
        swap(few, self.rng.random(self.n_components), centres)
        return label(seen, rested(few, centres, 0.0, LLOYD_ROUNDS))[0]

    def _by_variances(self, divisions: Sequence[Labels]) -> list[Parameters]:
        """Run EM with variances, those of the family if it has no more; the best come first."""
        rule: em.Maximisation = em.Maximisation(family("diag"), self.rule.reg_covar)
        if self.structure.is_axis_parallel:
            rule = self.rule.under(None)
        short = ShortRuns(self.fewer, rule)
        begun = short.begun_apart(self._members(self.fewer, each) for each in divisions)
        states = [em.State(rule, each) for each in begun]
        for n_passes in (FIRST_PASSES, MORE_PASSES):
            states = best_of(short.advance(states, n_passes), LEADERS)
        return [each.parameters for each in states]

    def _members(self, sample: Sample, labels: Labels) -> list[Members]:
        nowhere = np.zeros((self.n_components, sample.rows.shape[1]))
        return members(sample, nowhere, labels)


class _Tried(NamedTuple):
    """A division of the rows with the covariances of the fit, and a prior."""

    parameters: Parameters
    statistics: SufficientStatistics
    common: Array  # what covariances are drawn towards
    strength: float | None  # of the prior, in rows; None for that of the rule
    score: float


class _Judge:
    """Opens divisions of a sample, and scores them by how well they predict rows left out."""

    def __init__(
        self,
        sample: Sample,
        rule: em.Maximisation,
        origin: Array,
        own_weight: float,
        few: Sample | None,
    ) -> None:
        self.sample, self.own_weight, self.few = sample, own_weight, few
        self.rule = rule.on(1.0 / own_weight, origin)

    def opened(self, components: Sequence[Members], strength: float | None) -> _Tried | None:
        """Take an M-step from a division of the rows; None if a covariance collapses."""
        return self._tried(sums_of(self.sample, components, self.rule.family.structure), strength)

    def climbed(self, tried: _Tried, n_passes: int) -> _Tried:
        """Run EM with the covariances of the fit."""
        rule = self._under(tried.strength, tried.common)
        short = ShortRuns(self.sample, rule)
        (state,) = short.advance([em.State(rule, tried.parameters)], n_passes)
        if state.failure is not None:
            return tried
        (found,) = short.statistics([state.parameters])
        return self._tried(found, tried.strength) or tried

    def walked(self, first: _Tried, strengths: Sequence[float], most: int) -> _Tried:
        """Go from one strength to the next, up or else down, while that is better."""
        if first.strength is None:
            return first
        best, at = first, list(strengths).index(first.strength)
        for step in (1, -1):
            place = at + step
            while most > 0 and 0 <= place < len(strengths) and best.strength != strengths[place]:
                found = self._with(first.statistics, first.common, strengths[place])
                most -= 1
                if found is None or not found.score > best.score:
                    break
                best, place = found, place + step
            if best is not first:
                break
        return best

    def _tried(self, found: SufficientStatistics, strength: float | None) -> _Tried | None:
        return self._with(found, common_covariance_of(found, self.rule.reg_covar), strength)

    def _with(
        self, found: SufficientStatistics, common: Array, strength: float | None
    ) -> _Tried | None:
        rule = self._under(strength, common)
        try:
            parameters = rule.estimate(found, None)
        except DegenerateCovarianceError:
            return None
        value = 0.0
        if self.few is not None:
            value = score(em.State(rule, parameters), self.few, self.own_weight)
        value = value if np.isfinite(value) else -np.inf
        return _Tried(parameters, found, common, strength, value)

    def _under(self, strength: float | None, common: Array) -> em.Maximisation:
        if strength is None:
            return self.rule
        return self.rule.under(Prior(strength / self.own_weight, common) if strength else None)


def best_of(states: Sequence[em.State], most: int) -> list[em.State]:
    """Return the likeliest sound states, the best first."""
    sound = [each for each in states if each.failure is None]
    return sorted(sound, key=lambda each: -each.trace[-1])[:most]


def exchanged(state: em.State, short: ShortRuns) -> em.State:
    """Exchange components, one at a time, while that raises the log-likelihood."""
    for _ in range(ROUNDS):
        shares = short.responsibilities(state.parameters)
        found = short.begun(exchanges(short.sample, state.parameters, shares))
        trials = [em.State(short.rule, parameters) for parameters in found]
        better = best_of(short.advance(trials, TRIAL_PASSES), 1)
        if not better or better[0].trace[-1] < state.trace[-1] + WORTH_IT:
            break
        (state,) = better
    return state


def _are_alike(a: Labels, b: Labels, n_components: int) -> bool:
    """Whether nearly all rows are divided the same way."""
    counts = np.bincount(a * n_components + b, minlength=n_components**2)
    counts = counts.reshape(n_components, n_components)
    agreeing = min(counts.max(axis=0).sum(), counts.max(axis=1).sum())
    return bool(agreeing > ALIKE * len(a))


@one_blas_thread()
def labels_by(parameters: Parameters, rows: Array) -> Labels:
    """Return the likeliest component of each row, by products of matrices.

    The kernels of scores would be compiled for these few rows, which takes seconds.
    """
    linear, found = coefficients(parameters), np.empty(len(rows), np.int64)
    n_tile = max(1, TILE_NUMBERS // sum(linear.shape))
    for start in range(0, len(rows), n_tile):
        columns = rows[start : start + n_tile].T
        squares = parameters.structure.row_products(columns)
        products = np.concatenate([np.ones((1, columns.shape[1])), columns, squares])
        found[start : start + n_tile] = (linear @ products).argmax(axis=0)
    return found


@one_blas_thread()
def leading(rows: Array, weights: Array, n_components: int, rng: np.random.Generator) -> Array:
    """Project rows on twice as many principal axes as there are components, by the power method.

    The centres of K clusters lie in K - 1 axes, and noise of all others is left out.
    """
    n_axes = min(rows.shape[1], 2 * n_components)
    axes = rng.standard_normal((rows.shape[1], n_axes))
    for _ in range(POWERS):
        axes, _ = np.linalg.qr(rows.T @ ((rows @ axes) * weights[:, None]))
    return np.ascontiguousarray(rows @ axes)
