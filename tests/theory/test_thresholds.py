"""Thresholds of interference against 25-digit quadrature, lattice sums and the curves' own limits."""

import itertools
import math

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
    assert thresholds.pair_gap(1, 8.0) == pytest.approx(2.0, abs=1e-12)


def test_the_pair_threshold_tends_to_k_star_over_dim_minus_one():
    c = np.linspace(0.25, 0.35, 200_001)
    curve = 2 * c * (stats.norm.isf(0.5 - stats.norm.sf(c)) - c)
    assert abs(thresholds.K_STAR - curve.max()) < 1e-10
    assert round(thresholds.K_STAR, 10) == 0.5313047686
    for dim in (1000, 10_000):
        assert (dim - 1) * thresholds.pair_threshold(dim) == pytest.approx(thresholds.K_STAR, rel=0.2 / dim)


@pytest.mark.parametrize(
    ("dim", "ratio", "slack"), [(2, 2.0, 0.1035009606119933), (10, 4.0, 0.3714073784562903)]
)
def test_the_erosion_slack_matches_its_exact_values(dim, ratio, slack):
    assert thresholds.erosion_slack(dim, ratio) == pytest.approx(slack, rel=1e-12)


def test_the_erosion_slack_is_least_in_one_dimension_and_follows_the_curvature():
    for ratio in (0.3, 1.0, 5.0):
        line = thresholds.erosion_slack(1, ratio)
        assert line == pytest.approx(stats.norm.cdf(-2 * ratio), rel=1e-13)
        assert all(thresholds.erosion_slack(dim, ratio) >= line for dim in (2, 3, 50))
    for dim in (2, 7):
        flat = (dim - 1) / (2 * math.sqrt(2 * math.pi) * 500.0)
        assert thresholds.erosion_slack(dim, 500.0) == pytest.approx(flat, rel=0.01)


@pytest.mark.parametrize(
    ("name", "gap"),
    [("line", 2.0), ("hexagonal", 0.6935), ("square", 0.5066), ("fcc", 0.2797), ("d4", 0.108)],
)
def test_balls_on_a_lattice_cover_half_of_space_at_the_density_gap(name, gap):
    found = thresholds.density_gap(*thresholds.PACKING_FRACTIONS[name])
    assert found == pytest.approx(gap, abs=5e-4)


@pytest.mark.parametrize("name", ["d5", "e6", "e7", "e8"])
def test_from_five_dimensions_on_no_lattice_covers_half_of_space(name):
    assert thresholds.density_gap(*thresholds.PACKING_FRACTIONS[name]) < 0.0


BASES = {
    "square": np.eye(2),
    "hexagonal": np.array([[1.0, 0.0], [0.5, math.sqrt(0.75)]]),
    "cubic": np.eye(3),
    "fcc": np.array([[1.0, 1.0, 0.0], [1.0, 0.0, 1.0], [0.0, 1.0, 1.0]]) / math.sqrt(2),
}


def most_outside(name, gap, sigma):
    """Return the largest u found on segments from one ball's surface to the holes of the lattice."""
    basis = BASES[name] * (2 + gap)
    dim = len(basis)
    steps = range(-6, 7)
    centres = np.array(list(itertools.product(steps, repeat=dim))) @ basis
    halves = np.array(list(itertools.product((0.0, 0.5), repeat=dim)))[1:] @ basis
    directions = [h / np.linalg.norm(h) for h in [*halves, basis.sum(axis=0) / (dim + 1)]]
    points = np.array([u * t for u in directions for t in (1.0, 1.0 + gap / 4, 1.0 + gap / 2)])
    away = np.linalg.norm(points[:, None] - centres, axis=2)
    outside = (away >= 1 - 1e-9).all(axis=1)
    return stats.ncx2.cdf(1 / sigma**2, dim, (away[outside] / sigma) ** 2).sum(axis=1).max()


@pytest.mark.parametrize(
    ("name", "all_neighbours"),
    [("square", 0.5420), ("hexagonal", 0.6936), ("cubic", 0.2725), ("fcc", 0.2798)],
)
def test_lattice_thresholds_are_within_two_percent_below_those_of_all_neighbours(name, all_neighbours):
    threshold = thresholds.lattice_threshold(name)
    assert -1e-4 < all_neighbours / threshold - 1 < 0.02


@pytest.mark.parametrize("name", ["square", "hexagonal"])
def test_below_its_threshold_a_lattice_spills_over_and_well_above_it_does_not(name):
    threshold = thresholds.lattice_threshold(name)
    sigmas = np.geomspace(0.3, 2.5, 12)
    assert max(most_outside(name, 0.97 * threshold, s) for s in sigmas) > 0.5
    assert max(most_outside(name, 1.03 * threshold, s) for s in sigmas) < 0.5


def test_an_unknown_lattice_or_an_impossible_number_is_refused():
    with pytest.raises(SettingError, match=r"lattice must be one of line, square.*, got 'diamond'"):
        thresholds.lattice_threshold("diamond")
    with pytest.raises(SettingError, match="dim must be a whole number of at least 1, got 0"):
        thresholds.pair_threshold(0)
    with pytest.raises(SettingError, match="packing_fraction"):
        thresholds.density_gap(2, 1.5)
