"""Balls on a grid: the share of each cell that they cover, in two and three dimensions.

The area of a cell within a disc is exact. Discs and balls come from ``packing``.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from sfumato.errors import SettingError, require_count
from sfumato.theory.packing import BallUnion

# Heights per cell at which the area of a ball's slice is taken.
HEIGHTS = 3


def indicator(
    balls: BallUnion, cells: int, *, dtype: type[np.floating] = np.float64
) -> Float[np.ndarray, "*grid"]:
    """Return the share of each grid cell that lies in a ball, (cells,) * dim, in two or three dimensions.

    The area of a cell within a disc is exact (segments of circles). In three dimensions the areas of slices
    are integrated across the cell by Gauss-Legendre nodes. The parts of balls that stick out of a box are cut
    off.

    >>> shares = indicator(BallUnion(np.array([[5.0, 5.0]]), radius=2.0, side=10.0), cells=20)
    >>> bool(np.isclose(shares.sum() * 0.5**2, 4 * np.pi))
    True

    Raises:
        SettingError: a region of another dimension.
    """
    require_count("cells", cells)
    if balls.dim not in (2, 3):
        raise SettingError(f"balls must be of dim 2 or 3 for a grid, got dim {balls.dim}")
    spacing = balls.side / cells
    width = math.ceil(2 * balls.radius / spacing) + 1
    shares = np.zeros((cells,) * balls.dim)
    nodes, weights = np.polynomial.legendre.leggauss(HEIGHTS)
    per_ball = (width + 1) ** 2 * (HEIGHTS * width if balls.dim == 3 else 1)
    chunk = max(1, 2_000_000 // per_ball)
    for start in range(0, balls.number, chunk):
        centres = balls.centres[start : start + chunk]
        first = np.floor((centres - balls.radius) / spacing).astype(np.int64)
        edges = (first[:, :, None] + np.arange(width + 1)) * spacing - centres[:, :, None]
        if balls.dim == 2:
            parts = _cell_areas(edges[:, 0], edges[:, 1], np.full(len(centres), balls.radius))
        else:
            parts = np.zeros((len(centres), width, width, width))
            # Up to the poles and no farther: there the area of a slice has a kink.
            heights = np.clip(edges[:, 2], -balls.radius, balls.radius)
            below, above = heights[:, :-1], heights[:, 1:]
            for node, weight in zip(nodes, weights, strict=True):
                heights = below + (1 + node) / 2 * (above - below)
                radii = np.sqrt(np.maximum(balls.radius**2 - heights**2, 0.0))
                for layer in range(width):
                    slices = _cell_areas(edges[:, 0], edges[:, 1], radii[:, layer])
                    thickness = weight / 2 * (above - below)[:, layer]
                    parts[..., layer] += thickness[:, None, None] * slices
        places = first[:, :, None] + np.arange(width)
        index = [
            places[:, axis].reshape(-1, *(width if other == axis else 1 for other in range(balls.dim)))
            for axis in range(balls.dim)
        ]
        if balls.periodic:
            np.add.at(shares, tuple(one % cells for one in index), parts)
        else:
            full = np.broadcast_arrays(*index)
            inside = np.logical_and.reduce([(one >= 0) & (one < cells) for one in full])
            np.add.at(shares, tuple(one[inside] for one in full), parts[inside])
    return np.clip(shares / spacing**balls.dim, 0.0, 1.0).astype(dtype)


def _cell_areas(
    across: Float[np.ndarray, "balls edges"],
    down: Float[np.ndarray, "balls edges"],
    radii: Float[np.ndarray, " balls"],
) -> Float[np.ndarray, "balls cells cells"]:
    """Return the area of each cell between the given edges (from the middle) within a disc."""
    scale = np.where(radii > 0, radii, 1.0)
    a = np.clip(across / scale[:, None], -1.0, 1.0)
    b = np.clip(down / scale[:, None], -1.0, 1.0)
    # The area of the unit disc to one side of a line, less that of its half.
    beside_a = a * np.sqrt(1 - a**2) + np.arcsin(a)
    beside_b = b * np.sqrt(1 - b**2) + np.arcsin(b)
    a, b = a[:, :, None], b[:, None, :]
    beside_a, beside_b = beside_a[:, :, None], beside_b[:, None, :]
    # The disc's part below and left of the corner (a, b): with the corner in the disc, two triangles and
    # two sectors; outside, what the two lines leave, which is nothing if they meet beyond the disc.
    within = a * b + np.pi / 4 + (beside_a + beside_b) / 2
    outside = np.where(
        (a >= 0) & (b >= 0),
        beside_a + beside_b,
        np.where(a >= 0, np.pi / 2 + beside_b, np.where(b >= 0, np.pi / 2 + beside_a, 0.0)),
    )
    corner = np.where(a**2 + b**2 < 1, within, outside)
    areas = np.diff(np.diff(corner, axis=1), axis=2)
    return np.asarray(areas * (radii**2)[:, None, None])
