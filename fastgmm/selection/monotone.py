"""Make the log-likelihood rise with the number of components, as that of the best mixtures does.

A mixture of K+1 components is at least as likely as one of K: with one component twice, at half
its weight. A candidate below a smaller one therefore starts again from that one. Its heaviest
components are split by a small step along their longest axes, which keeps the mean and covariance
of each pair, and EM goes on from there. If that ends lower, the component is kept twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from fastgmm import em, passes
from fastgmm.covariance import Family
from fastgmm.em.acceleration import Acceleration
from fastgmm.mixture.parameters import Parameters
from fastgmm.parallel.blas import one_blas_thread
from fastgmm.selection.candidate import Candidate, best_of
from fastgmm.selection.contest import Contest
from fastgmm.sources import Source

GENTLE = 0.4  # standard deviations: costs less than 1e-4 nats per row of the component


# Runs EM over all rows from some states, each while it can come below a value of the criterion, for
# at most so many passes
Climbing = Callable[[list[em.State], float, int], list[em.State]]


def mended(
    candidates: list[Candidate], source: Source, contest: Contest, climbing: Climbing
) -> list[Candidate]:
    """Return the candidates, none of them less likely than a smaller one of its family."""
    fallen = dict(_fallen(candidates))
    if not fallen:
        return candidates
    again = _climbed(candidates, fallen, contest, climbing)
    found = list(candidates)
    for at, other in zip(again, _totalled(list(again.values()), source), strict=True):
        if _log_likelihood(other) > _log_likelihood(found[at]):
            found[at] = other
    doubled = {}
    for at, smaller in _fallen(found):
        doubled[at] = restarted(found[at], found[smaller], 0.0)
    for at, other in zip(doubled, _totalled(list(doubled.values()), source), strict=True):
        found[at] = other
    return found


def _fallen(candidates: Sequence[Candidate]) -> Iterator[tuple[int, int]]:
    """Yield each candidate below a smaller one, with the likeliest of the smaller ones."""
    best: dict[str, int] = {}
    for at, candidate in enumerate(candidates):  # within a family, from the smallest
        if candidate.totals is None:
            continue
        name = candidate.family.name
        likeliest = best.setdefault(name, at)
        reached = _log_likelihood(candidates[likeliest])
        if _log_likelihood(candidate) < reached - em.ROUNDING * abs(reached):
            yield at, likeliest
        else:
            best[name] = at


def _climbed(
    candidates: Sequence[Candidate],
    fallen: dict[int, int],
    contest: Contest,
    climbing: Climbing,
) -> dict[int, Candidate]:
    """Divide smaller candidates gently, and run EM from there in shared passes."""
    starts = {
        at: restarted(candidates[at], candidates[smaller], GENTLE)
        for at, smaller in fallen.items()
        if not candidates[at].family.structure.is_shared  # all components have a part in that
    }
    found = dict(starts)
    for at, start in starts.items():
        before = _state(start)
        # else it cannot win, and would take some 20 passes; it is kept twice, below
        is_of_use = _state(candidates[at]).outcome is not em.Outcome.OUTDONE
        if not before.trace or len(before.trace) >= contest.max_passes or not is_of_use:
            del found[at]
    states = [
        replace(
            _state(candidate),
            trace=(),
            previous_objective=_state(candidate).trace[-1],
            outcome=em.Outcome.RUNNING,
            acceleration=Acceleration("auto"),
            start=0,
        )
        for candidate in found.values()
    ]
    longest = max((len(_state(candidate).trace) for candidate in found.values()), default=0)
    best = best_of(candidates, contest.criterion).value(contest.criterion)
    climbed = climbing(states, best, contest.max_passes - longest)
    for (at, candidate), state in zip(list(found.items()), climbed, strict=True):
        trace = _state(candidate).trace + state.trace
        steps = len(trace) - len(state.trace) + state.start
        whole = replace(state, trace=trace, previous_objective=-np.inf, start=steps)
        found[at] = replace(candidate, state=whole, failure=state.failure)
    return {at: candidate for at, candidate in found.items() if candidate.failure is None}


def restarted(candidate: Candidate, smaller: Candidate, gently: float) -> Candidate:
    """Replace a candidate by a smaller one, with enough of its components divided."""
    state = _state(smaller)
    parameters = state.parameters
    with one_blas_thread():
        for _ in range(candidate.n_components - smaller.n_components):
            parameters = divided_gently(parameters, state.rule.family, gently)
    # an extrapolation on trial is one of the smaller one
    return replace(candidate, state=replace(state, parameters=parameters, trial=None))


def divided_gently(parameters: Parameters, family: Family, gently: float) -> Parameters:
    """Divide the heaviest component in two, each so many standard deviations from its mean.

    The pair has the mean and covariance of the one, and so nearly its density.
    """
    heaviest = int(parameters.weights.argmax())
    weights = np.append(parameters.weights, 0.5 * parameters.weights[heaviest])
    weights[heaviest] *= 0.5
    structure = parameters.structure
    covariance = parameters.covariances[structure.places(heaviest)]
    step, within = structure.halved(covariance, parameters.n_features, gently)
    means = np.vstack([parameters.means, parameters.means[heaviest] + step])
    means[heaviest] -= step
    covariances = parameters.covariances
    if not structure.is_shared:
        covariances = np.concatenate([covariances, within[None]])
        covariances[heaviest] = within
    return family.parameters(weights, means, covariances)


def _totalled(candidates: Sequence[Candidate], source: Source) -> list[Candidate]:
    """Find the totals of some candidates, in one pass if there are any candidates."""
    if not candidates:
        return []
    totals = passes.totals(source, [_state(each).parameters for each in candidates])
    return [replace(each, totals=of) for each, of in zip(candidates, totals, strict=True)]


def _log_likelihood(candidate: Candidate) -> float:
    return -np.inf if candidate.totals is None else candidate.totals.log_likelihood


def _state(candidate: Candidate) -> em.State:
    """State of a candidate that has not failed."""
    if candidate.state is None:
        raise ValueError(f"{candidate.n_components} components have no state")
    return candidate.state
