"""A mixture of which passes may leave out what hardly counts."""

from __future__ import annotations

from dataclasses import dataclass

from fastgmm.mixture.parameters import Parameters


@dataclass(frozen=True, eq=False)
class Truncated(Parameters):
    """Parameters, and how much of a row's log-likelihood passes may leave out."""

    truncation: float  # nats

    @classmethod
    def of(cls, mixture: Parameters, truncation: float) -> Truncated:
        """Return a mixture of normal components with this bound."""
        return cls(
            mixture.structure,
            mixture.weights,
            mixture.means,
            mixture.covariances,
            mixture.precisions_cholesky,
            float(truncation),
        )
