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
from jaxtyping import Bool, Int

from sfumato.errors import SettingError, require_count

PAPER_ATTEMPTS = 10_000
MOST_SEED = 2**32 - 1  # of NumPy's older generator, which the published procedure uses
# Candidates looked at together for the next one that is kept; only a matter of speed.
FIRST_LOOK = 32


def _checked(side: int, radius: int, zeta: int, attempts: int) -> None:
    require_count("side", side)
    require_count("radius", radius)
    require_count("zeta", zeta, minimum=0)
    require_count("attempts", attempts)
    if side < 2 * radius:
        raise SettingError(f"side must be at least 2 * radius = {2 * radius}, got {side}")


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
    side: int, radius: int, zeta: int, seed: int | np.random.RandomState, attempts: int = PAPER_ATTEMPTS
) -> Bool[np.ndarray, "side side"]:
    """Return one draw of the published sampler: true where the pixel belongs to class 1.

    A ``RandomState`` as ``seed`` is used from where it stands, and moves on by one draw, as in the
    published loop.

    >>> grid = paper_draw(side=100, radius=10, zeta=0, seed=246)
    >>> grid.shape, int(grid.sum())
    ((100, 100), 5186)

    Raises:
        SettingError: a setting that is not a whole number in range (the sampler knows pixels only).
    """
    _checked(side, radius, zeta, attempts)
    random = seed if isinstance(seed, np.random.RandomState) else paper_stream(seed)
    grid = np.zeros((side, side), dtype=bool)
    steps = np.arange(-radius, radius)
    across, down = np.nonzero(steps[:, None] ** 2 + steps[None, :] ** 2 <= radius**2)
    centres = paper_centres(side, radius, zeta, random, attempts)
    rows, columns = centres[:, :1] + steps[across], centres[:, 1:] + steps[down]
    inside = (rows < side) & (columns < side)
    # Negative rows and columns are left to count from the far side, as published.
    grid[rows[inside], columns[inside]] = True
    return grid


def paper_centres(
    side: int, radius: int, zeta: int, random: np.random.RandomState, attempts: int = PAPER_ATTEMPTS
) -> Int[np.ndarray, "discs 2"]:
    """Return the centres that the published rejection loop keeps, in order, as (row, column).

    >>> len(paper_centres(side=100, radius=10, zeta=3, random=paper_stream(1)))
    14

    Raises:
        SettingError: a setting that is not a whole number in range.
    """
    _checked(side, radius, zeta, attempts)
    candidates = random.randint(low=0, high=side, size=(attempts, 2))
    pixels = candidates[:, 0] * side + candidates[:, 1]
    separation = 2 * radius + zeta
    free = np.ones((side, side), dtype=bool)
    kept: list[int] = []
    position, step = 0, FIRST_LOOK
    while position < attempts:
        look = free.ravel()[pixels[position : position + step]]
        hit = int(look.argmax())
        if not look[hit]:
            position, step = position + step, 4 * step
            continue
        kept.append(position + hit)
        position, step = kept[-1] + 1, FIRST_LOOK
        # The published loop looks for a centre among rows c - separation to c + separation - 1 of each
        # candidate c; turned round, a centre forbids itself - separation + 1 to itself + separation.
        row, column = (max(0, int(place) - separation + 1) for place in candidates[kept[-1]])
        bottom, right = (int(place) + separation + 1 for place in candidates[kept[-1]])
        free[row:bottom, column:right] = False
    return candidates[kept]
