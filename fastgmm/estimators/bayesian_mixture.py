"""BayesianGaussianMixture: scikit-learn's other estimator, by the same passes over the rows."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import _fit_context
from sklearn.utils.metadata_routing import UNUSED

from fastgmm import em, passes
from fastgmm.covariance import family
from fastgmm.em.acceleration import Acceleration
from fastgmm.errors import DegenerateCovarianceError
from fastgmm.estimators import criteria, fitting, model_file, partial_fit
from fastgmm.estimators.active import active
from fastgmm.estimators.base import Mixture
from fastgmm.estimators.bayesian_climb import BayesianClimb
from fastgmm.estimators.callbacks import Verbose
from fastgmm.estimators.climb import Climb, Prepared
from fastgmm.estimators.fit_guards import fitted_once
from fastgmm.estimators.fitted_attributes import (
    FITTED,
    POSTERIOR,
    attributes_of_posterior,
    is_fitted,
    posterior_of,
)
from fastgmm.estimators.gaussian_mixture import GaussianMixture
from fastgmm.estimators.validation import constructor, hyperparameters, inputs, memory
from fastgmm.estimators.validation.random_state import RandomState
from fastgmm.initialisation.methods import start_from
from fastgmm.mixture.arrays import Array
from fastgmm.mixture.parameters import Parameters
from fastgmm.mixture.posterior import Hyperparameters, Posterior
from fastgmm.mixture.prior import Prior
from fastgmm.sources import Source
from fastgmm.storage.checkpoint import Moment

PRIORS = (
    "weight_concentration_prior_",
    "mean_precision_prior_",
    "mean_prior_",
    "degrees_of_freedom_prior_",
    "covariance_prior_",
)
OF_OTHER_FITS = ("log_prior_", "prior_strength_", "prior_covariance_")


@model_file.register
class BayesianGaussianMixture(Mixture):
    """Gaussian mixture by variational Bayes, a drop-in replacement for scikit-learn's.

    Instead of the likeliest parameters it finds what the rows leave open of them, and empties
    components that the rows do not ask for.

    Parameters
    ----------
    n_components : int, default=1
        Number of components, at most; `n_active_` counts those that hold rows in the end.
    covariance_type : str, default="full"
        As for `GaussianMixture`, of the types that have a conjugate prior: "full", "tied", "diag",
        "spherical", "tied-diagonal" and "tied-spherical", or mclust's names of these, VVV, EEE,
        VVI, VII, EEI and EII. The precisions of "diag" and "spherical" are gamma variables of
        their own, and "tied" has one Wishart matrix of all rows; scikit-learn differs there, see
        docs/from-scikit-learn.md.
    tol : float, default=1e-7
        The fit stops when `lower_bound_` changes by less in a pass. It is per row, as for
        `GaussianMixture`; scikit-learn compares a total.
    stopping : {"change", "aitken"}, default="change"
        What `tol` bounds: the change in the last pass, or the remaining distance to the limit.
    reg_covar : float, default=1e-6
        Non-negative number added to each variance of the rows, in the square of the data's unit.
    reg_covar_relative : bool, default=False
        Whether `reg_covar` is a fraction of each feature's variance.
    max_iter : int, default=1000
        Maximum number of passes over the rows; 0 keeps the start.
    acceleration : {"auto", "squarem"} or None, default="auto"
        Extrapolate steps that are slow. An extrapolation that does not raise `lower_bound_` is
        rejected; its pass still counts in `n_iter_`.
    n_init : int, default=1
        Number of starts, that share each pass; the one with the highest `lower_bound_` is kept.
    init_params : {"auto", "kmeans", "k-means++", "random", "random_from_data"}, default="auto"
        How to initialise, as for `GaussianMixture`.
    weight_concentration_prior_type : {"dirichlet_process", "dirichlet_distribution"}, \
default="dirichlet_process"
        Distribution of the weights before the rows: sticks of a Dirichlet process, or a symmetric
        Dirichlet distribution.
    weight_concentration_prior : float, optional
        Concentration of the process, or of each weight; positive. The lower it is, the fewer
        components hold rows. Default: ``1 / n_components``.
    mean_precision_prior : float, optional
        Rows that each mean is known from before, at `mean_prior`; positive. Default: 1.
    mean_prior : array-like of shape (n_features,), optional
        Mean of the means. Default: that of the rows.
    degrees_of_freedom_prior : float, optional
        Rows that each covariance is known from before; above ``n_features - 1``. Default:
        ``n_features``.
    covariance_prior : float or array-like, optional
        Sum of the squares of these rows: ``covariance_prior / degrees_of_freedom_prior`` is the
        covariance that is expected before. Its shape is that of one component of `covariances_`.
        Default: the covariance of the rows, the variances, or their mean.
    random_state : int, RandomState, Generator, SeedSequence or None, default=None
        Controls the random numbers of the starts and of `sample`.
    warm_start : bool, default=False
        Whether `fit` continues from the last solution. `n_init` is then ignored.
    step_power : float, default=0.9
        How fast `partial_fit` forgets, as for `GaussianMixture`.
    missing : {"error", "em"}, default="error"
        What a missing value is: an error, or to be expected, see `GaussianMixture`.
    verbose : int, default=0
        1 prints the passes, 2 also their time and gain.
    verbose_interval : int, default=10
        Number of passes between two prints.

    Attributes
    ----------
    weights_ : ndarray of shape (n_components,)
        Expected weight of each component; they sum to 1.
    means_ : ndarray of shape (n_components, n_features)
        Expected means.
    covariances_ : ndarray
        Inverses of the expected precisions, in the shape that `GaussianMixture` gives them.
    precisions_ : ndarray
        Expected precisions.
    precisions_cholesky_ : ndarray
        Factors U of the precisions U U'.
    converged_ : bool
        Whether the fit reached `tol`.
    n_iter_ : int
        Number of passes of the best start, including rejected extrapolations.
    lower_bound_ : float
        Lower bound of the logarithm of the evidence per row, with all constants: it compares fits
        to the same rows over numbers of components, priors and covariance types.
    lower_bounds_ : list of float
        `lower_bound_` after each pass; it never falls but by rounding.
    weight_concentration_ : ndarray of shape (2, n_components) or (n_components,)
        Both parameters of each stick's beta distribution; or those of the Dirichlet distribution.
    mean_precision_ : ndarray of shape (n_components,)
        Rows that each mean is known from.
    degrees_of_freedom_ : ndarray of shape (n_components,), or float for "tied"
        Rows that each covariance is known from.
    weight_concentration_prior_, mean_precision_prior_, degrees_of_freedom_prior_ : float
        As given, or their defaults.
    mean_prior_, covariance_prior_ : ndarray
        Likewise.
    n_active_ : int
        Number of components that hold at least half a row.
    n_rows_ : int
        Number of rows with positive weight in the fit.
    row_weight_ : float
        Sum of their weights.
    read_as_ : str or None
        How the text file of the rows was written; None for other rows.
    n_features_in_ : int
        Number of features of the rows.
    feature_names_in_ : ndarray of str
        Names of the features, if the rows had them.

    References
    ----------
    Attias, H. (2000), A variational Bayesian framework for graphical models, NIPS 12.

    Bishop, C. M. (2006), Pattern Recognition and Machine Learning, equations 10.38 to 10.77.

    Blei, D. M. and Jordan, M. I. (2006), Variational inference for Dirichlet process mixtures,
    Bayesian Analysis 1, 121-143.

    Kurihara, K., Welling, M. and Teh, Y. W. (2007), Collapsed variational Dirichlet process mixture
    models, IJCAI 20: sticks in the order of their sizes.

    Examples
    --------
    >>> import numpy as np
    >>> from fastgmm import BayesianGaussianMixture
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(300, 2)) + np.repeat([[0], [9], [18]], 100, axis=0)
    >>> model = BayesianGaussianMixture(n_components=8, random_state=0).fit(X)
    >>> model.n_active_
    3
    """

    __metadata_request__fit: ClassVar[dict[str, str]] = {"checkpoint": UNUSED}
    __metadata_request__predict: ClassVar[dict[str, str]] = {"predictive": UNUSED}
    __metadata_request__predict_proba: ClassVar[dict[str, str]] = {"predictive": UNUSED}
    __metadata_request__score: ClassVar[dict[str, str]] = {"predictive": UNUSED}

    _parameter_constraints: ClassVar[constructor.Constraints] = (
        constructor.BAYESIAN_GAUSSIAN_MIXTURE
    )
    _numbers = (*POSTERIOR, *PRIORS)
    _fitted_names = (
        *(name for name in FITTED if name not in OF_OTHER_FITS),
        *_numbers,
        "n_active_",
    )

    def __init__(
        self,
        *,
        n_components: int = 1,
        covariance_type: str = "full",
        tol: float = em.TOLERANCE,
        stopping: str = "change",
        reg_covar: float = 1e-6,
        reg_covar_relative: bool = False,
        max_iter: int = em.MAX_PASSES,
        acceleration: str | None = "auto",
        n_init: int = 1,
        init_params: str = "auto",
        weight_concentration_prior_type: str = hyperparameters.PROCESS,
        weight_concentration_prior: float | None = None,
        mean_precision_prior: float | None = None,
        mean_prior: npt.ArrayLike | None = None,
        degrees_of_freedom_prior: float | None = None,
        covariance_prior: npt.ArrayLike | None = None,
        random_state: RandomState = None,
        warm_start: bool = False,
        step_power: float = 0.9,
        missing: str = "error",
        verbose: int = 0,
        verbose_interval: int = 10,
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.tol = tol
        self.stopping = stopping
        self.reg_covar = reg_covar
        self.reg_covar_relative = reg_covar_relative
        self.max_iter = max_iter
        self.acceleration = acceleration
        self.n_init = n_init
        self.init_params = init_params
        self.weight_concentration_prior_type = weight_concentration_prior_type
        self.weight_concentration_prior = weight_concentration_prior
        self.mean_precision_prior = mean_precision_prior
        self.mean_prior = mean_prior
        self.degrees_of_freedom_prior = degrees_of_freedom_prior
        self.covariance_prior = covariance_prior
        self.random_state = random_state
        self.warm_start = warm_start
        self.step_power = step_power
        self.missing = missing
        self.verbose = verbose
        self.verbose_interval = verbose_interval

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: npt.ArrayLike | None = None,
        *,
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Estimate the posterior of the mixture.

        The object does not change until the fit is complete. A fit that fails or is interrupted
        after a finished iteration gives the exception an attribute ``model``, as that of
        `GaussianMixture` does.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or a source
            As for `GaussianMixture.fit`.
        y : Ignored
            Here for scikit-learn's convention.
        sample_weight : array-like of shape (n_samples,), optional
            Weight of each row: 0 leaves it out, 2 is the same as repeating it.
        checkpoint : str or path-like, optional
            File that keeps the state of the fit, as for `GaussianMixture.fit`.

        Returns
        -------
        BayesianGaussianMixture
            The fitted object itself.

        Raises
        ------
        CheckpointError
            If the checkpoint is of other rows or other arguments, or if both files are damaged.
        DataError
            If a row has a number that is not finite, or if the covariance of the rows is singular
            in spite of `reg_covar`, so that it is no prior.
        ValueError
            If a prior has another shape, or no density.

        Warns
        -----
        ConvergenceWarning
            If the best start did not converge in `max_iter` passes.
        DegenerateComponentWarning
            If a feature is constant or has less variance than `reg_covar` adds.
        """
        with fitted_once(self):
            _, attributes = self._fitted(X, y, sample_weight, checkpoint)
        self._publish(attributes)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def fit_predict(
        self,
        X: Any,
        y: Any = None,
        sample_weight: npt.ArrayLike | None = None,
        *,
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> npt.NDArray[np.int64]:
        """Estimate the posterior and return the most probable component of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or a source
            As for `fit`.
        y : Ignored
            Here for scikit-learn's convention.
        sample_weight : array-like of shape (n_samples,), optional
            Weight of each row in the fit.
        checkpoint : str or path-like, optional
            As for `fit`.

        Returns
        -------
        ndarray of shape (n_samples,)
            What `predict` returns after `fit`.
        """
        with fitted_once(self):
            source, attributes = self._fitted(X, y, sample_weight, checkpoint)
        labels = passes.labels(source, self._known(attributes))
        self._publish(attributes)
        return labels

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self, X: Any, y: Any = None, sample_weight: npt.ArrayLike | None = None
    ) -> Self:
        """Update the posterior with more rows, and gradually forget earlier ones.

        Stochastic variational inference: earlier rows are remembered by their sufficient
        statistics, which fade as rows arrive, and the prior counts once. All else is as in
        `GaussianMixture.partial_fit`; priors that are not given follow from the first rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or a source
            As for `fit`, of any number of rows.
        y : Ignored
            Here for scikit-learn's convention.
        sample_weight : array-like of shape (n_samples,), optional
            Weight of each row.

        Returns
        -------
        BayesianGaussianMixture
            The object itself. `lower_bounds_` has the expected mean log density of the rows of
            each step before the step, and `n_iter_` the number of steps in this call;
            `converged_` is False after the first fit.

        Raises
        ------
        ValueError
            If the rows have other features than before, or the model was set by hand.
        DataError
            If a row has a number that is not finite; the model is then unchanged.

        Warns
        -----
        UserWarning
            If there are no rows, so that nothing is learned.

        References
        ----------
        Hoffman, M. D., Blei, D. M., Wang, C. and Paisley, J. (2013), Stochastic variational
        inference, Journal of Machine Learning Research 14, 1303-1347, section 2.4.
        """
        with fitted_once(self):
            attributes = partial_fit.learned(self, X, sample_weight, self._begun)
        self._publish(attributes)
        return self

    def _begun(self, X: Any, sample_weight: Any, is_first: bool) -> dict[str, Any]:
        """Fit anew to the first rows; of too few of them, nothing is said yet."""
        return self._fitted(X, None, sample_weight, is_silent=is_first)[1]

    def predict(self, X: Any, *, predictive: bool = False) -> npt.NDArray[np.int64]:
        """Most probable component of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or a source
            As for `fit`; read block by block.
        predictive : bool, default=False
            As for `score_samples`.

        Returns
        -------
        ndarray of shape (n_samples,)

        Raises
        ------
        ValueError
            If `predictive` is neither True nor False.
        """
        source, parameters = self._scoring(X)
        if is_predictive(predictive) and isinstance(parameters, Posterior):
            return passes.predictive.labels(source, parameters)
        return passes.labels(source, parameters)

    def predict_proba(self, X: Any, *, predictive: bool = False) -> npt.NDArray[np.floating]:
        """Probability of each component for each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or a source
            As for `fit`; read block by block.
        predictive : bool, default=False
            As for `score_samples`.

        Returns
        -------
        ndarray of shape (n_samples, n_components)
            Each row sums to 1.

        Raises
        ------
        ValueError
            If `predictive` is neither True nor False.
        """
        source, parameters = self._scoring(X)
        if is_predictive(predictive) and isinstance(parameters, Posterior):
            return passes.predictive.responsibilities(source, parameters)
        return passes.responsibilities(source, parameters)

    def score_samples(self, X: Any, *, predictive: bool = False) -> npt.NDArray[np.floating]:
        """Log density of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or a source
            As for `fit`; read block by block.
        predictive : bool, default=False
            False: the exponent of the expected log density, as in scikit-learn, whose integral is
            below 1. True: the density of a new row given those of the fit, a mixture of Student's
            t-distributions (Bishop 2006, equation 10.81); it takes more time.

        Returns
        -------
        ndarray of shape (n_samples,)
            Natural logarithm of the density per unit volume of the feature space.

        Raises
        ------
        ValueError
            If `predictive` is neither True nor False.
        """
        source, parameters = self._scoring(X)
        if is_predictive(predictive) and isinstance(parameters, Posterior):
            return passes.predictive.log_densities(source, parameters)
        return passes.log_likelihoods(source, parameters)

    def score(
        self,
        X: Any,
        y: Any = None,
        sample_weight: npt.ArrayLike | None = None,
        *,
        predictive: bool = False,
    ) -> float:
        """Mean log density per row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or a source
            As for `fit`; read block by block, so memory does not grow with it.
        y : Ignored
            Here for scikit-learn's convention.
        sample_weight : array-like of shape (n_samples,), optional
            Weight of each row.
        predictive : bool, default=False
            As for `score_samples`.

        Returns
        -------
        float
            Natural logarithm of the density per unit volume of the feature space.

        Raises
        ------
        ValueError
            If `predictive` is neither True nor False.
        """
        if is_predictive(predictive):
            source, parameters = self._scoring(X, sample_weight)
            if isinstance(parameters, Posterior):
                return criteria.mean_predictive(source, parameters)
        return super().score(X, y, sample_weight)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to a file that `fastgmm.load` reads, as `GaussianMixture.save` does.

        Parameters
        ----------
        path : str or path-like
        """
        self._parameters()
        model_file.save(self, path)

    def prune(self) -> GaussianMixture:
        """Return the mixture of the components that hold rows.

        Returns
        -------
        GaussianMixture
            Of `n_active_` components, with the expected weights, means and covariances; it scores,
            samples, saves and draws like any other.
        """
        parameters = self._parameters()
        attributes, kept = vars(self), active(self)
        weights = parameters.weights[kept]
        places = parameters.structure.places(kept)
        model = GaussianMixture.from_parameters(
            weights / weights.sum(),
            parameters.means[kept],
            parameters.covariances[places],
            covariance_type=self.covariance_type,
        ).set_params(random_state=self.random_state)
        if "feature_names_in_" in attributes:
            model.feature_names_in_ = attributes["feature_names_in_"]
        return model

    def _known(self, attributes: Mapping[str, Any]) -> Parameters:
        if any(name not in attributes for name in POSTERIOR):
            return super()._known(attributes)  # set by hand
        return posterior_of(attributes, self.covariance_type)

    def _rule(self, attributes: Mapping[str, Any], reg_covar: float | Array) -> em.Variational:
        """Return the rule of a fit with these attributes, for rows that go on from there."""
        known = family(self.covariance_type)
        if any(name not in attributes for name in self._numbers):
            raise ValueError(
                "partial_fit goes on from a posterior, and this model has only weights, means and "
                "covariances, which were set by hand; fit it first"
            )
        prior = Hyperparameters(
            known.structure,
            float(attributes["weight_concentration_prior_"]),
            np.ndim(attributes["weight_concentration_"]) == 2,
            float(attributes["mean_precision_prior_"]),
            np.asarray(attributes["mean_prior_"], dtype=np.float64),
            float(attributes["degrees_of_freedom_prior_"]),
            np.asarray(attributes["covariance_prior_"], dtype=np.float64),
            known.constraint is not None,
        )
        return em.Variational(known, reg_covar, prior)

    def _beyond(
        self, found: Posterior, rule: em.Variational, n_rows: int, row_weight: float
    ) -> dict[str, Any]:
        """Return what `partial_fit` has found besides a mixture."""
        return attributes_of_posterior(found, rule.hyperparameters, n_rows, row_weight)

    def _fitted(
        self,
        X: Any,
        y: Any,
        sample_weight: npt.ArrayLike | None,
        checkpoint: str | os.PathLike[str] | None = None,
        is_silent: bool = False,
    ) -> tuple[Source, dict[str, Any]]:
        """Fit, and return the rows and the attributes to publish."""
        rows = inputs.to_fit(self, X, y, sample_weight, self.n_components)
        hyperparameters.check(self, rows.source.n_features)
        return rows.source, fitting.fit(self._plan(is_silent), rows, checkpoint)

    def _plan(self, is_silent: bool) -> fitting.Plan:
        is_warm = self.warm_start and is_fitted(vars(self)) and not is_silent
        return fitting.Plan(
            self,
            mixtures=[memory.Mixture(self.n_components, family(self.covariance_type))]
            * (1 if is_warm else self.n_init),
            start="given" if is_warm else self.init_params,
            needs_sample=True,
            settings=partial(self._settings, is_warm),
            begin=partial(self._begin, is_warm),
            is_silent=is_silent,
        )

    def _settings(self, is_warm: bool) -> dict[str, Any]:
        """Return what a fit follows from, besides the rows."""
        arguments = self.get_params(deep=False)
        for name in ("mean_prior", "covariance_prior"):
            if arguments[name] is not None:
                arguments[name] = np.asarray(arguments[name])
        if not is_warm:
            return arguments | {"the start": "of its own"}
        ended = [np.ravel(getattr(self, name)) for name in ("weights_", "means_", "covariances_")]
        return arguments | {"the start": np.concatenate(ended)}

    def _begin(self, is_warm: bool, prepared: Prepared) -> Climb:
        """Return the climb from the starts."""
        known, source = family(self.covariance_type), prepared.rows.source
        everything = hyperparameters.of_all_rows(
            source, prepared.drawn, known.structure.is_axis_parallel
        )
        priors = hyperparameters.hyperparameters(
            self, everything, prepared.reg_covar, prepared.rows.names
        )
        rule = em.Variational(known, prepared.reg_covar, priors)
        if prepared.record is not None:
            moment = prepared.record.moment(rule)
        elif is_warm:
            moment = Moment((self._last(rule, source.n_features),))
        else:
            inputs.check_known_count(source, self.n_components)
            moment = Moment(tuple(self._drawn(rule, prepared, everything.row_weight)))
        stopping = em.Stopping(self.tol, self.max_iter, self.stopping)
        verbose = Verbose(self.verbose, self.verbose_interval, len(moment.states))
        return BayesianClimb(moment, prepared, stopping, verbose)

    def _drawn(self, rule: em.Variational, prepared: Prepared, row_weight: float) -> list[em.State]:
        """Return the posteriors of `n_init` starts, as of rows that have their parameters.

        Starts are compared under the prior of the covariances, too: the likeliest alone, of 178
        rows of 13 features, led 94 nats lower, to three components that are none of wine's.
        """
        priors, before = rule.hyperparameters, rule.hyperparameters.degrees_of_freedom
        known = Prior(before, np.asarray(priors.covariance / before))
        maximum = em.Maximisation(rule.family, rule.reg_covar, known)
        assert prepared.rng is not None  # there is no record
        states, failures = list[em.State](), list[DegenerateCovarianceError]()
        for _ in range(self.n_init if self.max_iter > 0 else 1):
            sample, method = prepared.drawn, self.init_params
            try:
                start = start_from(sample, method, self.n_components, maximum, prepared.rng)
                seen = maximum.remembered(start, row_weight)
                states.append(self._state(rule, rule.estimate(seen, None)))
            except DegenerateCovarianceError as failure:
                failures.append(failure)
        if not states:
            raise failures[0]
        return states

    def _last(self, rule: em.Variational, n_features: int) -> em.State:
        """Return the state in which the last fit ended."""
        before = np.shape(self.means_)
        if before != (self.n_components, n_features):
            raise ValueError(
                f"warm_start cannot go from {before[0]} components of {before[1]} features to "
                f"{self.n_components} components of {n_features} features; fit with "
                "warm_start=False"
            )
        try:
            posterior = posterior_of(vars(self), self.covariance_type, rule.reg_covar)
        except (KeyError, ValueError) as error:
            raise ValueError(
                f"warm_start cannot go on with covariance_type={self.covariance_type!r}: {error}; "
                "fit with warm_start=False"
            ) from error
        state = self._state(rule, posterior)
        return replace(state, previous_objective=float(self.lower_bound_))

    def _state(self, rule: em.Variational, posterior: Posterior) -> em.State:
        name = self.acceleration
        return em.State(rule, posterior, acceleration=None if name is None else Acceleration(name))


def is_predictive(given: object) -> bool:
    """Return whether the predictive density is asked for; refuse what is neither yes nor no."""
    if not isinstance(given, bool | np.bool_):
        raise ValueError(f"predictive={given!r} should be True or False")
    return bool(given)
