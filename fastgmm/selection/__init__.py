"""How many components, and of which kind: candidates fitted in shared passes, and compared."""

from __future__ import annotations

from fastgmm.selection.auto import AutoGaussianMixture, select
from fastgmm.selection.result import Selection

__all__ = ["AutoGaussianMixture", "Selection", "select"]
