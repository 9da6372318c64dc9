"""The synthetic study of Pal & Sulam 2023 (Figure 4), as published and in the continuum.

Class 1 is a set of equal discs with interference distance zeta; the curves show Delta(alpha, beta) -
Delta(0, beta) over alpha, below zero where noise-augmented training helps. ``figure4_published`` repeats
the published pixel experiment, number for number and flaws included; ``figure4_continuum`` asks the same
question about discs on a torus, without pixels, border or seam. ``significant_dips`` says which curves truly
dip below zero.

The published discs have whole-number centres, by rejection. A candidate is rejected if a centre lies in a
square, half-open window around it (a Chebyshev distance, asymmetric by one pixel). A disc is drawn from
-radius to radius - 1 in each direction. Pixels below the low side come back on the high side (negative
indices); pixels beyond the high side are lost.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from sfumato.errors import SettingError, require_count, require_nonnegative, require_open_unit
from sfumato.statistics.estimates import holm
from sfumato.theory.fields import ball_field, field_risk
from sfumato.theory.packing import pack_balls

SIDE, RADIUS = 100, 10
ZETAS = (0, 1, 2, 3)
BETAS = (8.0, 11.0, 14.0)
ALPHAS = tuple(float(alpha) for alpha in range(21))
# Candidates for the centre of a disc, and the largest seed of NumPy's older generator, which is used.
ATTEMPTS = 10_000
MOST_SEED = 2**32 - 1
# Up to here all sign patterns are tried, beyond it a random sample of this size.
MOST_DRAWS_EXACT = 12
SIGN_PATTERNS = 4096
# scipy.ndimage.gaussian_filter cuts its kernel there (its default), and the published figure with it.
TRUNCATE = 4.0


@dataclass(frozen=True, eq=False)
class Figure4:
    """Risks of every draw of the synthetic study.

    Attributes:
        name: "published" or "continuum".
        zetas: (zeta), interference distances.
        betas: (beta), smoothing noises.
        alphas: (alpha), training noises, the first of them 0.
        risk: (zeta, beta, alpha, draw), Delta(alpha, beta) as a share of the whole area.
        density: (zeta, beta, draw), share of the area in class 1.
        error: (zeta, beta, alpha, draw), estimated numerical error of ``risk``; 0 where pixels are meant.
        common_draws: whether all betas saw the same draws, as in the continuum.
    """

    name: str
    zetas: Float[np.ndarray, " zeta"]
    betas: Float[np.ndarray, " beta"]
    alphas: Float[np.ndarray, " alpha"]
    risk: Float[np.ndarray, "zeta beta alpha draw"]
    density: Float[np.ndarray, "zeta beta draw"]
    error: Float[np.ndarray, "zeta beta alpha draw"]
    common_draws: bool

    @property
    def draws(self) -> int:
        """Number of independent draws of every curve."""
        return int(self.risk.shape[-1])

    @property
    def difference(self) -> Float[np.ndarray, "zeta beta alpha draw"]:
        """Delta(alpha, beta) - Delta(0, beta) of each draw: negative where augmentation helps."""
        return np.asarray(self.risk - self.risk[:, :, :1])

    @property
    def mean(self) -> Float[np.ndarray, "zeta beta alpha"]:
        """The curves: the mean of ``difference`` over the draws."""
        return np.asarray(self.difference.mean(axis=-1))

    @property
    def standard_error(self) -> Float[np.ndarray, "zeta beta alpha"]:
        """Standard error of ``mean`` over the draws; not a number for a single draw."""
        if self.draws < 2:
            return np.full(self.risk.shape[:-1], np.nan)
        return np.asarray(self.difference.std(axis=-1, ddof=1) / np.sqrt(self.draws))


@dataclass(frozen=True)
class Dip:
    """The lowest point of one curve, and whether the curve is below zero by more than chance.

    Attributes:
        zeta: interference distance of the curve.
        beta: smoothing noise of the curve.
        alpha: where the mean curve is lowest, among alpha > 0.
        depth: the mean there, negative for a dip.
        standard_error: of that mean over the draws, without any allowance for the choice of alpha.
        p_value: probability that a curve without benefit dips this far, in standard errors, at any alpha
            (sign flips).
        adjusted: ``p_value`` after Holm's correction for the number of curves.
        significant: ``adjusted`` is at most the level.
    """

    zeta: float
    beta: float
    alpha: float
    depth: float
    standard_error: float
    p_value: float
    adjusted: float
    significant: bool


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


def figure4_published(
    draws: int = 10,
    seed: int = 246,
    *,
    zetas: Sequence[int] = ZETAS,
    betas: Sequence[float] = BETAS,
    alphas: Sequence[float] = ALPHAS,
) -> Figure4:
    """Return the published experiment: pixel discs, truncated Gaussian filters, zeros outside the picture.

    Every beta has its own draws, taken from one stream in the published order, so that the defaults give the
    published numbers.

    >>> published = figure4_published(draws=2, zetas=(0,), betas=(8,), alphas=(0, 20))
    >>> published.risk.shape, bool(published.mean[0, 0, 1] > 0.1)
    ((1, 1, 2, 2), True)

    Raises:
        SettingError: a bad setting, or alphas that do not start at 0.
    """
    study = _empty("published", draws, zetas, betas, alphas, common_draws=False)
    random = paper_stream(seed)
    filters = {sigma: _pixel_filter(sigma) for sigma in {*alphas, *betas}}
    for column, beta in enumerate(betas):
        for row, zeta in enumerate(zetas):
            pictures = np.stack([paper_draw(zeta, random) for _ in range(draws)])
            study.density[row, column] = pictures.mean(axis=(1, 2))
            for index, alpha in enumerate(alphas):
                trained = _filtered(pictures, filters[alpha])
                wrong = _filtered(trained, filters[beta]) != pictures
                study.risk[row, column, index] = wrong.mean(axis=(1, 2))
    return study


def figure4_continuum(
    draws: int = 10,
    seed: int = 0,
    *,
    side: float = 400.0,
    zetas: Sequence[float] = ZETAS,
    betas: Sequence[float] = BETAS,
    alphas: Sequence[float] = ALPHAS,
    cells: int = 400,
) -> Figure4:
    """Return the same study in the continuum: discs at real places on a torus, packed to saturation.

    All betas share the draws. The default takes about a second for each zeta and draw.

    >>> small = figure4_continuum(2, side=100.0, cells=100, zetas=(2,), betas=(14,), alphas=(0, 7))
    >>> small.mean.shape, bool(small.error.max() < 0.02)
    ((1, 1, 2), True)

    Raises:
        SettingError: a bad setting, too few cells for the narrowest noise, or alphas that do not start at 0.
    """
    require_count("seed", seed, minimum=0)
    study = _empty("continuum", draws, zetas, betas, alphas, common_draws=True)
    for row, zeta in enumerate(zetas):
        for draw in range(draws):
            # Seeded by its own number, a draw does not depend on how many others there are.
            source = np.random.SeedSequence([seed, row, draw])
            balls = pack_balls(2, side, RADIUS, zeta, seed=source)
            # Single precision moves a risk by 1e-7 and takes half the time.
            found = field_risk(ball_field(balls, cells, dtype=np.float32), alphas, betas)
            study.risk[row, :, :, draw] = found.risk.T
            study.error[row, :, :, draw] = found.error.T
            study.density[row, :, draw] = balls.density
    return study


def significant_dips(figure: Figure4, level: float = 0.05, *, seed: int = 0) -> list[Dip]:
    """Return the lowest point of every curve, with a test that the curve dips below zero at all.

    The lowest of many noisy points is low by choice, so its own standard error is too small. The statistic is
    the smallest mean over its standard error among all alpha > 0. Its law without benefit comes from flipping
    the signs of whole draws (all patterns up to 12 draws), which keeps the dependence between alphas. After
    Holm's correction the probability that any curve without benefit is called significant is at most
    ``level``, if the differences of a draw are symmetric about 0 on these curves.

    >>> dips = significant_dips(figure4_published(alphas=(0, 2, 4, 6), betas=(14,)))
    >>> [(dip.zeta, dip.alpha, round(dip.depth, 4)) for dip in dips][:2]
    [(0.0, 6.0, -0.0046), (1.0, 6.0, -0.0008)]

    Raises:
        SettingError: a level outside (0, 1), or a figure of a single draw.
    """
    require_open_unit("level", level)
    if figure.draws < 2:
        raise SettingError("draws must be at least 2 to tell a dip from chance, got 1")
    signs = _sign_patterns(figure.draws, seed)
    difference, mean, errors = figure.difference[:, :, 1:], figure.mean[:, :, 1:], figure.standard_error
    curves = list(itertools.product(range(len(figure.zetas)), range(len(figure.betas))))
    p_values = np.array([_dip_p_value(difference[curve], signs) for curve in curves])
    adjusted = holm(p_values.tolist())
    dips = []
    for curve, p_value, corrected in zip(curves, p_values, adjusted, strict=True):
        lowest = int(mean[curve].argmin())
        dips.append(
            Dip(
                zeta=float(figure.zetas[curve[0]]),
                beta=float(figure.betas[curve[1]]),
                alpha=float(figure.alphas[lowest + 1]),
                depth=float(mean[curve][lowest]),
                standard_error=float(errors[curve][lowest + 1]),
                p_value=float(p_value),
                adjusted=corrected,
                significant=corrected <= level,
            )
        )
    return dips


def dips_sentence(figure: Figure4, level: float = 0.05, *, seed: int = 0) -> str:
    """Return one sentence that says which curves of the figure dip significantly below zero.

    With n draws no p-value is below 2^-n. The sentence says so if there are too few draws for any dip to be
    significant.

    >>> dips_sentence(figure4_published(draws=7, betas=(8,), alphas=(0, 5, 10)))
    'published: of 4 curves over 7 draws, none dips significantly below zero (family-wise level 0.05).'

    Raises:
        SettingError: as ``significant_dips``.
    """
    dips = significant_dips(figure, level, seed=seed)
    found = [dip for dip in dips if dip.significant]
    start = f"{figure.name}: of {len(dips)} curves over {figure.draws} draws, "
    if not found and len(dips) / 2.0**figure.draws > level:
        needed = math.ceil(math.log2(len(dips) / level))
        return f"{start}too few to call any dip significant; at least {needed} draws are needed."
    if not found:
        return f"{start}none dips significantly below zero (family-wise level {level:g})."
    parts = [
        f"beta={dip.beta:g}, zeta={dip.zeta:g} ({dip.depth:+.4f} ± {dip.standard_error:.4f} at "
        f"alpha={dip.alpha:g}, p={dip.adjusted:.2g})"
        for dip in found
    ]
    verb = "dips" if len(found) == 1 else "dip"
    return f"{start}{len(found)} {verb} significantly below zero (family-wise level {level:g}): " + (
        "; ".join(parts) + "."
    )


def _pixel_filter(sigma: float) -> Float[np.ndarray, "side side"]:
    """Return the matrix of scipy.ndimage.gaussian_filter (mode constant) along one axis of a picture."""
    pixels = np.arange(SIDE)
    if sigma == 0:
        return np.eye(SIDE)
    reach = int(TRUNCATE * sigma + 0.5)
    steps = np.arange(-reach, reach + 1)
    weights = np.exp(-0.5 * (steps / sigma) ** 2) / np.exp(-0.5 * (steps / sigma) ** 2).sum()
    apart = np.abs(pixels[:, None] - pixels)
    return np.where(apart <= reach, weights[reach + np.minimum(apart, reach)], 0.0)


def _filtered(
    pictures: Bool[np.ndarray, "pictures side side"], matrix: Float[np.ndarray, "side side"]
) -> Bool[np.ndarray, "pictures side side"]:
    """Return where the filtered pictures are at least 1/2."""
    found = np.zeros_like(pictures)
    busy = pictures.any(axis=(1, 2))  # training noise empties many
    found[busy] = matrix @ pictures[busy].astype(np.float64) @ matrix >= 0.5
    return found


def _empty(
    name: str,
    draws: int,
    zetas: Sequence[float],
    betas: Sequence[float],
    alphas: Sequence[float],
    common_draws: bool,
) -> Figure4:
    """Return a study to be filled in, its settings checked."""
    require_count("draws", draws)
    for value in (*alphas, *betas):
        require_nonnegative("a noise", value)
    if len(alphas) < 2 or alphas[0] != 0:
        raise SettingError(f"alphas must start at 0 and have at least one more value, got {list(alphas)}")
    zeta, beta, alpha = (np.array(values, dtype=np.float64) for values in (zetas, betas, alphas))
    shape = (zeta.size, beta.size, alpha.size, draws)
    density = np.zeros((zeta.size, beta.size, draws))
    return Figure4(name, zeta, beta, alpha, np.zeros(shape), density, np.zeros(shape), common_draws)


def _sign_patterns(draws: int, seed: int) -> Int[np.ndarray, "patterns draw"]:
    """Return sign patterns, the first all plus: every one for few draws, a random sample otherwise."""
    if draws <= MOST_DRAWS_EXACT:
        return np.array(list(itertools.product((1, -1), repeat=draws)))
    signs = np.random.default_rng(seed).choice(np.array([1, -1]), size=(SIGN_PATTERNS, draws))
    signs[0] = 1
    return signs


def _dip_p_value(
    difference: Float[np.ndarray, "alpha draw"], signs: Int[np.ndarray, "patterns draw"]
) -> float:
    """Return the share of sign patterns whose lowest t value is at most the observed one."""
    draws = difference.shape[-1]
    means = signs @ difference.T / draws
    # Flipping signs leaves the squares alone.
    variance = np.maximum((difference**2).mean(axis=-1) - means**2, 0.0) / (draws - 1)
    # With zero variance a zero mean is no evidence; any other mean is infinitely many standard errors away.
    floor = 1e-12 * np.abs(difference).max(initial=0.0) + 1e-300
    lowest = (means / np.maximum(np.sqrt(variance), floor)).min(axis=-1)
    observed = lowest[0]
    return float(np.mean(lowest <= observed + 1e-9 * abs(observed)))
