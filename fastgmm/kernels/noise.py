"""Components of any structure, and beside them noise: one density that is the same everywhere."""

from fastgmm.kernels.expectation import KERNELS, divide, normalise
from fastgmm.kernels.jit import inline, kernel
from fastgmm.kernels.simd.vectors import load, splat, store, total
from fastgmm.kernels.structures.dispatch import add_moments, extended, n_densities, normal_densities
from fastgmm.kernels.tiles import TILE, load_weighted

FIELDS = ("log_noise",)  # (1,) log weight of the noise, and of its density


@inline
def log_densities_with_noise(tile, factors, scratch, out):
    """Write log(weight_k p_k(x)) into out[k, r], and the noise's into the row after the last."""
    normal_densities(tile, factors, scratch, out)
    last = factors.log_scale.size
    density = splat(out, 0.0) + factors.log_noise[0]
    for r in range(0, TILE, density.width):
        store(out, (last, r), density)


@inline
def taken_out(responsibilities, last):
    """Return the sum of the noise's responsibilities, and leave zeros in their place."""
    zero = found = splat(responsibilities, 0.0)
    for r in range(0, TILE, zero.width):
        found = found + load(responsibilities, (last, r))
        store(responsibilities, (last, r), zero)
    return total(found)


@kernel
def noisy_slice(rows, row_weights, start, stop, factors, workspace, moments):
    """Write the moments of rows[start:stop], and the noise's weight; return log-likelihood."""
    moments[:] = 0.0
    n_all, n_features = n_densities(factors), rows.shape[1]
    tile, scratch, densities, weights = divide(workspace, n_features, n_all)
    n_moments = moments.size - 1
    log_likelihood = 0.0
    for begin in range(start, stop, TILE):
        alike = load_weighted(rows, row_weights, begin, stop, factors.means, tile, weights)
        log_densities_with_noise(tile, factors, scratch, densities)
        log_likelihood += normalise(n_all, densities, weights, alike)
        moments[n_moments] += taken_out(densities, n_all - 1)
        add_moments(tile, densities, factors, scratch, moments[:n_moments])
    return log_likelihood


NOISY = extended("Noisy", FIELDS, log_densities_with_noise, 1, globals())
for _kind in NOISY.values():
    KERNELS[_kind] = noisy_slice
