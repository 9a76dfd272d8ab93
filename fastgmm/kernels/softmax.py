"""Softmax: turns the log densities of many candidates into responsibilities, reading them once.

NumPy reads them five times: for 2000 rows and 64 components in all, that took as long as both
matrix products of the pass.
"""

from fastgmm.kernels.jit import kernel
from fastgmm.kernels.simd.vecmath import exp, log
from fastgmm.kernels.simd.vectors import WIDTH, load, splat, store, total, where_less


@kernel
def normalise(densities, weights, log_likelihoods):
    """Replace log densities by weighted responsibilities; add to the log-likelihoods.

    densities (K, C m) has the m rows of every candidate side by side; m is a multiple of the
    register's width, weights is (m,) and log_likelihoods (C,).
    """
    n_components, n_rows = len(densities), len(weights)
    for c in range(len(log_likelihoods)):
        found = splat(densities, 0.0)
        for r in range(0, n_rows, WIDTH):
            at = c * n_rows + r
            highest = load(densities, (0, at))
            for k in range(1, n_components):
                density = load(densities, (k, at))
                highest = where_less(highest, density, density, highest)
            mass = splat(densities, 0.0)
            for k in range(n_components):
                part = exp(load(densities, (k, at)) - highest)
                store(densities, (k, at), part)
                mass = mass + part
            weight = load(weights, (r,))
            # the logarithm of NaN is a number here, mass - mass is not
            found = found + weight * (highest + log(mass) + (mass - mass))
            scale = weight / mass
            for k in range(n_components):
                store(densities, (k, at), load(densities, (k, at)) * scale)
        log_likelihoods[c] += total(found)
