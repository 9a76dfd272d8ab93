"""The methods of `init_params`: from a sample of the rows to the first parameters."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from fastgmm import em
from fastgmm.initialisation.auto import auto_start
from fastgmm.initialisation.kmeans import (
    Members,
    k_means,
    k_means_plus_plus,
    maximise,
    members,
    random_responsibilities,
    random_rows,
)
from fastgmm.mixture.arrays import Array
from fastgmm.mixture.parameters import Parameters
from fastgmm.parallel.blas import one_blas_thread
from fastgmm.passes.subsample import Sample


def start_from(
    sample: Sample,
    method: str,
    n_components: int,
    rule: em.Maximisation,
    rng: np.random.Generator,
) -> Parameters:
    """Find parameters for EM to start from.

    Parameters
    ----------
    sample : Sample
        Of the rows, as `fastgmm.passes.subsample.draw_sample` draws one.
    method : {"auto", "kmeans", "k-means++", "random", "random_from_data"}
        "auto" is the best of several kinds by short runs of EM; "random" gives each row random
        responsibilities, that follow from its values and the seed; the others label rows by
        the nearest of their centres.
    n_components : int
    rule : Maximisation
        For the rows that the sample stands for.
    rng : numpy.random.Generator

    Returns
    -------
    start : Parameters

    Raises
    ------
    DegenerateCovarianceError
        If a component's covariance is not positive definite: more components than different
        rows, say, with reg_covar=0.
    """
    if method == "auto":
        return auto_start(sample, n_components, rule, rng)
    rule = rule.on(1.0 / sample.own_weight, sample.origin)
    with one_blas_thread():  # at d = 160 the covariances had other bits with two
        if method == "random":
            shares = random_responsibilities(sample.rows, n_components, rng)
            nowhere = np.zeros(sample.rows.shape[1])
            given = (Members(sample.rows, sample.weights * share, nowhere) for share in shares())
            return maximise(sample, given, rule)
        centres, labels = METHODS[method](sample, n_components, rng)
        return maximise(sample, members(sample, centres, labels), rule)


Method = Callable[[Sample, int, np.random.Generator], tuple[Array, npt.NDArray[np.int64]]]
METHODS: dict[str, Method] = {
    "kmeans": k_means,
    "k-means++": k_means_plus_plus,
    "random_from_data": random_rows,
}
