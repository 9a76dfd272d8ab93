"""Call one kernel, or fit a little, and tell what came of it; around it is the parent's affair.

python first_call.py [fit] [without a parallel compiler] [without AVX-512]
"""

import hashlib
import importlib
import sys
import time
import warnings

import numpy as np

started = time.process_time()  # of this process: others may be at work
fastgmm = importlib.import_module("fastgmm")
print("import", time.process_time() - started)


def kernel(rows):
    """Call a kernel that compiles in a second."""
    kmeans = importlib.import_module("fastgmm.kernels.kmeans")
    mass, sums = np.zeros((1, 2)), np.zeros((1, 2, rows.shape[1]))
    labels = np.empty(len(rows), np.int64)
    kmeans.assign_serial(rows, np.ones(len(rows)), rows[:2].copy(), len(rows), labels, mass, sums)
    print("hits", sum(kmeans.assign_slice.stats.cache_hits.values()))
    return sums


def fit(rows):
    """Fit a little."""
    model = fastgmm.GaussianMixture(
        2, covariance_type="diag", init_params="random_from_data", random_state=0
    )
    return model.fit(rows).means_


def telling(call, rows):
    """Call, and tell of what was warned."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = call(rows)
    for each in caught:
        print("warned", each.category.__name__, each.message)
    return found


def without_avx512():
    """Let LLVM find another processor here."""
    llvm = importlib.import_module("llvmlite.binding")
    features = llvm.get_host_cpu_features()
    features.update({name: False for name in features if name.startswith("avx512")})
    llvm.get_host_cpu_features = lambda: features


def without_a_parallel_compiler():
    """Let the parallel twin of every kernel fail to compile."""
    models = importlib.import_module("fastgmm.passes.model")
    errors = importlib.import_module("numba.core.errors")

    def fails(*_):
        raise errors.LoweringError("no such target")

    def all_is_worth_it(*numbers, make=models.plan):
        return make(*numbers)._replace(row_operations=1e9)

    models.plan, models.expectation = all_is_worth_it, fails


if __name__ == "__main__":
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(8000, 2)) + 8 * rng.integers(2, size=(8000, 1))
    if "without a parallel compiler" in sys.argv:
        without_a_parallel_compiler()
    if "without AVX-512" in sys.argv:
        without_avx512()
    found = telling(fit if "fit" in sys.argv else kernel, rows)
    print("bits", hashlib.sha256(found.tobytes()).hexdigest())
    print("sum", repr(float(found.sum())))
    print("all", time.process_time() - started)
