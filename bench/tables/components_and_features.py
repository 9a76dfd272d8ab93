"""How the time of a pass grows with components and features, and a chart of it.

    python -m bench.tables.components_and_features [--out growth.png]

Rows are drawn from as many clusters as there are components, means eight deviations apart,
variances of their own; "full" and "factors" passes see the same clusters, with correlations. A pass
at the truth is timed on all threads, the ways in turn: "diag" by all components and truncated,
"full" as it is by default, factors with five columns. Printed are microseconds per row.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import numpy as np

from bench.tools.table import Table
from bench.tools.timing import in_turn
from fastgmm import open_source, passes
from fastgmm.mixture.factored import Factored
from fastgmm.mixture.parameters import Parameters
from fastgmm.mixture.truncated import Truncated

FEATURES, COMPONENTS = 64, 200  # held while the other grows
BY_COMPONENTS = (50, 100, 200, 500, 1000, 2000, 5000)
BY_FEATURES = (8, 16, 32, 64, 128, 256, 512, 1024)
FACTORS, BOUND, APART = 5, 1e-3, 8.0
MOST_ROWS, FEWEST_ROWS, OPERATIONS = 50_000, 4_096, 2e10  # the last of a dense pass
MOST_NUMBERS = 3e7  # of covariances, 240 MB: "full" is not timed beyond
WAYS = {  # and how they are drawn
    "diag": ("--", "tab:blue"),
    "diag, truncated": ("-", "tab:blue"),
    "factors": ("-", "tab:green"),
    "full": ("-", "tab:orange"),
}


def timed_passes(n_components: int, n_features: int, turns: int) -> dict[str, float]:
    """Return microseconds per row of a pass of each kind."""
    rng = np.random.default_rng([n_components, n_features])
    weights = np.full(n_components, 1.0 / n_components)
    shape = n_components, n_features
    means = rng.normal(scale=APART / np.sqrt(2 * n_features), size=shape)
    variances = np.exp(rng.normal(scale=0.5, size=shape))
    loadings = rng.normal(scale=0.5, size=(*shape, FACTORS))
    made = {"diag": Parameters.from_covariances("diagonal", weights, means, variances)}
    factored = np.concatenate([loadings, variances[..., None]], axis=-1)
    kind = Factored(f"factors-{FACTORS}")
    made["factors"] = Parameters(kind, weights, means, factored, kind.factors(factored))
    if n_components * n_features**2 <= MOST_NUMBERS:
        matrices = loadings @ loadings.swapaxes(-1, -2)
        matrices[:, np.arange(n_features), np.arange(n_features)] += variances
        made["full"] = Parameters.from_covariances("full", weights, means, matrices)
    labels = np.arange(MOST_ROWS) % n_components
    rng.shuffle(labels)
    noise = rng.normal(size=(MOST_ROWS, n_features))
    own = means[labels] + np.sqrt(variances[labels]) * noise
    latent = rng.normal(size=(MOST_ROWS, FACTORS))
    correlated = own + np.einsum("ijq,iq->ij", loadings[labels], latent)
    ways = {"diag": (own, made["diag"])}
    ways["diag, truncated"] = own, Truncated.of(made["diag"], BOUND)
    ways |= {each: (correlated, made[each]) for each in ("factors", "full") if each in made}
    calls, counts = [], []
    for each, (rows, mixture) in ways.items():
        of_pair = n_features**2 if each == "full" else n_features
        n_rows = int(np.clip(OPERATIONS / (n_components * of_pair), FEWEST_ROWS, MOST_ROWS))
        calls.append(partial(passes.statistics, open_source(rows[:n_rows]), [mixture]))
        counts.append(n_rows)
    best = in_turn(*calls, turns=turns).best
    return dict(zip(ways, 1e6 * best / counts, strict=True))


def draw(results: dict[tuple[int, int], dict[str, float]], path: Path) -> None:
    """Draw microseconds per row against K and against d, on logarithmic axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    of_components = [(k, results[k, FEATURES]) for k in BY_COMPONENTS]
    of_features = [(d, results[COMPONENTS, d]) for d in BY_FEATURES]
    titles = f"{FEATURES} features", f"{COMPONENTS} components"
    for axes, sizes, title in zip(panels, (of_components, of_features), titles, strict=True):
        for each, (line, colour) in WAYS.items():
            points = [(size, found[each]) for size, found in sizes if each in found]
            axes.loglog(*zip(*points, strict=True), line, color=colour, marker="o", label=each)
        axes.set_title(title)
    panels[0].set(xlabel="components", ylabel="microseconds per row")
    panels[1].set_xlabel("features")
    panels[0].legend()
    figure.savefig(path, dpi=120)


def main() -> None:
    """Print the table, and draw it if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--turns", type=int, default=3)
    arguments = parser.parse_args()
    sizes = [(k, FEATURES) for k in BY_COMPONENTS] + [(COMPONENTS, d) for d in BY_FEATURES]
    table, results = Table({"K": "d", "d": "d"} | dict.fromkeys(WAYS, ".2f")), {}
    for size in dict.fromkeys(sizes):
        results[size] = timed_passes(*size, arguments.turns)
        table.row(*size, *(results[size].get(each, np.nan) for each in WAYS))
    if arguments.out:
        draw(results, arguments.out)


if __name__ == "__main__":
    main()
