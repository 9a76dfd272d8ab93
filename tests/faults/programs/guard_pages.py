"""Kernels between pages that nobody may touch: one number read or written past an end kills us.

Numba's bounds checks do not see the registers that ``vectors`` loads and stores, and the end of an
array seldom is that of a page. Here each array that a kernel is given ends where a forbidden page
begins, and in a second round begins where one ends.

    python guard_pages.py kernels   what callers call, as it is compiled for them
    python guard_pages.py pieces    what kernels call, with tiles of ours: theirs are on the heap
    python guard_pages.py truncated    both, of passes that leave out what hardly counts
"""

import ctypes
import itertools
import mmap
import sys

import numpy as np
import twins

from fastgmm.kernels import (
    checksum,
    expectation,
    factored,
    kmeans,
    pruned,
    scoring,
    screen,
    screened,
    tiles,
)
from fastgmm.kernels.centres import local_search, plus_plus
from fastgmm.kernels.structures import full, full_2d, triangular
from fastgmm.kernels.structures.dispatch import STRUCTURES

PAGE = mmap.PAGESIZE
NO_ACCESS = 0  # PROT_NONE
ROOM = 2 << 20  # more than any array here takes
TILE = tiles.TILE
FEATURES = (*range(1, 10), 11, 12, 13, 16, 17, 20)
COMPONENTS = (*range(1, 10), 15, 16, 17, 20)


class Arena:
    """Memory for one array, with a forbidden page before and one behind."""

    def __init__(self):
        self.pages = mmap.mmap(-1, ROOM + 2 * PAGE)
        start = ctypes.addressof(ctypes.c_char.from_buffer(self.pages))
        protect = ctypes.CDLL(None, use_errno=True).mprotect
        for page in (start, start + PAGE + ROOM):
            if protect(ctypes.c_void_p(page), PAGE, NO_ACCESS):
                raise OSError(ctypes.get_errno(), "mprotect")

    def place(self, array, at_end, writeable):
        """Copy an array to one of the edges."""
        array = np.asarray(array)
        first = PAGE + (ROOM - array.nbytes if at_end else 0)
        placed = np.frombuffer(self.pages, array.dtype, array.size, first).reshape(array.shape)
        placed[...] = array
        placed.flags.writeable = writeable
        return placed


class Guard:
    """Gives every array of one call an arena of its own."""

    def __init__(self):
        self.arenas, self.at_end = [], True

    def round(self, at_end):
        """Begin a call."""
        self.at_end, self.free = at_end, iter(self.arenas)

    def __call__(self, array, writeable=True):
        arena = next(self.free, None)
        if arena is None:
            arena = Arena()
            self.arenas.append(arena)
        return arena.place(array, self.at_end, writeable)

    def factors(self, factors):
        """Place all arrays of a kernel's Factors."""
        return type(factors)(
            *(self(each) if isinstance(each, np.ndarray) else each for each in factors)
        )


guard = Guard()


def cases():
    """Yield every structure, dtype, K and d, with parameters; then once for each edge."""
    for name, dtype in itertools.product(STRUCTURES, (np.float64, np.float32)):
        for n_components, n_features in itertools.product(COMPONENTS, FEATURES):
            rng = np.random.default_rng([n_components, n_features])
            parameters = twins.random_parameters(rng, name, n_components, n_features)
            for at_end in (True, False):
                yield name, np.dtype(dtype), parameters, rng, at_end


def kernels():
    """Call passes, scores and distances with rows of several lengths."""
    lengths = itertools.cycle((1, 2, TILE - 1, TILE, TILE + 1, 5, 31))
    for name, dtype, parameters, rng, at_end in cases():
        made = STRUCTURES[name], twins.factors_of(parameters, dtype)
        n_rows, n_components = next(lengths), parameters.n_components
        values = rng.normal(size=(n_rows, parameters.n_features)).astype(dtype)
        if n_rows % 2:
            values[::3] *= 1e4  # so far away that shares are dropped
        for weights in (np.empty(0), rng.integers(0, 3, n_rows).astype(float)):
            for run, given in passes_of(made[1], values):
                guard.round(at_end)
                rows, factors = guard(values, writeable=False), guard.factors(given)
                moments = guard(np.zeros((-(-n_rows // TILE), made[0].n_moments(made[1]))))
                sums, row_weights = guard(np.zeros(len(moments))), weights
                if weights.size:
                    row_weights = guard(weights)
                run(rows, row_weights, factors, TILE, moments, sums)
                if not np.isfinite(moments).all():
                    raise AssertionError((name, dtype, n_rows))
        guard.round(at_end)
        rows, factors = guard(values, writeable=False), guard.factors(made[1])
        for out in (
            np.empty(n_rows, dtype),
            np.empty((n_rows, n_components), dtype),
            np.empty(n_rows, int),
        ):
            scoring.score_serial(rows, factors, TILE, guard(out))
        scoring.score_serial(rows, factors, TILE, columns(n_rows, n_components, dtype))
        if name == "spherical" and dtype.itemsize == 8:
            distances_and_assignment(values, parameters.means, rng)
            sums_of_bits(values, rng)
    print("nothing was touched")


def passes_of(factors, rows):
    """The passes that may be chosen for these factors, and what they take in their place."""
    if isinstance(factors, factored.Factors):
        assert expectation.KERNELS[factored.Factors] is factored.factored_slice
    yield expectation.expectation_serial, factors
    if isinstance(factors, full.Factors | full_2d.Factors):
        yield expectation.expectation_serial, pruned.Gathered(*factors)
        yield expectation.expectation_serial, pruned.bound_factors(factors, rows, 4)


def distances_and_assignment(values, centres, rng):
    """Call the kernels of k-means."""
    n_rows, n_centres = len(values), len(centres)
    rows, centres = guard(values), guard(centres)
    labels, mass = guard(np.empty(n_rows, np.int64)), guard(np.zeros((1, n_centres)))
    sums, weights = guard(np.zeros((1, *centres.shape))), guard(rng.random(n_rows))
    kmeans.assign_serial(rows, weights, centres, n_rows, labels, mass, sums)
    plus_plus(
        rows, weights, guard(rng.random(n_centres * 3 + 1)), guard(np.empty(n_centres, np.int64))
    )
    local_search(rows, weights, guard(rng.random(3)), centres)
    if not np.isclose(mass.sum(), weights.sum()):
        raise AssertionError(n_rows)


def sums_of_bits(values, rng):
    """Call the kernel of fingerprints with words of both sizes, for rows that lie abreast."""
    n_rows, n_words = values.shape
    for dtype, kind, half, exponent in (
        (np.float64, np.uint64, 31, 0x7FF0 << 48),
        (np.float32, np.uint32, 15, 0x7F80 << 16),
    ):
        words = guard(values.astype(dtype).view(kind), writeable=False)
        sign = kind(1 << (2 * half + 1))
        for n_abreast in (0, 1, n_words):
            factors = guard(rng.integers(0, 2**63, (n_rows, n_abreast), np.uint64))
            sums = guard(np.zeros(n_words, kind))
            masks = kind(half), kind(exponent), kind(int(sign) - exponent)
            seen, _ = checksum.add_column_sums(words, factors, sums, *masks)
            if seen & sign or not sums.any():
                raise AssertionError((n_rows, n_words))


def pieces():
    """Do what a slice does, call by call, in tiles whose edges are guarded."""
    for name, dtype, parameters, rng, at_end in cases():
        structure, n_components = STRUCTURES[name], parameters.n_components
        n_features = parameters.n_features
        guard.round(at_end)
        factors = guard.factors(twins.factors_of(parameters, dtype))
        tile, scratch, densities = (
            guard(np.zeros((count + 8, TILE), dtype))
            for count in (n_features, 2 * n_features + 8, n_components)
        )
        live = int(rng.integers(1, TILE + 1))
        rows = guard(rng.normal(size=(live, n_features)).astype(dtype), writeable=False)
        weights = guard(np.empty(TILE, dtype))
        tiles.load_tile(rows, 0, live, tile)
        tiles.load_weights(guard(rng.random(live)), 0, live, weights)
        tiles.hide_unweighted(tile, weights, factors.means[0])
        structure.log_densities(tile, factors, scratch, densities)
        write(n_components, densities, live, rng)
        structure.log_densities(tile, factors, scratch, densities)
        expectation.normalise(n_components, densities, weights, False)
        out = guard(np.zeros(structure.n_moments(factors)))
        structure.add_moments(tile, densities, factors, scratch, out)
        weight, *_ = structure.unpack(out, factors, n_features)
        if not np.isclose(weight.sum(), weights.sum(), rtol=1e-5):
            raise AssertionError((name, dtype, n_components, n_features))
    print("nothing was touched")


def truncated():
    """Call truncated passes, then the steps of a screened one with lists of ours."""
    lengths = itertools.cycle((1, 2, TILE - 1, TILE, TILE + 1, 300))
    for name, dtype, parameters, rng, at_end in cases():
        n_rows = next(lengths)
        values = rng.normal(size=(n_rows, parameters.n_features)).astype(dtype)
        values[::3] *= 1e4
        weights = rng.integers(0, 3, n_rows).astype(float)
        margin = float(rng.choice([0.0, 5.0, tiles.FAR]))
        if name == "full":
            factors = twins.factors_of(parameters, dtype)
            bounds = pruned.bound_factors(factors, values, 4)
            guard.round(at_end)
            given = guard.factors(pruned.TruncatedFactors(*bounds, margin))
            n_slices, size = -(-n_rows // TILE), STRUCTURES[name].n_moments(factors) + 2
            rows, sums = guard(values, writeable=False), guard(np.zeros((n_slices, size)))
            found = guard(np.zeros(n_slices))
            expectation.expectation_serial(rows, guard(weights), given, TILE, sums, found)
            check(np.isfinite(sums).all(), name, dtype, n_rows)
        elif name in ("diagonal", "spherical"):
            screened_pass(parameters, values, weights, margin, at_end)
            if dtype == np.float64:
                screened_steps(parameters, values, weights, margin, at_end)
    print("nothing was touched")


def check(holds, *case):
    """Fail where something does not hold."""
    if not holds:
        raise AssertionError(case)


def screen_for(parameters, margin):
    """Return a screen, in which the first component is too narrow for float32."""
    shape = parameters.means.shape
    factors = parameters.precisions_cholesky.reshape(len(parameters.means), -1)
    inverse = np.array(np.broadcast_to(factors, shape))
    inverse[0] *= 1e6
    return screen.screen_of(parameters.log_weights, parameters.means, inverse, margin)


def screened_pass(parameters, values, weights, margin, at_end):
    """Call the kernel: sums, then scores."""
    n_rows, n_components = len(values), parameters.n_components
    guard.round(at_end)
    given = guard.factors(screen_for(parameters, margin))
    rows, n_slices = guard(values, writeable=False), -(-n_rows // TILE)
    sums = guard(np.zeros((n_slices, screened.n_sums(given))))
    told = guard(np.zeros((n_slices, screened.TOLD)))
    none = screened.Scores(
        np.empty(0, values.dtype), np.empty(0, np.int64), np.empty((0, 0), values.dtype)
    )
    screened.screened_serial(rows, guard(weights), given, TILE, sums, told, none)
    weight = screened.unpack(sums.sum(axis=0), given, values.shape[1])[0]
    check(np.isclose(weight.sum(), weights.sum()), n_rows, n_components)
    scores = screened.Scores(
        guard(np.empty(n_rows, values.dtype)),
        guard(np.empty(n_rows, np.int64)),
        guard(np.zeros((n_rows, n_components), values.dtype)),
    )
    nothing = np.empty((n_slices, 0))
    screened.screened_serial(rows, np.empty(0), given, TILE, nothing, told, scores)
    check(np.allclose(scores.responsibilities.sum(axis=1), 1.0), n_rows, n_components)


def screened_steps(parameters, values, weights, margin, at_end):
    """Do what a slice does of one tile, call by call, in lists whose edges are guarded."""
    live, n_components = min(len(values), TILE), parameters.n_components
    guard.round(at_end)
    given = guard.factors(screen_for(parameters, margin))
    width, n_features = given.means.shape[1], values.shape[1]
    n_pairs = TILE * n_components + 1
    numbers = [guard(np.zeros(n_pairs, np.int32)) for _ in range(2)]
    counts = [guard(np.zeros(n_components, np.int64)) for _ in range(2)]
    listed = n_pairs + 4 * n_components + 8
    room = guard(np.zeros(listed, np.int32)), guard(np.zeros(listed))
    pairs = screened.Pairs(*numbers, *counts, *room)
    size = TILE * tiles.whole(n_components, 4)
    candidates = screen.Candidates(
        guard(np.zeros(size, np.int32)),
        guard(np.zeros(size, np.int32)),
        guard(np.zeros(size, np.float32)),
        guard(np.zeros(TILE, np.float32)),
    )
    per_row = [guard(np.zeros(TILE)) for _ in range(4)]
    segment = screened.Segment(
        guard(np.zeros((TILE, width))), *per_row, guard(np.zeros(TILE, np.int64))
    )
    segment.rows[:live, :n_features], segment.weights[:live] = values[:live], weights[:live]
    tile = guard(np.zeros((n_features + 8, TILE)))
    tile[:n_features, :live] = values[:live].T
    centred = guard(np.zeros((n_features + 8, TILE), np.float32))
    screen.write_centred(tile, given, centred)
    highest = guard(np.where(segment.weights > 0.0, -np.inf, np.inf).astype(np.float32))
    limits = guard(np.zeros(TILE, np.float32))
    found = screen.find_candidates(centred, given, highest, candidates)
    screen.write_limits(highest, given, limits)
    kept = screened.keep(candidates, found, highest, limits, segment.weights, 0, given, pairs, 0)
    end = screened.list_by_component(pairs, kept)
    screened.write_densities(segment, pairs, end, given)
    screened.normalise(segment, TILE, pairs, end)
    sums = guard(np.zeros((n_components, 2, width))), guard(np.zeros(n_components))
    screened.add_moments(segment, pairs, given, *sums)
    check(np.isclose(sums[1].sum(), segment.weights.sum()), live, n_components)
    screened.audit(segment, TILE, 0, given, guard(np.zeros(screened.TOLD)))


def write(n_components, densities, live, rng):
    """Write each kind of score from a copy of the densities."""
    dtype = densities.dtype
    for step, shape, kind in (
        (scoring.write_log_likelihoods, (live,), dtype),
        (scoring.write_responsibilities, (live, n_components), dtype),
        (scoring.write_labels, (live,), np.int64),
        (scoring.write_columns, (n_components, live), dtype),
    ):
        out = guard(np.empty(shape, kind))
        step(n_components, guard(densities), guard(np.empty((1, TILE), dtype)), 0, live, out)


def columns(n_rows, n_components, dtype):
    """Make guarded room for labels and responsibilities."""
    responsibilities = guard(np.empty((n_components, n_rows), dtype))
    return scoring.Columns(guard(np.empty(n_rows, int)), responsibilities, 0)


def a_register_past_the_end():
    """Show that the guard bites: what is killed here cannot print."""
    guard.round(True)
    tile = guard(np.zeros((8, TILE)))
    triangular.add_outer_products(tile, 8 + 1, TILE, np.zeros(500))


def an_element_past_the_end():
    """Show that bounds checks are on in kernels: a tile of fewer features than their stand-in."""
    try:
        tiles.hide_unweighted(np.zeros((2, TILE)), np.zeros(TILE), np.zeros(3))
    except IndexError:
        print("refused")


CALLS = {
    "kernels": kernels,
    "pieces": pieces,
    "truncated": truncated,
    "a register past the end": a_register_past_the_end,
    "an element past the end": an_element_past_the_end,
}

if __name__ == "__main__":
    CALLS[sys.argv[1]]()
