"""The command line: ``fastgmm`` and ``python -m fastgmm``."""

from __future__ import annotations

import sys

from fastgmm.errors import MissingDependencyError, require


def main() -> None:
    """Run a command; without the libraries of the `cli` extra, say how to get them."""
    try:
        require("typer", "cli")
        require("rich", "cli")
    except MissingDependencyError as error:
        sys.exit(_refusal(error))
    from fastgmm.cli.app import app

    app(prog_name="fastgmm")


def _refusal(error: MissingDependencyError) -> int:
    print(f"fastgmm: {error}", file=sys.stderr)
    return 2
