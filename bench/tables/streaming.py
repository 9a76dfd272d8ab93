"""Files larger than memory: whether reading overlaps computing, and memory stays flat.

A script, not asv: `python -m bench.tables.streaming overlap` prints, for .npy and Parquet, the
seconds of reading alone, of computing alone and of a pass that does both, the least that their work
allows on all cores, and the ratio of the pass to it. `python -m bench.tables.streaming score` has
the same of what `fastgmm predict` and `score` write; nobody can work while the disk takes the last
of a file (sync). `python -m bench.tables.streaming fingerprint` prints what a pass over chunks in
memory pays for summing their bits, so that other rows in a later pass are noticed: processor time
beyond that of a pass that trusts them. `python -m bench.tables.streaming memory` fits a file of
--gigabytes under a limit of --limit gigabytes of address space beyond that of the import (0: none),
and prints what the system says of the process: its peak of resident memory (VmHWM), which counts
code and shared libraries too, its anonymous memory at the end (RssAnon) and its peak of address
space (VmPeak). Files are written to a temporary folder that is removed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
from numba import set_num_threads

from bench.tools import data
from bench.tools.table import Table
from bench.tools.timing import Turns, in_turn
from fastgmm import open_source, passes
from fastgmm.cli import output, predict
from fastgmm.kernels.block_sizes import block_rows
from fastgmm.mixture.parameters import Parameters
from fastgmm.parallel.threads import run_in_parallel
from fastgmm.sources import Source, blocks

FEATURES = 10
PART = 250_000  # rows drawn at a time
ROUNDS = 5  # the best of which counts
BLOCK = block_rows(FEATURES)
LABELS = {"file": "", "K": "d", "threads": "d"}
SECONDS = ".3f"
RATIOS = {"least": SECONDS, "ratio": ".2f"}


def parts(n_rows: int, n_components: int = 8) -> Iterator[np.ndarray]:
    """Draw rows of a mixture, some at a time."""
    made_of = data.mixture(FEATURES, n_components)
    drawn = data.rows(made_of, PART)
    rng = np.random.default_rng(0)
    for start in range(0, n_rows, PART):  # the same rows, each a little elsewhere
        yield (drawn + rng.normal(scale=0.1, size=FEATURES))[: n_rows - start]


def write_npy(path: Path, n_rows: int) -> None:
    with path.open("wb") as file:
        header = {"descr": "<f8", "fortran_order": False, "shape": (n_rows, FEATURES)}
        np.lib.format.write_array_header_1_0(file, header)
        for part in parts(n_rows):
            part.tofile(file)


def write_parquet(path: Path, n_rows: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = [f"x{j}" for j in range(FEATURES)]
    schema = pa.schema([(name, pa.float64()) for name in names])
    with pq.ParquetWriter(path, schema) as writer:
        for part in parts(n_rows):
            writer.write_table(pa.table(dict(zip(names, part.T.copy(), strict=True))))


WRITERS = {"npy": write_npy, "parquet": write_parquet}


def read(source: Source) -> None:
    """Walk all blocks as a pass does, and compute nothing."""
    for _ in blocks(source, block_rows(FEATURES)):
        pass


def overlap(n_rows: int, n_components: list[int], n_threads: list[int]) -> None:
    print(f"{n_rows:,} rows x {FEATURES} float64, full covariances, best of {ROUNDS}; seconds\n")
    table = Table(LABELS | dict.fromkeys(("read", "compute", "pass"), SECONDS) | RATIOS)
    rows = np.concatenate(list(parts(n_rows)))
    memory = open_source(rows)
    with tempfile.TemporaryDirectory() as folder:
        for suffix, write in WRITERS.items():
            path = Path(folder, f"x.{suffix}")
            write(path, n_rows)
            source = open_source(path)
            for threads in n_threads:
                set_num_threads(threads)
                for k in n_components:
                    turns = _turns(source, memory, k)
                    table.row(suffix, k, threads, *turns.best, *_ratios(turns))


def _turns(source: Source, memory: Source, n_components: int) -> Turns:
    candidates = [Parameters.from_covariances("full", *data.mixture(FEATURES, n_components))]
    return in_turn(
        lambda: read(source),
        lambda: passes.statistics(memory, candidates),
        lambda: passes.statistics(source, candidates),
        turns=ROUNDS,
    )


def _ratios(turns: Turns, idle: float = 0.0) -> tuple[float, float]:
    """Return the least that all together could take, and what they take of it.

    ``idle`` are seconds in which nobody can work.
    """
    *alone, together = turns.best
    # what all cores need for the work of all, were it shared evenly
    shared = turns.processors.min(axis=0)[:-1].sum() / (os.cpu_count() or 1)
    least = max(*alone, shared + idle)
    return least, together / least


def fingerprint(n_rows: int, n_components: list[int], n_threads: list[int]) -> None:
    print(f"{n_rows:,} rows x {FEATURES} in chunks, full covariances; processor seconds a pass\n")
    figures = {"trusted": ".4f", "summed": ".4f", "share": ".1%"}
    table = Table({"numbers": "", "weights": "", "K": "d", "threads": "d"} | figures)
    rows = np.concatenate(list(parts(n_rows)))
    weights = np.random.default_rng(1).random(n_rows)
    for dtype in ("float64", "float32"):
        for column in (None, FEATURES):
            all_columns = rows if column is None else np.column_stack([rows, weights])
            cut = np.split(all_columns.astype(dtype), range(BLOCK, n_rows, BLOCK))
            for threads in n_threads:
                set_num_threads(threads)
                for k in n_components:
                    trusted, summed = _trusted_and_summed(cut, column, k)
                    share = (summed - trusted) / trusted
                    weighted = "no" if column is None else "yes"
                    table.row(dtype, weighted, k, threads, trusted, summed, share)


def _trusted_and_summed(cut: list[np.ndarray], weight: int | None, n_components: int) -> np.ndarray:
    candidates = [Parameters.from_covariances("full", *data.mixture(FEATURES, n_components))]
    sources = [open_source(lambda: iter(cut), weight=weight) for _ in range(2)]
    sources[0].guarded = True
    works = [partial(passes.statistics, source, candidates) for source in sources]
    return in_turn(*works, turns=4 * ROUNDS).processors.min(axis=0)


def score(n_rows: int, n_components: list[int], n_threads: list[int]) -> None:
    print(f"{n_rows:,} rows x {FEATURES} float64 to Parquet, best of {ROUNDS}; seconds\n")
    seconds = dict.fromkeys(("read", "compute", "write", "all", "sync"), SECONDS)
    table = Table(LABELS | {"what": ""} | seconds | RATIOS)
    memory = open_source(np.concatenate(list(parts(n_rows))))
    with tempfile.TemporaryDirectory() as folder:
        for suffix, write in WRITERS.items():
            path = Path(folder, f"x.{suffix}")
            write(path, n_rows)
            source = open_source(path)
            for threads in n_threads:
                set_num_threads(threads)
                for k in n_components:
                    for what in ("score", "predict", "proba"):
                        with syncs() as synced:
                            turns = _scoring(source, memory, k, what, Path(folder, "out.parquet"))
                        of_file, of_folder = synced[::2], synced[1::2]
                        sync = min(map(sum, zip(of_file, of_folder, strict=True)))
                        figures = *turns.best, sync, *_ratios(turns, sync)
                        table.row(suffix, k, threads, what, *figures)


@contextmanager
def syncs() -> Iterator[list[float]]:
    """Time how long the disk takes what the system holds of a written file, each time."""
    seconds: list[float] = []
    sync = os.fsync

    def timed(descriptor: int) -> None:
        started = time.perf_counter()
        sync(descriptor)
        seconds.append(time.perf_counter() - started)

    os.fsync = timed
    try:
        yield seconds
    finally:
        os.fsync = sync


FOUND = {  # what a command computes block by block
    "score": partial(passes.each_block, kind="log_likelihoods"),
    "predict": partial(passes.each_block, kind="labels"),
    "proba": passes.each_block_by_columns,
}
NAMED = {  # the columns that it writes
    "score": lambda found: {"log_likelihood": found},
    "predict": lambda found: {"label": found},
    "proba": predict.probabilities,
}


def _scoring(source: Source, memory: Source, n_components: int, what: str, out: Path) -> Turns:
    parameters = Parameters.from_covariances("full", *data.mixture(FEATURES, n_components))

    def computed(source: Source) -> Iterator[output.Columns]:
        return (NAMED[what](found) for _, found in FOUND[what](source, parameters))

    @contextmanager
    def cleared(_: int) -> Iterator[None]:
        out.unlink(missing_ok=True)  # the system takes 23 ms to forget 130 MB
        yield

    found = list(computed(memory))
    return in_turn(
        lambda: read(source),
        lambda: sum(1 for _ in computed(memory)),
        lambda: output.write_columns(out, found),
        lambda: output.write_columns(out, computed(source)),
        turns=ROUNDS,
        within=cleared,
    )


FIT = """
import resource, sys, time, warnings
import fastgmm
from fastgmm import GaussianMixture

def status(name):
    with open("/proc/self/status") as lines:
        return int(next(line for line in lines if line.startswith(name)).split()[1]) * 1024

path, max_iter, limit = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
model = GaussianMixture(8, max_iter=max_iter, tol=0.0, random_state=0)
resident, anonymous, address = status("VmRSS"), status("RssAnon"), status("VmSize")
if limit:
    resource.setrlimit(resource.RLIMIT_AS, (address + int(limit * 2**30),) * 2)
warnings.simplefilter("ignore")
started = time.perf_counter()
model.fit(path)
seconds = time.perf_counter() - started
assert model.n_iter_ == max_iter
peaks = status("VmHWM") - resident, status("VmPeak") - address
print(seconds, peaks[0], status("RssAnon") - anonymous, peaks[1])
"""


def memory(gigabytes: float, max_iter: int, limit: float, suffixes: list[str]) -> None:
    n_rows = int(gigabytes * 1e9) // (8 * FEATURES)
    print(f"{n_rows:,} rows x {FEATURES} float64 ({gigabytes:g} GB), {max_iter} iterations, K = 8;")
    print("memory in MB beyond the import\n")
    peaks = dict.fromkeys(("VmHWM", "RssAnon", "VmPeak"), ".0f")
    table = Table({"file": "", "limit": ">", "seconds": ".1f"} | peaks)
    with tempfile.TemporaryDirectory() as folder:
        for suffix in suffixes:
            path = Path(folder, f"x.{suffix}")
            WRITERS[suffix](path, n_rows)
            seconds, *peaks_in_bytes = fit(path, max_iter, limit)
            shown = f"{limit:g} GB" if limit else "none"
            table.row(suffix, shown, seconds, *(each / 1e6 for each in peaks_in_bytes))
            path.unlink()


def fit(path: Path, max_iter: int, limit: float) -> list[float]:
    """Fit a file in a process of its own: seconds, and bytes beyond what the import took."""
    arguments = [sys.executable, "-c", FIT, str(path), str(max_iter), str(limit)]
    done = subprocess.run(arguments, stdout=subprocess.PIPE, text=True, check=True)
    return [float(word) for word in done.stdout.split()]


def start_threads() -> None:
    """Start Numba's threads as a fit does; set_num_threads would start them to spin for long."""
    run_in_parallel(lambda: None, lambda: None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("overlap")
    one.add_argument("--rows", type=int, default=5_000_000)
    one.add_argument("--components", type=int, nargs="+", default=[2, 8, 32])
    one.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    three = commands.add_parser("fingerprint")
    three.add_argument("--rows", type=int, default=1_000_000)
    three.add_argument("--components", type=int, nargs="+", default=[8, 32])
    three.add_argument("--threads", type=int, nargs="+", default=[2])
    four = commands.add_parser("score")
    four.add_argument("--rows", type=int, default=2_000_000)
    four.add_argument("--components", type=int, nargs="+", default=[8, 32])
    four.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    two = commands.add_parser("memory")
    two.add_argument("--gigabytes", type=float, default=4.0)
    two.add_argument("--max-iter", type=int, default=5)
    two.add_argument("--limit", type=float, default=1.0, help="GB of address space; 0: none")
    two.add_argument("--files", nargs="+", default=["npy"], choices=WRITERS)
    said = parser.parse_args()
    start_threads()
    if said.command == "overlap":
        overlap(said.rows, said.components, said.threads)
    elif said.command == "fingerprint":
        fingerprint(said.rows, said.components, said.threads)
    elif said.command == "score":
        score(said.rows, said.components, said.threads)
    else:
        memory(said.gigabytes, said.max_iter, said.limit, said.files)


if __name__ == "__main__":
    main()
