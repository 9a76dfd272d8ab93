"""What covariances have in common by a family's letters."""

from __future__ import annotations

import numpy as np
from numpy.testing import assert_allclose


def assert_of(kind, covariances, n_features=2):
    """Compare what is equal by the letters: volumes to 1e-12, spectra to 1e-11, axes to 1e-13.

    Numbers are rounded, those of float32 to 2^-24. That moves the logarithm of a volume, or of a
    variance along an axis, by so much for each feature and unit of condition at most, on either
    side of a comparison; and of products of two matrices by twice as much.
    """
    covariances = np.asarray(covariances)
    found = kind.structure.matrices(covariances.astype(float), len(covariances), n_features)
    if kind.structure.is_shared:
        return  # one for all
    assert len(found) > 1
    rounding = n_features * np.finfo(covariances.dtype).eps
    condition = np.linalg.cond(found).max()
    volumes = np.exp(np.linalg.slogdet(found)[1] / n_features)
    volume, shape, axes = kind.name
    if volume == "E":
        assert_allclose(volumes, volumes[0], rtol=1e-12 + rounding * condition)
    scaled = found / volumes[:, None, None]
    if shape == "E":
        spectra = np.linalg.eigvalsh(scaled)
        rtol = 1e-11 + 2.0 * rounding * condition
        assert_allclose(spectra, np.broadcast_to(spectra[0], spectra.shape), rtol=rtol)
    if axes == "E":
        both = scaled[:, None] @ scaled[None]
        sizes = np.linalg.norm(scaled, axis=(1, 2))
        apart = np.abs(both - both.swapaxes(0, 1)).max(axis=(2, 3)) / np.outer(sizes, sizes)
        assert apart.max() <= 1e-13 + (2.0 * rounding if covariances.dtype == np.float32 else 0.0)
