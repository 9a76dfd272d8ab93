"""The image-prior workload: 8×8 grey patches of scikit-learn's two sample images, K = 200.

    python -m bench.tables.image_patches [--components 200] [--passes 3]

About 530 000 rows of 64 features, each less its mean. Seconds a pass and memory above the rows,
beside scikit-learn on a tenth of the rows; both start from the same parameters. Needs Pillow, which
comes with the `plot` extra.
"""

from __future__ import annotations

import argparse
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_sample_images
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as Theirs

from bench.tools.table import Table
from bench.tools.timing import timed
from fastgmm import GaussianMixture

SIDE = 8
PAGE = 4096


def patches() -> np.ndarray:
    """Return every patch of both images, (n, 64), less its mean, in shares of white."""
    rows = []
    for image in load_sample_images().images:
        grey = image.mean(axis=2) / 255.0
        windows = np.lib.stride_tricks.sliding_window_view(grey, (SIDE, SIDE))
        rows.append(windows.reshape(-1, SIDE * SIDE))
    found = np.concatenate(rows)
    return found - found.mean(axis=1, keepdims=True)


def start(rows: np.ndarray, n_components: int) -> dict[str, Any]:
    """Return a start: means from the rows, one covariance for all."""
    chosen = np.random.default_rng(0).choice(len(rows), n_components, replace=False)
    # patches without their mean lie in a subspace of 63 dimensions
    precision = np.linalg.inv(np.cov(rows.T) + 1e-4 * np.eye(rows.shape[1]))
    return {
        "n_components": n_components,
        "weights_init": np.full(n_components, 1.0 / n_components),
        "means_init": rows[chosen],
        "precisions_init": np.tile((precision + precision.T) / 2, (n_components, 1, 1)),
        "reg_covar": 1e-5,
        "tol": 0.0,
    }


class Peak(threading.Thread):
    """Watch the memory of this process until told to stop."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.before, self.most, self.done = resident(), 0, threading.Event()

    def run(self) -> None:
        """Look fifty times a second."""
        while not self.done.wait(0.02):
            self.most = max(self.most, resident())


def resident() -> int:
    """Return the bytes of memory in use."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def measure(
    estimator: type, rows: np.ndarray, given: dict[str, Any], n_passes: int
) -> tuple[float, float, float]:
    """Return seconds a pass, megabytes above the rows, and the mean log-likelihood reached."""
    clock = []
    for passes in (1, 1 + n_passes):
        peak = Peak()
        peak.start()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            took, model = timed(estimator(**given, max_iter=passes).fit, rows)
        clock.append(took)
        peak.done.set()
        peak.join()
    return (clock[1] - clock[0]) / n_passes, (peak.most - peak.before) / 1e6, model.lower_bound_


def main() -> None:
    """Fit, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--components", type=int, default=200)
    parser.add_argument("--passes", type=int, default=3)
    arguments = parser.parse_args()
    rows = patches()
    tenth = np.ascontiguousarray(rows[::10])
    given = start(rows, arguments.components)
    GaussianMixture(**given, max_iter=1).fit(tenth[: 10 * arguments.components])  # compiles
    numbers = {"rows": "d", "s a pass": ".2f", "MB above the rows": ".0f"}
    table = Table({"who": "", **numbers, "mean log-likelihood": ".6f"})
    seconds = {}
    for name, estimator, used in (
        ("fastgmm", GaussianMixture, rows),
        ("fastgmm", GaussianMixture, tenth),
        ("scikit-learn", Theirs, tenth),
    ):
        took, memory, score = measure(estimator, used, given, arguments.passes)
        seconds[name] = took
        table.row(name, len(used), took, memory, score)
    print(f"\non a tenth: {seconds['scikit-learn'] / seconds['fastgmm']:.1f} times scikit-learn")


if __name__ == "__main__":
    main()
