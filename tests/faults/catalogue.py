"""The 118 bad inputs and faults that fastgmm answers for, and what it promises of each."""

from __future__ import annotations

from typing import NamedTuple


class Fault(NamedTuple):
    """One thing that can go wrong, and the promise: refuse, handle, warn or contain."""

    description: str
    promise: str


REFUSE = "refuse"  # an exception before any work, naming value, rule and way out
HANDLE = "handle"  # the right result
WARN = "warn"  # the right result and a warning of a class of its own
CONTAIN = "contain"  # an exception; object and files are as before the call

FAULTS = {
    number: Fault(description, promise)
    for number, promise, description in (
        # Values
        (1, REFUSE, "NaN in one cell, early or late in the data"),
        (2, REFUSE, "an infinite cell, of either sign"),
        (3, CONTAIN, "NaN that a source shows only in a later pass"),
        (4, WARN, "all rows identical"),
        (5, REFUSE, "all rows identical and reg_covar=0"),
        (6, WARN, "a constant column"),
        (7, WARN, "columns that are linearly dependent"),
        (8, WARN, "one-hot columns, which add up to 1"),
        (9, WARN, "more components than distinct rows"),
        (10, WARN, "as many components as rows"),
        (11, REFUSE, "more components than rows"),
        (12, WARN, "fewer rows than features, full covariances"),
        (13, REFUSE, "a single row"),
        (14, HANDLE, "unit variance at an offset of 1e8"),
        (15, WARN, "an offset of 1e15, where float64 itself has steps of 0.125"),
        (16, HANDLE, "features of scale 1e-6 beside features of scale 1e6"),
        (17, HANDLE, "all data at a scale of 1e-5"),
        (18, HANDLE, "data at a scale of 1e-160, whose squares underflow"),
        (19, REFUSE, "data at a scale of 1e160, whose squares overflow"),
        (20, HANDLE, "denormal numbers"),
        (21, WARN, "one row at 1e10"),
        (22, REFUSE, "one row at 1e300"),
        (23, WARN, "one distant row and one component too many"),
        (24, HANDLE, "integer-valued data, full of ties"),
        (25, HANDLE, "-0.0 beside 0.0"),
        (26, HANDLE, "heavy tails"),
        (27, HANDLE, "clusters so far apart that responsibilities are 0 and 1"),
        (28, HANDLE, "a row 1e8 standard deviations away at predict"),
        (29, HANDLE, "a row at 1e200 at predict"),
        (30, HANDLE, "float32 data whose offset squared drowns their variance"),
        (31, REFUSE, "row weights that are no weights"),
        (32, HANDLE, "row weights of zero"),
        (33, HANDLE, "row weights of 1e-300 and of 1e300"),
        # Types, shapes, memory layout
        (34, HANDLE, "float16"),
        (35, HANDLE, "integers of every width, and bool"),
        (36, HANDLE, "object arrays: numbers are taken, anything else refused with its place"),
        (37, REFUSE, "strings, also those that read as numbers"),
        (38, REFUSE, "complex numbers"),
        (39, HANDLE, "long double"),
        (40, HANDLE, "the other byte order"),
        (41, HANDLE, "Fortran order, strides of any sign, broadcast views"),
        (42, HANDLE, "read-only arrays and memory maps"),
        (43, HANDLE, "unaligned views"),
        (44, REFUSE, "masked arrays with masked cells"),
        (45, HANDLE, "pandas' nullable, categorical and datetime columns; doubled names"),
        (46, HANDLE, "Arrow tables: chunks, nulls, dictionaries, decimals, slices"),
        (47, HANDLE, "Parquet: tiny and empty row groups, schemas that drift, broken pages"),
        (48, REFUSE, "sparse matrices"),
        (49, REFUSE, "arrays of other libraries and other devices"),
        (50, REFUSE, "arrays of 0, 1 and 3 dimensions"),
        (51, REFUSE, "no rows, or no columns"),
        (52, HANDLE, "a single feature: the structures agree"),
        (53, HANDLE, "sizes past 2**31"),
        (54, REFUSE, "covariances larger than memory"),
        (55, REFUSE, "another number of features at predict"),
        (56, REFUSE, "feature names in another order at predict"),
        (57, CONTAIN, "rows that change in another thread during a fit"),
        # Parameters
        (58, REFUSE, "n_components that is no number of components"),
        (59, HANDLE, "tol and max_iter at and past their limits"),
        (60, HANDLE, "reg_covar at and past its limits"),
        (61, REFUSE, "means_init of wrong values, wrong shape, or far away"),
        (62, REFUSE, "weights_init that is no distribution"),
        (63, REFUSE, "precisions_init that are no precisions"),
        (64, REFUSE, "warm_start after a change of shape"),
        (65, REFUSE, "misspelt options"),
        (66, HANDLE, "every kind of random_state"),
        (67, HANDLE, "clone, get_params, set_params"),
        # Streams and chunks
        (68, HANDLE, "chunks without rows"),
        (69, HANDLE, "chunks of any size"),
        (70, CONTAIN, "a chunk of another width"),
        (71, HANDLE, "a chunk of another dtype"),
        (72, REFUSE, "a generator, which cannot be read twice"),
        (73, REFUSE, "a callable that gives one exhausted iterator again"),
        (74, CONTAIN, "another number of rows in a later pass"),
        (75, HANDLE, "the same number of rows, but others, in a later pass"),
        (76, CONTAIN, "an iterator that raises in the middle of a pass"),
        (77, HANDLE, "an iterator that yields one buffer again and again"),
        (78, HANDLE, "an iterator that is slow or stuck: Ctrl-C is felt"),
        (79, REFUSE, "an iterator that fits the estimator it is being fitted by"),
        (80, CONTAIN, "a file that shrinks or disappears while it is read"),
        (81, CONTAIN, "reads that come back short"),
        (82, CONTAIN, "a file replaced by another of the same size"),
        (83, REFUSE, "partial_fit with too few rows or another width"),
        # Model files
        (84, REFUSE, "a model file cut short at any length"),
        (85, REFUSE, "any byte of a model file flipped"),
        (86, REFUSE, "a newer format, fields too many or too few"),
        (87, REFUSE, "a malicious pickle"),
        (88, REFUSE, "a header that announces more than the file holds"),
        (89, REFUSE, "a model file whose numbers are no mixture"),
        (90, CONTAIN, "links, folders and permissions where a file should be written"),
        (91, HANDLE, "a model file from another machine"),
        (92, WARN, "a pickle of an older fastgmm"),
        # Processes, threads, machines
        (93, CONTAIN, "SIGKILL during a fit that writes checkpoints"),
        (94, CONTAIN, "a full disk"),
        (95, CONTAIN, "a power cut: the name is there, the bytes are not"),
        (96, CONTAIN, "Ctrl-C at any moment"),
        (97, CONTAIN, "memory that runs out"),
        (98, HANDLE, "fits of several objects in several threads"),
        (99, HANDLE, "fits of one object in several threads; predict meanwhile"),
        (100, HANDLE, "fork after a fit, and fork during a fit"),
        (101, HANDLE, "process pools and nested parallelism"),
        (102, HANDLE, "any number of threads: the same bits"),
        (103, HANDLE, "another BLAS"),
        (104, HANDLE, "a compile cache that is read-only, broken, foreign or absent"),
        (105, HANDLE, "the price of the first call"),
        (106, HANDLE, "other processors; denormals flushed to zero"),
        (107, HANDLE, "free-threaded Python, sub-interpreters, other threads than the main one"),
        (108, HANDLE, "an interpreter that ends during a fit in a daemon thread"),
        (109, CONTAIN, "callbacks that raise, meddle, or ask to stop"),
        (110, HANDLE, "a clock that goes backwards"),
        (111, HANDLE, "a Dask worker killed in the middle of a pass"),
        (112, HANDLE, "a Dask worker killed with the only copy of data"),
        (113, CONTAIN, "a Dask scheduler that dies"),
        (114, CONTAIN, "a partition that kills every worker"),
        (115, HANDLE, "a partition computed twice"),
        (116, HANDLE, "partitions of unknown, zero or lopsided size"),
        (117, REFUSE, "workers with another version of fastgmm"),
        (118, HANDLE, "workers with another processor"),
    )
}

# Not promised. docs/reliability.md gives the same reasons, and a test compares the two.
STRUCK: dict[int, str] = {
    103: "another BLAS cannot be put beside NumPy's own in a test; kernels call none, and what "
    "calls LAPACK factors d×d matrices alone, with one thread",
    118: "it takes two kinds of processor; 106 shows one that is told to be another",
}
