"""A long fit of a small file, with a checkpoint after every pass; its model is saved at the end.

python checkpointed.py rows.npy run.ckpt model.npz
"""

import sys
import warnings

from sklearn.exceptions import ConvergenceWarning

from fastgmm import CheckpointWarning, GaussianMixture, checkpoint

warnings.simplefilter("ignore", ConvergenceWarning)
# a kill between two renamings leaves the older file alone, and that is told
warnings.filterwarnings("ignore", ".* is missing; the fit goes on from", CheckpointWarning)


def main(rows, run, model):
    checkpoint.SHARE_OF_TIME = 1.0
    print("begun", flush=True)
    fitted = GaussianMixture(
        6, n_init=2, tol=0.0, max_iter=150, init_params="random_from_data", random_state=0
    )
    try:
        fitted.fit(rows, checkpoint=run)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
        return
    fitted.save(model)
    print("finished", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
