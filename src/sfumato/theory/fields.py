"""The deployed classifier and its risk on a grid: any labels h(x) and density p(x), any set of balls.

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

from sfumato.errors import SettingError, require_nonnegative, require_positive
from sfumato.theory.blur import Blur, Field, grid_axes, threshold
from sfumato.theory.coverage import indicator
from sfumato.theory.deployed import Deployed
from sfumato.theory.packing import BallUnion

# The narrowest noise in cells of the given grid. Measured for one disc of radius 10 cells, against the exact
# radius: off by at most 2.5e-3 of the class mass at one cell, 1.3e-3 at 1.5 cells, 7e-4 at two, and less by
# the square root of their number for many discs.
NARROWEST = 1.0
MASS_TOLERANCE = 1e-6


@dataclass(frozen=True, eq=False)
class LabelField:
    """Labels and density of a two-class problem, as averages over the cells of a grid.

    Made by ``label_field`` and ``ball_field``. Leading axes of the arrays, if any, are independent draws.

    Attributes:
        region: (*draws, *grid), share of the cell where h >= 1/2.
        signed: (*draws, *grid), average of (h - 1/2) p over the cell, p per volume.
        density_in: p where h >= 1/2, an array that broadcasts to ``region`` (a single number if uniform).
        density_out: p where h < 1/2, likewise; the two differ where p jumps at the region's boundary.
        side: of the torus or box.
        dim: number of grid axes.
        periodic: a torus if true, otherwise a box.
        beyond: (h - 1/2) p outside a box.
    """

    region: Field
    signed: Field
    density_in: Field
    density_out: Field
    side: float
    dim: int
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
    def class_mass(self) -> Field:
        """P(h >= 1/2) under the density, (*draws)."""
        return self.measure(self.region * self.density_in)

    def measure(self, per_volume: Field) -> Field:
        """Return the integral over the torus or box, (*draws)."""
        total = np.sum(per_volume, axis=grid_axes(self.dim), dtype=np.float64)
        return np.asarray(total * self.spacing**self.dim)

    def coarsened(self) -> LabelField:
        """Return the same field on cells twice as wide; averages over cells make that exact."""
        return replace(
            self,
            region=_paired(self.region, self.dim),
            signed=_paired(self.signed, self.dim),
            density_in=_paired(self.density_in, self.dim),
            density_out=_paired(self.density_out, self.dim),
        )


@dataclass(frozen=True, eq=False)
class FieldRisk:
    """Risks over a grid of noises, with the numerical error of each.

    Attributes:
        alphas: (alpha), training noises.
        betas: (beta), smoothing noises.
        risk: (alpha, beta, *draws), Delta(alpha, beta).
        plain_risk: (beta, *draws), Delta(0, beta).
        error: (alpha, beta, *draws), numerical error of ``risk``: its difference from the grid with cells
            twice as wide, or the root mean square of that over the table if larger. A method of second order
            would leave a third of it (Richardson), but where boundaries meet the grid is chance.
        plain_error: (beta, *draws), likewise.
        class_mass: (*draws), P(h >= 1/2).
    """

    alphas: Float[np.ndarray, " alpha"]
    betas: Float[np.ndarray, " beta"]
    risk: Float[np.ndarray, "alpha beta *draws"]
    plain_risk: Float[np.ndarray, "beta *draws"]
    error: Float[np.ndarray, "alpha beta *draws"]
    plain_error: Float[np.ndarray, "beta *draws"]
    class_mass: Float[np.ndarray, "*draws"]

    @property
    def benefit(self) -> Float[np.ndarray, "alpha beta *draws"]:
        """Delta(0, beta) - Delta(alpha, beta): positive where augmentation helps."""
        return np.asarray(self.plain_risk - self.risk)


def ball_field(
    balls: BallUnion | Sequence[BallUnion],
    cells: int,
    *,
    inside: float = 1.0,
    outside: float = 0.0,
    emptiness: float = 1.0,
    dtype: type[np.floating] = np.float64,
) -> LabelField:
    """Return the field of balls: labels ``inside`` >= 1/2 within them and ``outside`` < 1/2 elsewhere.

    ``emptiness`` is the density outside the balls over that inside (1: uniform). Several regions of one
    torus or box become draws, the leading axis. Around a box of uniform density the density goes on, with the
    label ``outside``; around any other box there is nothing.

    >>> disc = BallUnion(np.array([[5.0, 5.0]]), radius=2.0, side=10.0)
    >>> round(float(ball_field(disc, cells=64).class_mass), 6)
    0.125664

    Raises:
        SettingError: labels on the wrong side of 1/2, a negative emptiness, an odd number of cells, or
            regions of different sides.
    """
    unions = [balls] if isinstance(balls, BallUnion) else list(balls)
    if not 0.5 <= inside <= 1 or not 0 <= outside < 0.5:
        raise SettingError(f"labels must satisfy 0 <= outside < 1/2 <= inside <= 1, got {outside}, {inside}")
    require_nonnegative("emptiness", emptiness)
    if cells % 2 or cells < 4:
        raise SettingError(f"cells must be even and at least 4, got {cells}")
    if len({(union.dim, union.side, union.periodic) for union in unions}) != 1:
        raise SettingError("all regions must share their dim, side and kind (torus or box)")
    dim, side, periodic = unions[0].dim, unions[0].side, unions[0].periodic
    shares = np.stack([indicator(union, cells, dtype=dtype) for union in unions])
    covered = shares.mean(axis=grid_axes(dim), keepdims=True, dtype=np.float64)
    dense = (1 / (side**dim * (covered + emptiness * (1 - covered)))).astype(dtype)
    sparse = emptiness * dense
    signed = shares * (inside - 0.5) * dense + (1 - shares) * (outside - 0.5) * sparse
    beyond = (outside - 0.5) / side**dim if emptiness == 1 and not periodic else 0.0
    arrays = (shares, signed, dense, sparse)
    region, signed, dense, sparse = (array[0] for array in arrays) if balls is unions[0] else arrays
    return LabelField(region, signed, dense, sparse, side, dim, periodic, beyond)


def label_field(
    labels: Field,
    side: float,
    *,
    density: Field | None = None,
    dim: int | None = None,
    periodic: bool = True,
    dtype: type[np.floating] = np.float64,
) -> LabelField:
    """Return the field of soft labels h(x) = P(y = 1 | x) with a density p(x), both averages over cells.

    ``labels`` has the shape (*draws, *grid) with an even number of cells along each of its last ``dim``
    axes (default: all). ``density`` is per volume and integrates to 1. Without it the density is uniform, and
    outside a box there is class 0 of the same density; a given density is zero outside.

    >>> middles = (np.arange(64) + 0.5) / 64
    >>> field = label_field(np.where(middles < 0.25, 1.0, 0.0), side=1.0)
    >>> float(field.class_mass)
    0.25

    Raises:
        SettingError: labels outside [0, 1], shapes that do not fit, an odd number of cells, or a density
            that is negative or does not integrate to 1.
    """
    require_positive("side", side)
    try:
        h = np.asarray(labels, dtype=dtype)
    except (TypeError, ValueError):
        raise SettingError(f"labels must be an array of numbers, got {labels!r}") from None
    dim = h.ndim if dim is None else dim
    if not 1 <= dim <= h.ndim or len(set(h.shape[h.ndim - dim :])) != 1:
        raise SettingError(f"labels must end in {dim} equal axes, one per dimension, got shape {h.shape}")
    if h.shape[-1] % 2 or h.shape[-1] < 4:
        raise SettingError(f"labels must have an even number of cells, at least 4, got {h.shape[-1]}")
    if not bool(np.all((h >= 0) & (h <= 1))):
        raise SettingError("labels must lie in 0..1, and one does not")
    uniform = side**-dim
    if density is None:
        p = np.asarray(uniform, dtype=dtype)
    else:
        p = np.asarray(density, dtype=dtype)
        if p.shape[-dim:] != h.shape[-dim:]:
            raise SettingError(f"density must have the shape of the labels, {h.shape}, got {p.shape}")
        total = np.mean(p, axis=grid_axes(dim), dtype=np.float64) * side**dim
        if not bool(np.all(p >= 0)) or not bool(np.all(np.abs(total - 1) <= MASS_TOLERANCE)):
            found = np.ravel(total)[np.argmax(np.abs(np.ravel(total) - 1))]
            raise SettingError(f"density must be nonnegative and integrate to 1, got {found:.6g}")
    hard = bool(np.all((h == 0) | (h == 1)))
    region = h if hard else threshold(h, 0.5, dim=dim, periodic=periodic)
    beyond = -0.5 * uniform if density is None and not periodic else 0.0
    return LabelField(region, (h - 0.5) * p, p, p, side, dim, periodic, beyond)


def field_risk(field: LabelField, alphas: Sequence[float], betas: Sequence[float]) -> FieldRisk:
    """Return Delta(alpha, beta) for all pairs of noises and all draws, with its numerical error.

    One spectrum of the field serves every alpha, and one spectrum of T_alpha A serves every beta.

    >>> middles = (np.arange(250) + 0.5) / 250
    >>> found = field_risk(label_field(np.where(middles < 0.3, 1.0, 0.0), side=1.0), [0.0], [0.15])
    >>> bool(abs(found.risk[0, 0] - (0.3 - 0.2799821641636732)) < 1e-4)  # exact width of the slab
    True

    Raises:
        SettingError: a negative noise, or one too narrow for the grid (the message says how many cells are
            needed).
    """
    noises = [*alphas, *betas]
    for value in noises:
        require_nonnegative("a noise", value)
    _require_resolution(field, noises)
    # alpha = 0 is always needed, once, for the plain risk.
    asked = list(dict.fromkeys([0.0, *map(float, alphas)]))
    fine = _risks(field, asked, betas)
    error = np.abs(fine - _risks(field.coarsened(), asked, betas))
    error = np.maximum(error, np.sqrt(np.mean(error**2)))
    order = [asked.index(float(alpha)) for alpha in alphas]
    return FieldRisk(
        np.array(alphas, dtype=np.float64),
        np.array(betas, dtype=np.float64),
        fine[order],
        fine[0],
        error[order],
        error[0],
        field.class_mass,
    )


def deploy_field(field: LabelField, alpha: float, beta: float) -> Deployed[Field]:
    """Return what is deployed after training noise alpha and smoothing noise beta, for a field of one draw.

    The regions are arrays of the field's shape: the share of each cell that is called class 1.

    >>> middles = (np.arange(256) + 0.5) / 256
    >>> deployed = deploy_field(label_field(np.where(middles < 0.3, 1.0, 0.0), side=1.0), 0.1, 0.15)
    >>> deployed.benefit < 0  # parallel slabs never benefit
    True

    Raises:
        SettingError: a field of several draws, a negative noise, or one too narrow for the grid.
    """
    if field.region.ndim != field.dim:
        raise SettingError(f"the field must hold one draw, got an array of shape {field.region.shape}")
    require_nonnegative("alpha", alpha)
    require_nonnegative("beta", beta)
    _require_resolution(field, [alpha, beta])
    blur = _blur(field, [alpha, beta])
    trained = _trained(field, blur, blur.spectrum(field.signed - field.beyond), alpha)
    smoothed = _smoothed(field, blur, blur.spectrum(trained), trained, beta)
    plain = _smoothed(field, blur, blur.spectrum(field.region), field.region, beta)
    return Deployed(alpha, beta, trained, smoothed, float(_risk(field, smoothed)), float(_risk(field, plain)))


def _risks(
    field: LabelField, alphas: Sequence[float], betas: Sequence[float]
) -> Float[np.ndarray, "alpha beta *draws"]:
    blur = _blur(field, [*alphas, *betas])
    labels = blur.spectrum(field.signed - field.beyond)
    risks = np.empty((len(alphas), len(betas), *field.region.shape[: -field.dim]))
    for row, alpha in enumerate(alphas):
        trained = _trained(field, blur, labels, alpha)
        spectrum = blur.spectrum(trained)
        for column, beta in enumerate(betas):
            risks[row, column] = _risk(field, _smoothed(field, blur, spectrum, trained, beta))
    return risks


def _trained(field: LabelField, blur: Blur, labels: np.ndarray, alpha: float) -> Field:
    """Return T_alpha A, or A itself at alpha = 0, where h and not its average decides."""
    if alpha == 0:
        return field.region
    return threshold(blur.smoothed(labels, alpha) + field.beyond, 0.0, dim=field.dim, periodic=field.periodic)


def _smoothed(field: LabelField, blur: Blur, spectrum: np.ndarray, trained: Field, beta: float) -> Field:
    if beta == 0:
        return trained
    return threshold(blur.smoothed(spectrum, beta), 0.5, dim=field.dim, periodic=field.periodic)


def _risk(field: LabelField, smoothed: Field) -> Field:
    # In a cell that both boundaries cross this is a lower bound, short by a share of that one cell.
    gained = smoothed - field.region
    wrong = np.maximum(gained, 0) * field.density_out + np.maximum(-gained, 0) * field.density_in
    return field.measure(wrong)


def _require_resolution(field: LabelField, noises: Sequence[float]) -> None:
    narrowest = min((noise for noise in noises if noise > 0), default=math.inf)
    if narrowest < NARROWEST * field.spacing * (1 - 1e-9):
        needed = 2 * math.ceil(field.side * NARROWEST / narrowest / 2)
        raise SettingError(
            f"noise of {narrowest:g} needs at least {needed} cells along a side of {field.side:g} "
            f"(spacing {field.side / needed:g}), got {field.cells}"
        )


def _blur(field: LabelField, noises: Sequence[float]) -> Blur:
    return Blur(field.cells, field.spacing, field.dim, field.periodic, max(noises))


def _paired(values: Field, dim: int) -> Field:
    """Return averages over blocks of two cells along each grid axis; numbers and axes of 1 stay."""
    for axis in grid_axes(dim) if values.ndim >= dim else ():
        if values.shape[axis] > 1:
            along = np.moveaxis(values, axis, 0)
            values = np.moveaxis((along[0::2] + along[1::2]) / 2, 0, axis)
    return values
