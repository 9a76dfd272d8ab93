"""What fastgmm does about each fault, in a phrase; `python tests/faults/answers.py` tables them.

It prints the table of docs/reliability.md: a line for each number, with the files whose tests carry
it. Run it again when tests are added.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
if __name__ == "__main__":
    sys.path.insert(0, str(TESTS))

from faults.catalogue import CONTAIN, FAULTS, HANDLE, REFUSE, STRUCK, WARN  # noqa: E402 - run as a program, or by pytest

DOCUMENT = TESTS.parent / "docs" / "reliability.md"

ANSWERS = {
    1: "refused: row, column, and the file or chunk",
    2: "refused, as NaN is",
    3: "refused in the pass that shows it; the model of before stays",
    4: "fitted, with a DegenerateComponentWarning",
    5: "refused: component and feature",
    6: "fitted, with a warning that names the column",
    7: "fitted, with a warning that names the columns",
    8: "fitted, with a warning",
    9: "fitted, with a warning; every number finite",
    10: "fitted, with a warning",
    11: "refused with both numbers",
    12: "fitted, with a warning that names other covariance types",
    13: "refused: two rows are the least",
    14: "fitted to the digits that the rows have; see Digits",
    15: "fitted, with a warning",
    16: "fitted; reg_covar_relative=True makes reg_covar a part of each variance",
    17: "fitted, with a warning that reg_covar outweighs the data",
    18: "refused below 1e-140 (float32: 1e-17): column and range; above it fitted",
    19: "refused beyond 1e145 (float32: 1e17): row, column and range",
    20: "beside other numbers they count as zero; alone they are refused as 18",
    21: "fitted, with a warning",
    22: "refused by row; a row of weight 0 may hold it",
    23: "fitted, with a warning that names the component",
    24: "fitted; no variance falls below reg_covar",
    25: "the same bits as 0.0",
    26: "fitted; the likelihood never falls",
    27: "fitted; responsibilities are exactly 0 and 1, no logarithm of 0",
    28: "posteriors sum to 1",
    29: "posteriors sum to 1 (equal shares where every density is no number any more)",
    30: "means in two float32 parts, sums in float64: 2e-5 of the double result",
    31: "refused, each in words of its own",
    32: "as if the rows were not there, also in n_rows_ and BIC",
    33: "any power of two changes nothing; a sum below 1e-290 is refused",
    34: "converted to float64 without loss",
    35: "converted to float64 (64-bit integers are rounded)",
    36: "numbers are taken, anything else refused by row and column",
    37: "refused by row and column; nothing is ever parsed",
    38: "refused",
    39: "rounded to float64",
    40: "the same bits",
    41: "the same bits, block by block, without a copy of the whole",
    42: "read, never written to",
    43: "the same bits",
    44: "refused by row and column, in rows, chunks, weights and starts",
    45: "numbers are taken; missing cells, categories, dates and text refused by name",
    46: "numbers are taken; nulls, dictionaries, decimals and lists refused by name",
    47: "columns are found by name; what does not fit is refused by file and column",
    48: "refused, with toarray()",
    49: "DLPack in main memory is read in place; on another device refused, with the way to copy",
    50: "refused, with the reshape; None, mappings, sets and archives are told what they are",
    51: "refused in fit; predict of no rows returns no rows",
    52: "full, diag and spherical agree to 1e-13",
    53: "64-bit throughout; shown at 3.3e9 products, row numbers past 2**32",
    54: "MemoryError before the fit: bytes needed, bytes there are",
    55: "refused with both numbers",
    56: "refused with both orders",
    57: "no crash, no reading out of bounds; the result is that of the rows it saw",
    58: "refused, True and 2.0 too",
    59: "tol=0 uses every pass, max_iter=0 keeps the start; others refused",
    60: "0 to 1e290; others refused",
    61: "refused by argument; a starved component is warned of",
    62: "refused by argument and component, 0 too",
    63: "refused by argument and component",
    64: "another shape or type refused, the model kept; another dtype is followed",
    65: "refused with the nearest word; the command line names its option",
    66: "the same bits for a seed, at any number of threads",
    67: "no setting is changed by a fit",
    83: "refused, and nothing is learned; after `fit` it goes on with that fit's weight",
    84: "refused at every length",
    85: "refused, or the same model where the byte says nothing (dates in the zip)",
    86: "a newer format is refused with the upgrade; fields missing or unknown are refused",
    87: "refused unread: nothing in the reader can unpickle",
    88: "held against the size of the file before memory is taken",
    89: "refused: which array, and what is wrong",
    90: "the old file stays; links are replaced, never followed; pipes and folders refused",
    91: "little-endian in every file, whatever wrote it",
    92: "read, with a VersionWarning that names both versions",
    106: "flushed denormals change no bit, another rounding mode or processor the last ones alone",
    107: "a sub-interpreter is refused at import; threads that hear no signals fit",
    109: "what raises leaves the object whole, what meddles writes to copies, who asks is obeyed",
    110: "only clocks that cannot go back are asked, and no file's date",
}


KEPT = {
    REFUSE: "refused",
    HANDLE: "handled",
    WARN: "fitted, with a warning",
    CONTAIN: "contained",
}


def marked() -> dict[int, list[str]]:
    """Return the files whose tests carry each number."""
    found: dict[int, list[str]] = {number: [] for number in FAULTS}
    for path in sorted(TESTS.rglob("test_*.py")):
        for number in sorted(_numbers(ast.parse(path.read_text()))):
            found[number].append(path.relative_to(TESTS).as_posix())
    return found


def _numbers(tree: ast.AST) -> set[int]:
    """The arguments of every `mark.fault(...)`."""
    return {
        argument.value
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr == "fault"
        for argument in call.args
        if isinstance(argument, ast.Constant)
    }


def table() -> str:
    """Return the table, as Markdown."""
    lines = ["| | fault | what happens | shown in `tests/` |", "| --: | --- | --- | --- |"]
    files = marked()
    for number, fault in FAULTS.items():
        answer = ANSWERS.get(number, KEPT[fault.promise])
        shown = ", ".join(f"`{file}`" for file in files[number])
        if number in STRUCK:
            answer = f"struck: {STRUCK[number]}"
        elif not files[number]:
            answer, shown = f"expected: {fault.promise}", "not yet"
        lines.append(f"| {number} | {fault.description} | {answer} | {shown} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
