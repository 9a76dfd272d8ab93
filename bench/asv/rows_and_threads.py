"""What grows with rows and threads: the time of a pass, and what a fit holds above its rows."""

from __future__ import annotations

import os

import numba

from bench.asv.fit import fit
from bench.tables.growth import prepare
from bench.tables.image_patches import Peak
from bench.tools import data


class Rows:
    """A pass over more and more rows."""

    params = [50_000, 100_000, 200_000, 400_000]
    param_names = ["n_rows"]

    def setup(self, n_rows):
        self.run = prepare(n_rows, 10, 10)
        self.run()  # compiles

    def time_pass(self, _):
        self.run()


class Threads:
    """A pass by one thread and by all."""

    params = sorted({1, os.cpu_count() or 1})
    param_names = ["n_threads"]

    def setup(self, n_threads):
        numba.set_num_threads(n_threads)
        self.run = prepare(200_000, 10, 10)
        self.run()  # compiles

    def time_pass(self, _):
        self.run()


class Memory:
    """Megabytes that a fit holds above its rows, at its peak."""

    params = [100_000, 1_000_000]
    param_names = ["n_rows"]
    unit = "MB"

    def track_above_the_rows(self, n_rows):
        mixture = data.mixture(10, 20)
        rows, start = data.rows(mixture, n_rows), data.start(mixture, "full")
        fit(rows, start, 1)  # compiles
        peak = Peak()
        peak.start()
        fit(rows, start, 3)
        peak.done.set()
        peak.join()
        return (peak.most - peak.before) / 1e6
