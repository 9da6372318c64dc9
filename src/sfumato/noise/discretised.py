r"""Gaussian noise rounded to the pixel grid: certificates that no rounding of the computer can make false.

The certificate of Cohen et al. 2019 is about real numbers. A computer adds rounded noise to rounded pixels,
and the last bits of the sum betray the image: Voracek & Hein 2023 (Sound Randomized Smoothing in
Floating-Point Arithmetic) and Jin et al. 2022 build networks that read them, with false certificates. Here
images are whole numbers m of steps 1/s (s = 255 for images of 8 bits), the noise N is whole numbers, drawn
exactly, and the network is given m + N. Voracek & Hein smooth the same function; statement and proof here
are our own.

**Lemma.** Let f be any fixed function from Z^d to classes, and N have independent coordinates with

    P(N_i = k) = Phi((k + 1/2) / (s beta)) - Phi((k - 1/2) / (s beta)).

If at m the class A has probability at least 1 - q under f(m + N), and every other class at most r, then A is
the most probable class of f(m' + N) for every m' in Z^d with

    |m' - m|_2 / s < R = beta / 2 * (Phi^-1(1 - q) - Phi^-1(r)).

*Proof.* Let E be N(0, beta^2 I) on real numbers, round(y) the nearest whole number in each coordinate (ties
have probability 0), and F(y) = f(round(s y)), a fixed function of real vectors. For whole numbers m,
round(m + s E) = m + round(s E), and round(s E) is distributed as N. So under F(m / s + E) each class has the
probability that it has under f(m + N), for every m of Z^d. Cohen et al. 2019, Theorem 1, holds for any fixed
F: A is the most probable class of F(y + E) for every real y closer to m / s than R, and the points m' / s
are some of these. QED

All that the computer does to m + N belongs to f: conversion to float32, division by s, the network with its
rounding. |m' - m|^2 is a whole number, so with D = ceil((s R)^2) - 1 the certificate is a statement about
whole numbers: it covers every m' with sum_i (m'_i - m_i)^2 <= D. Nothing is said of points off the grid; a
smoothed classifier of whole numbers has no answer there, and such images are refused.

**Exact drawing.** N_i is the smallest k with U < Phi((k + 1/2) / (s beta)), for a uniform real U. The first
64 binary digits of U are compared with bounds of these thresholds (``exact_normal``). Where they do not
decide, in one case in 10^15, further digits are drawn until they do: no probability is rounded. What is
assumed is that the generator's bits are independent and fair.

**Exact adding.** Sums are formed in float32 and rounded to the nearest step, which finds m + N: with |m| <=
2^18 and noise cut at 2^20 steps, float32 errs by less than 1/4 step (2^-4 for N / s, 2^-6 that ``check``
allows the pixel, 5/64 each for the sum and the product with s). Then sums are cut to 2^19 steps, which is a
part of f: where noise was cut, the true sum is beyond that too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache, partial
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt64

from sfumato.errors import DataError, SettingError
from sfumato.noise.base import Noise
from sfumato.noise.exact_normal import (
    distribution,
    distribution_above,
    distribution_below,
    quantile_below,
    rounded_down,
)
from sfumato.noise.gaussian import Gaussian
from sfumato.noise.keyed import Stream

if TYPE_CHECKING:
    import torch

STEPS_OF_8_BITS = 255

_MOST_STEPS = 65535  # of 16 bits
_WIDEST = 2.0**12  # standard deviation in steps, for which the thresholds take some seconds
_LARGEST_DRAW = 2**20
_LARGEST_SUM = 2**19
_LARGEST_PIXEL = 2**18
_NEAR = 2.0**-6
_WORD = 64
_BLOCK = 2**16


@dataclass(frozen=True)
class DiscretisedGaussian(Noise):
    """N(0, standard_deviation^2) rounded to whole steps, which certifies L2 radii without rounding errors.

    Attributes:
        steps: of the pixel grid per unit of the input; 255 for images of 8 bits in [0, 1].

    >>> noise = DiscretisedGaussian(0.5)
    >>> round(noise.radius(0.1586552539314571), 9), noise.squared_steps(0.5)
    (0.5, 16256)

    Raises:
        SettingError: a standard deviation below 0 or above 4,096 steps; steps that are no whole number from 1
            to 65,535.
    """

    steps: int = STEPS_OF_8_BITS
    name: ClassVar[str] = "discretised"
    norm: ClassVar[str] = "L2"

    def __post_init__(self) -> None:
        """Refuse steps that are no grid, and noise that is too wide for it."""
        super().__post_init__()
        whole = isinstance(self.steps, int) and not isinstance(self.steps, bool)
        if not whole or not 1 <= self.steps <= _MOST_STEPS:
            raise SettingError(f"steps must be a whole number from 1 to {_MOST_STEPS}, got {self.steps!r}")
        if self.standard_deviation * self.steps > _WIDEST:
            raise SettingError(
                f"the standard deviation of discretised noise must be at most {_WIDEST / self.steps:g} with "
                f"{self.steps} steps per unit, got {self.standard_deviation:g}"
            )

    def forecaster(self) -> Noise:
        """Return the Gaussian noise that this is the rounding of."""
        return Gaussian(self.standard_deviation)

    def draw(self, out: torch.Tensor, stream: Stream) -> None:
        """Fill the contiguous ``out`` (rows, *shape) with the stream's next rows, in the unit of the input.

        Drawn on the CPU, so that all devices have the same noise.
        """
        import torch

        flat = out.view(len(out), -1)
        at_once = max(1, _BLOCK // max(1, flat.shape[1]))
        for begin in range(0, len(flat), at_once):
            rows = flat[begin : begin + at_once]
            steps = self.draw_steps(stream, *rows.shape).clip(-_LARGEST_DRAW, _LARGEST_DRAW)
            rows.copy_(torch.from_numpy(steps / self.steps))

    def draw_steps(self, stream: Stream, rows: int, width: int) -> Int[np.ndarray, "rows width"]:
        """Return the noise of the stream's next rows in whole steps, from exactly the stated distribution."""
        words, more = stream.words(rows, width)
        first, low, high = thresholds(self.standard_deviation, self.steps)
        places = np.searchsorted(high, words.ravel(), side="right")
        undecided = np.flatnonzero(low[places] <= words.ravel())
        found = (places + first).reshape(rows, width)
        for place in undecided.tolist():
            row, column = divmod(place, width)
            found[row, column] = self._decided(int(words[row, column]), partial(more, row, column))
        return found

    def _decided(self, digits: int, more: Callable[[int], int]) -> int:
        """Return the smallest k with U < Phi((k + 1/2) / (s beta)) by more of the binary digits of U."""
        scale = Fraction(self.standard_deviation) * self.steps
        k, number = 0, 0
        while True:
            digits, number = digits << _WORD | more(number), number + 1
            bits = _WORD * (number + 1)
            while digits + 1 <= threshold(k - 1, scale, bits)[0]:
                k -= 1
            while digits >= threshold(k, scale, bits)[1]:
                k += 1
            if digits + 1 <= threshold(k, scale, bits)[0] and digits >= threshold(k - 1, scale, bits)[1]:
                return k

    def settle(self, noisy: torch.Tensor) -> None:
        """Make sums of pixels and noise whole steps again, in place: exactly m + N, as the module says."""
        noisy.mul_(float(self.steps)).round_().clamp_(-_LARGEST_SUM, _LARGEST_SUM).div_(float(self.steps))
        noisy.add_(0.0)  # -0.0 becomes 0.0: which of the two a sum rounds to depends on the pixel's last bits

    def check(self, images: torch.Tensor) -> None:
        """Refuse images (images, *shape) off the pixel grid, about which nothing is certified.

        Raises:
            DataError: a pixel that is no whole number of steps, or more than 2^18 of them.
        """
        steps = images.double() * self.steps
        bad = ((steps - steps.round()).abs() > _NEAR) | (steps.abs() > _LARGEST_PIXEL)
        if bad.any():
            image = int(bad.flatten(1).any(dim=1).nonzero()[0])
            value = float(images[image][bad[image]][0])
            raise DataError(
                f"image {image} has the value {value:.6g}, which is not on the grid of 1/{self.steps}; sound "
                "certificates are about whole steps: give images of 8 bits, or the number of steps per unit"
            )

    def radius(self, q_upper: float, rival_upper: float | None = None) -> float:
        """Return beta/2 * (Phi^-1(1 - q_upper) - Phi^-1(rival_upper)), at least 0, rounded down.

        By the lemma of this module, which rests on Cohen et al. 2019, Theorem 1. Both quantiles are bounds
        that whole numbers have shown (``exact_normal``), and the product is formed in rational numbers.
        """
        z = quantile_below(q_upper)
        rival = z if rival_upper is None else quantile_below(rival_upper)
        if not math.isfinite(z + rival):
            return max(0.0, z + rival)
        exact = Fraction(self.standard_deviation) * (Fraction(z) + Fraction(rival)) / 2
        return max(0.0, rounded_down(exact))

    def failure_at(self, radius: float) -> float:
        """Return Phi(-radius / beta), rounded down."""
        return distribution_below(-self._in_deviations(radius))

    def worst_failure(self, q: Float[np.ndarray, " *many"], radius: float) -> Float[np.ndarray, " *many"]:
        """Return Phi(Phi^-1(q) + radius / beta), rounded up: what the lemma's proof allows for any event."""
        if not radius:
            return q
        moved = self._in_deviations(radius)
        return np.array([_raised(one, moved) for one in np.ravel(q).tolist()]).reshape(np.shape(q))

    def _in_deviations(self, radius: float) -> Fraction:
        return Fraction(radius) / Fraction(self.standard_deviation)

    def squared_steps(self, radius: float) -> int:
        """Return the largest whole D with sqrt(D) steps closer than ``radius``; -1 for radius 0."""
        return math.ceil((Fraction(radius) * self.steps) ** 2) - 1

    def __str__(self) -> str:
        """Return the distribution in a few words."""
        return (
            f"Gaussian noise of standard deviation {self.standard_deviation:g}, rounded to steps of "
            f"1/{self.steps}"
        )


def _raised(q: float, moved: Fraction) -> float:
    z = quantile_below(q)
    if math.isinf(z):
        return 0.0 if z > 0.0 else 1.0
    return min(1.0, distribution_above(moved - Fraction(z)))


class Thresholds(NamedTuple):
    """Where the first 64 binary digits of U, as a whole number, decide the noise.

    Attributes:
        first: the noise, in steps, of a number below the first threshold.
        low, high: bounds of 2^64 Phi((k + 1/2) / (s beta)) for k = first, first + 1, ...; ``low`` has one
            more at the end, for numbers above every threshold.
    """

    first: int
    low: UInt64[np.ndarray, " thresholds+1"]
    high: UInt64[np.ndarray, " thresholds"]


@lru_cache(maxsize=8)
def thresholds(standard_deviation: float, steps: int) -> Thresholds:
    """Return the thresholds between which 64 binary digits can decide.

    Those left out are within 2^-64 of 0 or of 1, so that only the smallest and the largest number of 64
    digits leave the noise undecided because of them.
    """
    scale = Fraction(standard_deviation) * steps
    above: list[tuple[int, int]] = []  # of k = 0, 1, ...
    while not above or above[-1][1] < 2**_WORD:
        above.append(threshold(len(above), scale, _WORD))
    # Phi(-x) = 1 - Phi(x): the threshold of -1 - k mirrors that of k
    below = [(2**_WORD - high, 2**_WORD - low) for low, high in reversed(above)]
    low, high = zip(*below, *above[:-1], strict=True)
    return Thresholds(
        -len(above), np.array([*low, above[-1][0]], dtype=np.uint64), np.array(high, dtype=np.uint64)
    )


def threshold(k: int, scale: Fraction, bits: int) -> tuple[int, int]:
    """Return bounds of 2^bits Phi((k + 1/2) / scale), ``scale`` being s beta."""
    return distribution(Fraction(2 * k + 1, 2) / scale, bits)
