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
        sys.exit(_said(str(error), 2))
    except KeyboardInterrupt:  # the import takes seconds; from then on the commands see to it
        sys.exit(_said("interrupted; no output was written", 130))
    app(prog_name="fastgmm")


def _said(sentence: str, code: int) -> int:
    print(f"fastgmm: {sentence}", file=sys.stderr)
    return code
