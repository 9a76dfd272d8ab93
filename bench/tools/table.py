"""One printer of tables, in Markdown."""

from __future__ import annotations

from typing import Any


class Table:
    """A table that is printed as its rows are found; `lines` keeps it for who writes a page.

    Parameters
    ----------
    columns : dict of str to str
        The format of each heading's numbers, such as ``{"data": "", "rows": ",d", "s": ".2f"}``.
        A column with a format is aligned to the right; ``">"`` does so for text.
    """

    def __init__(self, columns: dict[str, str]) -> None:
        self.formats = list(columns.values())
        self.lines: list[str] = []
        self._print(list(columns))
        self._print(["--:" if each else "---" for each in self.formats])

    def row(self, *values: Any) -> None:
        """Print a row. Text stays as it is, and None becomes a dash."""
        cells = zip(values, self.formats, strict=True)
        self._print([_cell(value, each) for value, each in cells])

    def _print(self, cells: list[str]) -> None:
        self.lines.append("| " + " | ".join(cells) + " |")
        print(self.lines[-1], flush=True)


def _cell(value: Any, how: str) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else format(value, how)
