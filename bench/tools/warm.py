"""Compile before the clock starts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def compile(function: Callable[..., Any], *arguments: Any) -> None:
    """Call once, on the very arguments that will be timed: their types and sizes choose kernels."""
    function(*arguments)
