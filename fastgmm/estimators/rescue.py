"""What is left of a fit that something has ended: its last finished iteration."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastgmm.estimators.fitting import Climb


@contextmanager
def last_iteration_kept(estimator: Any, climb: Climb) -> Iterator[None]:
    """Give whatever ends a fit the attribute `model`: a mixture fitted by the finished passes."""
    try:
        yield
    except BaseException as error:
        if (model := _last_finished(estimator, climb)) is not None:
            error.model = model  # type: ignore[attr-defined]
            error.add_note(
                f"The object is as it was before this fit. Its last finished iteration, the "
                f"{model.n_iter_}., is kept as a fitted mixture in this error's attribute 'model'."
            )
        raise


def _last_finished(estimator: Any, climb: Climb) -> Any:
    sound = [state for state in climb.states if state.failure is None]
    if not any(state.trace for state in sound):
        return None
    model = copy.copy(estimator)
    model._publish(climb.attributes())
    return model
