"""Why EM stopped, and the advice for each reason: the text of the warnings."""

from enum import Enum


class Outcome(Enum):
    """Why EM stopped, or that it has not."""

    RUNNING = "running"
    CONVERGED = "converged"
    OUTDONE = "outdone"
    OUT_OF_PASSES = "out of passes"
    DEGENERATE = "degenerate"

    @property
    def advice(self) -> str:
        """A sentence for the user: what happened and what can be done."""
        return _ADVICE[self]


_ADVICE = {
    Outcome.RUNNING: "EM has not stopped yet: give it more passes.",
    Outcome.CONVERGED: (
        "The log-likelihood per row changed by less than tol in the last pass, or, with "
        "stopping='aitken', is estimated to be less than tol from its limit."
    ),
    Outcome.OUTDONE: (
        "Another candidate is better by more than this one could still gain, so it was stopped."
    ),
    Outcome.OUT_OF_PASSES: (
        "Best performing initialization did not converge. Try different init parameters, or "
        "increase max_iter, tol, or check for degenerate data. With warm_start=True, the next fit "
        "goes on from here."  # scikit-learn's words first, which its tests ask for
    ),
    Outcome.DEGENERATE: (
        "A covariance collapsed or a number overflowed; use fewer components, "
        "a larger reg_covar or data on a smaller scale."
    ),
}
