"""What a start costs, and how much of it is affordable: counted from shapes, before any of it.

In nanoseconds of one processor whose registers hold 512 bits, as measured with 30 to 1200 features.
They decide how much is tried, so they are constants: what is tried may not follow from a clock.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from fastgmm.mixture.structure import Structure

# A start may cost as much as so many dense passes, or 50 ms if that is more; 45 of
# these are planned, since Python takes some, too
MOST_PASSES, LEAST = 5.0, 4.5e7
# a multiply-add of a dense pass: with a matrix each, with one for all, with variances
OF_MATRICES, OF_SHARED, OF_VARIANCES = 0.1, 0.15, 0.6
OF_PRODUCT = 0.03  # of a product of matrices
OF_RESPONSIBILITY = 5.0  # its exponential
# by cubed features: the inverse of a covariance's factor, and the axes of a symmetric matrix
OF_INVERSE, OF_AXES = 0.15, 0.5
# by row, component and feature: k-means++, a swap for each centre, a round of Lloyd. The first two
# took 0.51 and 0.54 of what 1.2 and 1.0 were measured for, in the median of 13 shapes in turn
OF_SEEDS, OF_SWAPS, OF_LLOYD = 0.65, 0.6, 0.3
OF_LEFT_OUT = 8.0  # by row, component and feature: what leaving a row out does to a variance
OF_COPY = 3.0  # a number, gathered

LLOYD_ROUNDS = 8
FIRST_PASSES, MORE_PASSES, LEADERS = 4, 6, 2  # with variances: of all candidates, of the best
TIED_PASSES = 15
# rounds of exchanges with one covariance, and the passes that a round costs: ten of its trials, and
# of its axes 25 products, of four in a pass; and passes before the first
TIED_ROUNDS, TIED_ROUND_PASSES, PASSES_BEFORE = 3, 16, 10
# exchanges of components, with full covariances along a few principal axes: rounds, trials of each
# round and their passes
ROUNDS, TRIALS, TRIAL_PASSES = 4, 3, 6
MOST_AXES, FEWEST_EXCHANGING, FEWEST_OF_CLUSTER = 10, 40, 20  # and rows per component
OPENED = 2  # candidates
MOST_JUDGED, FEWER_JUDGED = 8, 5  # strengths and candidates; those of variances, by more rows
# rows of the first of two k-means within clusters, and rounds of Lloyd
FIRST_PER_COMPONENT, FEWEST_FIRST, WITHIN_ROUNDS = 10, 2_000, 3
SYSTEMS = (5, 3, 2)  # coordinate systems; invariant coordinates are among five alone
ROWS_PER_COMPONENT, ROWS_PER_FEATURE = 250, 20  # of passes with the covariances of the fit
FEWEST_SCORED, MOST_SCORED = 50, 1000
MOST_OPENED, FEWEST_OPENED = 10, 2  # of these passes
# of a candidate: five told three clusters of one mean apart in 50 features from any start, three
# from most; exchanges, which see some axes only, led two of four such fits astray
ENOUGH_PASSES = 5
MOST_PRODUCTS = 2_000_000  # of rows and their squares: 16 MB
# parts of what is affordable
FOR_SEEDS, FOR_RUNS, FOR_AXES, FOR_PASSES, FOR_JUDGING = 0.12, 0.2, 0.06, 0.35, 0.1
FOR_EXCHANGES = 0.1
FOR_CLUSTERS, FOR_CLUSTERS_BESIDE = 0.45, 0.3  # their exchanges, alone and beside short runs
# From so many components on, short runs with variances are not tried beside: with fewer, clusters
# may be long (five, each in five directions of 80: 0.44 nats per held-out row worse without)
ALONE = 12
FOR_MATRIX_CLUSTERS = 0.3  # with matrices, taken from passes and exchanges along axes
# sweeps of exchanges, and passes of their trials, that the rows of clusters are planned for
PLANNED_SWEEPS, PLANNED_PASSES = 3, 20
# components above the best of a search, from where others come down, as a part of it and at least
MORE, FEWEST_MORE = 0.4, 2
LEAST_FOR_TIED_EXCHANGES = 0.45 * LEAST  # no passes with the covariances of the fit are there


class Shape(NamedTuple):
    """What the cost of a pass follows from."""

    n_rows: int
    n_features: int
    n_components: int
    structure: Structure
    times: float = 1.0  # what a start may cost, over what is said above

    @property
    def n_matrices(self) -> int:
        """Count the covariances that are matrices."""
        if self.structure.is_axis_parallel:
            return 0
        return 1 if self.structure.is_shared else self.n_components

    @property
    def dense_pass(self) -> float:
        """Nanoseconds of one pass of EM over all rows, with its M-step."""
        n, d, k = self.n_rows, self.n_features, self.n_components
        of_row = OF_SHARED if self.structure.is_shared else OF_MATRICES
        of_matrices = self.n_matrices * d**2 * (of_row * n + OF_INVERSE * d)
        return n * k * (OF_RESPONSIBILITY + OF_VARIANCES * d) + of_matrices

    @property
    def affordable(self) -> float:
        """Nanoseconds that a start may take."""
        return self.times * max(MOST_PASSES * self.dense_pass, LEAST)


class Prices(NamedTuple):
    """What exchanges of clusters cost, in nanoseconds."""

    n_rounds: int  # of dividing all rows among clusters, before a sweep
    labels: float  # by row, cluster and number of a covariance
    cuts: float  # by row and number: with sums
    passes: float  # by row of three clusters and number
    merges: float  # by cluster and feature, or cubed features
    power: int  # of the features in a covariance: 1, or 2 for a matrix
    of_cluster: float = 5e4  # that Python takes in a sweep
    of_pass: float = 5e4

    def sweep(self, n_rows: int, n_features: int, n_components: int) -> float:
        """Price of dividing rows among clusters, and of cutting and joining all clusters."""
        of_row = self.n_rounds * self.labels * n_components + self.cuts
        of_cluster = self.merges * n_features ** (2 * self.power - 1) + self.of_cluster
        return n_rows * n_features**self.power * of_row + n_components * of_cluster

    def one_pass(self, n_rows: int, n_features: int) -> float:
        """Price of a pass of EM over so many rows of three clusters."""
        return self.passes * n_rows * n_features**self.power + self.of_pass

    def rows(self, shape: Shape, affordable: float) -> int:
        """Rows that as many sweeps and passes as are planned may see."""
        d, k = shape.n_features, shape.n_components

        def price(n_rows: int) -> float:
            of_passes = PLANNED_PASSES * self.one_pass(3 * n_rows // k, d)
            return PLANNED_SWEEPS * self.sweep(n_rows, d, k) + of_passes

        return max(0, int(k * (affordable - price(0)) / (price(k) - price(0))))


OF_CLUSTERS = Prices(n_rounds=2, labels=0.2, cuts=7.0, passes=3.5, merges=400.0, power=1)
OF_MATRIX_CLUSTERS = Prices(n_rounds=1, labels=0.06, cuts=0.5, passes=0.35, merges=1.5, power=2)


class Plan(NamedTuple):
    """How much a start tries."""

    has_runs: bool  # short runs with few parameters are tried, after k-means in coordinate systems
    n_systems: int  # coordinate systems in which k-means looks for clusters
    first_rows: int  # that the first k-means of these sees
    seeding_rows: int  # that k-means moves centres on
    rows: int  # that runs with few parameters see
    exchanging_rows: int  # that exchanges of components see
    cluster_rows: int  # that exchanges of clusters see
    for_clusters: float  # nanoseconds that they may take
    scored_rows: int  # that are left out, one at a time
    n_judged: int  # how often that may be done; 0 where it would not be worth its price
    passing_rows: int  # that passes with the covariances of the fit see
    n_passes: int  # of these, of all that is opened


def planned(shape: Shape, n_sampled: int) -> Plan:
    """Plan a start on a sample of so many rows of a source of some shape."""
    affordable, d, k = shape.affordable, shape.n_features, shape.n_components
    for n_systems in SYSTEMS:
        of_seeding = n_systems * _of_seeding(shape)
        seeding_rows = min(n_sampled, int(FOR_SEEDS * affordable / of_seeding))
        most = min(n_sampled, MOST_PRODUCTS // (1 + 2 * d))
        rows = min(most, int(FOR_RUNS * affordable / _of_a_row(shape, n_systems)))
        has_axes = n_systems == SYSTEMS[0]
        if has_axes and (rows < 5 * d or _of_axes(d, rows) > FOR_AXES * affordable):
            continue
        if min(rows, seeding_rows) >= min(n_sampled, 2 * d + 50 * k):
            break
    for_judging = FOR_JUDGING * affordable
    n_judged, for_rows = FEWER_JUDGED, for_judging  # of variances it is all
    if shape.n_matrices:  # whose inverses take most of it
        of_inverses = shape.n_matrices * OF_INVERSE * d**3
        n_judged = min(MOST_JUDGED, int(0.75 * for_judging / of_inverses))
        for_rows = 0.25 * for_judging
    else:
        n_judged = min(n_judged, int(for_rows / (FEWEST_SCORED * _of_scored(shape))))
    most_scored = for_rows / max(n_judged, 1) / _of_scored(shape)
    scored_rows = min(int(most_scored), MOST_SCORED, n_sampled)
    if scored_rows < FEWEST_SCORED:
        n_judged = 0
    cluster_rows, for_clusters = _for_clusters(shape, n_sampled)
    for_passes = FOR_PASSES * affordable
    if shape.n_matrices and for_clusters:
        for_passes += FOR_EXCHANGES * affordable - for_clusters
    # all rows that so many passes may see, but no fewer than a covariance wants
    fewest = k * max(ROWS_PER_COMPONENT, ROWS_PER_FEATURE * d)
    of_pass = shape._replace(n_rows=n_sampled).dense_pass
    passing_rows = min(
        n_sampled, max(fewest, int(n_sampled * for_passes / (MOST_OPENED * of_pass)))
    )
    of_pass = shape._replace(n_rows=passing_rows).dense_pass
    n_passes = min(MOST_OPENED, int(for_passes / of_pass))
    if shape.n_matrices < k or n_passes < FEWEST_OPENED:
        n_passes = 0
    for_exchanges, most = FOR_EXCHANGES * affordable, rows
    if shape.structure.is_shared and for_exchanges < LEAST_FOR_TIED_EXCHANGES:
        for_exchanges, most = LEAST_FOR_TIED_EXCHANGES, n_sampled
    exchanging_rows = min(most, int(for_exchanges / _of_exchanges(shape, n_systems)))
    few = exchanging_rows < FEWEST_EXCHANGING * k
    if few or k == 2 or n_passes >= ENOUGH_PASSES or for_clusters:
        exchanging_rows = 0
    has_runs = not shape.structure.is_axis_parallel or k < ALONE
    if not has_runs:  # what these do not take
        most = int(FOR_RUNS * affordable / _of_seeding(shape))
        seeding_rows = min(n_sampled, most)
    first_rows = min(max(FIRST_PER_COMPONENT * k, FEWEST_FIRST), max(seeding_rows // 2, k))
    return Plan(
        has_runs,
        n_systems,
        first_rows,
        max(seeding_rows, k),
        max(rows, k),
        exchanging_rows,
        cluster_rows,
        for_clusters,
        scored_rows,
        n_judged,
        passing_rows,
        n_passes,
    )


def cost(plan: Plan, shape: Shape, n_sampled: int) -> float:
    """Nanoseconds of what a plan says."""
    d, k = shape.n_features, shape.n_components
    of_seeding = _of_seeding(shape)
    found = 0.0
    found += plan.exchanging_rows * _of_exchanges(shape, plan.n_systems) + plan.for_clusters
    if shape.structure.is_axis_parallel and k > 2:
        found += (plan.first_rows + plan.seeding_rows) * of_seeding
    if plan.has_runs:
        found += plan.n_systems * plan.seeding_rows * of_seeding
        found += plan.rows * _of_a_row(shape, plan.n_systems)
        if plan.n_systems == SYSTEMS[0]:
            found += _of_axes(d, plan.rows)
    of_opening = OF_COPY * d + 2 * OF_PRODUCT * k * d
    if shape.n_matrices:
        of_opening += OF_PRODUCT * d**2
        found += OF_INVERSE * d**3
    n_opened = (OPENED if plan.has_runs else 1) + (shape.n_matrices > 0 and plan.cluster_rows > 0)
    found += n_opened * n_sampled * of_opening
    of_judging = plan.scored_rows * _of_scored(shape) + shape.n_matrices * OF_INVERSE * d**3
    found += plan.n_judged * of_judging
    return found + plan.n_passes * shape._replace(n_rows=plan.passing_rows).dense_pass


def from_above(n_components: int) -> int:
    """Return how many components a start has that is merged down to so many."""
    return n_components + max(FEWEST_MORE, math.ceil(MORE * n_components))


def _of_seeding(shape: Shape) -> float:
    """Nanoseconds of k-means in one coordinate system, per row that centres are moved on."""
    of_pair = OF_SEEDS + OF_SWAPS + LLOYD_ROUNDS * OF_LLOYD
    return shape.n_components * shape.n_features * of_pair


def _of_a_row(shape: Shape, n_systems: int) -> float:
    """Nanoseconds of the runs with few parameters, per row."""
    d, k = shape.n_features, shape.n_components
    n_systems += 1  # that of exchanges
    n_passes = n_systems * FIRST_PASSES + LEADERS * MORE_PASSES
    found = n_systems * k * d * OF_LLOYD
    if shape.n_matrices:
        n_passes += n_systems * TIED_PASSES
        found += 2 * OF_PRODUCT * d**2
    return found + n_passes * k * (4 * OF_PRODUCT * d + OF_RESPONSIBILITY)


def n_axes(n_features: int, n_components: int) -> int:
    """Count the principal axes along which components are exchanged."""
    return min(n_features, 2 * n_components, MOST_AXES)


def _of_exchanges(shape: Shape, n_systems: int) -> float:
    """Nanoseconds of exchanges of components, and of the runs before, per row."""
    if shape.structure.is_shared:
        n_passes = PASSES_BEFORE + TIED_ROUNDS * TIED_ROUND_PASSES
        d, k = shape.n_features, shape.n_components
        of_pass = k * (4 * OF_PRODUCT * d + OF_RESPONSIBILITY)
        return n_passes * of_pass + 2 * OF_PRODUCT * d**2
    axes = n_axes(shape.n_features, shape.n_components)
    n_products = 1 + axes + axes * (axes + 1) // 2
    n_passes = n_systems * FIRST_PASSES + MORE_PASSES + ROUNDS * TRIALS * TRIAL_PASSES
    return n_passes * shape.n_components * (2 * OF_PRODUCT * n_products + OF_RESPONSIBILITY)


def _for_clusters(shape: Shape, n_sampled: int) -> tuple[int, float]:
    """Return the rows that exchanges of clusters see, and the nanoseconds that they may take."""
    d, k = shape.n_features, shape.n_components
    if k == 2 or shape.structure.is_shared:
        return 0, 0.0
    if shape.structure.is_axis_parallel:
        prices, fewest = OF_CLUSTERS, FEWEST_OF_CLUSTER
        part = FOR_CLUSTERS_BESIDE if k < ALONE else FOR_CLUSTERS
    else:
        prices, fewest, part = (
            OF_MATRIX_CLUSTERS,
            max(FEWEST_OF_CLUSTER, 2 * d),
            FOR_MATRIX_CLUSTERS,
        )
    affordable = part * shape.affordable
    n_rows = min(n_sampled, prices.rows(shape, affordable))
    return (n_rows, affordable) if n_rows >= fewest * k else (0, 0.0)


def _of_axes(n_features: int, n_rows: int) -> float:
    """Nanoseconds of invariant coordinates."""
    return 4 * OF_PRODUCT * n_rows * n_features**2 + 2 * OF_AXES * n_features**3


def _of_scored(shape: Shape) -> float:
    """Nanoseconds of leaving one row out."""
    d, k = shape.n_features, shape.n_components
    return k * d * (OF_PRODUCT * d if shape.n_matrices else OF_LEFT_OUT)
