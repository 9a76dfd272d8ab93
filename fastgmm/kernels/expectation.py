"""The fused E and M pass: computes the moments of all components in one visit to the rows."""

from numba import get_num_threads, prange

from fastgmm.kernels.by_address import call_for_float, entry_of
from fastgmm.kernels.jit import inline, kernel, parallel, view
from fastgmm.kernels.simd.vecmath import exp_of_normal, log
from fastgmm.kernels.simd.vectors import fma, load, splat, store, total, where_less
from fastgmm.kernels.structures import completed
from fastgmm.kernels.structures.dispatch import add_moments, log_densities, n_densities
from fastgmm.kernels.tiles import (
    FAR,
    TILE,
    lesser,
    load_weighted,
    new_tiles,
    tile_in,
    unwritable,
)
from fastgmm.kernels.work_queue import new_queue, take_next

# Registers whose masses are multiplied before one logarithm is taken: a mass is at most K, so even
# in float32 their product overflows only from 4e9 components on.
REGISTERS_PER_LOGARITHM = 4


@inline
def normalise(n_components, densities, weights, alike):
    """Turn log densities into weighted responsibilities; return the log-likelihood.

    ``alike`` says that every weight is one.
    """
    zero = splat(densities, 0.0)
    log_likelihood = 0.0
    for first in range(0, TILE, REGISTERS_PER_LOGARITHM * zero.width):
        masses, evidence = zero + 1.0, zero
        for r in range(first, first + REGISTERS_PER_LOGARITHM * zero.width, zero.width):
            highest = load(densities, (0, r))
            for k in range(1, n_components):
                density = load(densities, (k, r))
                highest = where_less(highest, density, density, highest)
            mass = zero
            for k in range(n_components):
                gap = load(densities, (k, r)) - highest
                density = where_less(gap, -FAR, 0.0, exp_of_normal(gap))
                store(densities, (k, r), density)
                mass = mass + density
            weight = load(weights, (r,))
            if alike:
                masses, evidence = masses * mass, evidence + highest
            else:
                evidence = fma(weight, highest + log(mass), evidence)
            scale = weight / mass
            for k in range(n_components):
                store(densities, (k, r), load(densities, (k, r)) * scale)
        if alike:
            evidence = evidence + log(masses)
        log_likelihood += total(evidence)
    return log_likelihood


SPARE = {}  # by type of factors, arrays of pairs that its kernel needs besides the densities


def new_workspaces(count, rows, factors):
    """Make workspaces for some threads: arrays (count, size), all zeros.

    Not in a kernel: what asks for the number of threads cannot be cached. Slices reuse them: where
    each made its own, the pages that the system hands out and takes back cost 80 microseconds a
    slice, twice what its rows took at d = 2.
    """
    n_components = n_densities(factors)
    spare = SPARE.get(type(factors), 0) * n_components
    return new_tiles(count, 3 * rows.shape[1] + n_components + 33 + spare, rows)


@view
def divide(workspace, n_features, n_components):
    """Return the tile of rows, scratch for twice as many, that of densities, and weights.

    Each has eight spare features at its end.
    """
    return (
        tile_in(workspace, 0, n_features + 8),
        tile_in(workspace, n_features + 8, 2 * n_features + 16),
        tile_in(workspace, 3 * n_features + 24, n_components + 8),
        workspace[(3 * n_features + n_components + 32) * TILE :],
    )


@kernel
def dense_slice(rows, row_weights, start, stop, factors, workspace, moments):
    """Write the moments of rows[start:stop], tile by tile; return their log-likelihood."""
    moments[:] = 0.0  # by its thread: 17 MB at d = 128, K = 16 are 2.8 ms of the calling one
    n_components, n_features = factors.log_scale.size, rows.shape[1]
    tile, scratch, densities, weights = divide(workspace, n_features, n_components)
    log_likelihood = 0.0
    for begin in range(start, stop, TILE):
        alike = load_weighted(rows, row_weights, begin, stop, factors.means, tile, weights)
        log_densities(tile, factors, scratch, densities)
        log_likelihood += normalise(n_components, densities, weights, alike)
        add_moments(tile, densities, factors, scratch, moments)
    return log_likelihood


# By type of factors, `pruned` adds its own; all other types have the dense kernel
KERNELS = {completed.Factors: completed.completed_slice}


@parallel
def sum_slices(
    entry, queue, workspaces, rows, row_weights, factors, slice_rows, moments, log_likelihoods
):
    """Let every thread take slice after slice, in a workspace of its own."""
    address, mark = entry
    for thread in prange(len(workspaces)):
        i = take_next(queue, thread, log_likelihoods.size)
        while i < log_likelihoods.size:
            start = i * slice_rows
            stop = lesser(start + slice_rows, rows.shape[0])
            arguments = rows, row_weights, start, stop, factors, workspaces[thread], moments[i]
            log_likelihoods[i] = call_for_float(address, mark, arguments)
            i = take_next(queue, thread, log_likelihoods.size)


def expectation(rows, row_weights, factors, slice_rows, moments, log_likelihoods):
    """Fill moments (slices, size) and log-likelihoods (slices,), each slice on its own."""
    chosen = KERNELS.get(type(factors), dense_slice)
    rows, row_weights = unwritable(rows), unwritable(row_weights)
    workspaces = new_workspaces(get_num_threads(), rows, factors)
    entry = entry_of(chosen, rows, row_weights, 0, 0, factors, workspaces[0], moments[0])
    arguments = rows, row_weights, factors, slice_rows, moments, log_likelihoods
    sum_slices(entry, new_queue(), workspaces, *arguments)


def expectation_serial(rows, row_weights, factors, slice_rows, moments, log_likelihoods):
    """Do the same on the calling thread, for work too small for several.

    Not compiled: every caller that is has LLVM optimise the kernel again, and small work has one
    slice or a few.
    """
    chosen = KERNELS.get(type(factors), dense_slice)
    rows, row_weights = unwritable(rows), unwritable(row_weights)
    workspace = new_workspaces(1, rows, factors)[0]
    for i in range(log_likelihoods.size):
        start = i * slice_rows
        stop = min(start + slice_rows, rows.shape[0])
        log_likelihoods[i] = chosen(rows, row_weights, start, stop, factors, workspace, moments[i])
