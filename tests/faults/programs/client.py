"""A client of a Dask cluster, which a worker kills in the middle of a pass, and which goes on.

python client.py address folder checkpoint

The pass is that of EM in which a partition is visited for the sixth time, by all clients together.
Printed: what a fit has found, in hexadecimal digits.
"""

import os
import sys
from pathlib import Path

from distributed import Client
from faults.partitions import counting, fitted, killing, made


def main(address, folder, path):
    rows = made(counting(Path(folder), killing(os.getpid(), partition=2, at_visit=5)))
    with Client(address, timeout=20):
        print(fitted(rows, checkpoint=path).hex(), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
