"""The deployed classifier and its risk on a grid: labels h(x) and density p(x), for any set of balls.

Training with noise alpha gives the Bayes rule f(z) = 1[((h - 1/2) p) * p_alpha (z) >= 0], which for a
uniform density is 1[h * p_alpha >= 1/2]; smoothing with beta gives g = 1[f * p_beta >= 1/2]; the risk is the
p-measure of the set where g differs from 1[h >= 1/2] (Pal & Sulam 2023, with a density).

A field holds averages over cells, so that a boundary may cross a cell. ``blur`` applies noise and threshold
to these averages. An average, unlike the value at the middle, knows how curved the boundary is, which keeps
the error small. Every risk is computed at two spacings, and their difference is the reported error
(Richardson).

On a torus the noise wraps around. In a box everything outside belongs to class 0 and does not count. The
noise must span at least one cell. Balls come from ``packing``, their shares of cells from ``coverage``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from sfumato.errors import SettingError, require_nonnegative
from sfumato.theory.blur import Blur, Field, threshold
from sfumato.theory.coverage import indicator
from sfumato.theory.deployed import Deployed
from sfumato.theory.packing import BallUnion

# The narrowest noise in cells of the given grid. Measured for one disc of radius 10 cells, against the exact
# radius: off by at most 2.5e-3 of the class mass at one cell, 1.3e-3 at 1.5 cells, 7e-4 at two, and less by
# the square root of their number for many discs.
NARROWEST = 1.0


@dataclass(frozen=True, eq=False)
class LabelField:
    """Labels and density of a two-class problem, as averages over the cells of a grid.

    For balls ``ball_field`` makes it. The grid has an even number of cells, at least 4, along each axis.

    Attributes:
        region: (*grid), share of the cell where h >= 1/2.
        signed: (*grid), average of (h - 1/2) p over the cell, p per volume with integral 1.
        density_in: p where h >= 1/2, an array of the grid or of shape () if it is one number.
        density_out: p where h < 1/2, likewise; the two differ where p jumps at the region's boundary.
        side: of the torus or box.
        periodic: a torus if true, otherwise a box.
        beyond: (h - 1/2) p outside a box.
    """

    region: Field
    signed: Field
    density_in: Field
    density_out: Field
    side: float
    periodic: bool = True
    beyond: float = 0.0

    @property
    def cells(self) -> int:
        """Cells along one axis."""
        return int(self.region.shape[-1])

    @property
    def spacing(self) -> float:
        """Width of a cell, in the unit of ``side``."""
        return self.side / self.cells

    @property
    def class_mass(self) -> float:
        """P(h >= 1/2) under the density."""
        return self.measure(self.region * self.density_in)

    def measure(self, per_volume: Field) -> float:
        """Return the integral over the torus or box."""
        return float(np.sum(per_volume, dtype=np.float64)) * self.spacing**self.region.ndim

    def coarsened(self) -> LabelField:
        """Return the same field on cells twice as wide; averages over cells make that exact."""
        arrays = (self.region, self.signed, self.density_in, self.density_out)
        region, signed, inside, outside = (_halved(values) for values in arrays)
        return replace(self, region=region, signed=signed, density_in=inside, density_out=outside)


@dataclass(frozen=True, eq=False)
class FieldRisk:
    """Risks over a grid of noises, with the numerical error of each.

    Attributes:
        alphas: (alpha), training noises.
        betas: (beta), smoothing noises.
        risk: (alpha, beta), Delta(alpha, beta).
        plain_risk: (beta), Delta(0, beta).
        error: (alpha, beta), numerical error of ``risk``: its difference from the grid with cells twice as
            wide, or the root mean square of that over the table if larger. A method of second order would
            leave a third of it (Richardson), but where boundaries meet the grid is chance.
    """

    alphas: Float[np.ndarray, " alpha"]
    betas: Float[np.ndarray, " beta"]
    risk: Float[np.ndarray, "alpha beta"]
    plain_risk: Float[np.ndarray, " beta"]
    error: Float[np.ndarray, "alpha beta"]

    @property
    def benefit(self) -> Float[np.ndarray, "alpha beta"]:
        """Delta(0, beta) - Delta(alpha, beta): positive where augmentation helps."""
        return np.asarray(self.plain_risk - self.risk)


def ball_field(
    balls: BallUnion, cells: int, *, emptiness: float = 1.0, dtype: type[np.floating] = np.float64
) -> LabelField:
    """Return the field of balls: class 1 within them, class 0 elsewhere.

    ``emptiness`` is the density outside the balls over that inside (1: uniform). Around a box of uniform
    density the density goes on, with class 0; around any other box there is nothing.

    >>> disc = BallUnion(np.array([[5.0, 5.0]]), radius=2.0, side=10.0)
    >>> round(ball_field(disc, cells=64).class_mass, 6)
    0.125664

    Raises:
        SettingError: a negative emptiness, an odd number of cells, balls of another dim than 2 or 3.
    """
    require_nonnegative("emptiness", emptiness)
    if cells % 2 or cells < 4:
        raise SettingError(f"cells must be even and at least 4, got {cells}")
    shares = indicator(balls, cells, dtype=dtype)
    volume = balls.side**balls.dim
    covered = float(shares.mean(dtype=np.float64))
    dense = np.array(1 / (volume * (covered + emptiness * (1 - covered))), dtype)
    sparse = np.array(emptiness * dense, dtype)
    signed = (shares * dense - (1 - shares) * sparse) / 2
    beyond = -0.5 / volume if emptiness == 1 and not balls.periodic else 0.0
    return LabelField(shares, signed, dense, sparse, balls.side, balls.periodic, beyond)


def field_risk(field: LabelField, alphas: Sequence[float], betas: Sequence[float]) -> FieldRisk:
    """Return Delta(alpha, beta) for all pairs of noises, with its numerical error.

    One spectrum of the field serves every alpha, and one spectrum of T_alpha A serves every beta.

    >>> disc = BallUnion(np.array([[20.0, 20.0]]), radius=10.0, side=40.0)
    >>> found = field_risk(ball_field(disc, cells=160), [3.0], [5.0])  # 0.3593244 of the disc, exactly
    >>> bool(abs(found.risk[0, 0] * 40**2 / (100 * np.pi) - 0.3593244) < 1e-3)
    True

    Raises:
        SettingError: a negative noise, or one too narrow for the grid (the message says how many cells are
            needed).
    """
    _require_noises(field, [*alphas, *betas])
    # alpha = 0 is always needed, once, for the plain risk.
    asked = list(dict.fromkeys([0.0, *map(float, alphas)]))
    fine = _risks(field, asked, betas)
    error = np.abs(fine - _risks(field.coarsened(), asked, betas))
    error = np.maximum(error, np.sqrt(np.mean(error**2)))
    order = [asked.index(float(alpha)) for alpha in alphas]
    return FieldRisk(np.array(alphas, float), np.array(betas, float), fine[order], fine[0], error[order])


def deploy_field(field: LabelField, alpha: float, beta: float) -> Deployed[Field]:
    """Return what is deployed after training noise alpha and smoothing noise beta.

    The regions are arrays of the grid: the share of each cell that is called class 1.

    >>> disc = BallUnion(np.array([[20.0, 20.0]]), radius=10.0, side=40.0)
    >>> deploy_field(ball_field(disc, cells=80), 3.0, 5.0).benefit < 0  # one disc never benefits
    True

    Raises:
        SettingError: a negative noise, or one too narrow for the grid.
    """
    _require_noises(field, [alpha, beta])
    grid = _Grid(field, max(alpha, beta))
    trained = grid.trained(alpha)
    smoothed, plain = (
        grid.smoothed(region, grid.blur.spectrum(region), beta) for region in (trained, field.region)
    )
    return Deployed(alpha, beta, trained, smoothed, grid.risk(smoothed), grid.risk(plain))


def _risks(
    field: LabelField, alphas: Sequence[float], betas: Sequence[float]
) -> Float[np.ndarray, "alpha beta"]:
    grid = _Grid(field, max(*alphas, *betas))
    risks = np.empty((len(alphas), len(betas)))
    for row, alpha in enumerate(alphas):
        trained = grid.trained(alpha)
        spectrum = grid.blur.spectrum(trained)
        for column, beta in enumerate(betas):
            risks[row, column] = grid.risk(grid.smoothed(trained, spectrum, beta))
    return risks


class _Grid:
    """Both steps and the risk on one grid, for noises up to ``widest``."""

    def __init__(self, field: LabelField, widest: float) -> None:
        self.field = field
        self.blur = Blur(field.cells, field.spacing, field.region.ndim, field.periodic, widest)
        self.labels = self.blur.spectrum(field.signed - field.beyond)

    def trained(self, alpha: float) -> Field:
        """T_alpha A, or A itself at alpha = 0, where h and not its average decides."""
        if alpha == 0:
            return self.field.region
        values = self.blur.smoothed(self.labels, alpha) + self.field.beyond
        return threshold(values, 0.0, periodic=self.field.periodic)

    def smoothed(self, trained: Field, spectrum: np.ndarray, beta: float) -> Field:
        """T_beta of a trained region, given with its spectrum."""
        if beta == 0:
            return trained
        return threshold(self.blur.smoothed(spectrum, beta), 0.5, periodic=self.field.periodic)

    def risk(self, smoothed: Field) -> float:
        """Return the probability, under the density p, of the set where ``smoothed`` differs from A."""
        # In a cell that both boundaries cross this is a lower bound, short by a share of that one cell.
        gained = smoothed - self.field.region
        wrong = (
            np.maximum(gained, 0) * self.field.density_out + np.maximum(-gained, 0) * self.field.density_in
        )
        return self.field.measure(wrong)


def _require_noises(field: LabelField, noises: Sequence[float]) -> None:
    for value in noises:
        require_nonnegative("a noise", value)
    narrowest = min((noise for noise in noises if noise > 0), default=math.inf)
    if narrowest < NARROWEST * field.spacing * (1 - 1e-9):
        needed = 2 * math.ceil(field.side * NARROWEST / narrowest / 2)
        raise SettingError(
            f"noise of {narrowest:g} needs at least {needed} cells along a side of {field.side:g} "
            f"(spacing {field.side / needed:g}), got {field.cells}"
        )


def _halved(values: Field) -> Field:
    """Return averages over blocks of two cells along each grid axis; a single number stays."""
    for axis in range(values.ndim):
        along = np.moveaxis(values, axis, 0)
        values = np.moveaxis((along[0::2] + along[1::2]) / 2, 0, axis)
    return values
