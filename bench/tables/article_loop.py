"""How many components a loop over `GaussianMixture` chooses, with and without the prior.

    python -m bench.tables.article_loop [--out regularisation.png]

The loop that an article made known: 1 to 20 components on 300 rows of four blobs, with BIC and AIC
of each. Prints a Markdown table of both and of the smallest eigenvalue of a covariance, ours by
default, by maximum likelihood, and scikit-learn's, and who has warned. With
``--out``, draws the mean log-likelihood of these rows, and of other rows of the same blobs, against
the number of components.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import make_blobs
from sklearn.mixture import GaussianMixture as Theirs

from bench.tools.table import Table
from fastgmm import GaussianMixture

COUNTS = range(1, 21)
N_ROWS, N_HELD_OUT, N_CLUSTERS, DEVIATION = 300, 30_000, 4, 0.60
FITS: dict[str, Callable[..., Any]] = {
    "default": GaussianMixture,
    "prior=None": partial(GaussianMixture, prior=None),
    "scikit-learn": Theirs,
}


def blobs() -> tuple[np.ndarray, np.ndarray]:
    """Return the article's rows, and other rows of the same clusters."""
    rows, _, centres = make_blobs(
        N_ROWS, centers=N_CLUSTERS, cluster_std=DEVIATION, random_state=0, return_centers=True
    )
    return rows, make_blobs(N_HELD_OUT, centers=centres, cluster_std=DEVIATION, random_state=1)[0]


def fitted(make: Callable[..., Any], rows: np.ndarray) -> list[tuple[Any, bool]]:
    """Return the model of every number of components, and whether it has warned."""
    found = []
    for n in COUNTS:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found.append((make(n, random_state=0).fit(rows), bool(caught)))
    return found


def draw(models: dict[str, list[tuple[Any, bool]]], parts: dict[str, np.ndarray], path: Path):
    """Draw the log-likelihood per row of both parts against the number of components."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.8), layout="constrained")
    for axes, (title, rows) in zip(figure.subplots(1, 2), parts.items(), strict=True):
        for (name, fits), style in zip(models.items(), ("o-", "s--", "^:"), strict=True):
            curve = [model.score(rows) for model, _ in fits]
            axes.plot(COUNTS, curve, style, markersize=4, label=name)
        axes.set(xlabel="components", title=title, xticks=COUNTS[::3])
    figure.axes[0].set_ylabel("mean log-likelihood per row")
    figure.axes[0].legend()
    figure.savefig(path, dpi=100)


def main() -> None:
    """Print the table, and draw the picture if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    rows, others = blobs()
    models = {name: fitted(make, rows) for name, make in FITS.items()}
    values = {"smallest eigenvalue": ".1e", "BIC": ".0f", "AIC": ".0f"}
    columns = {f"{name}: {value}": how for name in FITS for value, how in values.items()}
    table = Table({"K": "d", **columns, "warned": "", "prior_strength_": "g"})
    chosen: dict[str, list[list[float]]] = {name: [] for name in FITS}
    for at, n in enumerate(COUNTS):
        cells, warned = [], []
        for name, fits in models.items():
            model, has_warned = fits[at]
            criteria = [model.bic(rows), model.aic(rows)]
            chosen[name].append(criteria)
            cells += [float(np.linalg.eigvalsh(model.covariances_).min()), *criteria]
            warned += [name] if has_warned else []
        strength = models["default"][at][0].prior_strength_
        table.row(n, *cells, ", ".join(warned), strength)
    for name, criteria in chosen.items():
        bic, aic = (COUNTS[at] for at in np.argmin(criteria, axis=0))
        print(f"\n{name}: {bic} components by BIC, {aic} by AIC")
    if arguments.out:
        draw(models, {"the 300 rows of the fit": rows, "other rows": others}, arguments.out)


if __name__ == "__main__":
    main()
