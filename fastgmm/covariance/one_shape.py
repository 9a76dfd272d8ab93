"""One shape for all components, each with a volume of its own: what VEI, VEE and VEV share.

With S_k the covariance of each component's rows and p_k its part of them, Celeux and Govaert (1995)
alternate between the volumes l_k and what is common, C = M / |M|^(1/d), M = sum_k p_k S_k / l_k.
What is left to minimise once C is known,

    log |M| - d sum_k p_k x_k,    x_k = -log l_k,

is convex in x, since the determinant of a sum of e^(x_k) S_k is a sum of exponentials. So there is
one minimum, and Newton's steps need 2 to 6 rounds where alternating takes up to 40; where one does
not lower the objective, a round of alternating does.
"""

from __future__ import annotations

import numpy as np

from fastgmm.covariance.family import constrained, turned
from fastgmm.mixture.arrays import Array
from fastgmm.mixture.structure import FULL
from fastgmm.parallel.blas import one_blas_thread

# Nats per row to gain by one more step, after which the square of it or so is left: in a first
# M-step, whose volumes are then right to 1e-12, and in one that the next pass goes on from
FIRST, LATER = 1e-12, 1e-8


def with_one_shape(covariances: Array, weights: Array, start: Array | None = None) -> Array:
    """Return covariances of one shape, diagonals (K, d) or matrices (K, d, d).

    From those of the rows, the components' weights, which may be 0, and covariances of the family
    whose volumes to start from.
    """
    # the compiler is asked for by these families alone
    from fastgmm.kernels.one_shape import share_shape

    own = np.asarray(covariances)
    begun, enough = own, FIRST
    if start is not None and len(start) == len(covariances):
        begun, enough = start, LATER
    lines = own.reshape(len(own), -1, own.shape[-1])
    found = share_shape(lines, weights / weights.sum(), -np.log(_traces(begun)), enough)
    return np.asarray(found.reshape(own.shape))


def _traces(covariances: Array) -> Array:
    axes = "kii->k" if covariances.ndim == 3 else "ki->k"
    return np.asarray(np.einsum(axes, covariances))


@one_blas_thread()
def _of_own_axes(covariances: Array, weights: Array, start: Array | None = None) -> Array:
    """VEV: each component keeps its axes, in the order of its variances along them."""
    variances, axes = np.linalg.eigh(covariances)
    begun = None if start is None else _traces(start)[:, None]
    return turned(with_one_shape(np.maximum(variances, 0.0), weights, begun), axes)


VEE = constrained("VEE", FULL, with_one_shape, maximise_from=with_one_shape)
VEV = constrained("VEV", FULL, _of_own_axes, maximise_from=_of_own_axes)
