"""Gaussian noise and a threshold on a grid of averages over cells, both of second order or better.

The Gaussian is applied in Fourier space with its exact transfer function exp(-2 pi^2 sigma^2 |k|^2), which
turns averages over cells into averages over cells. A threshold gives each cell the share of it that lies
above, by the plane with the cell's average and central differences. ``fields`` says what the averages stand
for.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy import fft

Field = Float[np.ndarray, "*shape"]

# Zeros around a box, in noise levels: beyond, a Gaussian holds less than 1e-11.
REACH = 7.0


def threshold(field: Field, level: float, *, periodic: bool = True) -> Field:
    """Return for each cell the share of it where a smooth field is at least ``level``.

    ``field`` holds averages over cells; within a cell it is taken as the plane with that average and the
    central differences to the neighbours as slopes. The answer has the same shape and precision.

    >>> threshold(np.array([0.0, 0.2, 0.4, 0.8, 1.2, 1.6]), 0.5, periodic=False).round(3)
    array([0.   , 0.   , 0.167, 1.   , 1.   , 1.   ])
    """
    above = field - field.dtype.type(level)
    share = (above >= 0).astype(field.dtype)
    axes = range(field.ndim)
    steps = [np.abs(np.diff(above, axis=axis)).max(initial=0.0) for axis in axes]
    if periodic:
        ends = [np.take(above, 0, axis) - np.take(above, -1, axis) for axis in axes]
        steps = [max(step, np.abs(end).max(initial=0.0)) for step, end in zip(steps, ends, strict=True)]
    # Only a cell whose middle is this close to the level can be cut by it.
    near = np.unravel_index(np.flatnonzero(np.abs(above) < 0.5 * sum(steps)), above.shape)
    slopes = [_slope(above, near, axis, periodic) for axis in axes]
    share[near] = _share_above(above[near].astype(np.float64), slopes)
    return np.asarray(share)


class Blur:
    """Gaussian noise on one grid: transforms there and back, transfer functions made once."""

    def __init__(self, cells: int, spacing: float, dim: int, periodic: bool, widest: float) -> None:
        self.spacing = spacing
        padded = (
            cells if periodic else fft.next_fast_len(cells + math.ceil(REACH * widest / spacing), real=True)
        )
        self.shape = (padded,) * dim
        self.cut = (slice(cells),) * dim
        self.transfers: dict[float, np.ndarray] = {}

    def spectrum(self, field: Field) -> np.ndarray:
        """Return the Fourier transform of a field, which serves every noise."""
        return fft.rfftn(field, s=self.shape)

    def smoothed(self, spectrum: np.ndarray, sigma: float) -> Field:
        """Return the field with this spectrum, convolved with N(0, sigma^2 I)."""
        transfer = self.transfers.get(sigma)
        if transfer is None:
            transfer = self.transfers[sigma] = self._transfer(sigma).astype(spectrum.real.dtype)
        return np.asarray(fft.irfftn(spectrum * transfer, s=self.shape)[self.cut])

    def _transfer(self, sigma: float) -> np.ndarray:
        """Return exp(-2 pi^2 sigma^2 |k|^2) on the grid's frequencies."""
        transfer = np.ones(())
        for axis, number in enumerate(self.shape):
            last = axis == len(self.shape) - 1
            k = fft.rfftfreq(number, self.spacing) if last else fft.fftfreq(number, self.spacing)
            factor = np.exp(-2 * (np.pi * sigma * k) ** 2)
            transfer = transfer[..., None] * factor
        return transfer


def _slope(field: Field, where: tuple[np.ndarray, ...], axis: int, periodic: bool) -> Field:
    """Return the difference per cell along one axis at the given places, one-sided at a box's edge."""
    cells = field.shape[axis]
    ahead, behind = where[axis] + 1, where[axis] - 1
    ahead = ahead % cells if periodic else np.minimum(ahead, cells - 1)
    behind = behind % cells if periodic else np.maximum(behind, 0)
    steps = np.asarray(2 if periodic else ahead - behind)
    front = field[(*where[:axis], ahead, *where[axis + 1 :])].astype(np.float64)
    back = field[(*where[:axis], behind, *where[axis + 1 :])].astype(np.float64)
    return np.asarray((front - back) / steps)


def _share_above(middle: Field, slopes: Sequence[Field]) -> Field:
    """Return the share of the unit cube where middle + slopes . t >= 0, t in [-1/2, 1/2]^dim.

    The distribution function of a sum of independent uniform numbers (Irwin-Hall with widths).
    """
    widths = np.abs(np.array(slopes))
    # A slope far below the steepest one counts for nothing, and dividing by it would lose all digits.
    steepest = np.maximum(widths.max(axis=0), np.finfo(np.float64).tiny ** 0.25)
    widths = np.maximum(widths, 1e-3 * steepest) / steepest
    middle = np.clip(middle / steepest, -2.0 * len(slopes), 2.0 * len(slopes))
    total = np.zeros_like(middle)
    for signs in itertools.product((1, -1), repeat=len(slopes)):
        corner = middle + 0.5 * np.tensordot(np.array(signs, dtype=np.float64), widths, axes=1)
        total += math.prod(signs) * np.maximum(corner, 0) ** len(slopes)
    return np.asarray(np.clip(total / (math.factorial(len(slopes)) * widths.prod(axis=0)), 0.0, 1.0))
