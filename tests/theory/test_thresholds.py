"""Thresholds of interference against 25-digit quadrature and the curves' own limits."""

import mpmath
import numpy as np
import pytest
from scipy import stats

from sfumato.errors import SettingError
from sfumato.theory import thresholds


def exact_probability(dim, distance, radius):
    """P(|x + Z| <= radius) for |x| = distance in the plane and in space, to 25 digits."""
    if dim == 2:
        cuts = mpmath.linspace(-radius, radius, 5)
        return mpmath.quad(
            lambda x: mpmath.npdf(x - distance) * (2 * mpmath.ncdf(mpmath.sqrt(radius**2 - x * x)) - 1), cuts
        )
    near, far = radius - distance, radius + distance
    return mpmath.ncdf(near) + mpmath.ncdf(far) - 1 - (mpmath.npdf(near) - mpmath.npdf(far)) / distance


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("ratio", [1.3, 1.76, 3.25])
def test_two_balls_at_the_critical_gap_add_up_to_one_half_in_25_digits(dim, ratio):
    with mpmath.workdps(25):
        gap = thresholds.pair_gap(dim, ratio)
        radius = mpmath.mpf(ratio)
        both = exact_probability(dim, radius, radius) + exact_probability(dim, radius * (1 + gap), radius)
        assert abs(both - mpmath.mpf(1) / 2) < 1e-12


# maxima of the 25-digit curves above, over the noise
@pytest.mark.parametrize(("dim", "exact"), [(2, 0.534806670039257), (3, 0.272480697156329)])
def test_the_pair_threshold_is_the_highest_critical_gap(dim, exact):
    assert thresholds.pair_threshold(dim) == pytest.approx(exact, rel=1e-11)
    for ratio in np.geomspace(0.8, 30, 12):
        assert thresholds.pair_gap(dim, ratio) <= exact


# A grid over the noise gave these, a little below the supremum.
ON_A_GRID = {
    2: 0.534530,
    3: 0.272468,
    4: 0.180946,
    5: 0.135198,
    6: 0.107850,
    8: 0.076766,
    10: 0.059567,
    20: 0.028082,
    50: 0.010859,
    100: 0.005371,
}


@pytest.mark.parametrize(("dim", "on_a_grid"), ON_A_GRID.items())
def test_pair_thresholds_agree_with_a_search_on_a_grid(dim, on_a_grid):
    assert 0.0 <= thresholds.pair_threshold(dim) / on_a_grid - 1 < 6e-4


def test_two_intervals_need_a_gap_as_wide_as_they_are():
    assert thresholds.pair_threshold(1) == 2.0
    gaps = [thresholds.pair_gap(1, ratio) for ratio in (0.5, 1.0, 2.0, 3.0)]
    assert gaps == sorted(gaps)
    assert thresholds.pair_gap(1, 4.0) == pytest.approx(2.0, abs=1e-2)


def test_the_pair_threshold_tends_to_its_limit_over_dim_minus_one():
    c = np.linspace(0.25, 0.35, 200_001)
    curve = 2 * c * (stats.norm.isf(0.5 - stats.norm.sf(c)) - c)
    assert curve.max() == pytest.approx(0.5313047686, abs=1e-10)
    for dim in (1000, 10_000):
        assert (dim - 1) * thresholds.pair_threshold(dim) == pytest.approx(0.5313047686, rel=0.2 / dim)


def test_an_impossible_dimension_is_refused():
    with pytest.raises(SettingError, match="dim must be a whole number of at least 1, got 0"):
        thresholds.pair_threshold(0)
