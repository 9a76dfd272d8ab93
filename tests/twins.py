"""Twins of the kernels in extended precision, and how far from them rounding may lead.

A twin takes what a kernel takes: rows as they are, and triangular factors of precisions. Its bounds
follow every rounding to first order, so they hold for any condition and are as sharp as the data
let them be: eps times a counted number of operations times the sum of absolute values.
"""

from __future__ import annotations

from typing import NamedTuple

import naive
import numpy as np

from fastgmm.kernels.expectation import FAR
from fastgmm.kernels.structures.dispatch import STRUCTURES
from fastgmm.mixture.parameters import Parameters

SLICE_ROWS = 384  # two tiles: rows enough for several slices, few enough to be quick


class Scores(NamedTuple):
    """What the E step finds of every row, or how far each may be from it."""

    log_densities: np.ndarray  # (n, K)
    log_likelihoods: np.ndarray  # (n,)
    responsibilities: np.ndarray  # (n, K)


class Sums(NamedTuple):
    """What a pass finds, or how far each may be from it."""

    weight: np.ndarray  # (K,)
    first: np.ndarray  # (K, d)
    second: np.ndarray  # in the structure's shape
    log_likelihood: float


def random_parameters(rng, structure, n_components, n_features, offset=0.0, spread=2.0):
    """Parameters of overlapping components of about unit size."""
    noise = rng.normal(size=(n_components, n_features, n_features + 2))
    n_factors, own = max(1, n_features // 2), 0.3 + noise[..., -1] ** 2
    matrices = 0.3 * np.eye(n_features) + noise @ noise.swapaxes(1, 2) / (n_features + 2)
    covariances = {
        "spherical": lambda: np.einsum("kii->k", matrices) / n_features,
        "diagonal": lambda: np.einsum("kii->ki", matrices),
        "tied": lambda: matrices[0],
        "full": lambda: matrices,
        "factored": lambda: np.concatenate([noise[..., :n_factors], own[..., None]], axis=2),
    }[structure]()
    structure = f"factors-{n_factors}" if structure == "factored" else structure
    means = offset + spread * rng.normal(size=(n_components, n_features))
    weights = rng.dirichlet(np.full(n_components, 3.0))
    return Parameters.from_covariances(structure, weights, means, covariances)


def random_rows(rng, parameters, n_rows, dtype):
    """Rows about the means, read-only as a block's rows are."""
    labels = rng.integers(parameters.n_components, size=n_rows)
    rows = parameters.means[labels] + 1.2 * rng.normal(size=(n_rows, parameters.n_features))
    return read_only(rows.astype(dtype))


def read_only(rows):
    """C-contiguous rows that cannot be written to: the only kind that sources give kernels."""
    rows = np.ascontiguousarray(rows)
    rows.flags.writeable = False
    return rows


def factors_of(parameters, dtype):
    """The kernel's view of some parameters."""
    with np.errstate(divide="ignore"):
        log_weights = np.log(parameters.weights)
    arguments = log_weights, parameters.means, parameters.precisions_cholesky
    return STRUCTURES[parameters.structure.kernel].factors(*arguments, np.dtype(dtype))


def moments_of(run, rows, row_weights, parameters, slice_rows=SLICE_ROWS):
    """Call a pass: moments (slices, size) and log-likelihoods (slices,)."""
    factors = factors_of(parameters, rows.dtype)
    n_slices = -(-len(rows) // slice_rows)
    moments = np.zeros((n_slices, STRUCTURES[parameters.structure.kernel].n_moments(factors)))
    log_likelihoods = np.zeros(n_slices)
    weights = np.empty(0) if row_weights is None else row_weights
    run(rows, weights, factors, slice_rows, moments, log_likelihoods)
    return moments, log_likelihoods


def sums_of(run, rows, row_weights, parameters):
    """Call a pass and name what it found."""
    moments, log_likelihoods = moments_of(run, rows, row_weights, parameters)
    factors = factors_of(parameters, rows.dtype)
    named = STRUCTURES[parameters.structure.kernel].unpack(
        moments.sum(axis=0), factors, parameters.n_features
    )
    return Sums(*named, log_likelihoods.sum())


def triangles(parameters):
    """U of every component, (K, d, d), where the precision is U U'."""
    factors = np.asarray(parameters.precisions_cholesky, np.longdouble)
    return naive.matrices(parameters.structure, factors, *parameters.means.shape)


def scores(rows, parameters):
    """Return the E step of every row and the bounds of its rounding."""
    eps = np.finfo(rows.dtype).eps
    x, means = rows.astype(np.longdouble), parameters.means.astype(np.longdouble)
    upper = triangles(parameters)
    n_features = x.shape[1]
    half_log_det = np.log(np.einsum("kii->ki", upper)).sum(axis=1)
    with np.errstate(divide="ignore"):
        log_weights = np.log(parameters.weights.astype(np.longdouble))
    scale = log_weights + half_log_det - n_features * np.log(2 * np.longdouble(np.pi)) / 2
    densities, slack = np.empty((2, len(x), len(means)), np.longdouble)
    for k, mean in enumerate(means):
        centred = x - mean
        squares = ((centred @ upper[k]) ** 2).sum(axis=1)
        densities[:, k] = scale[k] - squares / 2
        size = _lengths(centred, mean, means, upper[k], parameters.structure, rows.dtype)
        # a square's relative error is twice its root's, of d + 4 roundings, and d more to add up
        finite = scale[k] if np.isfinite(scale[k]) else 0.0
        slack[:, k] = eps * ((1.5 * n_features + 5) * size + 4 * abs(finite))
    return _shared(densities, slack, eps)


def _lengths(centred, mean, means, upper, structure, dtype):
    """(|U|'|x - mean|)^2 of each row, along the way that the kernel takes."""
    # float32 means come in two parts of 24 bits: what they leave out is a square of eps
    missing = 2 * np.finfo(dtype).eps ** 2 * np.abs(mean) if dtype == np.float32 else 0.0
    roots = (np.abs(centred) + missing) @ np.abs(upper)
    if structure == "tied":  # near components are whitened about the middle of them all
        middle = (means.min(axis=0) + means.max(axis=0)) / 2
        far = np.abs(mean - middle) @ np.abs(upper)
        if np.max(far) <= 1e3:  # beyond, each row is centred first, as in the other structures
            roots = roots + 2 * far
    return (roots**2).sum(axis=1)


def _shared(densities, slack, eps):
    """Normalise densities, and carry their slack along."""
    highest = densities.max(axis=1, keepdims=True)
    log_likelihoods = highest[:, 0] + np.log(np.exp(densities - highest).sum(axis=1))
    shares = np.exp(densities - log_likelihoods[:, None])
    # exp rounds the gap below the highest, then itself; the sum adds K terms
    gaps = np.where(np.isfinite(densities), highest - densities, 0.0)
    relative = slack + eps * (gaps + 4 + densities.shape[1])
    mean_slack = (shares * relative).sum(axis=1)
    # float32 has no shares under 1e-38
    share_slack = 1.1 * shares * (relative + mean_slack[:, None]) + 1e-30
    row_slack = 1.1 * mean_slack + 4 * eps * (1 + np.abs(highest[:, 0]) + np.abs(log_likelihoods))
    return Scores(densities, log_likelihoods, shares), Scores(slack, row_slack, share_slack)


def sums(rows, row_weights, parameters):
    """Return the moments of a pass and the bounds of its rounding."""
    eps = np.finfo(rows.dtype).eps
    found, slack = scores(rows, parameters)
    weights = np.ones(len(rows)) if row_weights is None else row_weights
    weights = weights.astype(np.longdouble)
    shares = found.responsibilities * weights[:, None]
    # a term is rounded 8 times, added to 192 / 4 of a register, to a tree of 8 and to every tile
    count = 8 + 192 // 4 + 3 + len(rows) // 192 + 1
    # a share that is dropped is no rounding: all of it may be missed, ten times it covers WORST
    dropped = 10.0 * np.exp(-FAR)
    share_slack = slack.responsibilities + count * eps * found.responsibilities + dropped
    share_slack *= weights[:, None]
    centred = rows.astype(np.longdouble)[:, None, :] - parameters.means
    row_slack = slack.log_likelihoods + count * eps * np.abs(found.log_likelihoods)
    exact = Sums(
        *_moments(shares, centred, parameters.structure),
        (weights * found.log_likelihoods).sum(),
    )
    bounds = Sums(
        share_slack.sum(axis=0),
        np.einsum("nk,nkj->kj", share_slack, np.abs(centred)),
        _second_bound(share_slack, centred, parameters.structure),
        (weights * row_slack).sum(),
    )
    return exact, bounds


def _moments(shares, centred, structure):
    weight = shares.sum(axis=0)
    first = np.einsum("nk,nkj->kj", shares, centred)
    if structure == "diagonal":
        return weight, first, np.einsum("nk,nkj->kj", shares, centred**2)
    if structure == "spherical":
        return weight, first, np.einsum("nk,nkj->k", shares, centred**2)
    scaled = (shares[:, :, None] * centred).transpose(1, 2, 0)
    products = np.stack([a @ centred[:, k] for k, a in enumerate(scaled)])
    return weight, first, products.sum(axis=0) if structure == "tied" else products


def _second_bound(share_slack, centred, structure):
    """Bound products by Cauchy and Schwarz: of the squares of their two features."""
    squares = np.einsum("nk,nkj->kj", share_slack, centred**2)
    if structure == "diagonal":
        return squares
    if structure == "spherical":
        return squares.sum(axis=1)
    if structure == "tied":  # twice: within and between components
        squares = 2 * squares.sum(axis=0)
    roots = np.sqrt(squares)
    return roots[..., :, None] * roots[..., None, :]


def worst(found, exact, bounds):
    """Return the largest ratio of an error to its bound, over all fields."""
    ratios = [
        np.max(np.abs(np.asarray(a, np.longdouble) - b) / c)
        for a, b, c in zip(found, exact, bounds, strict=True)
    ]
    return float(np.max(ratios))  # NaN if any is
