"""fastgmm.GaussianMixture: scikit-learn's estimator, on our own engine."""

from __future__ import annotations

import os
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import _fit_context
from sklearn.utils.metadata_routing import UNUSED

from fastgmm import em, passes
from fastgmm.covariance import family
from fastgmm.estimators import fitting, model_file, partial_fit
from fastgmm.estimators.base import Mixture
from fastgmm.estimators.callbacks import Verbose
from fastgmm.estimators.climb import Climb, Prepared
from fastgmm.estimators.fit_guards import fitted_once
from fastgmm.estimators.fitted_attributes import attributes_of, history_of, parameters_of
from fastgmm.estimators.starting_states import Start, start_of
from fastgmm.estimators.validation import constructor, inputs, memory, mixture_arrays
from fastgmm.estimators.validation.random_state import RandomState
from fastgmm.mixture.parameters import Parameters
from fastgmm.sources import Source


@model_file.register
class GaussianMixture(Mixture):
    """Gaussian mixture, fitted by EM: a drop-in for scikit-learn's.

    Parameters
    ----------
    n_components : int, default=1
        Number of components.
    covariance_type : {"full", "tied", "diag", "spherical"}, default="full"
        "full": every component has a covariance matrix of its own; "tied": all share one;
        "diag": every component has a variance for each feature; "spherical": every component
        has one variance.
    tol : float, default=1e-7
        EM stops when the mean log-likelihood of a row changes by less. scikit-learn's default is
        1e-3, which stops long before EM has found a cluster a hundredth of its neighbour: see
        docs/convergence.md.
    stopping : {"change", "aitken"}, default="change"
        What `tol` bounds. "change": the change in the last pass, as in scikit-learn; "aitken": the
        distance that is left to the limit, estimated from the last four passes. Where EM is slow,
        the distance is many times the change.
    reg_covar : float, default=1e-6
        Added to every variance, in the square of the data's unit.
    reg_covar_relative : bool, default=False
        Whether `reg_covar` is a part of each feature's variance instead, so that the result does
        not depend on the units of the features. The variances are those of a sample of the rows,
        all of them up to 50 000; with "spherical", their mean counts. A constant feature, which
        has no scale, is given `reg_covar` itself.
    max_iter : int, default=1000
        Most passes of EM over the rows; 0 keeps the start.
    acceleration : {"auto", "squarem"} or None, default="auto"
        Extrapolate EM steps. An extrapolation that does not raise the likelihood is rejected; its
        pass still counts in `n_iter_`. "auto" switches to SQUAREM when EM gains less than 1e-6 per
        pass and is expected to need 20 more; user-given and warm starts use plain EM. See
        docs/convergence.md.
    n_init : int, default=1
        Number of starts. They advance in shared passes over the rows, and the one of highest
        likelihood is kept; one whose covariance collapses is left out unless all do.
    init_params : {"auto", "kmeans", "k-means++", "random", "random_from_data"}, default="auto"
        How to start. "auto": from the best of several kinds of clusters, after short runs of EM
        on a sample; "kmeans": from the clusters of k-means; "k-means++": from the rows that
        k-means++ chooses; "random_from_data": from rows chosen at random; "random": from random
        responsibilities.
    weights_init : array-like of shape (n_components,), optional
        Weights to start from, instead of those of `init_params`.
    means_init : array-like of shape (n_components, n_features), optional
        Means to start from.
    precisions_init : array-like, optional
        Inverses of the covariances to start from, in the shape of `precisions_`.
    random_state : int, RandomState, Generator, SeedSequence or None, default=None
        Where the random numbers of starts and of `sample` come from. The same seed gives the
        same bits.
    warm_start : bool, default=False
        Whether `fit` goes on from where the last one ended, also with rows of another dtype, which
        then is the model's; `n_init` does not count.
    step_power : float, default=0.9
        How fast `partial_fit` forgets: the row that is the t-th by weight takes a step of
        ``t ** -step_power``. 1 counts all rows alike; the smaller, down to 0.5 (excluded), the
        sooner drifting data are followed, and the noisier the mixture.
    verbose : int, default=0
        1 prints the passes, 2 their time and gain, too.
    verbose_interval : int, default=10
        Number of passes between two prints.

    Attributes
    ----------
    weights_ : ndarray of shape (n_components,)
        Weight of each component; their sum is 1.
    means_ : ndarray of shape (n_components, n_features)
    covariances_ : ndarray
        In a shape that follows `covariance_type`: "full" (n_components, n_features, n_features),
        "tied" (n_features, n_features), "diag" (n_components, n_features), "spherical"
        (n_components,).
    precisions_ : ndarray
        Inverses of the covariances, in the same shape.
    precisions_cholesky_ : ndarray
        Factors U of the precisions U U', in the same shape.
    converged_ : bool
        Whether EM stopped because of `tol`.
    n_iter_ : int
        Number of passes of the best start, those that an acceleration made in vain included.
    lower_bound_ : float
        Mean log-likelihood of a row in the last pass.
    lower_bounds_ : list of float
        The same, for every pass; one made in vain repeats the bound before.
    n_rows_ : int
        Number of rows of positive weight in the fit, or in all calls of `partial_fit`.
    row_weight_ : float
        Sum of their weights.
    n_features_in_ : int
        Number of features of the rows.
    feature_names_in_ : ndarray of str
        Names of the features, where the rows had them.

    Notes
    -----
    X is read block by block in every method, and no array of n_samples x n_components is made but
    the result of `predict_proba`. Results have the same bits whatever the number of threads,
    the memory order of an array and the chunks of a file.

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

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance_type: str = "full",
        tol: float = em.TOLERANCE,
        stopping: str = "change",
        reg_covar: float = 1e-6,
        reg_covar_relative: bool = False,
        max_iter: int = em.MAX_PASSES,
        acceleration: str | None = "auto",
        n_init: int = 1,
        init_params: str = "auto",
        weights_init: npt.ArrayLike | None = None,
        means_init: npt.ArrayLike | None = None,
        precisions_init: npt.ArrayLike | None = None,
        random_state: RandomState = None,
        warm_start: bool = False,
        step_power: float = 0.9,
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
        self.weights_init = weights_init
        self.means_init = means_init
        self.precisions_init = precisions_init
        self.random_state = random_state
        self.warm_start = warm_start
        self.step_power = step_power
        self.verbose = verbose
        self.verbose_interval = verbose_interval

    @classmethod
    def from_parameters(
        cls,
        weights: npt.ArrayLike,
        means: npt.ArrayLike,
        covariances: npt.ArrayLike,
        *,
        covariance_type: str = "full",
    ) -> Self:
        """Make a mixture that is ready to score and to sample, without a fit.

        Parameters
        ----------
        weights : array-like of shape (n_components,)
            From 0 to 1, of sum 1.
        means : array-like of shape (n_components, n_features)
        covariances : array-like
            Positive definite, in the shape of `covariances_`.
        covariance_type : {"full", "tied", "diag", "spherical"}, default="full"

        Returns
        -------
        GaussianMixture

        Raises
        ------
        ValueError
            If a value does not fit; the message names the component.
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
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Estimate the mixture by EM.

        Nothing of the object changes until the fit is complete: where it fails or is interrupted,
        the object predicts as before. If an iteration was finished by then, whatever was raised
        has an attribute ``model``: a fitted mixture, which ``warm_start`` goes on from.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or a source
            Also pandas, polars and Arrow tables, paths of .npy, CSV, Parquet and Arrow files,
            callables and re-iterables that give chunks of rows, and what
            `fastgmm.open_source` returns.
        y : Ignored
            Here for scikit-learn's convention.
        sample_weight : array-like of shape (n_samples,), optional
            How often each row counts: 0 is the same as leaving it out, 2 as writing it twice.
        checkpoint : str or path-like, optional
            A file to keep the state of the fit in, beside the one before it,
            ``<checkpoint>.previous``. It is written between passes, as often as that takes no
            more than 2% of the time. The same call, after the process was killed, goes on from
            there and ends with the bits of a fit that was not disturbed; after the end, it
            returns the finished fit. To fit anew, delete both files.

        Returns
        -------
        GaussianMixture
            The fitted object itself.

        Raises
        ------
        CheckpointError
            If the checkpoint is of other rows or other arguments (it says which), or damaged
            together with the one before it.
        DataError
            If a row is not of finite numbers; it is named.
        DegenerateCovarianceError
            If a covariance collapses in every start.

        Warns
        -----
        CheckpointWarning
            If a checkpoint cannot be written, as on a full disk; the fit goes on. Also if the
            newest checkpoint is damaged, and the one before it is used.
        DegenerateComponentWarning
            If a component ends without rows, with one, or without a variance of its own in some
            direction, or if a feature is constant or smaller than `reg_covar` shows: it names
            them, and the way out. Such a component of a start of our own is first put elsewhere,
            where that raises the likelihood.
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
        """Estimate the mixture by EM, and return the most probable component of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or a source
            As for `fit`.
        y : Ignored
            Here for scikit-learn's convention.
        sample_weight : array-like of shape (n_samples,), optional
            How often each row counts in the fit.
        checkpoint : str or path-like, optional
            As for `fit`.

        Returns
        -------
        ndarray of shape (n_samples,)
            What `predict` returns after `fit`.
        """
        with fitted_once(self):
            source, attributes = self._fitted(X, y, sample_weight, checkpoint)
        labels = passes.labels(source, parameters_of(attributes, self.covariance_type))
        self._publish(attributes)
        return labels

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self, X: Any, y: Any = None, sample_weight: npt.ArrayLike | None = None
    ) -> Self:
        """Learn from more rows, and forget those before little by little.

        Stepwise EM: what is remembered of the rows before are their sufficient statistics, which
        fade as rows arrive. The step follows from the weight of the rows alone, so that the size of
        batches does not matter. The first call is a fit; the first rows, up to 40 a free parameter
        or 128 MB, are kept, and fitted again as they become more (a pickle keeps these rows, a
        saved file does not). After `fit`, `load` or `from_parameters` it goes on from there, and
        the mixture counts as the weight of the rows it was fitted to (one made from parameters, as
        100 rows a component and feature). Steps are not averaged: with the default `step_power`
        they count nearly all rows alike, as averaging would.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or a source
            As for `fit`; a large batch is learned from in steps of a tenth of the rows before.
            In the first call at least as many rows as components.
        y : Ignored
            Here for scikit-learn's convention.
        sample_weight : array-like of shape (n_samples,), optional
            How often each row counts.

        Returns
        -------
        GaussianMixture
            The object itself. `lower_bounds_` has the mean log-likelihood of the rows of every
            step before it was taken, `n_iter_` the number of steps in this call; `converged_` is
            false after the first call.

        Raises
        ------
        ValueError
            If the rows have other features than before, or the first are fewer than components.
        DataError
            If a row is not of finite numbers; nothing has been learned then.

        References
        ----------
        Cappé, O. and Moulines, E. (2009), On-line expectation-maximization algorithm for latent
        data models, Journal of the Royal Statistical Society B 71, 593-613, equation 15.
        """
        with fitted_once(self):
            attributes = partial_fit.learned(self, X, sample_weight, self._begun)
        self._publish(attributes)
        return self

    def _begun(self, X: Any, sample_weight: Any, is_first: bool) -> dict[str, Any]:
        """Fit anew to the first rows; of too few of them, nothing is said yet."""
        return self._fitted(X, sample_weight=sample_weight, is_silent=is_first)[1]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to a file that `fastgmm.load` reads.

        It holds numbers and a header, no pickle, and replaces an older file in one stroke. A
        `random_state` that is not a seed is not kept.

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
    ) -> tuple[Source, dict[str, Any]]:
        """Fit, and return the rows and the attributes to publish."""
        rows = inputs.to_fit(self, X, y, sample_weight, self.n_components)
        return rows.source, fitting.fit(self._plan(rows, is_silent), rows, checkpoint)

    def _plan(self, rows: inputs.Rows, is_silent: bool) -> fitting.Plan:
        """Say how to fit to some rows."""
        start = start_of(self, rows.source.n_features, may_be_warm=not is_silent)
        one = memory.Mixture(self.n_components, family(self.covariance_type))
        return fitting.Plan(
            self,
            mixtures=[one] * start.n_starts,
            start=start.method,
            needs_sample=start.is_drawn,
            settings=start.settings,
            begin=partial(self._begin, start),
            is_silent=is_silent,
        )

    def _begin(self, start: Start, prepared: Prepared) -> Climb:
        """Return the climb of EM from a start."""
        rule = em.MaximumLikelihood(family(self.covariance_type), prepared.reg_covar)
        moment = start.moment(rule, prepared)
        stopping = em.Stopping(self.tol, self.max_iter, self.stopping)
        verbose = Verbose(self.verbose, self.verbose_interval, len(moment.states))
        return Climb(moment, prepared, stopping, verbose, may_repair=start.is_ours)
