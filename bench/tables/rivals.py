"""fastgmm beside every rival that is installed: one EM iteration, from the same start, in turn.

    python -m bench.tables.rivals [--repeats 5] [--quick] [--only scikit-learn oneDAL]
                                 [--out rivals.md] [--chart rivals.png]

An iteration is a tenth of the difference between eleven passes and one, so that neither checks of
the input nor a last E step are counted for anybody; the best of several turns is taken. Every rival
may use all cores. What they end with is scored by one judge, and must agree. Rivals that are
missing are named, not guessed.
"""

from __future__ import annotations

import argparse
import ctypes
import datetime
import importlib
import importlib.metadata
import importlib.util
import logging
import os
import platform
import subprocess
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bench.tools import data
from bench.tools.table import Table
from bench.tools.timing import in_turn, timed
from fastgmm import GaussianMixture
from fastgmm.plot import component_colours

PASSES = 10
LONG, ENOUGH_TURNS = 0.1, 1  # seconds an iteration, turns
MOST_GMMX = 1e9  # numbers: it keeps rows × components × features² of them


class Case(NamedTuple):
    """What is fitted."""

    covariance_type: str
    n_rows: int
    n_features: int
    n_components: int
    dtype: str

    @property
    def title(self) -> str:
        """Name the case in a table."""
        return (
            f"{self.covariance_type} {self.n_rows:,}×{self.n_features}, K={self.n_components}, "
            f"{self.dtype}"
        ).replace(",0", " 0")


SIZES = [
    ("full", 200_000, 2, 4),
    ("full", 200_000, 10, 10),
    ("full", 100_000, 32, 16),
    ("full", 20_000, 128, 16),
    ("diag", 200_000, 32, 16),
    ("tied", 100_000, 32, 16),
    ("spherical", 200_000, 32, 16),
]

Found = tuple[np.ndarray, np.ndarray, np.ndarray]  # weights, means, covariances
Fit = Callable[[Case, np.ndarray, dict[str, Any], int], Found]


def fit_estimator(estimator: type) -> Fit:
    """Fit with scikit-learn's interface."""

    def fit(case: Case, rows: np.ndarray, start: dict[str, Any], n_passes: int) -> Found:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = estimator(**start, tol=0.0, max_iter=n_passes).fit(rows)
        return model.weights_, model.means_, model.covariances_

    return fit


def fit_onedal(case: Case, rows: np.ndarray, start: dict[str, Any], n_passes: int) -> Found:
    """Fit with oneDAL's EM, which knows full and diagonal covariances."""
    daal4py = importlib.import_module("daal4py")
    algorithm = daal4py.em_gmm(
        nComponents=case.n_components,
        maxIterations=n_passes,
        accuracyThreshold=0.0,
        regularizationFactor=1e-6,
        covarianceStorage="full" if case.covariance_type == "full" else "diagonal",
        fptype="double" if case.dtype == "float64" else "float",
    )
    identity = (
        np.eye(case.n_features) if case.covariance_type == "full" else np.ones((1, case.n_features))
    )
    found = algorithm.compute(
        rows,
        start["weights_init"][None].astype(rows.dtype),
        start["means_init"].astype(rows.dtype),
        [identity.astype(rows.dtype)] * case.n_components,
    )
    covariances = np.array([np.squeeze(each) for each in found.covariances], dtype=np.float64)
    return np.ravel(found.weights), found.means, covariances


def fit_gmmx(case: Case, rows: np.ndarray, start: dict[str, Any], n_passes: int) -> Found:
    """Fit with gmmx, EM by JAX's compiler; it takes float32 alone."""
    jax, gmmx = importlib.import_module("jax"), importlib.import_module("gmmx")
    identity = (
        np.eye(case.n_features) if case.covariance_type == "full" else np.ones(case.n_features)
    )
    begin = gmmx.GaussianMixtureModelJax.from_squeezed(
        means=jax.numpy.asarray(start["means_init"].astype(rows.dtype)),
        covariances=jax.numpy.asarray(np.stack([identity] * case.n_components).astype(rows.dtype)),
        weights=jax.numpy.asarray(start["weights_init"].astype(rows.dtype)),
        covariance_type=case.covariance_type,
    )
    fitter = gmmx.EMFitter(max_iter=n_passes, tol=0.0, reg_covar=1e-6)
    found = fitter.fit(jax.numpy.asarray(rows), begin).gmm
    return found.weights_numpy, found.means_numpy, np.asarray(found.covariances.values_numpy)


def fit_torchgmm(case: Case, rows: np.ndarray, start: dict[str, Any], n_passes: int) -> Found:
    """Fit with torchgmm, its parts called one by one, since its estimator takes means alone."""
    torch, torchgmm = (
        importlib.import_module("torch"),
        importlib.import_module("torchgmm.bayes.gmm"),
    )
    module = importlib.import_module("torchgmm.bayes.gmm.lightning_module")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    config = torchgmm.GaussianMixtureModelConfig(
        case.n_components, case.n_features, case.covariance_type
    )
    numbers = torch.from_numpy(rows)
    model = torchgmm.GaussianMixtureModel(config).to(numbers.dtype)
    model.means.copy_(torch.from_numpy(start["means_init"]))
    model.component_probs.copy_(torch.from_numpy(start["weights_init"]))
    model.precisions_cholesky.copy_(torch.from_numpy(start["precisions_init"]))
    bits = 64 if case.dtype == "float64" else 32
    trainer = torchgmm.GaussianMixture(trainer_params={"precision": bits}).trainer(
        max_epochs=n_passes, enable_progress_bar=False
    )
    whole = torch.utils.data.DataLoader([numbers], batch_size=None)
    trainer.fit(module.GaussianMixtureLightningModule(model, 0.0, 1e-6), whole)
    return model.component_probs.numpy(), model.means.numpy(), model.covariances.numpy()


def compile_armadillo() -> ctypes.CDLL | None:
    """Compile EM by Armadillo, where its library and a compiler are."""
    library = Path(tempfile.mkdtemp()) / "armadillo.so"
    source = Path(__file__).with_name("armadillo.cpp")
    flags = ["-O3", "-march=native", "-fopenmp", "-std=c++17", "-shared", "-fPIC"]
    try:
        command = ["g++", *flags, str(source), "-o", str(library), "-larmadillo"]
        subprocess.run(command, check=True, capture_output=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        return None
    return ctypes.CDLL(str(library))


def fit_armadillo(library: ctypes.CDLL) -> Fit:
    """Fit with Armadillo's gmm_full or gmm_diag, which are of float64."""

    def fit(case: Case, rows: np.ndarray, start: dict[str, Any], n_passes: int) -> Found:
        found = [
            np.array(start[name], dtype=np.float64, order="C")
            for name in ("weights_init", "means_init", "precisions_init")  # identities
        ]
        sizes = case.n_rows, case.n_features, case.n_components, n_passes
        pointers = [ctypes.c_void_p(array.ctypes.data) for array in (rows, *found)]
        full = case.covariance_type == "full"
        assert library.fit(int(full), pointers[0], *sizes, *pointers[1:])
        return found[0], found[1], found[2]

    return fit


def rivals() -> tuple[dict[str, Fit], dict[str, str], list[str]]:
    """Find who is here: how each fits, its version, and who is missing."""
    from sklearn.mixture import GaussianMixture as Theirs

    fits: dict[str, Fit] = {
        "fastgmm": fit_estimator(GaussianMixture),
        "scikit-learn": fit_estimator(Theirs),
    }
    missing = []
    if importlib.util.find_spec("daal4py"):
        fits["oneDAL"] = fit_onedal
    else:
        missing.append("oneDAL (pip install scikit-learn-intelex)")
    if importlib.util.find_spec("gmmx"):
        fits["gmmx"] = fit_gmmx
    else:
        missing.append("gmmx (pip install gmmx)")
    if importlib.util.find_spec("torchgmm"):
        fits["torchgmm"] = fit_torchgmm
    else:
        missing.append("torchgmm (pip install torchgmm)")
    library = compile_armadillo()
    if library is not None:
        fits["Armadillo"] = fit_armadillo(library)
    else:
        missing.append("Armadillo (a C++ compiler and the library, libarmadillo-dev)")
    packages = dict(zip(fits, fits, strict=True)) | {"oneDAL": "daal"}
    versions = {name: _version(packages[name]) for name in fits}
    if library is not None:
        library.version.restype = ctypes.c_char_p
        versions["Armadillo"] = library.version().decode()
    return fits, versions, missing


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "from its folder"


def takes(name: str, case: Case) -> bool:
    """Tell whether a rival knows the covariance type and the dtype, and has the memory."""
    if name in ("fastgmm", "scikit-learn"):
        return True
    big = case.n_rows * case.n_components * case.n_features**2 > MOST_GMMX
    if name == "gmmx" and (case.dtype != "float32" or big):
        return False
    if name == "Armadillo" and case.dtype != "float64":
        return False
    return case.covariance_type in ("full", "diag")


def time_passes(fit: Callable[[int], Found]) -> tuple[np.ndarray, Found]:
    """Time one pass, and ten more than one; return the result of the latter, too."""
    one, (more, found) = timed(fit, 1)[0], timed(fit, 1 + PASSES)
    return np.array([one, more]), found


def iteration(took: np.ndarray) -> float:
    """Seconds of one iteration: a tenth of what ten more cost."""
    return float(took[1] - took[0]) / PASSES


def measure(case: Case, fits: dict[str, Fit], repeats: int) -> dict[str, tuple[float, float]]:
    """Best seconds an iteration, and the mean log-likelihood that the judge finds, by rival."""
    mixture = data.mixture(case.n_features, case.n_components)
    rows = data.rows(mixture, case.n_rows, dtype=np.dtype(case.dtype))
    start = data.start(mixture, case.covariance_type)
    here = {name: fit for name, fit in fits.items() if takes(name, case)}
    best, found = dict.fromkeys(here, np.full(2, np.inf)), {}
    for name, fit in here.items():
        # what compiles, compiles now: some of our kernels only once clusters have come apart
        fit(case, rows, start, 1 + PASSES if name == "fastgmm" else 1)
    for turn in range(repeats):
        for name, fit in here.items():
            if turn >= ENOUGH_TURNS and iteration(best[name]) > LONG:
                continue  # iterations so long that noise averages out within them
            took, found[name] = time_passes(lambda n, fit=fit: fit(case, rows, start, n))
            # each of the two by itself: a slow first pass is no fast iteration
            best[name] = np.minimum(best[name], took)
    judged = rows[:50_000].astype(np.float64)
    return {name: (iteration(best[name]), judge(case, found[name], judged)) for name in here}


def judge(case: Case, found: Found, rows: np.ndarray) -> float:
    """Score a result in float64, whoever it comes from."""
    weights, means, covariances = (np.asarray(values, dtype=np.float64) for values in found)
    model = GaussianMixture.from_parameters(
        weights / weights.sum(), means, covariances, covariance_type=case.covariance_type
    )
    return model.score(rows)


def machine() -> str:
    """Describe the processor, as far as the system says."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    model = next(
        (line.split(":")[1].strip() for line in lines if "model name" in line), platform.processor()
    )
    wide = "AVX-512" if any("avx512f" in line for line in lines) else "no AVX-512"
    return f"{model} ({wide}), {os.cpu_count()} cores"


def gemm_rate(dtype: str, size: int = 2000) -> float:
    """Measure the rate of matrix products, in 10^9 operations a second."""
    a = np.random.default_rng(0).random((size, size)).astype(dtype)
    return 2 * size**3 / in_turn(lambda: a @ a, turns=5).best[0] / 1e9


def table(names: list[str]) -> Table:
    """Begin a table of milliseconds, ratios and agreement."""
    others = [name for name in names if name != "fastgmm"]
    columns = {"case": ""} | {f"{name}, ms": ".2f" for name in names}
    columns |= {f"× {name}": ".1f" for name in others}
    return Table(columns | {"largest difference in log-likelihood a row": ".0e"})


def print_row(to: Table, case: Case, found: dict[str, tuple[float, float]], names: list[str]):
    """Print what was found of a case, with a dash for who does not take part."""
    ours, truth = found["fastgmm"]
    seconds = {name: found[name][0] if name in found else None for name in names}
    times = [each and each * 1e3 for each in seconds.values()]
    ratios = [each and each / ours for name, each in seconds.items() if name != "fastgmm"]
    to.row(case.title, *times, *ratios, max(abs(score - truth) for _, score in found.values()))


def draw(results: dict[Case, dict[str, tuple[float, float]]], names: list[str], path: Path) -> None:
    """Draw how many times as long as fastgmm every rival takes, float64 beside float32."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5), layout="constrained")
    figure.suptitle("One EM iteration: times as long as fastgmm")
    others = [name for name in names if name != "fastgmm"]
    looks = list(zip("osD^vP", component_colours(len(others)), strict=False))
    panels = figure.subplots(1, 2, sharex=True)
    for axes, dtype in zip(panels, ("float64", "float32"), strict=True):
        cases = [case for case in results if case.dtype == dtype]
        axes.axvline(1.0, color="black", linewidth=0.8)
        for name, (marker, colour) in zip(others, looks, strict=True):
            here = [case for case in cases if name in results[case]]
            ratios = [results[case][name][0] / results[case]["fastgmm"][0] for case in here]
            places = [cases.index(case) for case in here]
            axes.plot(ratios, places, marker, markersize=9, color=colour, label=name)
        axes.set(xscale="log", title=dtype, xlabel="1: as fast as fastgmm")
        axes.set_yticks(range(len(cases)), [case.title.rsplit(",", 1)[0] for case in cases])
        ticks = (1, 2, 5, 10, 20, 50, 100)
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        axes.invert_yaxis()
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=9)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Run every case, print the table and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows")
    parser.add_argument("--only", nargs="+", help="names of rivals, instead of all installed")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--chart", type=Path, help="a picture of the ratios")
    arguments = parser.parse_args()
    fits, versions, missing = rivals()
    if arguments.only:
        fits = {name: fit for name, fit in fits.items() if name in ("fastgmm", *arguments.only)}
    rates = {dtype: gemm_rate(dtype) for dtype in ("float64", "float32")}
    head = "\n\n".join(
        [
            "# Beside others",
            "Written by `python -m bench.tables.rivals`: one EM iteration on all rows, one start, "
            "all cores, the best of several turns. Machines differ and are noisy: read the ratios.",
            f"{datetime.date.today():%Y-%m-%d}, {machine()}; dgemm {rates['float64']:.0f} and "
            f"sgemm {rates['float32']:.0f} GFLOP/s. Versions: "
            + ", ".join(f"{name} {versions[name]}" for name in fits)
            + f". Missing: {', '.join(missing) or 'nobody'}.",
        ]
    )
    print(head, end="\n\n")
    lines = table(list(fits))
    results = {}
    for dtype in ("float64", "float32"):
        for kind, n_rows, n_features, n_components in SIZES:
            n_rows = n_rows // 10 if arguments.quick else n_rows
            case = Case(kind, n_rows, n_features, n_components, dtype)
            results[case] = measure(case, fits, arguments.repeats)
            print_row(lines, case, results[case], list(fits))
    if arguments.chart:
        draw(results, list(fits), arguments.chart)
    if arguments.out:
        arguments.out.write_text("\n".join([head, "", *lines.lines, ""]))


if __name__ == "__main__":
    main()
