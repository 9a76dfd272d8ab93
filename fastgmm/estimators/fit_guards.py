"""Guards of a fit: one at a time per object, and its last iteration kept when it is ended."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_here = threading.local()  # the objects that this thread is fitting


@contextmanager
def fitted_once(estimator: Any) -> Iterator[None]:
    """Refuse to fit what the same thread is fitting: whichever ends last would win."""
    under_way: list[Any] = _here.__dict__.setdefault("objects", [])
    if any(each is estimator for each in under_way):
        raise RuntimeError(
            f"this {type(estimator).__name__} is being fitted: the code that yields its rows, or a "
            "callback, has called its fit again; fit another object there (sklearn.clone)"
        )
    under_way.append(estimator)
    try:
        yield
    finally:
        under_way.pop()


@contextmanager
def last_iteration_kept(
    estimator: Any, last_finished: Callable[[], dict[str, Any] | None]
) -> Iterator[None]:
    """Give what ends a fit the attribute `model`: a mixture of the last finished iteration.

    Parameters
    ----------
    estimator : Mixture
    last_finished : callable
        Returns the attributes of that mixture, or None if no iteration was finished.
    """
    try:
        yield
    except BaseException as error:
        if (attributes := last_finished()) is not None:
            model = copy.copy(estimator)
            model._publish(attributes)
            error.model = model  # type: ignore[attr-defined]
            error.add_note(
                f"The object is as it was before this fit. Its last finished iteration, the "
                f"{model.n_iter_}., is kept as a fitted mixture in this error's attribute 'model'."
            )
        raise
