"""GaussianMixture: scikit-learn's estimator, fitted by compiled passes over the rows."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import _fit_context
from sklearn.utils.metadata_routing import UNUSED

from fastgmm import em, passes
from fastgmm.covariance import family
from fastgmm.errors import DataError
from fastgmm.estimators import (
    factored,
    fitting,
    model_file,
    noises,
    partial_fit,
    priors,
    truncations,
)
from fastgmm.estimators.base import LikelihoodMixture
from fastgmm.estimators.callbacks import Verbose
from fastgmm.estimators.climb import Climb, Prepared
from fastgmm.estimators.factored import family_of
from fastgmm.estimators.fit_guards import fitted_once
from fastgmm.estimators.fitted_attributes import FITTED, attributes_of, history_of
from fastgmm.estimators.labelled_climb import LabelledClimb
from fastgmm.estimators.priors import ConjugatePrior, fixed_prior
from fastgmm.estimators.starting_states import Around, Start, kept_by, start_of
from fastgmm.estimators.validation import constructor, inputs, memory, mixture_arrays
from fastgmm.estimators.validation.fixed import fixed_of
from fastgmm.estimators.validation.labels import (
    Classes,
    classes_of,
    classes_said,
    demand_components,
    numbered,
)
from fastgmm.estimators.validation.random_state import RandomState
from fastgmm.mixture.arrays import Array
from fastgmm.mixture.parameters import Parameters
from fastgmm.passes.labelled import LabelledRows
from fastgmm.passes.scores import Totals
from fastgmm.sources import Source


@model_file.register
class GaussianMixture(LikelihoodMixture):
    """Gaussian mixture fitted by EM, a drop-in replacement for scikit-learn's.

    Parameters
    ----------
    n_components : int, default=1
        Number of components.
    covariance_type : str, default="full"
        "full": each component has its own covariance matrix; "tied": all components share one;
        "diag": each component has one variance per feature; "spherical": each component has a
        single variance; "tied-diagonal", "tied-spherical": all components share these. Or one of
        mclust's names, whose letters say whether volume, shape and orientation are Equal over
        components, Variable, or the Identity: EII ("tied-spherical"), VII ("spherical"), EEI
        ("tied-diagonal"), VEI, EVI, VVI ("diag"), EEE ("tied"), VEE, EVE, VVE, EEV, VEV, EVV, VVV
        ("full"). See docs/choosing.md. Or one with `n_factors`: "factors": loadings and one
        variance per feature for each component, without any matrix of n_features x n_features;
        "ppca": loadings along principal axes and a single variance. See docs/factors.md.
    n_factors : int, optional
        Number of factors of each component, for `covariance_type` "factors" (at most half of the
        features) and "ppca".
    tol : float, default=1e-7
        EM stops when the mean log-likelihood per row changes by less. scikit-learn's default,
        1e-3, stops long before EM has found a cluster of a hundredth of its neighbour's size: see
        docs/convergence.md.
    stopping : {"change", "aitken"}, default="change"
        What `tol` bounds. "change": the change in the last pass, as in scikit-learn; "aitken": the
        remaining distance to the limit, estimated from the last four passes. When EM is slow, the
        distance is many times the change.
    reg_covar : float, default=1e-6
        Non-negative number added to each variance, in the square of the data's unit.
    reg_covar_relative : bool, default=False
        Whether `reg_covar` is a fraction of each feature's variance, so that the result does not
        depend on the units of the features. The variances are estimated from up to 50 000 rows;
        "spherical" takes their mean. A constant feature has no scale and gets `reg_covar` itself.
    prior : "auto", float, ConjugatePrior or None, default="auto"
        What draws the covariances of components towards their mean, and that of "tied" towards the
        covariance of all rows, so that a component cannot fit few rows too closely. "auto": of so
        many rows that left-out rows are predicted best; it acts where `init_params` is "auto" and
        no start is given, `reg_covar` is positive, and rows are fewer than 100 per free parameter.
        A number: of so many rows. None, or 0: maximum likelihood, as in scikit-learn. See
        docs/regularisation.md.
    max_iter : int, default=1000
        Maximum number of EM passes over the rows; 0 keeps the start.
    acceleration : {"auto", "squarem"} or None, default="auto"
        Extrapolate EM steps. An extrapolation that does not raise the likelihood is rejected; its
        pass still counts in `n_iter_`. "auto" switches to "squarem" when EM gains less than 1e-6
        per pass and is expected to need 20 more; user-given and warm starts use plain EM. See
        docs/convergence.md.
    n_init : int, default=1
        Number of starts. They share each pass over the rows, and the one with the highest
        `lower_bound_` is kept; starts whose covariance collapses are left out unless all do.
    init_params : {"auto", "kmeans", "k-means++", "random", "random_from_data"}, default="auto"
        How to initialise. "auto": the best of several kinds of clusterings after short EM runs on
        a sample; "kmeans": the clusters of k-means; "k-means++": the rows that k-means++ chooses;
        "random_from_data": rows chosen at random; "random": random responsibilities.
    weights_init : array-like of shape (n_components,), optional
        Initial weights, instead of those of `init_params`.
    means_init : array-like of shape (n_components, n_features), optional
        Initial means.
    precisions_init : array-like, optional
        Initial inverse covariances, in the shape of `precisions_`. Where their inverses do not
        have in common what `covariance_type` says, EM starts from the nearest that have.
    responsibilities_init : array-like of shape (n_samples, n_components), or a source, optional
        Responsibilities that the first M-step is taken from, read block by block beside the rows;
        or the number of a component for each row, (n_samples,). Also the path of a .npy file, and
        what `fastgmm.open_source` reads. `weights_init`, `means_init` and `precisions_init` take
        the place of what that finds. A model file does not keep them.
    fixed : dict, optional
        Parameters that stay as they are: ``{"means": [0, 2], "covariances": "all", "weights":
        True}``, with the numbers of components or "all" for each kind. Their values are those of
        `weights_init`, `means_init` and `precisions_init`, or of the mixture that `warm_start` or
        `partial_fit` goes on from. Free weights sum to what the fixed ones leave. Criteria count
        what is free. Covariances with something in common, as of "tied", are all fixed or none.
    noise : bool or float, default=False
        Whether rows may be noise: beside the components there is a density that is the same
        everywhere, one over the volume of a box. True: of the rows along the features or, if that
        is smaller, along their principal axes; a few rows at its ends do not count. A number: that
        volume. See docs/robust.md.
    components_per_class : int, default=1
        Components of each class, where `fit` is given labels: those of class c are
        ``c * components_per_class`` and the next. Further components belong to no class.
    random_state : int, RandomState, Generator, SeedSequence or None, default=None
        Controls the random numbers of the starts and of `sample`. The same seed gives the same
        bits.
    warm_start : bool, default=False
        Whether `fit` continues from the last solution. `n_init` is then ignored, and the model
        takes the dtype of the new rows.
    step_power : float, default=0.9
        How fast `partial_fit` forgets: the t-th row, counted by weight, takes a step of
        ``t ** -step_power``. 1 counts all rows equally; smaller values, above 0.5, follow drifting
        data sooner and make the mixture noisier.
    missing : {"error", "em"}, default="error"
        What a missing value is (NaN, a null of Arrow or pandas, an empty cell): an error, or, with
        "em", a value to be expected: EM is exact if values are missing at random. Such rows are
        scored by the density of what is observed. See docs/missing.md.
    truncation : "auto", float or None, default=None
        How many nats of a row's log-likelihood passes may leave out, at most 1. A pass then
        computes roughly all components of a row and exactly those that count: two to four times
        faster from a few hundred components on. "auto": 0.001. None: nothing is left out. Not for
        "tied". With variances along the features it holds for scores and labels, too. See
        docs/many-components.md.
    verbose : int, default=0
        1 prints the passes, 2 also their time and gain.
    verbose_interval : int, default=10
        Number of passes between two prints.

    Attributes
    ----------
    weights_ : ndarray of shape (n_components,)
        Weight of each component; they sum to 1, or with noise to ``1 - noise_weight_``.
    means_ : ndarray of shape (n_components, n_features)
    covariances_ : ndarray
        The shape depends on `covariance_type`: "spherical" and EII (n_components,); "diag", EEI,
        VEI and EVI (n_components, n_features); "tied" (n_features, n_features); "full" and all
        others (n_components, n_features, n_features). Of "factors" it is made when it is asked for,
        up to 1 GiB, as are the next two.
    precisions_ : ndarray
        Inverses of the covariances, in the same shape.
    precisions_cholesky_ : ndarray
        Factors U of the precisions U U', in the same shape.
    components_ : ndarray of shape (n_components, n_factors, n_features)
        Loadings of "factors" and "ppca", as of scikit-learn's FactorAnalysis: a covariance is
        ``components_[k].T @ components_[k]`` and the noise. The first factor says most of the rows;
        the largest loading of each is positive.
    noise_variance_ : ndarray of shape (n_components, n_features), of "ppca" (n_components,)
        Variances that are the features' own.
    converged_ : bool
        Whether EM reached `tol`.
    n_iter_ : int
        Number of passes of the best start, including rejected extrapolations.
    lower_bound_ : float
        Mean log-likelihood per row in the last pass, plus `log_prior_`: what EM climbs.
    lower_bounds_ : list of float
        `lower_bound_` after each pass; a rejected extrapolation repeats the value before it.
    log_prior_ : float
        Log density of the prior per row in the last pass; 0 without one, and where every
        covariance is `prior_covariance_`, if the prior is of covariances alone.
    prior_strength_ : float
        Rows that the prior counts as in each covariance; 0 without a prior.
    prior_covariance_ : ndarray or None
        Covariance of these rows, in the shape of one component's.
    noise_weight_ : float
        Weight of the noise, if `noise` is not False.
    noise_volume_, noise_log_volume_ : float
        Volume of its box, and the logarithm, which is finite in any number of dimensions. After
        `partial_fit` it is that of the first rows.
    truncated_mass_ : float
        What the last pass, or all steps of the last `partial_fit`, have left out: log-likelihood
        per row in nats, that is the share of responsibilities, measured on every 256th row; if
        `truncation` is not None.
    n_rows_ : int
        Number of rows with positive weight in the fit, or in all calls of `partial_fit`.
    row_weight_ : float
        Sum of their weights.
    read_as_ : str or None
        How the text file of the rows was written, as far as it was found or told; None for other
        rows, and after `partial_fit`.
    n_features_in_ : int
        Number of features of the rows.
    feature_names_in_ : ndarray of str
        Names of the features, if the rows had them.
    classes_ : ndarray
        The classes among the labels, sorted; only after a fit with labels.

    Notes
    -----
    Every method reads X block by block; only `predict_proba` makes an array of n_samples x
    n_components. Results are the same to the last bit for any number of threads, any memory order
    of an array and any chunks of a file.

    References
    ----------
    Salwig, S., Kahlke, T. and others (2025), arXiv:2501.12299, for EM whose responsibilities are
    truncated.

    Examples
    --------
    >>> import numpy as np
    >>> from fastgmm import GaussianMixture
    >>> X = np.array([[1, 2], [1, 4], [1, 0], [10, 2], [10, 4], [10, 0]])
    >>> model = GaussianMixture(n_components=2, random_state=0).fit(X)
    >>> np.sort(model.means_[:, 0]).round(6)
    array([ 1., 10.])
    """

    __metadata_request__fit: ClassVar[dict[str, str]] = {"checkpoint": UNUSED}

    _parameter_constraints: ClassVar[constructor.Constraints] = constructor.GAUSSIAN_MIXTURE
    _numbers: tuple[str, ...] = (*noises.NUMBERS, *truncations.NUMBERS)
    _fitted_names: tuple[str, ...] = (*FITTED, *noises.ATTRIBUTES, *truncations.NUMBERS)

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance_type: str = "full",
        n_factors: int | None = None,
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
        fixed: Mapping[str, Any] | None = None,
        noise: bool | float = False,
        components_per_class: int = 1,
        random_state: RandomState = None,
        warm_start: bool = False,
        step_power: float = 0.9,
        missing: str = "error",
        truncation: float | str | None = None,
        verbose: int = 0,
        verbose_interval: int = 10,
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.n_factors = n_factors
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
        self.fixed = fixed
        self.noise = noise
        self.components_per_class = components_per_class
        self.random_state = random_state
        self.warm_start = warm_start
        self.step_power = step_power
        self.missing = missing
        self.truncation = truncation
        self.verbose = verbose
        self.verbose_interval = verbose_interval

    def __getattr__(self, name: str) -> Any:
        """Make matrices of factors, or factors of matrices, when they are asked for."""
        return factored.made(self, name)

    @classmethod
    def from_parameters(
        cls,
        weights: npt.ArrayLike,
        means: npt.ArrayLike,
        covariances: npt.ArrayLike,
        *,
        covariance_type: str = "full",
    ) -> Self:
        """Make a mixture from its parameters, ready to score and to sample without a fit.

        Parameters
        ----------
        weights : array-like of shape (n_components,)
            Between 0 and 1; they sum to 1.
        means : array-like of shape (n_components, n_features)
        covariances : array-like
            Positive definite, in the shape of `covariances_`.
        covariance_type : str, default="full"
            As of the constructor.

        Returns
        -------
        GaussianMixture

        Raises
        ------
        ValueError
            If a parameter is invalid; the message names the component.
        """
        checked = mixture_arrays.checked_mixture(weights, means, covariances, covariance_type)
        parameters = Parameters.from_covariances(family(covariance_type).structure, *checked)
        model = cls(parameters.n_components, covariance_type=covariance_type)
        model._publish(
            attributes_of(parameters, checked[1].dtype, names=None) | history_of(None, n_rows=0)
        )
        return model

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: npt.ArrayLike | None = None,
        *,
        labels: Any = None,
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Estimate the mixture by EM.

        The object does not change until the fit is complete: if the fit fails or is interrupted,
        the object predicts as before. If an iteration was finished by then, the exception has an
        attribute ``model``: a fitted mixture, from which ``warm_start`` continues.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or a source
            Also pandas, polars and Arrow tables, paths of .npy, CSV, Parquet and Arrow files (or a
            list of these, a folder, a pattern, a URL), callables and re-iterables that yield chunks
            of rows, and what `fastgmm.open_source` returns.
        y : Ignored
            Here for scikit-learn's convention.
        sample_weight : array-like of shape (n_samples,), optional
            Weight of each row: 0 leaves it out, 2 is the same as repeating it.
        labels : array-like of shape (n_samples,), optional
            The class of each row, where it is known: integers, strings or booleans, and -1, None,
            NaN or NA where it is not. A labelled row belongs to the components of its class. Rows
            opened with ``fastgmm.open_source(..., label="species")`` have theirs. See
            docs/labels.md.
        checkpoint : str or path-like, optional
            File that keeps the state of the fit, besides the state before it in
            ``<checkpoint>.previous``. It is written between passes, in at most 2% of the time.
            After the process was killed, the same call continues from there, with the same result
            to the last bit as a fit without interruption; after the end, it returns the finished
            fit. To fit anew, delete both files.

        Returns
        -------
        GaussianMixture
            The fitted object itself.

        Raises
        ------
        CheckpointError
            If the checkpoint is of other rows or other arguments (the message says which), or if
            both files are damaged.
        DataError
            If a row has a number that is not finite; the message names row and column.
        DegenerateCovarianceError
            If a covariance collapses in every start.

        Warns
        -----
        CheckpointWarning
            If a checkpoint cannot be written, as on a full disk; the fit continues. Also if the
            newest checkpoint is damaged and the one before it is used.
        ConvergenceWarning
            If the best start did not converge in `max_iter` passes.
        DegenerateComponentWarning
            If a component ends singular but for `reg_covar`; if, without a prior, it ends with no
            row or one row; or if a feature is constant or has less variance than `reg_covar` adds.
            The message names them and says what to do. Unless you gave the start, such a component
            is first moved elsewhere if that raises `lower_bound_`.
        """
        with fitted_once(self):
            _, attributes = self._fitted(X, y, sample_weight, checkpoint, labels=labels)
        self._publish(attributes)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def fit_predict(
        self,
        X: Any,
        y: Any = None,
        sample_weight: npt.ArrayLike | None = None,
        *,
        labels: Any = None,
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> npt.NDArray[np.int64]:
        """Estimate the mixture by EM and return the most probable component of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or a source
            As for `fit`.
        y : Ignored
            Here for scikit-learn's convention.
        sample_weight : array-like of shape (n_samples,), optional
            Weight of each row in the fit.
        labels : array-like of shape (n_samples,), optional
            As for `fit`; what is returned is the most probable component of labelled rows, too.
        checkpoint : str or path-like, optional
            As for `fit`.

        Returns
        -------
        ndarray of shape (n_samples,)
            What `predict` returns after `fit`.
        """
        with fitted_once(self):
            source, attributes = self._fitted(X, y, sample_weight, checkpoint, labels=labels)
        found = passes.labels(source, truncations.seen(self, self._known(attributes)))
        self._publish(attributes)
        return found

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self, X: Any, y: Any = None, sample_weight: npt.ArrayLike | None = None
    ) -> Self:
        """Update the mixture with more rows, and gradually forget earlier ones.

        Stepwise EM: earlier rows are remembered by their sufficient statistics, which fade as rows
        arrive. The step depends on the weight of the rows only, so the size of batches does not
        matter. The first rows are kept until they are as many as components, and fitted then; up to
        40 per free parameter or 128 MB of them are kept longer and fitted again as more arrive (a
        pickle contains these rows, a saved file does not).
        After `fit`, `load` or `from_parameters` it continues from there, and the mixture counts as
        much as the rows it was fitted to (one made from parameters, as 100 rows per component and
        feature). Steps are not averaged: with the default `step_power` they count nearly all rows
        equally, as averaging would.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or a source
            As for `fit`, of any number of rows; a large batch is split into steps of a tenth of the
            rows before it.
        y : Ignored
            Here for scikit-learn's convention.
        sample_weight : array-like of shape (n_samples,), optional
            Weight of each row.

        Returns
        -------
        GaussianMixture
            The object itself. `lower_bounds_` has the mean log-likelihood of the rows of each step
            before the step, and `n_iter_` the number of steps in this call; `converged_` is False
            after the first fit. Before that, `n_rows_` is the number of rows that are kept, and
            `predict` says how many are missing.

        Raises
        ------
        ValueError
            If the rows have other features than before.
        DataError
            If a row has a number that is not finite; the mixture is then unchanged.

        Warns
        -----
        UserWarning
            If there are no rows, so that nothing is learned.

        References
        ----------
        Cappé, O. and Moulines, E. (2009), On-line expectation-maximization algorithm for latent
        data models, Journal of the Royal Statistical Society B 71, 593-613, equation 15.
        """
        truncations.check(self)
        factored.check(self)
        factored.demand_matrices(
            self, "partial_fit", "fit the rows as chunks or files, or take covariance_type='ppca'"
        )
        with fitted_once(self):
            attributes = partial_fit.learned(self, X, sample_weight, self._begun)
        self._publish(attributes)
        return self

    def _begun(self, X: Any, sample_weight: Any, is_first: bool) -> dict[str, Any]:
        """Fit anew to the first rows; of too few of them, nothing is said yet."""
        if self.responsibilities_init is not None:
            raise ValueError(
                "responsibilities_init is for all rows of a fit, and partial_fit begins with those "
                "that come first; fit these, and go on with partial_fit"
            )
        return self._fitted(X, sample_weight=sample_weight, is_silent=is_first)[1]

    def _rule(self, attributes: Mapping[str, Any], reg_covar: float | Array) -> em.UpdateRule:
        """Return the rule of a fit with these attributes, for rows that go on from there."""
        prior = priors.again(self.prior, attributes)
        rule = em.Maximisation(family_of(self), reg_covar, prior)
        if "noise_log_volume_" in attributes:
            return em.Noise(rule, float(attributes["noise_log_volume_"]))
        return kept_by(rule, fixed_of(self))

    def _parameters(self) -> Parameters:
        """Return the mixture as passes are to see it."""
        return truncations.seen(self, super()._parameters())

    def _n_parameters(self) -> int:
        """Count the free parameters of the model."""
        fixed = fixed_of(self)
        if fixed is None:
            return super()._n_parameters() + noises.n_parameters(self)
        return fixed.n_free(family_of(self), len(self.means_[0]))

    def _beyond(self, *_: Any) -> dict[str, Any]:
        """Return nothing: all that `partial_fit` finds is any mixture's."""
        return {}

    def aic(self, X: Any, sample_weight: npt.ArrayLike | None = None, labels: Any = None) -> float:
        """Akaike's information criterion on the rows of X; the lower the better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or a source
        sample_weight : array-like of shape (n_samples,), optional
            Weight of each row.
        labels : array-like of shape (n_samples,), optional
            Classes of `classes_`, as for `fit`: the likelihood is then that of rows and labels.

        Returns
        -------
        float

        Raises
        ------
        DataError
            If labels hold a class that the fit did not know.

        Warns
        -----
        WeightsWarning
            If the weights sum to less than the number of rows.
        """
        return self._criterion("aic", X, sample_weight, labels)

    def bic(self, X: Any, sample_weight: npt.ArrayLike | None = None, labels: Any = None) -> float:
        """Bayesian information criterion on the rows of X; the lower the better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or a source
        sample_weight : array-like of shape (n_samples,), optional
            Weight of each row; their sum replaces the number of rows.
        labels : array-like of shape (n_samples,), optional
            As for `aic`.

        Returns
        -------
        float

        Raises
        ------
        DataError
            If labels hold a class that the fit did not know.

        Warns
        -----
        WeightsWarning
            If the weights sum to less than the number of rows.
        """
        return self._criterion("bic", X, sample_weight, labels)

    def _totals(self, source: Source, parameters: Parameters, labels: Any = None) -> Totals:
        """Sum what AIC and BIC need over the rows, and over what is known of their classes."""
        names = vars(self).get("classes_")
        if names is None:
            if labels is not None:
                raise DataError("labels are for a model that was fitted with labels")
            return super()._totals(source, parameters)
        labelled = self._labelled(source, numbered(labels, names, source))
        if labelled is None:
            return super()._totals(source, parameters)
        (found,) = labelled.statistics([parameters])
        found.check_weight()
        return Totals(found.log_likelihood, math.nan, found.row_weight, found.n_rows, None)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to a file that `fastgmm.load` reads.

        The file holds arrays and a header, no pickle, and replaces an older file atomically. A
        `random_state` that is not an integer and `responsibilities_init` are not kept.

        Parameters
        ----------
        path : str or path-like
        """
        self._parameters()
        model_file.save(self, path)

    def _fitted(
        self,
        X: Any,
        y: Any = None,
        sample_weight: npt.ArrayLike | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        is_silent: bool = False,
        labels: Any = None,
    ) -> tuple[Source, dict[str, Any]]:
        """Fit, and return the rows and the attributes to publish."""
        rows = inputs.to_fit(self, X, y, sample_weight, self.n_components)
        if labels is not None and not hasattr(self, "components_per_class"):
            raise DataError(
                f"{type(self).__name__} takes no labels; fit a GaussianMixture to these"
            )
        classes = classes_of(labels, rows.source)
        if classes is not None:
            factored.demand_matrices(self, "labels", "take covariance_type='ppca' or 'diag'")
            demand_components(classes, self.components_per_class, self.n_components)
            if noises.is_asked_for(self):
                raise DataError(
                    "labels are for normal components and no noise; leave one of these out"
                )
            if self.missing == "em":
                raise DataError(
                    "labelled rows are summed once, before their missing values can be expected; "
                    "leave out labels or missing='em'"
                )
        plan = self._plan(rows, classes, is_silent)
        return rows.source, fitting.fit(plan, rows, checkpoint)

    def _plan(self, rows: inputs.Rows, classes: Classes | None, is_silent: bool) -> fitting.Plan:
        """Say how to fit to some rows."""
        factored.check(self, rows.source.n_features)
        start = start_of(self, rows.source.n_features, may_be_warm=not is_silent)
        noises.check(self)
        truncations.check(self, classes is not None)
        may_have_factors = "n_factors" in self._get_param_names()
        one = memory.Mixture(self.n_components, family_of(self), may_have_factors)
        n_starts = start.n_starts + (classes is not None)
        return fitting.Plan(
            self,
            mixtures=[one] * n_starts,
            start=start.method,
            needs_sample=start.is_drawn
            or isinstance(self.prior, ConjugatePrior)
            or noises.has_box(self),
            settings=lambda: start.settings() | {"labels": classes_said(classes)},
            begin=partial(self._begin, start, classes),
            is_silent=is_silent,
        )

    def _begin(self, start: Start, classes: Classes | None, prepared: Prepared) -> Climb:
        """Return the climb of EM from a start."""
        known, added = family_of(self), prepared.reg_covar
        prior = fixed_prior(self.prior, known, self.n_components, prepared.sample, added)
        rule = em.Maximisation(known, added, prior)
        start = start._replace(around=self._around(prepared))
        labelled = self._labelled(prepared.rows.source, classes)
        moment = start.moment(rule, prepared, labelled)
        stopping = em.Stopping(self.tol, self.max_iter, self.stopping)
        verbose = Verbose(self.verbose, self.verbose_interval, len(moment.states))
        if labelled is not None and classes is not None:
            return LabelledClimb(labelled, classes.names, moment, prepared, stopping, verbose)
        may_repair = start.is_ours and not factored.is_factored(self)  # which moves matrices
        bound = truncations.bound_of(self)
        return Climb(moment, prepared, stopping, verbose, may_repair, start.strengths, bound)

    def _around(self, prepared: Prepared) -> Around | None:
        """Return what makes the rule of a fit of that of normal components, if it is another."""
        volume = noises.log_volume_of(self, prepared)
        return None if volume is None else partial(em.Noise, log_volume=volume)

    def _labelled(self, source: Source, classes: Classes | None) -> LabelledRows | None:
        """Return rows with their classes; None where no class is known."""
        if classes is None:
            return None
        structure, n_classes = family_of(self).structure, len(classes.names)
        return LabelledRows(source, classes.labels, n_classes, self.components_per_class, structure)
