"""The choice of centres among rows: greedy k-means++, and swaps.

k-means++ is by Arthur and Vassilvitskii (2007), the swaps by Lattanzi and Sohler (2019): for each
row the two nearest centres are known, so that a swap is judged by the distances of one row, and
only rows that lose a centre are ranked anew. One call makes many steps: from Python, a
step on 2000 rows took five times as long as its arithmetic.
"""

from typing import NamedTuple

import numpy as np
from numba import prange

from fastgmm.kernels.block_sizes import CALL_OPERATIONS
from fastgmm.kernels.by_address import call_for_nothing
from fastgmm.kernels.crew import (
    arrive,
    begin_round,
    dismiss,
    end_round,
    finish_piece,
    run,
    take_piece,
)
from fastgmm.kernels.jit import kernel, parallel, quiet
from fastgmm.kernels.panels import (
    ALL_OPERATIONS,
    AT_ONCE,
    FIRST,
    NEAREST,
    PANEL,
    STEP_OPERATIONS,
    draw,
    in_order,
    new_room,
    new_trials,
    plane_of,
    squares_within,
    sums_of,
    take_nearer,
    try_rows,
)
from fastgmm.kernels.simd.transposition import BLOCK, transpose_block
from fastgmm.kernels.simd.vectors import lanes_not_less, splat, store
from fastgmm.kernels.tiles import (
    GROUP,
    lesser,
    load_group,
    named_by,
    rows_up_to,
    unwritable,
    view_at,
)
from fastgmm.parallel.threads import allowed_threads

TRIED, SECOND = FIRST, FIRST + 1  # planes: to the row tried, to the second centre
COUNT, ARE_NEW, TASK = 0, 1, 2  # of the state
SEEDING, RANKING, TRYING = 0, 1, 2  # tasks


class Ranks(NamedTuple):
    """Which centres are nearest to n rows, N with those past the last."""

    labels: np.ndarray  # (N,) -1 past the last
    seconds: np.ndarray  # (N,)
    chosen: np.ndarray  # (n,) rows whose centres are to be ranked
    state: np.ndarray  # (3,) how many; whether any distance is new; the task
    losses: np.ndarray  # (K + 1,) what is lost with each centre
    marks: np.ndarray  # (K,) 0, but to how many of its rows what is tried is near
    order: np.ndarray  # (n,) rows, centre after centre
    ends: np.ndarray  # (K + 1,) where those of each begin, and the last end
    numbers: np.ndarray  # (T,) rows that are tried


@quiet
def seed(trials, numbers):
    """Make the trial that saves most a centre, the first of equals; return its row."""
    best, most = 0, in_order(sums_of(trials, FIRST))
    for t in range(1, len(numbers)):
        saved = in_order(sums_of(trials, FIRST + t))
        if saved > most:
            best, most = t, saved
    take_nearer(trials, plane_of(trials, FIRST + best))
    return numbers[best]


@quiet
def rank(rows, centres, trials, ranks, workspace, number):
    """Find the two nearest centres of a panel of the chosen rows, the first of equals."""
    begin, n_features = number * PANEL, rows.shape[1]
    live = lesser(PANEL, ranks.state[COUNT] - begin)
    # of distances from a centre, and from the nearest and the second
    found = view_at(workspace, 0, (3, PANEL))
    panel = view_at(workspace, 3 * PANEL, (n_features, PANEL))
    for r in range(0, PANEL, BLOCK):
        places = named_by(ranks.chosen, rows_up_to(begin + r, begin + live - 1))
        for j in range(0, n_features, BLOCK):
            transpose_block(rows, places, j, panel, (j, r))
    for r in range(PANEL):
        found[1, r] = found[2, r] = np.inf
    width = GROUP * splat(panel, 0.0).width
    for r in range(0, PANEL, width):
        for k in range(len(centres)):
            limits = load_group(found, (2, r))
            squares = squares_within(panel, r, centres, k, limits)
            if lanes_not_less(limits, squares) != 0:
                store(found, (0, r), squares)
                for q in range(r, lesser(r + width, live)):
                    i = ranks.chosen[begin + q]
                    if found[0, q] < found[1, q]:
                        found[2, q], ranks.seconds[i] = found[1, q], ranks.labels[i]
                        found[1, q], ranks.labels[i] = found[0, q], k
                    elif found[0, q] < found[2, q]:
                        found[2, q], ranks.seconds[i] = found[0, q], k
    for r in range(live):
        i = ranks.chosen[begin + r]
        trials.distances[NEAREST, i], trials.distances[SECOND, i] = found[1, r], found[2, r]


@quiet
def list_rows(trials, ranks):
    """List the rows of each centre, and sum what is lost with it."""
    ends, labels, order = ranks.ends, ranks.labels, ranks.order
    nearest, second = plane_of(trials, NEAREST), plane_of(trials, SECOND)
    take_nearer(trials, nearest)
    for k in range(len(ends)):
        ends[k], ranks.losses[k] = 0, 0.0
    for i in range(len(order)):
        ends[labels[i]] += 1
    for k in range(1, len(ends)):
        ends[k] += ends[k - 1]
    for i in range(len(order) - 1, -1, -1):
        k = labels[i]
        ends[k] -= 1
        order[ends[k]] = i
        ranks.losses[k] += trials.weights[i] * (second[i] - nearest[i])
    ranks.state[ARE_NEW] = 0


@quiet
def decide(centres, trials, ranks):
    """Put the centre that is missed least where the row is, if that saves more."""
    tried, nearest = plane_of(trials, TRIED), plane_of(trials, NEAREST)
    second, labels, marks = plane_of(trials, SECOND), ranks.labels, ranks.marks
    for begin in range(0, len(labels), PANEL):
        if trials.near[begin // PANEL] != 0:
            for i in range(begin, begin + PANEL):
                marks[labels[i]] += 1 if tried[i] < second[i] else 0
    best, least = len(centres), np.inf
    for k in range(len(centres)):
        lost = ranks.losses[k]
        if marks[k] != 0:
            lost, marks[k] = 0.0, 0
            for place in range(ranks.ends[k], ranks.ends[k + 1]):
                i = ranks.order[place]
                kept = nearest[i] if nearest[i] < tried[i] else tried[i]
                instead = second[i] if second[i] < tried[i] else tried[i]
                lost += trials.weights[i] * (instead - kept)
        if lost < least:
            best, least = k, lost
    # compared with each other: as parts of all distances, what two rows of a centre of their own
    # gain and lose by changing places differs by rounding
    if least < in_order(sums_of(trials, TRIED)):
        for j in range(centres.shape[1]):
            centres[best, j] = trials.tried[0, j]
        replace(best, trials, ranks)


@quiet
def replace(k, trials, ranks):
    """Rank the new centre k wherever the two nearest centres tell its rank.

    The rows to which a third may be nearer now are chosen: about 2 n / K, so that K swaps cost as
    much as a few passes, not K.
    """
    nearest, tried = plane_of(trials, NEAREST), plane_of(trials, TRIED)
    second, labels, seconds = plane_of(trials, SECOND), ranks.labels, ranks.seconds
    count = 0
    for i in range(len(ranks.order)):
        if labels[i] == k or seconds[i] == k:
            if not tried[i] < second[i]:
                ranks.chosen[count] = i
                count += 1
                continue
            if labels[i] == k:
                nearest[i] = tried[i]
                continue
        if tried[i] <= second[i]:
            if tried[i] < nearest[i] or (tried[i] == nearest[i] and k < labels[i]):
                seconds[i], second[i] = labels[i], nearest[i]
                labels[i], nearest[i] = k, tried[i]
            elif tried[i] < second[i]:
                seconds[i], second[i] = k, tried[i]
    ranks.state[COUNT], ranks.state[ARE_NEW] = count, 1


@quiet
def take_part(rows, centres, trials, ranks, workspace, crew, member):
    """Do pieces of the task, while there are any: panels to rank, or slices to try rows on."""
    n_slices = trials.sums.shape[1]
    piece = take_piece(crew, member)
    while piece >= 0:
        if ranks.state[TASK] == RANKING:
            rank(rows, centres, trials, ranks, workspace, piece)
        else:
            limits = plane_of(trials, NEAREST if ranks.state[TASK] == SEEDING else SECOND)
            for s in range(piece * AT_ONCE, lesser((piece + 1) * AT_ONCE, n_slices)):
                try_rows(trials, limits, s)
        finish_piece(crew)
        piece = take_piece(crew, member)


@kernel
def make_steps(rows, uniforms, first, last, centres, trials, ranks, workspaces, crew):
    """Make steps first to last: each chooses a row, or each second tries one and others rank."""
    member, n_trials = arrive(crew), len(trials.tried)
    size = workspaces.shape[1]
    workspace = view_at(workspaces, member * size, (size,))
    if member > 0:
        take_part(rows, centres, trials, ranks, workspace, crew, member)
        return
    for step in range(first, last):
        if ranks.state[TASK] != SEEDING:
            ranks.state[TASK] = TRYING if step % 2 else RANKING
        n_pieces = (trials.sums.shape[1] + AT_ONCE - 1) // AT_ONCE
        if ranks.state[TASK] == RANKING:
            n_pieces = (ranks.state[COUNT] + PANEL - 1) // PANEL
        else:
            if ranks.state[ARE_NEW]:
                list_rows(trials, ranks)
            for t in range(n_trials):
                row = draw(trials, uniforms[step * n_trials + t])
                ranks.numbers[t] = row
                for j in range(rows.shape[1]):
                    trials.tried[t, j] = rows[row, j]
        begin_round(crew, n_pieces)
        take_part(rows, centres, trials, ranks, workspace, crew, member)
        end_round(crew)
        if ranks.state[TASK] == SEEDING:
            ranks.chosen[step] = seed(trials, ranks.numbers)
        elif ranks.state[TASK] == RANKING:
            ranks.state[COUNT] = 0
        else:
            decide(centres, trials, ranks)
    dismiss(crew)


@parallel
def steps_on_threads(
    entry, n_threads, rows, uniforms, first, last, centres, trials, ranks, workspaces, crew
):
    """Do the same on some threads."""
    address, mark = entry
    for _ in prange(n_threads):
        arguments = rows, uniforms, first, last, centres, trials, ranks, workspaces, crew
        call_for_nothing(address, mark, arguments)


def run_steps(rows, uniforms, n_steps, operations, centres, trials, ranks):
    """Make all steps, in calls that are not too long; each takes so many operations."""
    small = operations < STEP_OPERATIONS or operations * n_steps < ALL_OPERATIONS
    workspaces = new_room(1 if small else allowed_threads(), (rows.shape[1] + BLOCK + 3) * PANEL)
    rows, at_once = unwritable(rows), max(1, int(CALL_OPERATIONS / operations))
    for first in range(0, n_steps, at_once):
        last = min(first + at_once, n_steps)
        arguments = rows, uniforms, first, last, centres, trials, ranks, workspaces
        run(steps_on_threads, make_steps, small, *arguments)


def plus_plus(rows, weights, uniforms, chosen):
    """Choose rows by greedy k-means++: each the best of a few drawn by squared distance.

    Fills chosen (K,). uniforms (1 + rounds * trials,) are random numbers of [0, 1).
    """
    n_trials = (len(uniforms) - 1) // max(1, len(chosen) - 1)
    trials = new_trials(rows, weights, n_trials, 2 + n_trials)
    trials.distances[NEAREST], trials.sums[NEAREST] = np.inf, 0.0  # the first is drawn by weight
    none, state = np.empty(0, np.int64), np.array([0, 0, SEEDING])
    numbers = np.empty(n_trials, np.int64)
    ranks = Ranks(none, none, chosen, state, np.empty(0), none, none, none, numbers)
    # one of the first row, whichever of the trials it is
    uniforms = np.concatenate([np.repeat(uniforms[:1], n_trials - 1), uniforms])
    operations = rows.size * n_trials
    run_steps(rows, uniforms, len(chosen), operations, np.empty((0, 0)), trials, ranks)


def local_search(rows, weights, uniforms, centres):
    """Replace centres by rows drawn by squared distance, where that lowers the inertia.

    Makes one trial per random number of [0, 1) in uniforms (trials,).
    """
    n_rows, n_centres = len(rows), len(centres)
    trials = new_trials(rows, weights, 1, 4)
    trials.distances[:, n_rows:] = 0.0
    ranks = Ranks(
        np.full(trials.weights.size, -1),
        np.full(trials.weights.size, -1),
        np.arange(n_rows),
        np.array([n_rows, 1, RANKING]),
        np.empty(n_centres + 1),
        np.zeros(n_centres, np.int64),
        np.empty(n_rows, np.int64),
        np.empty(n_centres + 1, np.int64),
        np.empty(1, np.int64),
    )
    uniforms = np.repeat(uniforms, 2)  # of a ranking, and of the trial after it
    run_steps(rows, uniforms, len(uniforms), rows.size, centres, trials, ranks)
