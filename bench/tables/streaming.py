"""Files larger than memory: whether reading overlaps computing, and memory stays flat.

A script, not asv: `python -m bench.tables.streaming overlap` prints, for .npy and Parquet, the
seconds of reading alone, of computing alone and of a pass that does both, the least that their work
allows on all cores, and the ratio of the pass to it. The least stands there twice: by the processor
time of each part alone on the machine, and by that of each part while other processes keep the
other processors busy with the same parts, since busy processors share memory and caches.
`python -m bench.tables.streaming score` has the same of what `fastgmm predict` and `score` write;
nobody can work while the disk takes the last of a file (sync).
`python -m bench.tables.streaming fingerprint` prints what a pass over chunks in memory pays for
summing their bits, so that other rows in a later pass are noticed: processor time beyond that of a
pass that trusts them. `python -m bench.tables.streaming memory` fits a file of
--gigabytes under a limit of --limit gigabytes of address space beyond that of the import (0: none),
and prints what the system says of the process: its peak of resident memory (VmHWM), which counts
code and shared libraries too, its anonymous memory at the end (RssAnon) and its peak of address
space (VmPeak). Files are written to a temporary folder that is removed.
"""

from __future__ import annotations

import argparse
import itertools
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numba import set_num_threads

from bench.tools import data
from bench.tools.table import Table
from bench.tools.timing import in_turn
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
# the least by the parts alone, and by the parts on a busy machine
LEAST = {"least": SECONDS, "ratio": ".2f", "busy least": SECONDS, "ratio to it": ".2f"}
COMPUTING = 1  # the part that several threads do; all others are one thread's


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


class Works(NamedTuple):
    """What a command does: its parts, which can be done alone, and all of them at once."""

    parts: list[Callable[[], object]]
    together: Callable[[], object]


def read(source: Source) -> None:
    """Walk all blocks as a pass does, and compute nothing."""
    for _ in blocks(source, block_rows(FEATURES)):
        pass


def fitting(source: Source, memory: Source, n_components: int) -> Works:
    """Read rows, and sum them in a pass of EM."""
    candidates = [Parameters.from_covariances("full", *data.mixture(FEATURES, n_components))]
    return Works(
        [lambda: read(source), lambda: passes.statistics(memory, candidates)],
        lambda: passes.statistics(source, candidates),
    )


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


def scoring(source: Source, memory: Source, n_components: int, what: str, out: Path) -> Works:
    """Read rows, score them, and write what is found."""
    parameters = Parameters.from_covariances("full", *data.mixture(FEATURES, n_components))

    def computed(source: Source) -> Iterator[output.Columns]:
        return (NAMED[what](found) for _, found in FOUND[what](source, parameters))

    found = list(computed(memory))
    return Works(
        [
            lambda: read(source),
            lambda: sum(1 for _ in computed(memory)),
            lambda: output.write_columns(out, found),
        ],
        lambda: output.write_columns(out, computed(source)),
    )


def works(what: str, path: Path, memory: Source, n_components: int) -> Works:
    source = open_source(path)
    if what == "fit":
        return fitting(source, memory, n_components)
    return scoring(source, memory, n_components, what, path.with_name(f"{os.getpid()}.parquet"))


def neighbour(what: str, path: Path, n_components: int) -> None:
    """Do the parts one after another on one thread, until the process is ended."""
    rows = np.concatenate([np.array(block.rows) for block in blocks(open_source(path), BLOCK)])
    set_num_threads(1)
    parts = works(what, path, open_source(rows), n_components).parts
    for part in parts:
        part()
    print("ready", flush=True)
    for part in itertools.cycle(parts):
        part()


class Neighbours:
    """Processes that keep all processors but one busy with the same parts, in some turns."""

    def __init__(self, what: str, path: Path, n_components: int) -> None:
        arguments = ["neighbour", what, str(path), str(n_components)]
        command = [sys.executable, "-m", "bench.tables.streaming", *arguments]
        self.processes = [
            subprocess.Popen(command, stdout=subprocess.PIPE)
            for _ in range((os.cpu_count() or 1) - 1)
        ]
        for process in self.processes:
            assert process.stdout is not None
            process.stdout.readline()  # it has compiled, and works
            process.send_signal(signal.SIGSTOP)

    @contextmanager
    def working(self) -> Iterator[None]:
        self._tell(signal.SIGCONT)
        try:
            yield
        finally:
            self._tell(signal.SIGSTOP)

    def end(self) -> None:
        self._tell(signal.SIGKILL)
        for process in self.processes:
            process.communicate()

    def _tell(self, what: signal.Signals) -> None:
        for process in self.processes:
            process.send_signal(what)


class Figures(NamedTuple):
    """Seconds of each part alone and of all together, and the least that these could take."""

    seconds: np.ndarray
    least: float  # by the parts, each alone on the machine
    busy: float  # by the parts, each while the other processors do the same

    @property
    def row(self) -> list[float]:
        ratios = [each for least in self[1:] for each in (least, self.seconds[-1] / least)]
        return [*self.seconds, *ratios]


def measured(what: str, path: Path, memory: Source, n_components: int, n_threads: int) -> Figures:
    """Time parts and all together in turn, and each part on one thread beside a busy machine."""
    parts, together = works(what, path, memory, n_components)
    neighbours = Neighbours(what, path, n_components)

    def on_one_thread(part: Callable[[], object]) -> None:
        set_num_threads(1)
        part()

    def beside(at: int) -> AbstractContextManager[None]:
        path.with_name(f"{os.getpid()}.parquet").unlink(missing_ok=True)  # 23 ms for 130 MB
        set_num_threads(n_threads)
        return neighbours.working() if at > len(parts) else nullcontext()

    one_each = [partial(on_one_thread, part) for part in parts]
    try:
        with syncs() as synced:
            turns = in_turn(*parts, together, *one_each, turns=ROUNDS, within=beside)
    finally:
        neighbours.end()
    idle = min(map(sum, zip(synced[::2], synced[1::2], strict=True)), default=0.0)
    n, alone = len(parts), turns.best
    work = turns.processors.min(axis=0)
    cores = os.cpu_count() or 1
    busy = work[n + 1 :] / np.where(np.arange(n) == COMPUTING, n_threads, 1)
    return Figures(
        alone[: n + 1],
        max(*alone[:n], work[:n].sum() / cores + idle),
        max(busy.max(), busy[-1] + idle, work[n + 1 :].sum() / cores + idle),
    )


@contextmanager
def syncs() -> Iterator[list[float]]:
    """Time how long the disk takes what the system holds of a file, and its name, each time."""
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


def overlap(n_rows: int, n_components: list[int], n_threads: list[int]) -> None:
    print(f"{n_rows:,} rows x {FEATURES} float64, full covariances, best of {ROUNDS}; seconds\n")
    table = Table(LABELS | dict.fromkeys(("read", "compute", "pass"), SECONDS) | LEAST)
    for suffix, path, memory in files(n_rows):
        for threads in n_threads:
            for k in n_components:
                table.row(suffix, k, threads, *measured("fit", path, memory, k, threads).row)


def score(n_rows: int, n_components: list[int], n_threads: list[int]) -> None:
    print(f"{n_rows:,} rows x {FEATURES} float64 to Parquet, best of {ROUNDS}; seconds\n")
    seconds = dict.fromkeys(("read", "compute", "write", "all"), SECONDS)
    table = Table(LABELS | {"what": ""} | seconds | LEAST)
    for suffix, path, memory in files(n_rows):
        for threads in n_threads:
            for k in n_components:
                for what in FOUND:
                    figures = measured(what, path, memory, k, threads)
                    table.row(suffix, k, threads, what, *figures.row)


def files(n_rows: int) -> Iterator[tuple[str, Path, Source]]:
    """Write the rows to a file of each kind; yield it, and the rows in memory."""
    memory = open_source(np.concatenate(list(parts(n_rows))))
    with tempfile.TemporaryDirectory() as folder:
        for suffix, write in WRITERS.items():
            path = Path(folder, f"x.{suffix}")
            write(path, n_rows)
            yield suffix, path, memory


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
    beside = commands.add_parser("neighbour", help="what the first two start beside them")
    beside.add_argument("what", choices=("fit", *FOUND))
    beside.add_argument("path", type=Path)
    beside.add_argument("components", type=int)
    said = parser.parse_args()
    start_threads()
    if said.command == "overlap":
        overlap(said.rows, said.components, said.threads)
    elif said.command == "fingerprint":
        fingerprint(said.rows, said.components, said.threads)
    elif said.command == "score":
        score(said.rows, said.components, said.threads)
    elif said.command == "neighbour":
        neighbour(said.what, said.path, said.components)
    else:
        memory(said.gigabytes, said.max_iter, said.limit, said.files)


if __name__ == "__main__":
    main()
