"""Compare what two checkouts fit, byte for byte.

    python bench/tools/same_models.py BEFORE AFTER [--only TEXT]

Each checkout runs the same fits in a process of its own, by fastgmm's public names. Printed per
case: the SHA-256 of both model files, and "same" or the parts that differ, among them predictions
and tables; an error counts by its class. The exit code is 1 if any case differs.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import subprocess
import sys
import tempfile
import warnings
import zipfile
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import zarr

import fastgmm

TYPES = ("full", "tied", "diag", "spherical")


def draw(n, d, k, apart=4.0, dtype="f8"):
    """Draw rows of k clusters of several widths, half of the rows in the first."""
    rng = np.random.default_rng([n, d, k])
    labels = rng.integers(k, size=n) * rng.integers(2, size=n)
    rows = rng.normal(size=(n, d)) * rng.uniform(0.4, 1.6, (k, 1))[labels]
    rows += rng.normal(scale=apart, size=(k, d))[labels]
    return np.asarray(rows @ (np.eye(d) + 0.3 * rng.normal(size=(d, d))), dtype)


def weights(rows):
    return np.random.default_rng(len(rows)).integers(0, 4, len(rows)).astype(float)


def fit(rows, k, kind="full", again=None, checkpoint=None, sample_weight=None, **settings):
    """Fit, and fit on with other rows if `again` has some."""
    settings = {"random_state": 7, "max_iter": 60} | settings
    model = fastgmm.GaussianMixture(k, covariance_type=kind, **settings)
    model.fit(rows, sample_weight=sample_weight, checkpoint=checkpoint)
    return model if again is None else model.set_params(warm_start=True).fit(again)


def fit_from(rows, k, kind, **settings):
    """Fit from weights, means and precisions of the caller's own."""
    one = np.eye(rows.shape[1])
    own = {"full": np.stack([one] * k), "tied": one, "diag": np.ones((k, len(one)))}
    own = {"precisions_init": own.get(kind, np.ones(k)), "means_init": rows[:k]}
    return fit(rows, k, kind, weights_init=np.full(k, 1 / k), **own, **settings)


def learn(rows, k, kind, weigh, **settings):
    """Learn from batches, small and large."""
    model = fastgmm.GaussianMixture(k, covariance_type=kind, random_state=7, **settings)
    for batch in np.split(rows, [100, 300, 700, 1000, 1500, 2500]):
        model.partial_fit(batch, sample_weight=weigh(batch))
    return model


def select(rows, estimator=False, sample_weight=None, checkpoint=None, **settings):
    """Return the model that was chosen, and the table of all."""
    settings["random_state"], data = 7, {"sample_weight": sample_weight, "checkpoint": checkpoint}
    if estimator:
        found = fastgmm.AutoGaussianMixture(range(1, 7), **settings).fit(rows, **data).selection_
    else:
        found = fastgmm.select(rows, range(1, 7), **settings, **data)
    return found.best_estimator_, found.table


def resume(folder, function, rows, *arguments, **settings):
    """Stop a fit in its tenth pass over the rows, and let the same call go on."""
    reads = itertools.count()

    def chunks():
        for chunk in np.array_split(rows, 4):
            if next(reads) == 40:
                raise KeyboardInterrupt
            yield chunk

    checkpoint = Path(folder, f"{len(os.listdir(folder))}.ckpt")
    go = partial(function, chunks, *arguments, checkpoint=checkpoint, **settings)
    try:
        return go()
    except KeyboardInterrupt:
        assert checkpoint.exists(), "nothing to go on from"
        return go()


def files(rows, folder):
    """Write the same rows in each format; return what `fit` takes for them."""
    formats = ("npy", "csv", "parquet", "feather", "h5", "zarr")
    paths = {name: os.path.join(folder, f"rows.{name}") for name in formats}
    table = pd.DataFrame(rows, columns=[f"x{j}" for j in range(rows.shape[1])])
    np.save(paths["npy"], rows)
    table.to_csv(paths["csv"], index=False)
    table.to_parquet(paths["parquet"], row_group_size=1500)
    table.to_feather(paths["feather"])
    h5py.File(paths["h5"], "w").create_dataset("rows", data=rows).file.close()
    zarr.save_array(paths["zarr"], rows)
    return paths | {"pandas": table}


def cases(folder):
    """Yield names, and functions that return a model, or a model and a table."""
    for kind, dtype in itertools.product(TYPES, ("f8", "f4")):
        of, rows, slow = f"{kind} {dtype}", draw(4000, 5, 4, 4.0, dtype), draw(1500, 3, 4, 1.5)
        for start in ("auto", "kmeans", "k-means++", "random", "random_from_data"):
            yield f"{of} {start}", partial(fit, rows, 4, kind, init_params=start)
        for d, k in ((1, 3), (2, 4), (2, 12), (17, 3), (40, 2), (9, 20)):
            yield f"{of} d={d} K={k}", partial(fit, draw(3000, d, k, 4.0, dtype), k, kind)
        for how in itertools.product(("auto", "squarem", None), ("aitken", "change")):
            how = dict(zip(("acceleration", "stopping"), how, strict=True))
            name = f"{of} {how['acceleration']} {how['stopping']}"
            yield name, partial(fit, slow.astype(dtype), 4, kind, max_iter=400, **how)
        yield f"{of} weights", partial(fit, rows, 4, kind, sample_weight=weights(rows))
        yield f"{of} 3 starts", partial(fit, rows, 5, kind, n_init=3, init_params="random")
        yield f"{of} warm", partial(fit, rows, 4, kind, rows[:2500])
        yield f"{of} warm, float32", partial(fit, rows, 4, kind, rows.astype("f4"))
        yield f"{of} own start", partial(fit_from, rows, 6, kind)
        yield f"{of} relative", partial(fit, rows * 1e-3, 4, kind, reg_covar_relative=True)
        yield f"{of} equal rows", partial(fit, rows[[*range(400), *[0] * 400]], 8, kind)
        yield f"{of} far from 0", partial(fit, rows + 1000, 4, kind)
        yield f"{of} 60 apart", partial(fit_from, draw(6000, 8, 60, 30.0, dtype), 60, kind)
        yield f"{of} 60, auto", partial(fit, draw(6000, 4, 60, 30.0, dtype), 60, kind, max_iter=9)
        yield f"{of} partial_fit", partial(learn, rows, 4, kind, lambda _: None)
        yield f"{of} partial_fit weights", partial(learn, rows, 4, kind, weights, step_power=0.7)
        yield f"{of} select", partial(select, rows[:2500], covariance_type=kind)
        yield f"{of} resumed", partial(resume, folder, fit, rows, 5, kind, tol=0.0)
    for name, source in files(draw(4000, 5, 4), folder).items():
        yield f"file {name}", partial(fit, source, 4)
    long = draw(120_000, 4, 5)
    yield "stream", partial(fit, lambda: iter(np.array_split(long, 17)), 5)
    yield "stream, 3 starts", partial(fit, lambda: iter(np.array_split(long, 7)), 5, n_init=3)
    for criterion in ("aic", "bic", "icl"):
        yield f"select {criterion}", partial(select, draw(3000, 2, 4), criterion=criterion)
        yield f"auto {criterion}", partial(select, draw(3000, 4, 3), True, criterion=criterion)
    yield "auto weights", partial(select, slow, True, sample_weight=weights(slow))
    yield "select resumed", partial(resume, folder, select, draw(4000, 3, 4))


def digests(found, folder):
    """Return the SHA-256 of the model file, of each of its parts, and of what it predicts."""
    model, arrays = found if isinstance(found, tuple) else (found, {})
    arrays = {name: np.array(list(each)) for name, each in arrays.items()}
    path, rows = Path(folder, "model"), draw(1000, model.n_features_in_, 3)
    model.save(path)
    with zipfile.ZipFile(path) as file:
        parts = {"file": path.read_bytes()} | {n: file.read(n) for n in file.namelist()}
    for name in ("predict", "predict_proba", "score_samples", "bic"):
        arrays[name] = np.asarray(getattr(model, name)(rows))
    arrays["sample"], arrays["sample's labels"] = model.sample(300)
    parts |= {name: each.tobytes() for name, each in arrays.items()}
    return {name: hashlib.sha256(each).hexdigest() for name, each in parts.items()}


def run(checkout, only):
    """Fit all cases, and print a line of JSON per case."""
    assert Path(fastgmm.__file__).is_relative_to(checkout), fastgmm.__file__
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        for name, function in cases(folder):
            if only in name:
                try:
                    found = digests(function(), folder)
                except Exception as error:
                    found = {"file": type(error).__name__}
                print(json.dumps([name, found]), flush=True)


def start(checkout, only):
    """Run the cases of a checkout; its compiled kernels are kept for the next comparison."""
    checkout = Path(checkout).resolve(strict=True)
    cache = Path(tempfile.gettempdir(), "same_models", *checkout.parts[1:])
    environment = os.environ | {"PYTHONPATH": str(checkout), "NUMBA_CACHE_DIR": str(cache)}
    command = [sys.executable, "-P", __file__, "--run", str(checkout), "--only", only]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def main(argv=None):
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("checkouts", nargs="*")
    parser.add_argument("--only", default="", metavar="TEXT")
    parser.add_argument("--run", metavar="CHECKOUT", help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.run:
        return run(arguments.run, arguments.only)
    if len(arguments.checkouts) != 2:
        parser.error("two checkouts are compared")
    sides = [start(checkout, arguments.only) for checkout in arguments.checkouts]
    n_cases = n_different = 0
    for lines in itertools.zip_longest(*(side.stdout for side in sides), fillvalue='["", {}]'):
        (name, before), (_, after) = map(json.loads, lines)
        parts = [part for part in before | after if before.get(part) != after.get(part)]
        n_cases, n_different = n_cases + 1, n_different + bool(parts)
        verdict = f"DIFFERENT: {', '.join(parts)}" if parts else "same"
        print(
            f"{name:32}", *(s.get("file", "-")[:16] for s in (before, after)), verdict, flush=True
        )
    complete = not any([side.wait() for side in sides])
    print(f"{n_cases} cases, {n_different} different" + ("" if complete else "; A SIDE HAS FAILED"))
    return 0 if complete and n_cases and not n_different else 1


if __name__ == "__main__":
    sys.exit(main())
