"""Chooses a structure's functions by the type of its Factors, while compiling."""

from fastgmm.kernels.jit import chosen_by_type
from fastgmm.kernels.structures import diagonal, full, spherical, tied

STRUCTURES = {"spherical": spherical, "diagonal": diagonal, "tied": tied, "full": full}


def log_densities(tile, factors, scratch, out):
    """Write log(weight_k p_k(x)) into out[k, r], for every row x of the tile."""


def add_moments(tile, responsibilities, factors, scratch, out):
    """Add the moments of a tile to out (K, size), in the structure's own order."""


def structure_of(factors):
    """Return the module whose Factors have this Numba type."""
    return next(s for s in STRUCTURES.values() if s.Factors is factors.instance_class)


@chosen_by_type(log_densities)
def _log_densities(tile, factors, scratch, out):
    return structure_of(factors).log_densities.py_func


@chosen_by_type(add_moments)
def _add_moments(tile, responsibilities, factors, scratch, out):
    return structure_of(factors).add_moments.py_func
