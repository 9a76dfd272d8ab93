"""The command line: ``fastgmm`` and ``python -m fastgmm``."""

from __future__ import annotations

import sys

from fastgmm.errors import require


def main() -> None:
    """Run a command; where something cannot be imported, say what, and the way out."""
    try:
        require("typer", "cli")
        require("rich", "cli")
        from fastgmm.cli.app import app
    except ImportError as error:
        sys.exit(_refusal(error))
    app(prog_name="fastgmm")


def _refusal(error: ImportError) -> int:
    print(f"fastgmm: {error}", file=sys.stderr)
    return 2
