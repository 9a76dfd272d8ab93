"""What a selection by the default arguments compares its candidates by."""

from __future__ import annotations

from fastgmm.covariance import family
from fastgmm.estimators.criteria import bic
from fastgmm.selection.contest import Contest


def contest_of(n_rows=1000, n_features=2, **changes):
    arguments = {
        "criterion": bic,
        "counts": [1, 2, 3],
        "families": [family("full")],
        "n_features": n_features,
        "n_rows": n_rows,
        "row_weight": float(n_rows),
        "share": 0.01,
        "max_passes": 1000,
        "rule": "aitken",
    }
    return Contest(**(arguments | changes))
