"""What the machine can do, and how near to it each kernel comes.

    python -m bench.tables.roofline

Rates of matrix products, of reading memory and of exp; then one pass of every structure, with
nothing left out, as a share of them. Operations of a full or tied pass are counted as
2 d (d + 1) n K and 2 d (d + 1) n + 4 d n K. Best of several turns: machines are noisy.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from bench.tools import data
from bench.tools.table import Table
from bench.tools.timing import in_turn
from fastgmm import open_source, passes
from fastgmm.covariance import family
from fastgmm.mixture.parameters import Parameters

THREADS = os.cpu_count() or 1
CASES = [
    ("full", 200_000, 2, 4),
    ("full", 200_000, 10, 10),
    ("full", 100_000, 32, 16),
    ("full", 24_576, 128, 16),
    ("tied", 100_000, 32, 16),
    ("diag", 200_000, 32, 16),
    ("spherical", 200_000, 32, 16),
]


def best(function: Callable[[], Any]) -> float:
    """Return the seconds of the fastest of nine turns."""
    return float(in_turn(function, turns=9).best[0])


def product_rate(dtype: str, size: int = 2000) -> float:
    """Measure matrix products, in 10^9 operations a second."""
    a = np.random.default_rng(0).random((size, size)).astype(dtype)
    return 2 * size**3 / best(lambda: a @ a) / 1e9


def read_rate(n_bytes: int = 1 << 29) -> float:
    """Measure reading memory with all threads, in 10^9 bytes a second."""
    parts = np.array_split(np.ones(n_bytes // 8), THREADS)
    with ThreadPoolExecutor(THREADS) as pool:
        return n_bytes / best(lambda: list(pool.map(np.max, parts))) / 1e9


def exp_rate(count: int = 1 << 22) -> float:
    """Measure NumPy's exp with all threads, in 10^9 results a second."""
    parts = np.array_split(-np.random.default_rng(0).random(count), THREADS)
    outs = [np.empty_like(part) for part in parts]
    with ThreadPoolExecutor(THREADS) as pool:
        return count / best(lambda: list(pool.map(np.exp, parts, outs))) / 1e9


def operations(kind: str, n_rows: int, d: int, n_components: int) -> float:
    """Count the operations that a pass cannot do without."""
    if kind == "full":
        return 2.0 * d * (d + 1) * n_rows * n_components
    if kind == "tied":
        return 2.0 * d * (d + 1) * n_rows + 4.0 * d * n_rows * n_components
    return 6.0 * d * n_rows * n_components


def pass_seconds(kind: str, n_rows: int, d: int, n_components: int, dtype: str) -> float:
    """Time a pass over rows in memory."""
    mixture = data.mixture(d, n_components)
    start = data.start(mixture, kind)
    parameters = Parameters.from_precisions(
        family(kind).structure, start["weights_init"], start["means_init"], start["precisions_init"]
    )
    source = open_source(data.rows(mixture, n_rows, dtype))
    return best(lambda: passes.statistics(source, [parameters], prune=False))


def main() -> None:
    """Print the machine's rates, then the kernels'."""
    products = {dtype: product_rate(dtype) for dtype in ("float64", "float32")}
    read, exp = read_rate(), exp_rate()
    print(
        f"{THREADS} threads: dgemm {products['float64']:.0f}, sgemm {products['float32']:.0f} "
        f"GFLOP/s; reading {read:.1f} GB/s; exp {exp:.2f} G/s\n"
    )
    parts = dict.fromkeys(("of gemm", "of reading", "exp, of NumPy's"), ".0%")
    table = Table({"pass": "", "ms": ".2f", "GFLOP/s": ".0f", **parts})
    for dtype in ("float64", "float32"):
        for kind, n_rows, d, n_components in CASES:
            seconds = pass_seconds(kind, n_rows, d, n_components, dtype)
            rate = operations(kind, n_rows, d, n_components) / seconds / 1e9
            n_bytes = n_rows * d * np.dtype(dtype).itemsize
            table.row(
                f"{kind} {n_rows}×{d}, K={n_components}, {dtype}",
                seconds * 1e3,
                rate,
                rate / products[dtype],
                n_bytes / seconds / 1e9 / read,
                n_rows * n_components / seconds / 1e9 / exp,
            )


if __name__ == "__main__":
    main()
