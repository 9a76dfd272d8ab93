"""Part three: speed on a file of a million rows, beside scikit-learn on a part of it."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import sklearn.mixture
from sklearn.cluster import kmeans_plusplus
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from fastgmm import plot
from fastgmm.demo.figure import saved_figure
from fastgmm.estimators.gaussian_mixture import GaussianMixture

N_FEATURES, N_COMPONENTS, N_PASSES = 10, 8, 10
PART = 50_000  # rows of the file that scikit-learn is given
SLICE = 100_000  # rows written at a time
SHOWN = 20_000


@dataclass(frozen=True, eq=False)
class Race:
    """How fast each was: rows x passes a second, from the same start, for as many passes."""

    n_rows: int
    n_part: int
    megabytes: float
    seconds: float  # ours, over the whole file
    seconds_part: float  # scikit-learn's, over a part of it
    difference: float  # largest between both models on that part, relative to the largest value
    model: GaussianMixture
    shown: np.ndarray  # some rows, for the picture

    @property
    def rate(self) -> float:
        """Rows x passes a second of ours, the file read anew in every pass."""
        return self.n_rows * N_PASSES / self.seconds

    @property
    def rate_of_rival(self) -> float:
        """Rows x passes a second of scikit-learn, its rows in memory."""
        return self.n_part * N_PASSES / self.seconds_part


def race(n_rows: int) -> Race:
    """Write the file, fit it, and fit a part of it with scikit-learn."""
    with TemporaryDirectory(prefix="fastgmm-demo-") as folder:
        path = Path(folder) / "rows.npy"
        write(path, n_rows)
        part = np.array(np.load(path, mmap_mode="r")[:PART])
        start = _start(part)
        _quietly(GaussianMixture(**{**start, "max_iter": 1}).fit, path)  # compile before the clock
        model, seconds = _timed(GaussianMixture(**start).fit, path)
        rival, seconds_part = _rival(start, part)
        return Race(
            n_rows,
            len(part),
            path.stat().st_size / 1e6,
            seconds,
            seconds_part,
            _difference(_quietly(GaussianMixture(**start).fit, part), rival),
            model,
            part[:SHOWN],
        )


def write(path: Path, n_rows: int) -> None:
    """Write rows of a known mixture, a slice at a time."""
    rng = np.random.default_rng(0)
    means = rng.normal(scale=4.0, size=(N_COMPONENTS, N_FEATURES))
    shapes = rng.normal(size=(N_COMPONENTS, N_FEATURES, N_FEATURES)) / np.sqrt(N_FEATURES)
    rows = np.lib.format.open_memmap(path, "w+", np.float64, (n_rows, N_FEATURES))
    for first in range(0, n_rows, SLICE):
        out = rows[first : first + SLICE]
        labels = rng.integers(N_COMPONENTS, size=len(out))
        noise = rng.normal(size=out.shape)
        for k in range(N_COMPONENTS):
            mine = labels == k
            out[mine] = means[k] + noise[mine] @ (np.eye(N_FEATURES) + shapes[k])
    rows.flush()


def draw(found: Race, path: Path) -> None:
    """Draw both rates as bars, and some of the rows with their components."""

    def panels(axes: Any) -> None:
        _draw_rates(found, axes[0])
        plot.clusters(found.model, found.shown, axes[1])
        axes[1].set_title(f"{N_COMPONENTS} components, two of {N_FEATURES} features")

    saved_figure(path, panels)


def _draw_rates(found: Race, ax: Any) -> None:
    rates = [found.rate_of_rival / 1e6, found.rate / 1e6]
    names = [
        f"scikit-learn\n{found.n_part:,} rows\nin memory",
        f"fastgmm\n{found.n_rows:,} rows\nfrom a file",
    ]
    bars = ax.barh(names, rates, color=[[0.75] * 3, plot.component_colours(3)[1]], height=0.55)
    ax.bar_label(bars, [f"{rate:.2f}" for rate in rates], padding=5)
    ax.margins(x=0.15)
    ax.set_xlabel("million rows × passes a second")
    ax.set_title(f"{found.rate / found.rate_of_rival:.1f} times as fast")


def _start(rows: np.ndarray) -> dict[str, Any]:
    """Settings of both: the same start and number of passes, since tol=0 never stops."""
    means, _ = kmeans_plusplus(rows, N_COMPONENTS, random_state=0)
    precision = np.linalg.inv(np.cov(rows.T))
    return {
        "n_components": N_COMPONENTS,
        "weights_init": np.full(N_COMPONENTS, 1.0 / N_COMPONENTS),
        "means_init": means,
        "precisions_init": np.tile(precision, (N_COMPONENTS, 1, 1)),
        "tol": 0.0,
        "max_iter": N_PASSES,
    }


def _rival(
    start: dict[str, Any], part: np.ndarray
) -> tuple[sklearn.mixture.GaussianMixture, float]:
    """Fit with scikit-learn, with one BLAS thread and with all; the faster is what counts.

    On a busy machine of two cores two threads took 4.1 seconds where one took 0.7.
    """
    trials = []
    for n_threads in (1, None):
        with threadpool_limits(n_threads, user_api="blas"):
            trials.append(_timed(sklearn.mixture.GaussianMixture(**start).fit, part))
    return min(trials, key=lambda trial: trial[1])


def _timed(fit: Callable[[Any], Any], data: Any) -> tuple[Any, float]:
    started = time.perf_counter()
    model = _quietly(fit, data)
    return model, time.perf_counter() - started


def _quietly(fit: Callable[[Any], Any], data: Any) -> Any:
    """Fit without the warning that a fixed number of passes has not converged."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return fit(data)


def _difference(model: GaussianMixture, rival: sklearn.mixture.GaussianMixture) -> float:
    pairs = [
        (getattr(model, name), getattr(rival, name))
        for name in ("weights_", "means_", "covariances_")
    ]
    return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in pairs)
