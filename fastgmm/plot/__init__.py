"""Pictures of a mixture: every function takes and returns an Axes, and none shows it.

Rows come from whatever `predict` takes. Of many rows a sample is drawn, always the same one, or
they are counted in cells, in one pass: a million take as little room on paper as in memory.
"""

from __future__ import annotations

from fastgmm.plot.clusters import clusters
from fastgmm.plot.colours import INK, component_colours, point_size
from fastgmm.plot.corner import corner
from fastgmm.plot.criteria import criteria
from fastgmm.plot.density import density
from fastgmm.plot.held_out import held_out
from fastgmm.plot.histogram import histogram
from fastgmm.plot.scores import scores
from fastgmm.plot.trace import trace
from fastgmm.plot.uncertainty import uncertainty

__all__ = [
    "INK",
    "clusters",
    "component_colours",
    "corner",
    "criteria",
    "density",
    "held_out",
    "histogram",
    "point_size",
    "scores",
    "trace",
    "uncertainty",
]
