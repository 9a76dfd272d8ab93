"""The interpreter ends while a daemon thread fits."""

import threading
import time

import numpy as np

from fastgmm import GaussianMixture

rows = np.random.default_rng(0).normal(size=(100_000, 8))
start = {"init_params": "random_from_data", "random_state": 0}


def fit():
    GaussianMixture(8, tol=0.0, max_iter=10**6, **start).fit(rows)


threading.Thread(target=fit, daemon=True).start()
time.sleep(0.5)
print("leaving")
