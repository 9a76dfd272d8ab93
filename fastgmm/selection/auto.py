"""AutoGaussianMixture, which chooses its number of components, and the function `select`."""

from __future__ import annotations

import os
from collections.abc import Collection
from functools import partial
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import _fit_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.metadata_routing import UNUSED
from sklearn.utils.validation import check_is_fitted

from fastgmm import em
from fastgmm.covariance import ALL, Family, called, family
from fastgmm.estimators import fitting, priors
from fastgmm.estimators.base import LikelihoodMixture
from fastgmm.estimators.climb import Concluded
from fastgmm.estimators.criteria import weights_warning
from fastgmm.estimators.fit_guards import fitted_once
from fastgmm.estimators.fitted_attributes import FITTED, parameters_of
from fastgmm.estimators.gaussian_mixture import GaussianMixture
from fastgmm.estimators.priors import ConjugatePrior
from fastgmm.estimators.validation import constructor, inputs, memory
from fastgmm.estimators.validation.random_state import RandomState
from fastgmm.mixture.parameters import Parameters
from fastgmm.passes.folds import N_FOLDS
from fastgmm.selection import evidence, held_out, sweep
from fastgmm.selection.candidate import Candidate
from fastgmm.selection.evidence import EVIDENCE
from fastgmm.selection.held_out import is_held_out
from fastgmm.selection.result import Selection, table_of

COUNTS = tuple(range(1, 21))
# Of the least charge between neighbours: 0.4 of the 38 nats that BIC charges for a component of two
# features at 300 000 rows.
TOLERANCE = 0.01
TYPES = ("full", "tied", "diag", "spherical")


class AutoGaussianMixture(LikelihoodMixture):
    """Gaussian mixture whose number of components and covariance type are chosen by a criterion.

    Parameters
    ----------
    n_components : int or sequence of int, default=1 to 20
        Numbers of components to try.
    covariance_type : str or sequence of str, default=("full", "tied", "diag", "spherical")
        Covariance types to try, see `GaussianMixture`; "all" is mclust's fourteen.
    criterion : {"bic", "aic", "icl", "held-out", "held-out-1se", "evidence"}, default="bic"
        The candidate with the lowest value is chosen, among those without collapsed components if
        there are any. A candidate that can no longer become the best is stopped early. For
        held-out rows and the evidence see `select`.
    tol : float, default=0.01
        How close to its limit a candidate has to come, as a fraction of the smallest penalty
        between neighbouring numbers of components. For BIC and p more parameters, EM stops within
        `tol` times p log(n) / 2 nats of the log-likelihood of all n rows; for held-out rows, too.
    stopping : {"change", "aitken"}, default="aitken"
        What `tol` bounds: the estimated distance to the limit ("aitken"), or the last change.
    reg_covar : float, default=1e-6
        Non-negative number added to each variance.
    reg_covar_relative : bool, default=False
        Whether `reg_covar` is a fraction of each feature's variance, see `GaussianMixture`.
    prior : "auto", float, ConjugatePrior or None, default="auto"
        What draws covariances together, see `GaussianMixture`. "auto" is chosen for each start, and
        0.1 rows where these are more than 4000 and 25 per parameter. The criteria take the
        log-likelihood without the prior, as Fraley and Raftery (2007) do.
    max_iter : int, default=1000
        Maximum number of EM passes over the rows.
    missing : {"error", "em"}, default="error"
        What a missing value is: an error, or to be expected, see `GaussianMixture`.
    random_state : int, RandomState, Generator, SeedSequence or None, default=None
        Controls the random numbers of the starts and of `sample`.

    Attributes
    ----------
    best_estimator_ : GaussianMixture
        The chosen mixture. Its attributes (`weights_` and so on) are also attributes here.
    selection_ : Selection
        Has the table of all candidates, and `plot`.
    n_components_ : int
        The chosen number of components.
    covariance_type_ : str
        The chosen covariance type.

    See Also
    --------
    select : The same search as a function.

    Examples
    --------
    >>> import numpy as np
    >>> from fastgmm import AutoGaussianMixture
    >>> rng = np.random.default_rng(0)
    >>> X = np.concatenate([rng.normal(size=(100, 2)), rng.normal(size=(100, 2)) + 9])
    >>> AutoGaussianMixture(n_components=range(1, 5), random_state=0).fit(X).n_components_
    2
    """

    __metadata_request__fit: ClassVar[dict[str, str]] = {"checkpoint": UNUSED}

    _fitted_names = (*FITTED, "best_estimator_", "selection_", "n_components_", "covariance_type_")
    _parameter_constraints: ClassVar[constructor.Constraints] = constructor.AUTO_GAUSSIAN_MIXTURE

    def __init__(
        self,
        n_components: int | Collection[int] = COUNTS,
        *,
        covariance_type: str | Collection[str] = TYPES,
        criterion: str = "bic",
        tol: float = TOLERANCE,
        stopping: str = "aitken",
        reg_covar: float = 1e-6,
        reg_covar_relative: bool = False,
        prior: float | str | ConjugatePrior | None = "auto",
        max_iter: int = em.MAX_PASSES,
        missing: str = "error",
        random_state: RandomState = None,
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type  # type: ignore[assignment]
        self.criterion = criterion
        self.tol = tol
        self.stopping = stopping
        self.reg_covar = reg_covar
        self.reg_covar_relative = reg_covar_relative
        self.prior = prior
        self.max_iter = max_iter
        self.missing = missing
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: npt.ArrayLike | None = None,
        *,
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Fit all candidates in shared passes over the rows, and keep the best.

        The object does not change until the search is complete. If it fails or is interrupted
        after an iteration, the exception has an attribute ``model``: the best mixture so far.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or a source
            As for `GaussianMixture.fit`. It is read once for the starts, as often as the slowest
            candidate needs passes, and once for the criteria; and a few more times if a curve
            dips. Held-out rows take two passes more.
        y : Ignored
            Here for scikit-learn's convention.
        sample_weight : array-like of shape (n_samples,), optional
            Weight of each row: 0 leaves it out, 2 is the same as repeating it, but for held-out
            rows: those that are equal may be in different folds.
        checkpoint : str or path-like, optional
            File that keeps the state of all candidates, from which the same call continues after
            a kill: see `GaussianMixture.fit`.

        Returns
        -------
        AutoGaussianMixture
            The fitted object itself.

        Raises
        ------
        CheckpointError
            If the checkpoint is of other rows or other arguments (the message says which), or if
            both files are damaged.

        Warns
        -----
        CheckpointWarning
            If a checkpoint cannot be written, or the one before the newest is used.
        DegenerateComponentWarning
            If components or features of the best candidate are degenerate, see
            `GaussianMixture.fit`.
        WeightsWarning
            If the weights sum to less than the number of rows, since the criterion takes their
            sum for that number.
        """
        counts, families = _counts(self.n_components), _families(self.covariance_type)
        is_held_out(self.criterion)  # or another that is known
        with fitted_once(self):
            rows = inputs.to_fit(self, X, y, sample_weight, counts[0])
            attributes = fitting.fit(self._plan(counts, families), rows, checkpoint)
        self._publish(attributes)
        return self

    def _plan(self, counts: list[int], families: list[Family]) -> fitting.Plan:
        """Say how to fit all candidates."""
        holds_out = is_held_out(self.criterion)
        n_fits = 1 + N_FOLDS if holds_out else 1
        begin = held_out.begin if holds_out else sweep.begin
        if self.criterion == EVIDENCE:
            return self._plan_of_evidence(counts, families)
        mixtures = [memory.Mixture(count, each) for each in families for count in counts]
        return fitting.Plan(
            self,
            mixtures=mixtures * n_fits,
            start="merged",
            needs_sample=True,
            settings=partial(self._settings, counts, families),
            begin=partial(begin, self, counts, families),
            conclude=self._conclude,
        )

    def _plan_of_evidence(self, counts: list[int], families: list[Family]) -> fitting.Plan:
        """Say how to fit all candidates by variational Bayes."""
        if self.prior != priors.AUTO:
            raise ValueError(
                f"criterion='evidence' fits BayesianGaussianMixture, and prior={self.prior!r} is "
                "of GaussianMixture; leave it out"
            )
        if self.max_iter == 0:
            raise ValueError(
                "max_iter=0 leaves criterion='evidence' nothing to choose by, since the bound is "
                "known after a pass; give max_iter a number from 1"
            )
        for each in families:
            if each.covariance_type not in constructor.CONJUGATE:
                raise ValueError(
                    constructor.no_conjugate(
                        "one of the covariance types for criterion='evidence'", each.covariance_type
                    )
                )
        mixtures = [memory.Mixture(count, each) for each in families for count in counts]
        return fitting.Plan(
            self,
            mixtures=mixtures * len(evidence.POWERS),
            start="auto",
            needs_sample=True,
            settings=partial(self._settings, counts, families),
            begin=partial(evidence.begin, self, counts, families),
            conclude=self._conclude_evidence,
        )

    def _conclude_evidence(self, found: evidence.Evidence) -> Concluded:
        """Choose the candidate of the highest bound, and say what may be wrong with it."""
        attributes, chosen, table = found.attributes(), found.chosen(), found.table()
        none = np.zeros(len(table["n_components"]), dtype=bool)
        attributes |= {
            "best_estimator_": chosen,
            "selection_": Selection(table, chosen, self.criterion, none),
        }
        warnings = [
            found._not_converged(found.best),
            weights_warning(self.criterion, attributes["row_weight_"], attributes["n_rows_"]),
            found._degenerate(found.best),
        ]
        return Concluded(attributes, warnings)

    def _conclude(self, found: sweep.Sweep) -> Concluded:
        """Choose the best candidate, and say what may be wrong with it."""
        candidates, best = found.candidates, found.chosen()
        attributes = best.attributes(found.rows)
        chosen = self._estimator(best, attributes, found.stopping.tolerance)
        collapsed = np.array([candidate.has_collapsed for candidate in candidates])
        n_rows, row_weight = attributes["n_rows_"], attributes["row_weight_"]
        counts_none = is_held_out(self.criterion)  # which is a mean, whatever the weights sum to
        warnings = [
            _unsure(best, found) if self.max_iter > 0 else None,
            None if counts_none else weights_warning(self.criterion, row_weight, n_rows),
            best.degenerate_warning(found.rows),
        ]
        attributes |= {
            "best_estimator_": chosen,
            "selection_": Selection(table_of(candidates), chosen, self.criterion, collapsed),
            "n_components_": best.n_components,
            "covariance_type_": best.family.covariance_type,
        }
        return Concluded(attributes, warnings)

    def _settings(self, counts: list[int], families: list[Family]) -> dict[str, Any]:
        """Return what the search depends on besides the rows."""
        return self.get_params(deep=False) | {
            "prior": priors.said(self.prior),
            "n_components": ", ".join(map(str, counts)),
            "covariance_type": ", ".join(each.covariance_type for each in families),
            "the start": "merged on a sample",
        }

    def _estimator(
        self, best: Candidate, attributes: dict[str, Any], tol: float
    ) -> GaussianMixture:
        """Return the best candidate as an estimator of its own."""
        model = GaussianMixture(
            best.n_components,
            covariance_type=best.family.covariance_type,
            tol=tol,
            stopping=self.stopping,
            reg_covar=self.reg_covar,
            reg_covar_relative=self.reg_covar_relative,
            prior=self.prior,
            max_iter=self.max_iter,
            acceleration=None,
            missing=self.missing,
            random_state=self.random_state,
        )
        model._publish(dict(attributes))
        return model

    def _parameters(self) -> Parameters:
        check_is_fitted(self)
        if not hasattr(self, "best_estimator_"):  # of a search that has not ended
            return parameters_of(vars(self), self.covariance_type_)
        found: Parameters = self.best_estimator_._parameters()
        return found

    def _n_parameters(self) -> int:
        return family(self.covariance_type_).n_parameters(*np.shape(self.means_))


def select(
    data: Any,
    n_components: int | Collection[int] = range(1, 21),
    covariance_type: str | Collection[str] = TYPES,
    criterion: str = "bic",
    random_state: RandomState = None,
    *,
    tol: float = TOLERANCE,
    stopping: str = "aitken",
    reg_covar: float = 1e-6,
    reg_covar_relative: bool = False,
    prior: float | str | ConjugatePrior | None = "auto",
    max_iter: int = em.MAX_PASSES,
    missing: str = "error",
    sample_weight: npt.ArrayLike | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
) -> Selection:
    """Fit mixtures of several sizes and covariance types, and choose by a criterion.

    Starts are made on a sample of the rows, by merging components of more. All candidates share
    each pass over the rows until they have converged or can no longer become the best. So the rows
    are read as often as the slowest candidate needs passes, plus twice for the sample and the
    criteria, plus a few times if a curve dips.

    Parameters
    ----------
    data : array-like of shape (n_samples, n_features), or a source
        As for `GaussianMixture.fit`: also tables, paths of files, and chunks.
    n_components : int or sequence of int, default=range(1, 21)
        Numbers of components to try.
    covariance_type : str or sequence of str, default=("full", "tied", "diag", "spherical")
        Covariance types to try, see `GaussianMixture`; "all" is mclust's fourteen.
    criterion : {"bic", "aic", "icl", "held-out", "held-out-1se", "evidence"}, default="bic"
        The candidate with the lowest value is chosen. AIC chooses most components; ICL fewest,
        since it also penalises rows that lie between components. Candidates with a component that
        has collapsed onto one row or onto equal values are passed over unless there are no others:
        the density of such a component is limited by `reg_covar` only.
        "held-out" fits every candidate without each of five folds as well, in the same passes, and
        chooses the highest mean log-likelihood of rows under the fits that have not seen them (of
        those that differ by less than EM's tolerance, the one with the fewest parameters);
        "held-out-1se" the fewest parameters within one standard error of that.
        "evidence" fits `BayesianGaussianMixture` with the weights from a Dirichlet distribution,
        where spare components cost something, and under three priors of the covariances: the
        default, one that expects the covariance of all rows, and one between. It chooses the fewest
        parameters within one nat of the highest lower bound of the evidence, a difference that is
        "not worth more than a bare mention" (Kass and Raftery 1995); the table has minus twice its
        total, on the scale of BIC.
    random_state : int, RandomState, Generator, SeedSequence or None, default=None
        Controls the random numbers of the starts. The same seed gives the same bits.
    tol : float, default=0.01
        How close to its limit a candidate has to come, as a fraction of the smallest penalty
        between neighbouring numbers of components: see `AutoGaussianMixture`.
    stopping : {"change", "aitken"}, default="aitken"
        What `tol` bounds: the estimated distance to the limit ("aitken"), or the last change.
    reg_covar, reg_covar_relative, prior, max_iter, missing
        As for `GaussianMixture`, for every candidate.
    sample_weight : array-like of shape (n_samples,), optional
        Weight of each row; their sum replaces the number of rows.
    checkpoint : str or path-like, optional
        File that keeps the state of all candidates: after a kill the same call continues from
        there, with the same result to the last bit. See `GaussianMixture.fit`.

    Returns
    -------
    Selection
        With `table`, `best_estimator_` and `plot()`.

    Raises
    ------
    ValueError
        If there is nothing to try, or a name is unknown; the message lists the known ones.
    DataError
        If a row has a number that is not finite; the message names row and column.
    CheckpointError
        If the checkpoint is of other rows or other arguments (the message says which), or if both
        files are damaged.

    Notes
    -----
    Within a covariance type no candidate has a lower log-likelihood than one with fewer components:
    a candidate that EM leaves below restarts from the smaller one with one component split, or has
    one of its components twice. Before the first pass the best is compared with what other default
    starts lead to, of as many components and of more, two of which are merged at a time.

    A tolerance per row does not work here: BIC charges p log(n) / 2n per row for p parameters,
    1.3e-4 for a component of two features at 300 000 rows. Candidates that are stopped early have
    lost even if they are ten times as far from their limit as estimated; the column `doubt` has the
    estimate. To draw complete curves, fit each number with `GaussianMixture`.

    Examples
    --------
    >>> import numpy as np
    >>> import fastgmm
    >>> rng = np.random.default_rng(0)
    >>> X = np.concatenate([rng.normal(size=(100, 2)), rng.normal(size=(100, 2)) + 9])
    >>> found = fastgmm.select(X, range(1, 5), "full", random_state=0)
    >>> found.best_estimator_.n_components
    2
    """
    chooser = AutoGaussianMixture(
        n_components,
        covariance_type=covariance_type,
        criterion=criterion,
        tol=tol,
        stopping=stopping,
        reg_covar=reg_covar,
        reg_covar_relative=reg_covar_relative,
        prior=prior,
        max_iter=max_iter,
        missing=missing,
        random_state=random_state,
    )
    return chooser.fit(data, sample_weight=sample_weight, checkpoint=checkpoint).selection_


def _counts(n_components: Any) -> list[int]:
    """Return the numbers of components to try, each once, in ascending order."""
    given: list[Any] = list(n_components) if hasattr(n_components, "__len__") else [n_components]
    if not given:
        raise ValueError("n_components is empty; give at least one number of components to try")
    for count in given:
        if isinstance(count, bool) or not isinstance(count, Integral) or int(count) < 1:
            raise ValueError(
                f"n_components holds {count!r}; numbers of components are whole, from 1"
            )
    return sorted({int(count) for count in given})


def _families(covariance_type: str | Collection[str]) -> list[Family]:
    """Return the families to try, each once, in the given order, and called as there."""
    given = [covariance_type] if isinstance(covariance_type, str) else list(covariance_type)
    if not given:
        raise ValueError("covariance_type is empty; give at least one covariance type to try")
    names = [
        each
        for name in given
        for each in ([kind.name for kind in ALL] if name == "all" else [name])
    ]
    found: dict[str, Family] = {}
    for name in names:
        found.setdefault(family(name).name, called(name))
    return list(found.values())


def _unsure(best: Candidate, found: sweep.Sweep) -> ConvergenceWarning | None:
    """Warn if the best, or one that may be better, did not converge."""

    def said(candidate: Candidate) -> str:
        kind = candidate.family.covariance_type
        return f"{candidate.n_components} components of covariance type {kind!r}"

    if not best.has_arrived:
        return ConvergenceWarning(
            f"The best candidate, {said(best)}, did not converge; increase max_iter or tol. "
            "The table tells which others did not."
        )
    rivals = [
        each
        for each in found.candidates
        if not (each.state is None or each.failure is not None)
        and not (each.has_arrived or each.has_collapsed)
        and found.may_win(each, best)
    ]
    if not rivals:
        return None
    return ConvergenceWarning(
        f"{said(rivals[0])} did not converge and may come to be better than the best, "
        f"{said(best)}; increase max_iter or tol. The table's column 'doubt' has the estimates."
    )
