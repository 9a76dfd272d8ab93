"""Starts for rows of which some have a class.

Two, of which EM keeps the likelier. The default start sees clusters, whatever the labels say: its
components are given to the classes so that they hold as many labelled rows as possible. The other
begins where the labelled rows of each class are, with what is left of the default start; their
covariances are drawn towards one another, and that towards the covariance of all rows, by as many
rows as keep them positive definite.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from fastgmm import em
from fastgmm.covariance.regularisation import own_covariances
from fastgmm.initialisation.methods import start_from
from fastgmm.initialisation.prior_strength import (
    has_many_rows,
    is_starved,
    regularised_from,
    unit_of,
)
from fastgmm.mixture.arrays import Array
from fastgmm.mixture.parameters import Parameters
from fastgmm.mixture.prior import Prior
from fastgmm.mixture.statistics import SufficientStatistics
from fastgmm.parallel.blas import one_blas_thread
from fastgmm.passes.labelled import LabelledRows, some_of
from fastgmm.passes.subsample import Sample, draw_sample

PASSES = 10  # before a prior is chosen
OWN_ROWS = 2  # labelled rows per component of a class, from which its components start in them


def given_to_classes(start: Parameters, labelled: LabelledRows) -> Parameters:
    """Return the components of a start in the order of the classes they fit best, then the rest."""
    held = labelled.held(start)
    # a row in a hundred counts beside none at all, however few rows another class has
    share = held / np.maximum(held.sum(axis=1, keepdims=True), np.finfo(float).tiny)
    wanted = np.repeat(share, labelled.per_class, axis=0)
    with one_blas_thread():
        _, taken = linear_sum_assignment(wanted, maximize=True)
    rest = np.setdiff1d(np.arange(start.n_components), taken)
    return some_of(start, np.concatenate([taken, rest]))


def from_labels(
    start: Parameters,
    labelled: LabelledRows,
    sample: Sample,
    rule: em.Maximisation,
    rng: np.random.Generator,
) -> Parameters:
    """Return a start in which each class begins where its labelled rows are.

    `start` is in the order of the classes, and says where all other components begin.
    """
    structure, sums = start.structure, labelled.sums
    means, covariances = np.array(start.means), np.array(start.covariances)
    of_classes, prior = _shrunk(sums, sample, rule.reg_covar)
    if structure.is_shared:
        covariances = of_classes
    for label in np.flatnonzero(sums.occupied):
        its = labelled.components(int(label))
        n_rows = sums.weight[label] / unit_of(sample)
        if labelled.per_class == 1:
            means[its] = sums.means[label]
            found = of_classes[structure.places([label])]
        elif n_rows >= OWN_ROWS * labelled.per_class:
            own = draw_sample(labelled.of_class(int(label)), rng)
            within = start_from(own, "auto", labelled.per_class, rule.under(prior), rng)
            means[its], found = within.means, within.covariances
        else:
            continue
        if not structure.is_shared:
            covariances[its] = found
    weights = np.full(len(means), 1.0 / len(means))
    return rule.family.parameters(weights, means, covariances)


def prior_beside_labels(
    starts: Sequence[Parameters],
    labelled: LabelledRows,
    sample: Sample,
    rule: em.Maximisation,
    strengths: Sequence[float],
) -> Prior | None:
    """Return the prior that predicts left-out rows best; None where rows are enough without one.

    Covariances are drawn towards that within the components of the likeliest start, after some
    passes with labels: within those of the default start it may be of clusters that are no classes.
    """
    n_parameters = rule.family.n_parameters(*starts[0].means.shape)
    is_starving = any(is_starved(start, sample) for start in starts)
    if len(strengths) > 1 and has_many_rows(sample, n_parameters) and not is_starving:
        return None
    _, weak = _shrunk(labelled.sums, sample, rule.reg_covar)
    states = [em.State(rule.under(weak), start) for start in starts]
    states = em.run(states, labelled.statistics, em.Stopping(0.0, PASSES))
    sound = [state for state in states if state.failure is None]
    if not sound:
        return None
    best = max(sound, key=lambda state: state.trace[-1])
    return regularised_from([best.parameters], sample, rule, strengths).prior


@one_blas_thread()
def _shrunk(
    sums: SufficientStatistics, sample: Sample, reg_covar: float | Array
) -> tuple[Array, Prior]:
    """Return the covariances of the classes' rows, and the prior that draws them together."""
    structure, n_features = sums.structure, sums.first.shape[1]
    rows = (n_features + 1) * unit_of(sample)
    total = (sample.rows.T * sample.weights) @ sample.rows
    if len(sample.rows) <= n_features:
        total = np.diag(np.diag(total))
    # as wide as each of so many components that share the volume of all rows
    broad = np.array(structure.narrowed(total)) / len(sums.weight) ** (2.0 / n_features)
    variances = structure.diagonal(broad)
    variances += structure.added(reg_covar)
    covariances = own_covariances(sums, sums.means, reg_covar, Prior(rows, broad))
    common = structure.mean(covariances, sums.weight / sums.weight.sum())
    prior = Prior(rows, common)
    return own_covariances(sums, sums.means, reg_covar, prior), prior
