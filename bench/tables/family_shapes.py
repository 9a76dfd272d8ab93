"""The fourteen families as pictures: the same three clusters as each may see them.

    python -m bench.tables.family_shapes [--out families.png]

Every panel has the ellipses that the family's M-step makes of the same three covariances.
"""

from __future__ import annotations

import argparse

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Ellipse

from fastgmm.covariance import ALL, FAMILIES
from fastgmm.plot.colours import component_colours

CENTRES = np.array([[-1.6, -0.5], [0.35, 0.75], [1.75, -0.7]])
TURNS, LENGTHS = np.radians([20.0, 65.0, -40.0]), [(1.15, 0.3), (0.7, 0.42), (0.62, 0.22)]
WORDS = {each.name: word for word, each in FAMILIES.items() if word != each.name}
SAID = {"E": "equal", "V": "vary", "I": "{}"}


def main() -> None:
    """Draw all, and save them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", default="families.png")
    arguments = parser.parse_args()
    figure, axes = plt.subplots(2, 7, figsize=(12.6, 4.6), layout="constrained")
    for ax, family in zip(axes.flat, ALL, strict=True):
        _draw(ax, family)
    figure.savefig(arguments.out, dpi=80)


def _draw(ax, family) -> None:
    """Draw what a family makes of the three."""
    structure, weights = family.structure, np.full(3, 1 / 3)
    own = np.array(
        [_turned(turn, np.square(lengths)) for turn, lengths in zip(TURNS, LENGTHS, strict=True)]
    )
    if structure.is_shared:
        given = own.mean(axis=0)
    else:
        given = np.array([structure.narrowed(each) for each in own])
    found = structure.matrices(family.nearest(given, weights), 3, 2)
    for centre, matrix, colour in zip(CENTRES, found, component_colours(3), strict=True):
        variances, directions = np.linalg.eigh(matrix)
        angle = np.degrees(np.arctan2(directions[1, 1], directions[0, 1]))
        wide, high = 2.0 * np.sqrt(variances[::-1])
        ax.add_patch(Ellipse(centre, wide, high, angle=angle, color=colour, alpha=0.25, lw=0))
        ax.add_patch(Ellipse(centre, wide, high, angle=angle, ec=colour, fill=False, lw=1.5))
    ax.set(xlim=(-2.9, 2.7), ylim=(-1.9, 1.9), aspect="equal", xticks=[], yticks=[])
    word = WORDS.get(family.name)
    ax.set_title(family.name if word is None else f"{family.name}\n{word}", fontsize=11)
    volume, shape, axes = family.name
    shapes = {"I": "round", "E": "equal", "V": "vary"}[shape]
    turns = {"I": "none" if shape == "I" else "along features", "E": "equal", "V": "vary"}[axes]
    kinds = f"volumes {SAID[volume]}\nshapes {shapes}\naxes {turns}"
    ax.set_xlabel(kinds.replace("shapes round\naxes none", "round"), fontsize=9)
    for spine in ax.spines.values():
        spine.set_color("0.8")


def _turned(angle, variances) -> np.ndarray:
    axes = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return (axes * variances) @ axes.T


if __name__ == "__main__":
    main()
