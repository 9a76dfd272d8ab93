"""One fit of an object at a time: the rows of a fit may not come from code that fits it again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
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
