"""Sufficient statistics of the rows of a pass: a value that adds."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from fastgmm.errors import DataError
from fastgmm.mixture.arrays import Array, read_only
from fastgmm.mixture.structure import STRUCTURES, Structure

# Below this a weight's products with the rows sink among the subnormal numbers, where they lose
# digits one by one: tiny / eps = 1e-292 is the last weight at which they still have all of them.
NEGLIGIBLE_WEIGHT = float(np.finfo(np.float64).tiny / np.finfo(np.float64).eps)
LARGE_WEIGHT = 1e200  # of all rows: where more overflows, it is the weights that are too large


@dataclass(frozen=True, eq=False)
class SufficientStatistics:
    """All that an M-step needs to know of the rows.

    Statistics of disjoint rows add up, in any grouping. Moments are taken about `origin`, each
    component's current mean, so that squares keep their digits wherever the data lie. Arrays are
    made read-only views, not copied: hand over arrays that nobody else writes.
    """

    weight: Array  # (K,) summed responsibilities r
    first: Array  # (K, d) summed r (x - origin)
    second: Array  # summed r (x - origin)(x - origin)', in the structure's shape: spherical (K,)
    #   the trace, diagonal (K, d), tied (d, d) pooled over components, full (K, d, d)
    log_likelihood: float  # summed over rows, each times its weight
    n_rows: int  # rows of positive weight
    row_weight: float  # summed weights of the rows
    origin: Array  # (K, d)
    structure: Structure  # or its name
    extra: Array | None = None  # further sums: of heavy tails (K, 3), of noise (1,)
    left_out: float = 0.0  # an estimate of the log-likelihood that a truncated pass leaves out
    # (K, q, d) of factor analysers, whose second moments (K, d, q + 1) are those products times
    # these, and their diagonal: they belong to the parameters of the pass, as the origin does
    directions: Array | None = None

    def __post_init__(self) -> None:
        """Make the arrays float64 and read-only."""
        object.__setattr__(self, "structure", STRUCTURES[self.structure])
        for name in ("weight", "first", "second", "origin"):
            object.__setattr__(self, name, read_only(getattr(self, name)))
        for name in ("extra", "directions"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, read_only(getattr(self, name)))

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        """Rebuild through the constructor: NumPy forgets on the way that arrays are read-only."""
        return type(self), tuple(getattr(self, field.name) for field in fields(self))

    @classmethod
    def zeros(cls, structure: str, origin: npt.ArrayLike) -> SufficientStatistics:
        """Statistics of no rows, the neutral element of `+`."""
        origin = read_only(origin)
        return cls(
            weight=np.zeros(len(origin)),
            first=np.zeros_like(origin),
            second=np.zeros(STRUCTURES[structure].shape(*origin.shape)),
            log_likelihood=0.0,
            n_rows=0,
            row_weight=0.0,
            origin=origin,
            structure=STRUCTURES[structure],
        )

    def __add__(self, other: SufficientStatistics) -> SufficientStatistics:
        """Statistics of both sets of rows.

        Raises
        ------
        ValueError
            If the two differ in structure or in the origin of their moments.
        """
        if not isinstance(other, SufficientStatistics):
            return NotImplemented
        if self.structure != other.structure:
            raise ValueError(
                f"cannot add {other.structure} statistics to {self.structure} ones; "
                "make both with parameters of one structure"
            )
        if not np.array_equal(self.origin, other.origin):
            raise ValueError(
                "cannot add moments about different origins; move one first, "
                "with a + b.rebased(a.origin)"
            )
        if not _same(self.directions, other.directions):
            raise ValueError(
                "cannot add moments that were seen along different directions; add those of one "
                "pass alone"
            )
        return replace(
            self,
            weight=self.weight + other.weight,
            first=self.first + other.first,
            second=self.second + other.second,
            log_likelihood=self.log_likelihood + other.log_likelihood,
            n_rows=self.n_rows + other.n_rows,
            row_weight=self.row_weight + other.row_weight,
            extra=added(self.extra, other.extra),
            left_out=self.left_out + other.left_out,
        )

    def rebased(self, origin: npt.ArrayLike) -> SufficientStatistics:
        """Return the same statistics with moments about another origin, (K, d).

        Exact in real numbers; in floating point, digits are lost as an origin leaves its rows.
        """
        origin = read_only(origin)
        shift = origin - self.origin
        moved = self.weight[:, None] * shift
        # first s' + s first' - weight s s', written as a product and its transpose,
        # so that a symmetric second moment stays symmetric to the last bit
        correction = self._products(self.first - 0.5 * moved, shift)
        return replace(
            self, first=self.first - moved, second=self.second - correction, origin=origin
        )

    def of(self, components: npt.NDArray[np.intp]) -> SufficientStatistics:
        """Return the same statistics with their components in this order."""
        return replace(
            self,
            weight=self.weight[components],
            first=self.first[components],
            second=self.second[self.structure.places(components)],
            origin=self.origin[components],
            directions=None if self.directions is None else self.directions[components],
        )

    def joined(self, i: int, j: int) -> SufficientStatistics:
        """Return the same statistics with the rows of component j given to component i."""
        origin = np.array(self.origin)
        origin[j] = origin[i]
        moved = self.rebased(origin)
        weight, first, second = map(np.array, (moved.weight, moved.first, moved.second))
        for array in (weight, first) if self.structure.is_shared else (weight, first, second):
            array[i] += array[j]
            array[j] = 0.0
        return replace(moved, weight=weight, first=first, second=second)

    @cached_property
    def occupied(self) -> npt.NDArray[np.bool_]:
        """Whether a component has weight enough to divide by, (K,)."""
        found = ~(self.weight <= NEGLIGIBLE_WEIGHT)  # not a number is not nothing: let it be seen
        found.flags.writeable = False
        return found

    @cached_property
    def means(self) -> Array:
        """The mean of each component's rows, (K, d); its origin where it has none."""
        # scikit-learn divides by weight + 10 eps instead, the same to 1e-15 where rows are
        return read_only(self.origin + self._shift)

    @property
    def central(self) -> Array:
        """Second moments about each component's mean, in the structure's shape.

        About the mean as it is, not as a float64 must round it: at 1e8 that rounding is 1e-8, and
        its square is no longer small beside a variance of 1e-10.
        """
        return self.second - self._products(0.5 * self.first, self._shift)

    @cached_property
    def _shift(self) -> Array:
        """From the origin to each mean."""
        occupied, zeros = self.occupied[:, None], np.zeros_like(self.first)
        return np.divide(self.first, self.weight[:, None], out=zeros, where=occupied)

    def _products(self, a: Array, b: Array) -> Array:
        """Return a b' + b a' as second moments are kept."""
        if self.directions is None:
            return self.structure.products(a, b)
        return self.structure.seen(a, b, self.directions)

    @property
    def mean_log_likelihood(self) -> float:
        """Log-likelihood per unit of row weight.

        Raises
        ------
        DataError
            If no row has a positive weight, or so little that no component can be occupied; or so
            much that products with the rows are no numbers.
        """
        self.check_weight()
        return self.log_likelihood / self.row_weight

    def check_weight(self) -> None:
        """Refuse weights that say nothing of any component.

        Raises
        ------
        DataError
            As for `mean_log_likelihood`.
        """
        if self.row_weight <= NEGLIGIBLE_WEIGHT * len(self.weight):
            raise DataError(
                f"the weights of the rows sum to {self.row_weight:g}, too little to divide by; "
                "give at least one row a larger weight"
            )
        if self.row_weight > LARGE_WEIGHT and not (
            np.isfinite(self.log_likelihood) and np.isfinite(self.second).all()
        ):
            raise DataError(
                f"the weights of the rows sum to {self.row_weight:g}, too much to multiply rows "
                "by; divide them by their maximum"
            )


def _same(a: Array | None, b: Array | None) -> bool:
    """Whether both are the same array, or none."""
    return a is b or (a is not None and b is not None and np.array_equal(a, b))


def added(a: Array | None, b: Array | None, of_a: float = 1.0, of_b: float = 1.0) -> Array | None:
    """Return parts of two sums, where there are any."""
    return None if a is None or b is None else of_a * a + of_b * b
