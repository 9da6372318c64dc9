"""The published experiment's own random discs on a pixel grid, flaws included.

Pal & Sulam 2023 ("Understanding Noise-Augmented Training for Randomized Smoothing", TMLR, synthetic
experiment) place discs with whole-number centres on a grid, by rejection. Their procedure is kept as it is,
because their figure depends on it. A candidate is rejected if a centre lies in a square, half-open window
around it (a Chebyshev distance, asymmetric by one pixel). A disc is drawn from -radius to radius - 1 in each
direction. Pixels below the low side come back on the high side (negative indices); pixels beyond the high
side are lost. For discs in the continuum see ``packing``.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool

from sfumato.errors import SettingError, require_count

ATTEMPTS = 10_000
SIDE = 100
RADIUS = 10
MOST_SEED = 2**32 - 1  # of NumPy's older generator, which the published procedure uses


def paper_stream(seed: int) -> np.random.RandomState:
    """Return the stream of random numbers that the published experiment seeds.

    >>> paper_stream(246).randint(0, 100, 3).tolist()
    [36, 30, 4]
    """
    # The published numbers hang on NumPy's legacy generator and on nothing newer.
    if not 0 <= seed <= MOST_SEED:
        raise SettingError(f"seed of the published procedure must lie in 0..{MOST_SEED}, got {seed}")
    return np.random.RandomState(seed)


def paper_draw(
    zeta: int, random: np.random.RandomState, side: int = SIDE, radius: int = RADIUS
) -> Bool[np.ndarray, "side side"]:
    """Return one draw of the published sampler: true where the pixel belongs to class 1.

    The stream moves on by one draw, as in the published loop.

    >>> grid = paper_draw(0, paper_stream(246))
    >>> grid.shape, int(grid.sum())
    ((100, 100), 5186)

    Raises:
        SettingError: a zeta that is not a whole number in range (the sampler knows pixels only).
    """
    separation = 2 * radius + require_count("zeta", zeta, minimum=0)
    grid = np.zeros((side, side), dtype=bool)
    steps = np.arange(-radius, radius)
    across, down = np.nonzero(steps[:, None] ** 2 + steps[None, :] ** 2 <= radius**2)
    free = np.ones((side, side), dtype=bool)
    for row, column in random.randint(low=0, high=side, size=(ATTEMPTS, 2)).tolist():
        if not free[row, column]:
            continue
        # The published loop looks for a centre among rows c - separation to c + separation - 1 of each
        # candidate c; turned round, a centre forbids itself - separation + 1 to itself + separation.
        top, left = max(0, row - separation + 1), max(0, column - separation + 1)
        free[top : row + separation + 1, left : column + separation + 1] = False
        rows, columns = row + steps[across], column + steps[down]
        inside = (rows < side) & (columns < side)
        # Negative rows and columns are left to count from the far side, as published.
        grid[rows[inside], columns[inside]] = True
    return grid
