"""fastgmm demo: what fastgmm does, on one screen."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder for the pictures.")] = Path(
        "fastgmm-demo"
    ),
    rows: Annotated[int, typer.Option(min=1000, hidden=True, help="Rows of part three.")] = 10**6,
) -> None:
    """Tell the whole story on one screen: how many clusters, which, and how fast."""
    from fastgmm.demo import tell

    tell(out, rows)
