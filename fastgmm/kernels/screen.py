"""A screen: rough log densities of all components in float32, and which of them a row keeps.

Of normal components whose axes are those of the features. A density is computed as in the dense
pass, ``((x - origin) / deviation - (mean - origin) / deviation)**2`` summed, for as many
multiply-adds as the product of (x**2, x) with weights takes, and with the digits that multiplied
out squares lose.

A row keeps what lies less than a margin below its best. What is left out of K components is then at
most K exp(-margin) of a density; rows between many components keep many, other rows few.
"""

from typing import NamedTuple

import numpy as np

from fastgmm.kernels.jit import inline, subroutine
from fastgmm.kernels.simd.vectors import (
    fma,
    lanes_not_less,
    lowest_bit,
    splat,
    store,
    where_less,
)
from fastgmm.kernels.structures.common_origin import in_panels
from fastgmm.kernels.structures.diagonal import add_square_of
from fastgmm.kernels.structures.triangular import no_sums
from fastgmm.kernels.tiles import GROUP, TILE, load_group, whole, with_columns

# Let z be a row less a mean, in that component's deviations, and A the length of the component's
# shift. A rough density is off by at most (d + 8) 2^-24 of |z|^2 / 2, and by 2^-22 A |z|, if all
# roundings have one sign. As |z| <= |z|^2 / 64 + 16, that is a share of |z|^2 / 2 (what the density
# lies below its peak), and a constant.
ROUNDING = 2.0**-24  # of |z|^2 / 2, times d + 8
SHIFTED = 2.0**-27  # of the same, times the largest A
CONSTANT = 2.0**-18  # nats, times the largest A
FARTHEST = 2.0**15  # largest A: beyond, a component is kept by every row
LARGEST = 3e38  # float32
NOWHERE = -LARGEST  # a log density
BLIND = -1e38  # of a row's best: below, float32 does not tell components apart, and all are kept


class Screen(NamedTuple):
    """Components for a pass that computes few of them exactly; W is d in whole registers."""

    log_scale: np.ndarray  # (K,) log weight - (d log 2 pi + log det) / 2, as the next in float64
    means: np.ndarray  # (K, W)
    inverse_deviations: np.ndarray  # (K, W)
    origin: np.ndarray  # (d,)
    units: (
        np.ndarray
    )  # (d,) what rows less the origin are multiplied by, so that float32 holds them
    rough_log_scale: np.ndarray  # (E,) float32, E being K in whole fours
    scales: np.ndarray  # (E / 4, d, 4) float32: inverse deviations in these units
    shifts: np.ndarray  # (E / 4, d, 4) float32: (origin - mean) / deviation
    exact: np.ndarray  # (n,) components too narrow for float32, which every row keeps
    slope: float  # a row keeps what is above slope * best - margin, all rough
    margin: float


class Candidates(NamedTuple):
    """Pairs of a tile's rows and components that may be kept."""

    rows: np.ndarray  # (n,) int32, numbers within the tile
    components: np.ndarray  # (n,) int32
    densities: np.ndarray  # (n,) float32, rough
    group: np.ndarray  # room for the densities of a group


def screen_of(log_weights, means, inverse_deviations, margin):
    """Make the screen of some components: means and inverse deviations are (K, d), in float64."""
    n_components, n_features = means.shape
    half_log_det = np.log(inverse_deviations).sum(axis=1)
    log_scale = log_weights + half_log_det - 0.5 * n_features * np.log(2 * np.pi)
    origin = 0.5 * (means.min(axis=0) + means.max(axis=0))
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is kept
        shifts = (origin - means) * inverse_deviations
        lengths = np.sqrt(np.square(shifts).sum(axis=1))
    is_wide = lengths <= FARTHEST
    longest = lengths.max(where=is_wide, initial=0.0)
    units = inverse_deviations.max(axis=0, where=is_wide[:, None], initial=0.0)
    units[units == 0.0] = 1.0
    scales = np.where(is_wide[:, None], inverse_deviations, 0.0) / units
    rough = np.full(whole(n_components, 4), -np.inf, np.float32)
    rough[:n_components] = np.where(is_wide, np.maximum(log_scale, NOWHERE), NOWHERE)
    share = 2.0 * (ROUNDING * (n_features + 8) + SHIFTED * longest)  # of two densities
    width = whole(n_features, 8)
    return Screen(
        log_scale,
        with_columns(means, width),
        with_columns(inverse_deviations, width),
        origin,
        units,
        rough,
        in_panels(scales, np.float32),
        in_panels(np.where(is_wide[:, None], shifts, 0.0), np.float32),
        np.flatnonzero(~is_wide),
        1.0 + share,
        float(margin + 2.0 * CONSTANT * longest + share * max(log_scale.max(), NOWHERE)),
    )


@subroutine
def new_candidates(n_components):
    """Make room for all pairs of a tile."""
    size = TILE * whole(n_components, 4)
    return Candidates(
        np.empty(size, np.int32),
        np.empty(size, np.int32),
        np.empty(size, np.float32),
        np.empty(TILE, np.float32),
    )


@subroutine
def write_centred(tile, screen, out):
    """Write the tile less the origin, in the screen's units and float32."""
    for j in range(screen.origin.size):
        origin, unit = screen.origin[j], screen.units[j]
        for r in range(TILE):
            # infinity would be no number where a scale is 0
            out[j, r] = np.float32(min(max((tile[j, r] - origin) * unit, -LARGEST), LARGEST))


@inline
def rough_densities(screen, p, centred, r):
    """Return the rough densities of a panel's four components, for the group from column r on."""
    scales, shifts, log_scale = screen.scales, screen.shifts, screen.rough_log_scale
    a, b, c, d = no_sums(centred)
    for j in range(scales.shape[1]):
        x = load_group(centred, (j, r))
        a = add_square_of(fma(scales[p, j, 0], x, shifts[p, j, 0]), a)
        b = add_square_of(fma(scales[p, j, 1], x, shifts[p, j, 1]), b)
        c = add_square_of(fma(scales[p, j, 2], x, shifts[p, j, 2]), c)
        d = add_square_of(fma(scales[p, j, 3], x, shifts[p, j, 3]), d)
    return (
        fma(-0.5, a, log_scale[4 * p]),
        fma(-0.5, b, log_scale[4 * p + 1]),
        fma(-0.5, c, log_scale[4 * p + 2]),
        fma(-0.5, d, log_scale[4 * p + 3]),
    )


@inline
def higher(a, b):
    """Return the higher of each lane; a where b is not a number."""
    return where_less(a, b, b, a)


@inline
def append(densities, limits, k, r, candidates, count):
    """Add the rows of a group that may keep component k; return how many pairs there are."""
    lanes = lanes_not_less(densities, limits)
    if lanes != 0:
        store(candidates.group, (0,), densities)
        while lanes != 0:
            lane = lowest_bit(lanes)
            candidates.rows[count] = r + lane
            candidates.components[count] = k
            candidates.densities[count] = candidates.group[lane]
            count += 1
            lanes &= lanes - 1
    return count


@subroutine
def find_candidates(centred, screen, highest, candidates):
    """List what may be kept of a tile; return how many pairs there are.

    ``highest`` (TILE,) is -inf, or inf for rows that do not count, and becomes the highest rough
    density: pairs are listed by what it is so far.
    """
    count, slope, shift = 0, np.float32(screen.slope), np.float32(-screen.margin)
    for p in range(len(screen.scales)):
        for r in range(0, TILE, GROUP * splat(centred, 0.0).width):
            a, b, c, d = rough_densities(screen, p, centred, r)
            best = higher(load_group(highest, (r,)), higher(higher(a, b), higher(c, d)))
            store(highest, (r,), best)
            limits = fma(best, slope, shift)
            count = append(a, limits, 4 * p, r, candidates, count)
            count = append(b, limits, 4 * p + 1, r, candidates, count)
            count = append(c, limits, 4 * p + 2, r, candidates, count)
            count = append(d, limits, 4 * p + 3, r, candidates, count)
    return count


@subroutine
def write_limits(highest, screen, out):
    """Write the rough densities from which on the rows of a tile keep components, if any does."""
    slope, shift = np.float32(screen.slope), np.float32(-screen.margin)
    for r in range(0, TILE, GROUP * splat(highest, 0.0).width):
        best = load_group(highest, (r,))
        store(out, (r,), where_less(best, BLIND, np.inf, fma(best, slope, shift)))
