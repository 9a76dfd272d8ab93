"""The whole story on one screen: how many clusters, which ones, and how fast."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

import sklearn
from rich import box
from rich.console import Console
from rich.table import Table

import fastgmm
from fastgmm.demo import blobs, long_clusters, million_rows
from fastgmm.errors import require

WIDTH = 92
SHOWN = (1, 2, 3, 4, 5, 6, 8, 12, 20)  # numbers of components that have room on the screen


def tell(folder: Path, n_rows: int) -> None:
    """Run the three parts, show what each found, and draw it into the folder.

    Parameters
    ----------
    folder : Path
        Made if it is missing; holds a picture of each part afterwards.
    n_rows : int
        Rows of part three.
    """
    require("matplotlib", "plot")
    folder.mkdir(parents=True, exist_ok=True)
    console = Console(width=min(Console().width, WIDTH), highlight=False)
    versions = f"fastgmm {fastgmm.__version__} and scikit-learn {sklearn.__version__}"
    console.print(f"{versions} on {os.cpu_count()} cores; the first fit compiles")
    started = time.perf_counter()
    how_many(console, folder / "1-how-many.png")
    long_and_parallel(console, folder / "2-long-clusters.png")
    rows_from_a_file(console, folder / "3-rows-from-a-file.png", n_rows)
    console.rule(style="dim")
    console.print(f"{time.perf_counter() - started:.1f} seconds in all; the pictures are in:")
    console.print(f"{folder.resolve()}", soft_wrap=True, style="bold")


def how_many(console: Console, picture: Path) -> None:
    """Part one: the number of components that BIC and AIC choose."""
    _title(console, "1  How many clusters? 300 rows in four blobs, fitted with 1 to 20")
    began = time.perf_counter()
    found = blobs.sweep()
    blobs.draw(found, picture)
    table = _table("components", *map(str, SHOWN))
    for name, values, least in (
        ("BIC", found.bic, found.least_bic),
        ("AIC", found.aic, found.least_aic),
    ):
        by_number = dict(zip(found.n_components, values, strict=True))
        cells = [f"{by_number[k]:.0f}" for k in SHOWN]
        table.add_row(name, *_marked(cells, [k == least for k in SHOWN]))
    console.print(table)
    console.print(f" least BIC at {found.least_bic} components, least AIC at {found.least_aic}")
    _end(console, began, picture)


def long_and_parallel(console: Console, picture: Path) -> None:
    """Part two: clusters that k-means gets wrong and the mixture right."""
    _title(console, "2  Which ones? 1,500 rows in three long clusters, side by side")
    began = time.perf_counter()
    found = long_clusters.compare()
    long_clusters.draw(found, picture)
    table = _table("adjusted Rand index: 1 is right, 0 is chance", "k-means", "fastgmm")
    table.add_row("", f"{found.kmeans_index:.3f}", f"[bold]{found.mixture_index:.3f}[/]")
    console.print(table)
    _end(console, began, picture)


def rows_from_a_file(console: Console, picture: Path, n_rows: int) -> None:
    """Part three: passes over a file, beside scikit-learn's over a part of it."""
    title = f"3  How fast? {n_rows:,} rows of {million_rows.N_FEATURES} features from a file"
    _title(console, title)
    began = time.perf_counter()
    found = million_rows.race(n_rows)
    million_rows.draw(found, picture)
    table = _table(
        f"{million_rows.N_COMPONENTS} components, {million_rows.N_PASSES} passes",
        "rows",
        "seconds",
        "rows × passes / s",
    )
    for name, rows, seconds, rate in (
        ("scikit-learn, array in memory", found.n_part, found.seconds_part, found.rate_of_rival),
        (f"fastgmm, file of {found.megabytes:.0f} MB", n_rows, found.seconds, found.rate),
    ):
        table.add_row(name, f"{rows:,}", f"{seconds:.2f}", f"{rate / 1e6:.2f} million")
    console.print(table)
    console.print(
        f" [bold]{found.rate / found.rate_of_rival:.1f} times as fast[/]; on the same "
        f"{found.n_part:,} rows their parameters agree to {found.difference:.0e}"
    )
    _end(console, began, picture)


def _title(console: Console, title: str) -> None:
    console.rule(f"[bold]{title}[/]", align="left", style="dim")


def _table(first: str, *others: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, header_style="dim")
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="right")
    return table


def _marked(cells: Sequence[str], marks: Sequence[bool]) -> list[str]:
    """Set off the marked cells, without colours too."""
    return [f"[bold]*{cell}[/]" if mark else cell for cell, mark in zip(cells, marks, strict=True)]


def _end(console: Console, began: float, picture: Path) -> None:
    console.print(f"[dim] {time.perf_counter() - began:.1f} seconds, {picture.name}[/]")
