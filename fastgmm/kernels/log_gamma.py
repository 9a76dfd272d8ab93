"""How far log Gamma lies above its tangent, and its slope: of what divergences are made.

Written as differences of log Gamma, a concentration of 1e12 leaves an error of 0.02. Here nothing
is taken from what is larger: log Gamma itself is never computed.
"""

import numpy as np

from fastgmm.kernels.jit import kernel, quiet

# From here on the eighth terms of Stirling's series are below the rounding of 1, 0.44 / x^16 and
# less. Smaller numbers are led here by Gamma(x + 1) = x Gamma(x).
LARGE = 10.0


def above_tangent(at, touching):
    """Return log Gamma at one number, less the tangent there that touches it at another.

    It is the Kullback-Leibler divergence, from a gamma variable of shape `touching`, of one of
    shape `at` and the same rate, and is not negative but for 1e-17 of their difference. Its error
    is a rounding of itself or of that difference. Numbers or arrays are broadcast.
    """
    pairs = np.broadcast_arrays(np.asarray(at, np.float64), np.asarray(touching, np.float64))
    x, y = (np.array(each).ravel() for each in pairs)
    found = np.empty(len(x))
    write_above(x, y, found)
    return found.reshape(pairs[0].shape)


@kernel
def write_above(x, y, found):
    """Write it for lines of numbers."""
    for i in range(len(found)):
        found[i] = above(x[i], y[i])


@quiet
def above(x, y):
    """Return it for two numbers."""
    found = 0.0
    while min(x, y) < LARGE:
        found += gap(x, y) / y
        x += 1.0
        y += 1.0
    found += gap(y, x) + 0.5 * gap(x, y) / y
    return found + (rest(x) - rest(y)) - (x - y) * slope_of_rest(y)


@quiet
def gap(x, y):
    """Return x - y - y log(x / y), which is not negative, with all digits of x - y."""
    step, ratio = (x - y) / y, x / y
    if abs(step) < 0.5:
        return y * (step - np.log1p(step))
    if 0.0 < ratio < np.inf:
        return (x - y) - y * np.log(ratio)
    return (x - y) - y * (np.log(x) - np.log(y))


@quiet
def digamma(x):
    """Return the slope of log Gamma, with an error of 5 roundings of itself, or of 1."""
    passed = 0.0
    if x < LARGE:
        n_steps = int(np.ceil(LARGE - x))
        for i in range(n_steps - 1, -1, -1):  # the smallest first
            passed += 1.0 / (x + i)
        x += n_steps
    return np.log(x) - 0.5 / x + slope_of_rest(x) - passed


@quiet
def rest(x):
    """Return log Gamma without (x - 1/2) log x - x + log(2 pi) / 2, by Stirling's series."""
    z = 1.0 / x
    w = z * z
    tail = w * (1.0 / 1188.0 - w * (691.0 / 360360.0 - w / 156.0))
    return z * (1.0 / 12.0 - w * (1.0 / 360.0 - w * (1.0 / 1260.0 - w * (1.0 / 1680.0 - tail))))


@quiet
def slope_of_rest(x):
    """Return the slope of that."""
    w = (1.0 / x) ** 2
    tail = w * (1.0 / 132.0 - w * (691.0 / 32760.0 - w / 12.0))
    return -w * (1.0 / 12.0 - w * (1.0 / 120.0 - w * (1.0 / 252.0 - w * (1.0 / 240.0 - tail))))
