"""StudentTMixture: components with heavy tails, which outliers do not move."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from fastgmm import em
from fastgmm.covariance import family
from fastgmm.estimators import model_file
from fastgmm.estimators.base import LikelihoodMixture
from fastgmm.estimators.climb import Prepared
from fastgmm.estimators.fitted_attributes import (
    FITTED,
    attributes_of,
    attributes_of_tails,
    history_of,
    parameters_of,
)
from fastgmm.estimators.gaussian_mixture import GaussianMixture
from fastgmm.estimators.priors import ConjugatePrior
from fastgmm.estimators.starting_states import Around
from fastgmm.estimators.validation import constructor, inputs, mixture_arrays
from fastgmm.estimators.validation.random_state import RandomState
from fastgmm.mixture.arrays import Array
from fastgmm.mixture.heavy_tails import LEAST, Tailed
from fastgmm.mixture.parameters import Parameters


@model_file.register
class StudentTMixture(GaussianMixture):
    """Mixture of multivariate Student's t-distributions, for rows with outliers or heavy tails.

    A row far from a component counts less in its centre and scale, by how heavy its tails are; that
    is found from the rows. All else is as in `GaussianMixture`. See docs/robust.md.

    Parameters
    ----------
    n_components : int, default=1
        Number of components.
    covariance_type : str, default="full"
        What the scales have in common, in the words of `GaussianMixture`.
    degrees_of_freedom : {"each", "shared"} or float, default="each"
        Of the t-distributions, from 1 (Cauchy) to infinity (normal). "each": every component has
        its own; "shared": one that all share; a number stays as it is. `inf` fits what
        `GaussianMixture` fits, to the last bit.
    tol : float, default=1e-7
        EM stops when the mean log-likelihood per row changes by less.
    stopping : {"change", "aitken"}, default="change"
        What `tol` bounds: the change in the last pass, or the remaining distance to the limit.
    reg_covar : float, default=1e-6
        Non-negative number added to each squared scale, in the square of the data's unit.
    reg_covar_relative : bool, default=False
        Whether `reg_covar` is a fraction of each feature's variance, which outliers raise.
    prior : "auto", float, ConjugatePrior or None, default="auto"
        What draws the scales towards their mean, as `GaussianMixture` draws covariances. A
        `ConjugatePrior` with a `mean_precision` above 0 is refused, since the rows of a t-component
        do not count as whole rows in its centre.
    max_iter : int, default=1000
        Maximum number of EM passes over the rows; 0 keeps the start.
    acceleration : {"auto", "squarem"} or None, default="auto"
        Extrapolate EM steps, as in `GaussianMixture`.
    n_init : int, default=1
        Number of starts; the one with the highest `lower_bound_` is kept.
    init_params : {"auto", "kmeans", "k-means++", "random", "random_from_data"}, default="auto"
        How to initialise. "auto": the default starts of `GaussianMixture` on all rows and on those
        that have neighbours, of which the best after short runs with tails is taken.
    weights_init, means_init, precisions_init : array-like, optional
        Initial weights, centres, and inverses of the scales.
    responsibilities_init : array-like of shape (n_samples, n_components), or a source, optional
        Responsibilities, or numbers of components, that the start is taken from, as in
        `GaussianMixture`.
    random_state : int, RandomState, Generator, SeedSequence or None, default=None
        Controls the random numbers of the starts and of `sample`.
    warm_start : bool, default=False
        Whether `fit` continues from the last solution. `n_init` is then ignored.
    step_power : float, default=0.9
        How fast `partial_fit` forgets, as in `GaussianMixture`.
    verbose : int, default=0
        1 prints the passes, 2 also their time and gain.
    verbose_interval : int, default=10
        Number of passes between two prints.

    Attributes
    ----------
    weights_ : ndarray of shape (n_components,)
        Weight of each component; they sum to 1.
    means_ : ndarray of shape (n_components, n_features)
        Centres; for one degree of freedom they are no means, since there is none.
    degrees_of_freedom_ : ndarray of shape (n_components,)
        Degrees of freedom of each component; `inf` where the rows have no heavier tails than normal
        ones, so that more would be likelier without end.
    scales_ : ndarray
        Scale matrices of the t-distributions, in the shape in which `GaussianMixture` has
        covariances.
    covariances_ : ndarray
        Covariances, v / (v - 2) times the scales for v degrees of freedom. For v of 2 or less a
        t-distribution has none, and they are `inf`: take `scales_`. Where components share a scale
        ("tied") but not the degrees of freedom, there is one for each component.
    precisions_ : ndarray
        Inverses of the scales, in the shape of these.
    precisions_cholesky_ : ndarray
        Factors U of the precisions U U', in the same shape.
    converged_ : bool
        Whether EM reached `tol`.
    n_iter_ : int
        Number of passes of the best start, including those of extrapolations and of degrees of
        freedom that were rejected.
    lower_bound_ : float
        Mean log-likelihood per row in the last pass, plus `log_prior_`: what EM climbs.
    lower_bounds_ : list of float
        `lower_bound_` after each pass; what was rejected repeats the value before it.
    log_prior_, prior_strength_, prior_covariance_
        As in `GaussianMixture`, of the scales.
    n_rows_, row_weight_, read_as_, n_features_in_, feature_names_in_
        As in `GaussianMixture`.

    References
    ----------
    Peel, D. and McLachlan, G. J. (2000), Robust mixture modelling using the t distribution,
    Statistics and Computing 10, 339-348.

    Kent, J. T., Tyler, D. E. and Vardi, Y. (1994), A curious likelihood identity for the
    multivariate t-distribution, Communications in Statistics - Simulation 23, 441-453.

    Meng, X.-L. and van Dyk, D. (1997), The EM algorithm - an old folk-song sung to a fast new tune,
    Journal of the Royal Statistical Society B 59, 511-567.

    Examples
    --------
    >>> import numpy as np
    >>> from fastgmm import StudentTMixture
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 2)) + np.repeat([[0], [9]], 100, axis=0)
    >>> X[:10] = rng.uniform(-100, 100, size=(10, 2))
    >>> model = StudentTMixture(n_components=2, random_state=0).fit(X)
    >>> np.sort(model.means_[:, 0]).round()
    array([0., 9.])
    """

    _parameter_constraints: ClassVar[constructor.Constraints] = constructor.STUDENT_T_MIXTURE
    missing = "error"  # what is observed of a row of t-distributions weighs it by fewer features
    _numbers = ("degrees_of_freedom_",)
    _fitted_names = (*FITTED, "scales_", *_numbers)

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance_type: str = "full",
        degrees_of_freedom: float | str = em.EACH,
        tol: float = em.TOLERANCE,
        stopping: str = "change",
        reg_covar: float = 1e-6,
        reg_covar_relative: bool = False,
        prior: float | str | ConjugatePrior | None = "auto",
        max_iter: int = em.MAX_PASSES,
        acceleration: str | None = "auto",
        n_init: int = 1,
        init_params: str = "auto",
        weights_init: npt.ArrayLike | None = None,
        means_init: npt.ArrayLike | None = None,
        precisions_init: npt.ArrayLike | None = None,
        responsibilities_init: Any = None,
        random_state: RandomState = None,
        warm_start: bool = False,
        step_power: float = 0.9,
        verbose: int = 0,
        verbose_interval: int = 10,
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.degrees_of_freedom = degrees_of_freedom
        self.tol = tol
        self.stopping = stopping
        self.reg_covar = reg_covar
        self.reg_covar_relative = reg_covar_relative
        self.prior = prior
        self.max_iter = max_iter
        self.acceleration = acceleration
        self.n_init = n_init
        self.init_params = init_params
        self.weights_init = weights_init
        self.means_init = means_init
        self.precisions_init = precisions_init
        self.responsibilities_init = responsibilities_init
        self.random_state = random_state
        self.warm_start = warm_start
        self.step_power = step_power
        self.verbose = verbose
        self.verbose_interval = verbose_interval

    @classmethod
    def from_parameters(  # type: ignore[override]
        cls,
        weights: npt.ArrayLike,
        means: npt.ArrayLike,
        scales: npt.ArrayLike,
        degrees_of_freedom: npt.ArrayLike,
        *,
        covariance_type: str = "full",
    ) -> Self:
        """Make a mixture from its parameters, ready to score and to sample without a fit.

        Parameters
        ----------
        weights : array-like of shape (n_components,)
            Between 0 and 1; they sum to 1.
        means : array-like of shape (n_components, n_features)
        scales : array-like
            Positive definite, in the shape of `scales_`.
        degrees_of_freedom : array-like of shape (n_components,), or float
            From 1 to infinity.
        covariance_type : str, default="full"
            As of the constructor.

        Returns
        -------
        StudentTMixture

        Raises
        ------
        ValueError
            If a parameter is invalid; the message names the component.
        """
        checked = mixture_arrays.checked_mixture(weights, means, scales, covariance_type)
        mixture = Parameters.from_covariances(family(covariance_type).structure, *checked)
        each = np.broadcast_to(np.asarray(degrees_of_freedom, np.float64), len(mixture.weights))
        for k in np.flatnonzero(~(each >= LEAST)):
            raise ValueError(
                f"'degrees_of_freedom' should be numbers from {LEAST:g} on, or inf; that of "
                f"component {k} is {each[k]:g}"
            )
        model = cls(mixture.n_components, covariance_type=covariance_type)
        described = attributes_of(Tailed.of(mixture, each), checked[1].dtype, names=None)
        model._publish(described | history_of(None, n_rows=0))
        return model

    @property
    def _is_normal(self) -> bool:
        """Whether all components are normal, whatever the rows say."""
        degrees = self.degrees_of_freedom
        return not isinstance(degrees, str) and math.isinf(degrees)

    def _plan(self, rows: inputs.Rows, classes: Any, is_silent: bool) -> Any:
        prior = self.prior
        if isinstance(prior, ConjugatePrior) and prior.mean_precision > 0.0:
            raise ValueError(
                f"a prior with mean_precision={prior.mean_precision:g} is none of StudentTMixture, "
                "in whose centres rows count in part; take a ConjugatePrior with mean_precision=0"
            )
        return super()._plan(rows, classes, is_silent)

    def _around(self, prepared: Prepared) -> Around | None:
        if self._is_normal:
            return None
        return partial(em.HeavyTails, degrees_of_freedom=self.degrees_of_freedom)

    def _rule(self, attributes: Mapping[str, Any], reg_covar: float | Array) -> em.UpdateRule:
        rule = super()._rule(attributes, reg_covar)
        if self._is_normal:
            return rule
        assert isinstance(rule, em.Maximisation)
        return em.HeavyTails(rule, self.degrees_of_freedom)

    def _known(self, attributes: Mapping[str, Any]) -> Parameters:
        found = parameters_of(attributes, self.covariance_type)
        if self._is_normal and isinstance(found, Tailed) and found.is_normal.all():
            normal = {name: each for name, each in attributes.items() if name != "scales_"}
            return parameters_of(normal, self.covariance_type)
        return found

    def _publish(self, attributes: dict[str, Any]) -> None:
        if "covariances_" in attributes and "scales_" not in attributes:  # of a normal fit
            normal = parameters_of(attributes, self.covariance_type)
            tails = attributes_of_tails(normal, np.full(normal.n_components, np.inf))
            scales = attributes["covariances_"]
            attributes = attributes | tails | {"scales_": scales.copy(), "covariances_": scales}
        super()._publish(attributes)

    def _n_parameters(self) -> int:
        """Count the free parameters of the model."""
        free = {em.EACH: len(self.means_), em.SHARED: 1}
        degrees = self.degrees_of_freedom
        added = free[degrees] if isinstance(degrees, str) else 0
        return LikelihoodMixture._n_parameters(self) + added
