"""Chooses a structure's functions by the type of its Factors, while compiling.

A mixture that is more than normal components, as with heavy tails, has factors with further fields,
of a type of their own for each structure; what these add is in `heavy_tails` and `noise`. They are
not fields in a field, since threads take tuples of arrays alone.
"""

from collections import namedtuple

from fastgmm.kernels.jit import chosen_by_type
from fastgmm.kernels.structures import (
    completed,
    diagonal,
    factored,
    full,
    full_2d,
    masked,
    spherical,
    tied,
)

STRUCTURES = {
    "spherical": spherical,
    "diagonal": diagonal,
    "tied": tied,
    "full": full,
    "factored": factored,
}
COMPLETE = (*STRUCTURES.values(), full_2d)  # each has a type of Factors
INCOMPLETE = {"spherical": masked, "diagonal": masked, "tied": completed, "full": completed}
EXTENDED = {}  # by type of factors with further fields, the structure whose fields come first
DENSITIES = {}  # by the same type, what writes log densities
ADDED = {}  # by the same type, how many log densities a row has besides those of components


def log_densities(tile, factors, scratch, out):
    """Write log(weight_k p_k(x)) into out[k, r], for every row x of the tile."""


def add_moments(tile, responsibilities, factors, scratch, out):
    """Add the moments of a tile to out (K, size), in the structure's own order."""


def structure_of(factors):
    """Return the module whose Factors have this Numba type."""
    kind = factors.instance_class
    known = (*COMPLETE, *INCOMPLETE.values())
    return EXTENDED.get(kind) or next(s for s in known if s.Factors is kind)


def extended(name, fields, densities, added, module):
    """Make types of factors with further fields, for each type without; return them by that.

    Numba's cache finds a type by its name in a module.
    """
    found = {}
    for structure in COMPLETE:
        own = structure.Factors._fields
        title = f"{name}{structure.__name__.rpartition('.')[2].title()}"
        kind = namedtuple(title, (*own, *fields), module=module["__name__"])
        module[title] = found[structure.Factors] = kind
        EXTENDED[kind], DENSITIES[kind], ADDED[kind] = structure, densities, added
    return found


def normal_of(factors):
    """Return the factors of the structure alone."""
    structure = EXTENDED.get(type(factors))
    return (
        factors
        if structure is None
        else structure.Factors(*factors[: len(structure.Factors._fields)])
    )


@chosen_by_type(log_densities)
def _log_densities(tile, factors, scratch, out):
    found = DENSITIES.get(factors.instance_class) or structure_of(factors).log_densities
    return found.py_func


def normal_densities(tile, factors, scratch, out):
    """Write what the structure alone writes."""


@chosen_by_type(normal_densities)
def _normal_densities(tile, factors, scratch, out):
    return structure_of(factors).log_densities.py_func


def n_densities(factors):
    """Count the log densities of a row."""
    return factors.log_scale.size + ADDED.get(type(factors), 0)


@chosen_by_type(n_densities)
def _n_densities(factors):
    added = ADDED.get(factors.instance_class, 0)
    return lambda factors: factors.log_scale.size + added


@chosen_by_type(add_moments)
def _add_moments(tile, responsibilities, factors, scratch, out):
    return structure_of(factors).add_moments.py_func
