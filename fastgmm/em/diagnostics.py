"""What is wrong with a fitted mixture, told from its parameters and the rows of its components.

A component's rows are its summed responsibilities, whatever the rows weigh: beside 2000 rows of
weight 1000, a cluster of 200 rows of weight 1 has the weight of a fifth of a row, but 200 rows.

After an M-step the covariance of the mixture is that of all rows plus `reg_covar`. So parameters
show components without rows, directions whose only variance is `reg_covar`, and features whose
variance is mostly `reg_covar`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fastgmm.mixture.arrays import Array
from fastgmm.mixture.parameters import Parameters
from fastgmm.parallel.blas import one_blas_thread

EMPTY, SINGLE = 0.5, 1.5  # a component with fewer rows counts as empty, or as one row
# A variance counts as singular if two thirds of it are reg_covar, or if it is below the rounding of
# the feature's total variance
MOSTLY_ADDED, ROUNDING = 1.5, 1e-12
DROWNED = 0.25  # of a feature's own variance: more than this was added; 0.1 may be intended
COARSE = 1.0 / 32.0  # of a deviation: a larger spacing of numbers loses 1e-4 of the variance
LEAST_WITHIN = 1e-6  # of a feature's total variance: less may be rounding error
SHOWN = 8  # names in a list
OTHER_TYPES = {  # of fewer parameters, by family where it has fewer than its structure
    "EII": None,
    "EEI": "covariance_type='tied-spherical'",
    "VEI": "covariance_type='tied-diagonal'",
    "EVI": "covariance_type='tied-diagonal'",
    "full": "covariance_type='tied' or 'diag'",
    "tied": "covariance_type='diag'",
    "diagonal": "covariance_type='tied' or 'spherical'",
    "spherical": "covariance_type='tied'",
    "factored": "fewer factors",
}


class Described(NamedTuple):
    """What is known of the rows of a fit, besides the mixture."""

    n_rows: int  # of positive weight
    dtype: npt.DTypeLike
    counts: Array  # (K,) that each component holds
    names: Sequence[str] | None = None  # of the features
    variances: Array | None = None  # (d,) of the features, on a sample
    constant: npt.NDArray[np.bool_] | None = None  # (d,) whether the sample has one value alone
    n_different: int | None = None  # rows of the sample
    has_prior: bool = False  # that gives components of few rows a covariance, too
    family: str | None = None  # the letters of the covariances' family
    given: npt.NDArray[np.bool_] | None = None  # (K,) whose covariance is the user's own


@dataclass(frozen=True)
class Failing:
    """Components that no longer describe a cluster, by what has become of them."""

    empty: tuple[int, ...]
    single: tuple[int, ...]
    singular: tuple[int, ...]  # with rows, and yet without a variance of their own somewhere

    @property
    def components(self) -> tuple[int, ...]:
        """All of them."""
        return tuple(sorted((*self.empty, *self.single, *self.singular)))


def failing(parameters: Parameters, counts: Array, added: float | Array) -> Failing:
    """Return the components that are empty, hold one row, or are singular.

    Parameters
    ----------
    parameters : Parameters
        After an M-step.
    counts : ndarray of shape (n_components,)
        Number of rows of each component.
    added : float or ndarray of shape (d,)
        What the M-step added to each variance.
    """
    shape = parameters.means.shape[1:]
    return _failing(parameters, counts, np.broadcast_to(added, shape), np.ones(shape, bool))


def collapsed(
    parameters: Parameters, counts: Array, added: float | Array, has_one_size: bool
) -> tuple[int, ...]:
    """Return the components whose density is as high as what is added to variances lets it be.

    That lowers every criterion, and says nothing of clusters. Where no component has a width, the
    data has none there, unless one of them is one row. Components of one size, as in a family of
    one volume and one shape, have that of all rows, and may be one row.
    """
    found = failing(parameters, counts, added)
    if has_one_size:
        found = replace(found, single=())
    is_some = len(found.components) < parameters.n_components
    return found.components if is_some or (found.single and parameters.n_components > 1) else ()


def complaints(parameters: Parameters, added: float | Array, rows: Described) -> list[str]:
    """Return a message per problem, each with a way out; none for a sound fit."""
    total = _whole_variances(parameters, added)
    added = np.broadcast_to(added, total.shape)
    variances = total
    if not parameters.structure.tells_features_apart and rows.variances is not None:
        variances = rows.variances
    constant = ROUNDING * added >= variances
    if rows.constant is not None:
        constant = rows.constant & (variances <= added)
    drowned = ~constant & (added > 0.0) & (DROWNED * variances < added)
    said = [*_about_features(constant, drowned, variances, added, rows)]
    said += _about_resolution(parameters, total, added, constant | drowned, rows)
    if rows.n_different == 1 and np.all(total <= added):
        return ["all rows are the same, so reg_covar is the only variance: give rows that differ"]
    sound = ~(constant | drowned)
    found = _failing(parameters, rows.counts, added, sound)
    if rows.given is not None:
        estimated = tuple(k for k in found.singular if not rows.given[k])
        found = replace(found, singular=estimated)
    common = [*_few_different(parameters, rows)]
    if not common:
        common += _about_dependence(parameters, found, total, added, sound, rows)
    return [*said, *common, *_about_components(parameters, found, rows, bool(common))]


def _failing(
    parameters: Parameters, counts: Array, added: Array, kept: npt.NDArray[np.bool_]
) -> Failing:
    """Find failing components, as far as the kept features tell."""
    empty = counts < EMPTY
    single = ~empty & (counts < SINGLE)
    singular = _singular(parameters, added, kept)
    places = (empty, single, singular & ~empty & ~single)
    return Failing(*(tuple(place.nonzero()[0].tolist()) for place in places))


@one_blas_thread()
def _whole_variances(parameters: Parameters, added: float | Array) -> Array:
    """Each feature's variance over all rows, without what was added, (d,)."""
    weights, means = parameters.weights, parameters.means
    apart = means - weights @ means
    within = weights @ parameters.variances - added
    return np.asarray(np.maximum(within, 0.0) + weights @ apart**2)


def _singular(
    parameters: Parameters, added: Array, kept: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Whether some direction of the kept features has hardly more variance than was added, (K,)."""
    n_components = parameters.n_components
    if not kept.any():
        return np.zeros(n_components, bool)
    structure = parameters.structure
    if not structure.has_matrices:
        variances = structure.diagonal(structure.of_features(parameters.covariances, kept))
        low = variances < MOSTLY_ADDED * structure.added(added[kept])
        return np.asarray(low.reshape(n_components, -1).any(axis=1))
    factors, matrices = parameters.precisions_cholesky, parameters.covariances
    floor = _floor(matrices, added)
    if kept.all():
        # the trace of floor times precision bounds what an eigenvalue could say: for sound
        # components, and those are nearly all, no eigenvalue is needed
        doubtful = np.atleast_1d(np.einsum("...ij,...i->...", factors**2, floor) >= 1.0)
    else:
        doubtful = np.ones(1 if matrices.ndim == 2 else n_components, bool)
    found = np.zeros(len(doubtful), bool)
    for k in np.flatnonzero(doubtful):
        each = matrices if matrices.ndim == 2 else matrices[k]
        found[k] = _least(each, _floor(each, added), kept)[0] < 1.0
    return np.broadcast_to(found, (n_components,))


def _floor(covariances: Array, added: Array) -> Array:
    """What is too little variance beside a feature's own (..., d)."""
    return np.maximum(MOSTLY_ADDED * added, ROUNDING * np.einsum("...ii->...i", covariances))


def _least(covariance: Array, floor: Array, kept: npt.NDArray[np.bool_]) -> tuple[float, Array]:
    """Least variance in units of the floor, and the direction that has it."""
    scale = 1.0 / np.sqrt(np.maximum(floor[kept], np.finfo(float).tiny))
    with one_blas_thread():
        values, axes = np.linalg.eigh(covariance[np.ix_(kept, kept)] * np.outer(scale, scale))
    return float(values[0]), axes[:, 0] * scale


def _about_features(
    constant: npt.NDArray[np.bool_],
    drowned: npt.NDArray[np.bool_],
    variances: Array,
    added: Array,
    rows: Described,
) -> Iterator[str]:
    if constant.any():
        yield (
            f"{listed('feature', np.flatnonzero(constant), rows.names)} "
            f"{_verb(constant.sum(), 'is', 'are')} constant, so reg_covar is the only "
            f"variance: leave {_verb(constant.sum(), 'it', 'them')} out"
        )
    if drowned.any():
        worst = int(np.argmin(np.where(drowned, variances / added, np.inf)))
        yield (
            f"reg_covar adds {added[worst]:.3g} to a variance of {variances[worst]:.3g} in "
            f"{listed('feature', np.flatnonzero(drowned), rows.names)}: "
            "use reg_covar_relative=True, a smaller reg_covar, or scale the features"
        )


def _about_resolution(
    parameters: Parameters,
    total: Array,
    added: Array,
    explained: npt.NDArray[np.bool_],
    rows: Described,
) -> Iterator[str]:
    """Compare deviations within components with the distance between neighbouring numbers."""
    with one_blas_thread():
        within = parameters.weights @ parameters.variances - added
        at = np.abs(parameters.weights @ parameters.means).astype(rows.dtype)
    within = np.maximum(within, LEAST_WITHIN * total)
    spacing = np.spacing(at).astype(np.float64)
    coarse = ~explained & (spacing > COARSE * np.sqrt(within))
    if coarse.any():
        worst = int(np.argmax(np.where(coarse, spacing, 0.0)))
        yield (
            f"{listed('feature', np.flatnonzero(coarse), rows.names)} "
            f"{_verb(coarse.sum(), 'lies', 'lie')} where {np.dtype(rows.dtype)} numbers are "
            f"{spacing[worst]:.3g} apart, with a deviation of {np.sqrt(within[worst]):.3g}: "
            "variances are rounded; subtract an offset from the rows before they are stored"
        )


def _few_different(parameters: Parameters, rows: Described) -> Iterator[str]:
    if rows.n_different is not None and rows.n_different < parameters.n_components:
        few = (
            "all rows are the same"
            if rows.n_different == 1
            else f"only {rows.n_different} rows differ"
        )
        yield f"{few}, for {parameters.n_components} components: use fewer components"


def _about_dependence(
    parameters: Parameters,
    found: Failing,
    total: Array,
    added: Array,
    kept: npt.NDArray[np.bool_],
    rows: Described,
) -> list[str]:
    """Say whether all rows lie in fewer dimensions than there are features."""
    n_features = int(kept.sum())
    if not (parameters.structure.has_matrices and found.singular and n_features > 1):
        return []
    weights = parameters.weights
    with one_blas_thread():
        apart = parameters.means - weights @ parameters.means
    whole = np.einsum("k,ki,kj->ij", weights, apart, apart)
    whole += parameters.structure.mean(parameters.covariances, weights)
    floor = np.maximum(MOSTLY_ADDED * added, ROUNDING * total)
    least, direction = _least(whole, floor, kept)
    if least >= 1.0:
        return []
    if rows.n_rows <= n_features:
        return [
            f"{rows.n_rows} rows do not fill {n_features} dimensions, so reg_covar is the only "
            "variance in some directions: use covariance_type='diag' or 'spherical', fewer "
            "features, or a larger reg_covar"
        ]
    own = whole[np.ix_(kept, kept)] - np.diag(added[kept])
    share = np.abs(direction) * np.sqrt(np.maximum(np.diagonal(own), 0.0))
    involved = np.flatnonzero(kept)[share > 0.1 * share.max()]
    return [
        f"{listed('feature', involved, rows.names)} are linearly dependent (condition number "
        f"{_condition(own)}), so reg_covar is the only variance in a direction: leave one out, use "
        "covariance_type='diag', or a larger reg_covar"
    ]


def _condition(covariance: Array) -> str:
    """Condition number of the correlations, as far as it can be told."""
    deviations = np.sqrt(np.maximum(np.diagonal(covariance), np.finfo(float).tiny))
    with one_blas_thread():
        values = np.linalg.eigvalsh(covariance / np.outer(deviations, deviations))
    if values[0] <= np.finfo(float).eps * values[-1]:
        return "above 1e15"
    return f"{values[-1] / values[0]:.0e}"


def _about_components(
    parameters: Parameters, found: Failing, rows: Described, explained: bool
) -> Iterator[str]:
    of_structure = OTHER_TYPES[parameters.structure.kernel]
    others = of_structure if rows.family is None else OTHER_TYPES.get(rows.family, of_structure)
    if found.empty and not rows.has_prior:
        least = parameters.weights[list(found.empty)].max()
        yield (
            f"{listed('component', found.empty)} {_verb(len(found.empty), 'holds', 'hold')} no "
            f"row (weight {least:.2g}): use fewer components, or another start"
        )
    if found.single and not rows.has_prior:
        ways = "use fewer components" if parameters.structure.is_shared else _ways(others)
        yield (
            f"{listed('component', found.single)} "
            f"{_verb(len(found.single), 'holds one row', 'hold one row each')}: drop it if it is "
            f"an outlier, or {ways}"
        )
    if found.singular and not explained:
        which, what = "the tied covariance is", "it"
        if not parameters.structure.is_shared:
            least, count = rows.counts[list(found.singular)].min(), len(found.singular)
            which = (
                f"{listed('component', found.singular)} "
                f"({_verb(count, '', 'the smallest with ')}about {least:.0f} rows) "
                f"{_verb(count, 'is', 'are')}"
            )
            what = _verb(count, "its covariance", "their covariances")
        yield f"{which} singular: only reg_covar keeps {what} invertible; {_ways(others)}"


def _ways(others: str | None) -> str:
    if others is None:
        return "use fewer components, or a larger reg_covar"
    return f"use fewer components, a larger reg_covar, or {others}"


def _verb(count: int, one: str, several: str) -> str:
    return one if count == 1 else several


def listed(
    what: str, places: Sequence[int] | npt.NDArray[np.intp], names: Sequence[str] | None = None
) -> str:
    """Name features or components: "feature 'x'", "components 1, 4 and 7 more"."""
    shown = [str(int(place)) if names is None else repr(names[int(place)]) for place in places]
    more = f" and {len(shown) - SHOWN} more" if len(shown) > SHOWN else ""
    return f"{what}{'' if len(shown) == 1 else 's'} {', '.join(shown[:SHOWN])}{more}"
