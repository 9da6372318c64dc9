"""Bounds of the normal distribution by whole numbers, against mpmath's own formulas at 400 digits."""

import math
import random
from fractions import Fraction

import mpmath
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfumato.noise.exact_normal import (
    distribution,
    distribution_above,
    distribution_below,
    quantile_below,
    rounded_down,
)


def true_distribution(x):
    """Return Phi(x) by the complementary error function of mpmath, which is another series."""
    with mpmath.workprec(1600):
        return mpmath.erfc(-mpmath.mpf(x.numerator) / x.denominator / mpmath.sqrt(2)) / 2


@pytest.mark.parametrize("bits", [1, 10, 64, 192])
def test_the_bounds_enclose_the_true_value_and_are_one_apart(bits):
    generator = random.Random(bits)
    apart = []
    for _ in range(60):
        x = Fraction(generator.gauss(0.0, 4.0)) if bits > 10 else Fraction(generator.randint(-900, 900), 300)
        low, high = distribution(x, bits)
        with mpmath.workprec(1600):
            scaled = true_distribution(x) * mpmath.mpf(2) ** bits
            assert low <= scaled <= high, x
        apart.append(high - low)
    assert max(apart) <= 1


def test_far_tails_and_zero_are_known_without_a_series():
    assert distribution(Fraction(0), 1) == (1, 1)
    assert distribution(Fraction(10**9), 64) == (2**64 - 1, 2**64)
    assert distribution(Fraction(-(10**9)), 64) == (0, 1)


@given(st.floats(-45.0, 45.0))
def test_floats_are_rounded_to_the_side_that_is_asked_for(x):
    low, high = distribution_below(Fraction(x)), distribution_above(Fraction(x))
    true = true_distribution(Fraction(x))
    assert low <= true <= high
    assert low == 0.0 or math.nextafter(low, 1.0) >= high


@given(st.floats(1e-300, 1.0, exclude_max=True))
def test_a_quantile_is_never_above_the_true_one_and_within_1e_12_of_it(q):
    found = quantile_below(q)
    assert true_distribution(-Fraction(found)) >= q
    assert true_distribution(-Fraction(found + 1e-12 * max(1.0, abs(found)))) < q


def test_probabilities_without_a_quantile_and_rounding():
    assert (quantile_below(0.0), quantile_below(1.0)) == (math.inf, -math.inf)
    assert rounded_down(Fraction(1, 3)) < Fraction(1, 3) < math.nextafter(rounded_down(Fraction(1, 3)), 1.0)
    assert rounded_down(Fraction(-1, 2)) == -0.5
