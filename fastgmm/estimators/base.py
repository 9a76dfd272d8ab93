"""The base class of the estimators: what a fitted mixture can do, and how it is published."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.callback import CallbackSupportMixin
from sklearn.exceptions import NotFittedError
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from fastgmm import passes
from fastgmm.errors import warn
from fastgmm.estimators import criteria, partial_fit, pickling
from fastgmm.estimators.factored import family_of
from fastgmm.estimators.fitted_attributes import FITTED, is_fitted, parameters_of
from fastgmm.estimators.validation import constructor, inputs
from fastgmm.estimators.validation import random_state as random_states
from fastgmm.mixture import sampling
from fastgmm.mixture.parameters import Parameters
from fastgmm.passes import quantiles
from fastgmm.passes.scores import Totals
from fastgmm.sources import Source


class Mixture(CallbackSupportMixin, DensityMixin, BaseEstimator):
    """A mixture whose public attributes are the model.

    Every method reads them anew, so a model whose attributes were set by hand works as well.
    """

    covariance_type: str
    missing: str
    random_state: random_states.RandomState
    _fitted_names: tuple[str, ...] = FITTED  # of the attributes that a fit replaces
    _numbers: tuple[str, ...] = ()  # of those beyond any mixture's that a model file keeps

    def predict(self, X: Any) -> npt.NDArray[np.int64]:
        """Most probable component of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or a source
            As for `fit`; read block by block.

        Returns
        -------
        ndarray of shape (n_samples,)
            Of rows that are noise, -1.
        """
        return passes.labels(*self._scoring(X))

    def predict_proba(self, X: Any) -> npt.NDArray[np.floating]:
        """Probability of each component for each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or a source
            As for `fit`; read block by block.

        Returns
        -------
        ndarray of shape (n_samples, n_components), with noise (n_samples, n_components + 1)
            Each row sums to 1. The last column is that of noise, so that labels index the columns,
            -1 among them.
        """
        return passes.responsibilities(*self._scoring(X))

    def score_samples(self, X: Any) -> npt.NDArray[np.floating]:
        """Log-likelihood of each row under the fitted mixture.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or a source
            As for `fit`; read block by block.

        Returns
        -------
        ndarray of shape (n_samples,)
            Natural logarithm of the density per unit volume of the feature space. With noise, its
            density is added everywhere, also outside of its box, where it is none: there the
            numbers rank rows, and do not integrate to 1.
        """
        return passes.log_likelihoods(*self._scoring(X))

    def score(self, X: Any, y: Any = None, sample_weight: npt.ArrayLike | None = None) -> float:
        """Mean log-likelihood per row under the fitted mixture.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or a source
            As for `fit`; read block by block, so memory does not grow with it.
        y : Ignored
            Here for scikit-learn's convention.
        sample_weight : array-like of shape (n_samples,), optional
            Weight of each row.

        Returns
        -------
        float
            Natural logarithm of the density per unit volume of the feature space.
        """
        totals = criteria.totals_of(*self._scoring(X, sample_weight))
        return totals.log_likelihood / totals.row_weight

    def threshold(
        self,
        X: Any,
        contamination: float = 0.01,
        sample_weight: npt.ArrayLike | None = None,
    ) -> float:
        """Log density below which a given fraction of the rows lies: the outliers.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or a source
            As for `fit`. Read in bounded memory: once for up to 2 million rows, otherwise mostly
            twice and at most five times.
        contamination : float, default=0.01
            Fraction of the rows, above 0 and below 1.
        sample_weight : array-like of shape (n_samples,), optional
            Weight of each row.

        Returns
        -------
        float
            Exact, not estimated from a sample. Without weights it is
            ``np.quantile(self.score_samples(X), contamination)`` in double precision, interpolated
            between two rows, and ``score_samples(X) < threshold`` marks that fraction. With
            weights it is the same with ``weights=sample_weight, method="inverted_cdf"``, the only
            method for which NumPy defines weights: the lowest log density of a row with at least
            that fraction of the weight at or below it. Rows that tie with it are on its side.

        Raises
        ------
        ValueError
            If `contamination` is not between 0 and 1.

        Examples
        --------
        >>> import numpy as np
        >>> from fastgmm import GaussianMixture
        >>> X = np.random.default_rng(0).normal(size=(1000, 2))
        >>> model = GaussianMixture(1, random_state=0).fit(X)
        >>> int((model.score_samples(X) < model.threshold(X, 0.02)).sum())
        20
        """
        quantiles.check_share(contamination)
        return quantiles.threshold(*self._scoring(X, sample_weight), float(contamination))

    def sample(self, n_samples: int = 1) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        """Draw rows from the fitted mixture, ordered by component; of noise, none.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
        y : ndarray of shape (n_samples,)
            The component of each row.

        Raises
        ------
        ValueError
            If `n_samples` is no whole number, less than 1, or more than any array holds.
        MemoryError
            If so many rows do not fit in memory; draw them in pieces.
        """
        parameters = self._parameters()
        n_rows = constructor.checked_count("n_samples", n_samples, parameters.n_features)
        return sampling.sample(parameters, n_rows, random_states.legacy_state(self.random_state))

    @classmethod
    @functools.cache
    def _get_param_names(cls) -> list[str]:
        """Read the constructor's signature once, which saves 40 of a tiny fit's 3000 us."""
        return super()._get_param_names()

    def _validate_params(self) -> None:
        """Check the parameters; scikit-learn calls this at the start of a fit."""
        constructor.check_all(type(self), self.get_params(deep=False))

    def __getstate__(self) -> dict[str, Any]:
        """Add the version of fastgmm to what is pickled."""
        return pickling.stamped(super().__getstate__())

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a pickle, and warn if another fastgmm wrote it."""
        super().__setstate__(pickling.checked(state, type(self).__name__))

    def __sklearn_tags__(self) -> Tags:
        """Say that values may be missing, where they may."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.missing == "em"
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        """Whether the attributes of a mixture are set."""
        return is_fitted(vars(self))

    def _publish(self, attributes: dict[str, Any]) -> None:
        """Replace all fitted attributes in one assignment, so other threads see old or new."""
        own = frozenset(self._fitted_names)  # the others are of other estimators
        kept = {name: value for name, value in vars(self).items() if name not in own}
        self.__dict__ = kept | {name: value for name, value in attributes.items() if name in own}

    def _parameters(self) -> Parameters:
        if (said := partial_fit.missing(self)) is not None:
            raise NotFittedError(said)
        check_is_fitted(self)
        # fit replaces the whole dictionary, so that another thread's fit cannot tear these apart
        return self._known(vars(self))

    def _known(self, attributes: Mapping[str, Any]) -> Parameters:
        """Return the mixture that fitted attributes stand for."""
        return parameters_of(attributes, self.covariance_type)

    def _scoring(
        self, X: Any, sample_weight: npt.ArrayLike | None = None
    ) -> tuple[Source, Parameters]:
        parameters = self._parameters()
        return inputs.to_score(self, X, sample_weight, parameters.n_features), parameters


class LikelihoodMixture(Mixture):
    """A mixture of highest likelihood, which is judged by criteria that subtract a penalty."""

    def aic(self, X: Any, sample_weight: npt.ArrayLike | None = None) -> float:
        """Akaike's information criterion on the rows of X; the lower the better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or a source
        sample_weight : array-like of shape (n_samples,), optional
            Weight of each row.

        Returns
        -------
        float

        Warns
        -----
        WeightsWarning
            If the weights sum to less than the number of rows.
        """
        return self._criterion("aic", X, sample_weight)

    def bic(self, X: Any, sample_weight: npt.ArrayLike | None = None) -> float:
        """Bayesian information criterion on the rows of X; the lower the better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or a source
        sample_weight : array-like of shape (n_samples,), optional
            Weight of each row; their sum replaces the number of rows.

        Returns
        -------
        float

        Warns
        -----
        WeightsWarning
            If the weights sum to less than the number of rows.
        """
        return self._criterion("bic", X, sample_weight)

    def icl(self, X: Any, sample_weight: npt.ArrayLike | None = None) -> float:
        """Integrated completed likelihood criterion on the rows of X; the lower the better.

        BIC minus twice the summed log probability of each row's likeliest component, a penalty on
        rows that lie between components (Biernacki, Celeux and Govaert 2000; R's mclust has the
        opposite sign).

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or a source
            Read once, block by block.
        sample_weight : array-like of shape (n_samples,), optional
            Weight of each row; their sum replaces the number of rows.

        Returns
        -------
        float

        Warns
        -----
        WeightsWarning
            If the weights sum to less than the number of rows.
        """
        return self._criterion("icl", X, sample_weight)

    def _criterion(
        self, name: str, X: Any, sample_weight: npt.ArrayLike | None, labels: Any = None
    ) -> float:
        source, parameters = self._scoring(X, sample_weight)
        if name == "icl":
            totals = criteria.totals_of(source, parameters, certainty=True)
        else:
            totals = self._totals(source, parameters, labels)
        warning = criteria.weights_warning(name, totals.row_weight, totals.n_rows)
        if warning is not None:
            warn(warning)
        return criteria.named(name)(totals, self._n_parameters())

    def _totals(self, source: Source, parameters: Parameters, labels: Any = None) -> Totals:
        """Sum what AIC and BIC need over the rows."""
        return criteria.totals_of(source, parameters)

    def _n_parameters(self) -> int:
        """Count the free parameters of the model."""
        return family_of(self).n_parameters(*np.shape(self.means_))
