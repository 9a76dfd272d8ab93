"""Where rows lie closer together than a density says: the scan statistic of Kulldorff (1997).

A ball about a row that holds c other rows, where L are expected, has the log-likelihood ratio
c log(c / L) - c + L. Rows are looked for in the leaf of a random projection tree (Dasgupta and
Freund 2008), which takes a hundredth of the time of all pairs.
"""

import math

import numpy as np

from fastgmm.kernels.jit import kernel, subroutine


@subroutine
def select(values, order, first, last, place):
    """Put the value of this rank among first .. last - 1 in its place, smaller ones before it."""
    low, high = first, last - 1
    while low < high:
        pivot = values[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                order[i], order[j] = order[j], order[i]
                i += 1
                j -= 1
        if place <= j:
            high = j
        elif place >= i:
            low = i
        else:
            return


@kernel
def grow_tree(rows, most, directions, parts, order, ends):
    """Divide rows by hyperplanes until at most ``most`` are together; return the number of leaves.

    Parameters
    ----------
    rows : ndarray of shape (m, d)
    most : int
        Rows of a leaf.
    directions : ndarray of shape (depths, d)
        What the hyperplanes of each depth are orthogonal to; the first again after the last.
    parts : ndarray of shape (m,)
        Which part of the rows is on the one side, for one division after another.
    order : ndarray of shape (m,)
        Filled with the places of the rows, leaf after leaf.
    ends : ndarray of shape (m,)
        Filled with where leaves end.
    """
    values = np.empty(len(rows))
    for i in range(len(rows)):
        order[i] = i
    # the ends of what is still to be divided, the nearest on top, and their depths
    stack, depths = np.empty(len(rows) + 1, np.int64), np.empty(len(rows) + 1, np.int64)
    stack[0], depths[0] = len(rows), 0
    n_stacked, n_leaves, n_cuts, first = 1, 0, 0, 0
    while n_stacked > 0:
        last, depth = stack[n_stacked - 1], depths[n_stacked - 1]
        if last - first <= most:
            ends[n_leaves] = last
            n_leaves += 1
            n_stacked -= 1
            first = last
            continue
        along = directions[depth % len(directions)]
        for i in range(first, last):
            values[i] = 0.0
            for j in range(rows.shape[1]):
                values[i] += rows[order[i], j] * along[j]
        place = first + int(parts[n_cuts] * (last - first))
        n_cuts += 1
        select(values, order, first, last, place)
        depths[n_stacked - 1] = depth + 1
        stack[n_stacked], depths[n_stacked] = place, depth + 1
        n_stacked += 1
    return n_leaves


def scan(rows, ends, volumes, reach, log_ball, gains, radii):
    """Find the best ball about each row that has another row of its leaf on its border.

    Parameters
    ----------
    rows : ndarray of shape (m, d)
        Leaf after leaf.
    ends : ndarray of shape (leaves,)
        Where leaves end.
    volumes : ndarray of shape (m,)
        Weight of each row over the density.
    reach : ndarray of shape (m,)
        Largest squared radius.
    log_ball : float
        Logarithm of the volume of the ball of radius 1.
    gains, radii : ndarrays of shape (m,)
        Filled with the best ratio, 0 if there is none, and the squared radius.
    """
    most = int(np.diff(ends, prepend=0).max())
    room, places = np.empty((rows.shape[1] + 2, most)), np.empty(most, np.int64)
    find_balls(rows, ends, volumes, reach, log_ball, gains, radii, room, places)


@kernel
def find_balls(rows, ends, volumes, reach, log_ball, gains, radii, room, places):
    """Do this, with room for what the rows of a leaf need."""
    first, n_features = 0, rows.shape[1]
    columns, distances, squares = room, room[n_features], room[n_features + 1]
    for last in ends:
        size = last - first
        for i in range(size):
            for j in range(n_features):
                columns[j, i] = rows[first + i, j]
        for i in range(size):
            for r in range(size):
                distances[r] = 0.0
            for j in range(n_features):
                for r in range(size):
                    gap = columns[j, r] - columns[j, i]
                    distances[r] += gap * gap
            limit, count = reach[first + i], 0
            for r in range(size):
                if 0.0 < distances[r] <= limit:
                    at = count
                    while at > 0 and squares[at - 1] > distances[r]:
                        squares[at], places[at] = squares[at - 1], places[at - 1]
                        at -= 1
                    squares[at], places[at] = distances[r], first + r
                    count += 1
            gain, radius, volume, spread = 0.0, 0.0, 0.0, 0.0
            for r in range(count):
                volume += volumes[places[r]]
                spread += volumes[places[r]] * volumes[places[r]]
                if r == 0:
                    continue
                log_ratio = math.log(volume) - log_ball - 0.5 * n_features * math.log(squares[r])
                if log_ratio > 0.0:
                    here = volume * volume / spread * (log_ratio - 1.0 + math.exp(-log_ratio))
                    if here > gain:
                        gain, radius = here, squares[r]
            gains[first + i], radii[first + i] = gain, radius
        first = last
