"""The normal distribution between whole numbers: bounds that no rounding can break.

Every bound is found by integers alone. With x >= 0,

    Phi(x) = 1/2 + C x (a_0 - a_1 / 3 + a_2 / 5 - ...),    a_k = x^(2k) / (2^k k!),    C = 1 / sqrt(2 pi),

the series of the density's integral. Each a_k is kept between two integers, in units of 2^-w: the lower one
is always rounded down, the upper one up. Once 2 k + 2 >= x^2 the terms fall, and what is left out lies
between 0 and the first term left out. pi comes from Machin's formula, in the same way. The terms grow to
exp(x^2 / 2) before they fall, so w has as many digits more. Nothing has to be believed about these widths:
too few digits would only make the two bounds part.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache

from scipy import special

_SPARE = 32  # digits for the roundings of a few hundred terms
_RELATIVE = 80  # binary digits of a bound that is rounded to a float
_NEVER = 40.0  # deviations beyond which a tail is below every float


def distribution(x: Fraction, bits: int) -> tuple[int, int]:
    """Return integers (low, high) with low <= 2^bits Phi(x) <= high, nearly always 1 apart.

    >>> distribution(Fraction(0), 10), distribution(Fraction(1), 10), distribution(Fraction(-1), 10)
    ((512, 512), (861, 862), (162, 163))
    """
    whole = 1 << bits
    if x < 0:
        low, high = distribution(-x, bits)
        return whole - high, whole - low
    if x == 0:
        return whole // 2, whole // 2 + whole % 2
    square = x * x
    if square >= Fraction(14, 10) * bits:  # Phi(-x) <= exp(-x^2 / 2) / 2 <= 2^-bits / 2, as ln 2 < 0.7
        return whole - 1, whole
    # a multiple of 64, so that C is computed once for many x
    width = -(-(bits + _SPARE + math.ceil(square * Fraction(3, 4))) // 64) * 64
    low, high = _series(square, width)
    c_low, c_high = _inverse_root_of_two_pi(width)
    top, bottom = x.numerator, x.denominator
    low = (max(0, low) * c_low * top // bottom) >> width
    high = -((-high * c_high * top // bottom) >> width)
    half = 1 << (width - 1)
    less = width - bits
    return (half + low) >> less, min(whole, -(-(half + high) >> less))


def _series(square: Fraction, width: int) -> tuple[int, int]:
    """Return bounds of a_0 - a_1 / 3 + a_2 / 5 - ... in units of 2^-width."""
    x_low = (square.numerator << width) // square.denominator
    x_high = x_low + 1
    low = high = total_low = total_high = 1 << width
    k = 0
    while True:
        k += 1
        low = (low * x_low >> width) // (2 * k)
        high = -((-high * x_high >> width) // (2 * k))
        odd = 2 * k + 1
        term_low, term_high = low // odd, -(-high // odd)
        if term_high <= 1 and 2 * k >= square:  # falling: the rest is between 0 and this term
            return total_low - term_high, total_high + term_high
        if k % 2:
            total_low, total_high = total_low - term_high, total_high - term_low
        else:
            total_low, total_high = total_low + term_low, total_high + term_high


@lru_cache(maxsize=64)
def _inverse_root_of_two_pi(width: int) -> tuple[int, int]:
    """Return bounds of 1 / sqrt(2 pi) in units of 2^-width."""
    pi_low, pi_high = _pi(width)
    cube = 1 << (3 * width)
    return math.isqrt(cube // (2 * pi_high)), math.isqrt(cube // (2 * pi_low) + 1) + 1


def _pi(width: int) -> tuple[int, int]:
    """Return bounds of pi in units of 2^-width: 16 arctan(1/5) - 4 arctan(1/239)."""
    five, other = _inverse_arctangent(5, width), _inverse_arctangent(239, width)
    return 16 * five[0] - 4 * other[1], 16 * five[1] - 4 * other[0]


def _inverse_arctangent(n: int, width: int) -> tuple[int, int]:
    """Return bounds of arctan(1 / n) in units of 2^-width: 1/n - 1/(3 n^3) + 1/(5 n^5) - ..."""
    power = (1 << width) // n  # within 1 of the true one, as every later one
    low = high = 0
    for k in range(width):
        term_low, term_high = power // (2 * k + 1), (power + 1) // (2 * k + 1) + 1
        if k % 2:
            low, high = low - term_high, high - term_low
        else:
            low, high = low + term_low, high + term_high
        if power == 0:
            break
        power //= n * n
    return low - 2, high + 2


def distribution_below(x: Fraction) -> float:
    """Return a float that is at most Phi(x), nearly always the nearest one.

    >>> distribution_below(Fraction(0))
    0.5
    """
    if x < -_NEVER:
        return 0.0
    bits = _digits(x)
    return rounded_down(Fraction(distribution(x, bits)[0], 1 << bits))


def distribution_above(x: Fraction) -> float:
    """Return a float that is at least Phi(x), nearly always the nearest one."""
    if x < -_NEVER:
        x = Fraction(-int(_NEVER))
    bits = _digits(x)
    return -rounded_down(-Fraction(distribution(x, bits)[1], 1 << bits))


def _digits(x: Fraction) -> int:
    """Return enough binary digits for Phi(x), however small, to have ``_RELATIVE`` significant ones."""
    return _RELATIVE + math.ceil(Fraction(3, 4) * min(x, Fraction(0)) ** 2)


def quantile_below(q: float) -> float:
    """Return a z of which Phi(-z) >= q is shown: z is at most Phi^-1(1 - q), and within 1e-12 of it.

    SciPy only says where to look. inf for q = 0, -inf for q = 1.

    >>> round(quantile_below(0.1586552539314570), 12)
    1.0
    """
    if not 0.0 < q < 1.0:
        return math.inf if q <= 0.0 else -math.inf
    found = -float(special.ndtri(q))
    step = 2.0**-52 * max(1.0, abs(found))
    wanted = Fraction(q)
    while True:
        bits = _digits(-Fraction(found))
        if Fraction(distribution(-Fraction(found), bits)[0], 1 << bits) >= wanted:
            return found
        found, step = found - step, 2.0 * step


def rounded_down(value: Fraction) -> float:
    """Return the largest float that is at most ``value``, which a float can hold.

    >>> rounded_down(Fraction(1, 10)) < Fraction(1, 10)
    True
    """
    found = float(value)
    return found if Fraction(found) <= value else math.nextafter(found, -math.inf)
