"""Progress bars on stderr, if that is a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from fastgmm.estimators.bayesian_mixture import BayesianGaussianMixture
from fastgmm.sources import Block, Source

Found = TypeVar("Found")  # of a block


class PassProgress:
    """A callback in scikit-learn's protocol: one bar per fit, one step per pass.

    Parameters
    ----------
    doing : str
        The bar's text before the first pass.
    """

    def __init__(self, doing: str) -> None:
        self.bar = _bar("passes")
        self.task = self.bar.add_task(doing, total=None)

    def setup(self, estimator: Any, context: Any) -> None:
        """Show the bar."""
        self.bar.start()

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        """Set the length of the bar: the most passes that the fit may take."""
        if context.parent is None:
            self.bar.update(self.task, total=context.max_subtasks)

    def on_fit_task_end(
        self, estimator: Any, context: Any, *, fitted_estimator: Any = None
    ) -> None:
        """Advance by one pass, and show what it has found."""
        if context.parent is None or fitted_estimator is None:
            return
        bayesian = isinstance(estimator, BayesianGaussianMixture)
        found = "lower bound" if bayesian else "log-likelihood"
        text = f"{found} {fitted_estimator.lower_bound_:.6g}"
        self.bar.update(self.task, advance=1, description=text)

    def teardown(self, estimator: Any, context: Any) -> None:
        """Remove the bar; the results take its place."""
        self.bar.stop()


def fitted(model: Any, source: Source, checkpoint: Path | None, doing: str) -> float:
    """Fit a model, with a bar on stderr if that is a terminal; return the seconds it took."""
    if sys.stderr.isatty():
        model.set_callbacks(PassProgress(doing))
    started = time.perf_counter()
    model.fit(source, checkpoint=checkpoint)
    seconds = time.perf_counter() - started
    model.set_callbacks()  # the bar must not be saved with the model
    return seconds


def counted(pieces: Iterable[tuple[Block, Found]], n_rows: int | None) -> Iterator[Found]:
    """Yield the scores of each block, and show how many rows are done."""
    with _bar("rows") as bar:
        task = bar.add_task("reading", total=n_rows)
        for block, found in pieces:
            yield found
            bar.advance(task, len(block.rows))


def _bar(unit: str) -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
