"""Curves without dips: a candidate below a smaller one starts again from that one.

A mixture of K+1 components can be as likely as any of K: with a component twice, at half its
weight. So where starts from a sample have led to less, the largest components of the smaller
mixture are divided gently, along their longest axes and with the mean and the covariance of each
pair kept, and climb from there as in a warm start. What comes of it is kept if it is likelier;
else the component stays twice in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from fastgmm import em, passes
from fastgmm.covariance import Family
from fastgmm.em.acceleration import Memory
from fastgmm.mixture.parameters import Parameters
from fastgmm.parallel.blas import one_blas_thread
from fastgmm.selection.candidate import Candidate, best_of
from fastgmm.selection.contest import Contest
from fastgmm.sources import Source

GENTLE = 0.4  # standard deviations: costs less than 1e-4 nats a row of the component


# climbs from some states over all rows until all have stopped: as long as they may come below a
# value of the criterion, and for so many passes at most
Climbing = Callable[[list[em.State], float, int], list[em.State]]


def mended(
    candidates: list[Candidate], source: Source, contest: Contest, climbing: Climbing
) -> list[Candidate]:
    """Return the candidates with none below a smaller one of its family."""
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
    """Walk the candidates below a smaller one, with the likeliest of those."""
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
    """Divide smaller candidates gently, and climb from there in shared passes."""
    starts = {
        at: restarted(candidates[at], candidates[smaller], GENTLE)
        for at, smaller in fallen.items()
        if not candidates[at].family.structure.is_shared  # all components have a part in that
    }
    found = dict(starts)
    for at, start in starts.items():
        before = _state(start)
        if not before.trace or len(before.trace) >= contest.max_passes:
            del found[at]
    states = [
        replace(
            _state(candidate),
            trace=(),
            previous_objective=_state(candidate).trace[-1],
            outcome=em.Outcome.RUNNING,
            memory=Memory("auto"),
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
    """Put a smaller candidate, enough of its components twice, in the place of one."""
    state = _state(smaller)
    parameters = state.parameters
    with one_blas_thread():
        for _ in range(candidate.n_components - smaller.n_components):
            parameters = divided_gently(parameters, state.rule.family, gently)
    # an extrapolation on trial is one of the smaller one
    return replace(candidate, state=replace(state, parameters=parameters, trial=None))


def divided_gently(parameters: Parameters, family: Family, gently: float) -> Parameters:
    """Divide the heaviest component in two, so many standard deviations from where it was.

    Mean and covariance of the two together are those of the one: so is the density, nearly.
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
    """Find the totals of some candidates, in one pass if there are any."""
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
