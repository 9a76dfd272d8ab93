"""What tests of commands share: running one, and writing a table for it."""

from __future__ import annotations

import pandas as pd
from typer.testing import CliRunner

from fastgmm.cli.app import app

READ = {".parquet": pd.read_parquet, ".csv": pd.read_csv}


def run(*arguments, code=0):
    result = CliRunner().invoke(app, [str(each) for each in arguments])
    assert result.exit_code == code, result.output
    return result


def refused(*arguments):
    """Return the sentence with which a command refuses its arguments."""
    result = run(*arguments, code=2)
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("fastgmm: ")
    assert "Traceback" not in result.output
    return lines[0]


def written(table, path):
    table.to_csv(path, index=False) if path.suffix == ".csv" else table.to_parquet(path)
    return path
