"""One ball under noise against exact values, 30-digit roots, limits, bounds and simulation."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import special, stats

from sfumato.errors import SettingError
from sfumato.theory import balls
from sfumato.theory.balls import Ball, ball_probability, ball_radius, ball_risk, inverse_ball_radius

dims = st.sampled_from([1, 2, 3, 4, 7, 10, 50, 784, 3073, 10**5, 10**6])
levels = st.sampled_from([1e-6, 1e-3, 0.1, 0.4999, 0.5, 0.7, 0.99, 1.0 - 1e-6])


def log_uniform(low, high):
    return st.floats(math.log(low), math.log(high)).map(math.exp)


@pytest.mark.parametrize(
    ("dim", "exact"),
    [
        (1, 0.6744897501960817),
        (3, 1.538172254455052),
        (10, 3.056438739054321),
        (100, 9.966650853520878),
        (3072, 55.41961168268514),
    ],
)
def test_the_median_distance_has_its_exact_values(dim, exact):
    assert 1.0 / balls.critical_sigma(dim, 1.0) == pytest.approx(exact, rel=1e-13)
    assert balls.critical_sigma(dim, 2.0) == pytest.approx(2.0 / exact, rel=1e-13)


@pytest.mark.parametrize(
    ("dim", "radius", "sigma", "level", "exact"),
    [
        (1, 1.0, 1.0, 0.5, 0.933270599644474),
        (1, 2.0, 1.0, 0.5, 1.999920585324758),
        (2, 10.0, 8.0, 0.5, 3.957421396225264),
        (3, 2.0, 1.0, 0.5, 1.361785134041792),
        (10, 1.0, 0.2, 0.5, 0.798110000378486),
        (784, 42.0, 1.0, 0.5, 31.31940093482092),
        (1, 1.0, 0.5, 0.3, 1.262195901265081),
        (2, 1.0, 0.5, 0.7, 0.5566320970630154),
    ],
)
def test_the_radius_has_its_exact_values(dim, radius, sigma, level, exact):
    found = ball_radius(dim, radius, sigma, level)
    assert found.radius == pytest.approx(exact, rel=1e-12)
    assert found.depth == pytest.approx(radius - exact, rel=1e-10)
    assert not found.empty


def test_above_the_critical_sigma_nothing_is_left():
    found = ball_radius(2, 10.0, 9.0)
    assert (found.radius, found.depth, found.empty) == (0.0, 10.0, True)
    around = balls.critical_sigma(2, 10.0) * np.array([1.0 - 1e-9, 1.0 + 1e-9])
    assert ball_radius(2, 10.0, around).empty.tolist() == [False, True]


@pytest.mark.parametrize(
    ("dim", "radius", "sigma", "exact"), [(2, 1.0, 0.5, 1.122901128547998), (64, 8.0, 1.0, 11.27433106537117)]
)
def test_the_inverse_radius_has_its_exact_values(dim, radius, sigma, exact):
    assert inverse_ball_radius(dim, radius, sigma) == pytest.approx(exact, rel=1e-12)


def test_two_steps_have_their_exact_values():
    trained = ball_radius([2, 10], 1.0, [0.3, 0.1]).radius
    deployed = ball_radius([2, 10], trained, [0.5, 0.2]).radius
    assert deployed == pytest.approx([0.8004221181295, 0.7392121188684168], rel=1e-12)
    assert ball_risk(2, 1.0, 0.3, 0.5) == pytest.approx(0.3593244328090848, rel=1e-12)
    assert ball_risk(2, 1.0, 0.0, 0.5) == pytest.approx(0.2652970662355503, rel=1e-12)


@pytest.mark.parametrize(
    ("dim", "distance", "radius", "sigma", "exact"),
    [
        (3, 1.0, 2.0, 1.0, 0.6024559719297075),
        (2, 1.0, 1.0, 0.5, 0.3964990393880067),
        (784, 30.0, 42.0, 1.0, 0.866528024124561),
        (2, 2.0, 2.0, 1.0, 0.5 - 0.1035009606119933),
        (10, 4.0, 4.0, 1.0, 0.5 - 0.3714073784562903),
    ],
)
def test_the_probability_has_its_exact_values(dim, distance, radius, sigma, exact):
    assert ball_probability(dim, distance, radius, sigma) == pytest.approx(exact, rel=1e-12)


def line_depth(b, level):
    """r - rho for d = 1 and sigma = 1 by 250-digit root finding of its closed form."""
    with mpmath.workdps(250):
        b, level = mpmath.mpf(b), mpmath.mpf(level)
        start = mpmath.erfinv(2 * level - 1) * mpmath.sqrt(2)
        return mpmath.findroot(
            lambda x: mpmath.ncdf(x) - level - mpmath.ncdf(x - 2 * b), (start, start + mpmath.mpf(10) ** -3)
        )


@pytest.mark.parametrize("b", [0.68, 1.0, 2.0, 3.0, 5.0, 10.0, 15.0])
def test_on_the_line_the_exponentially_small_depth_keeps_its_digits(b):
    exact = float(line_depth(b, 0.5))
    found = ball_radius(1, b, 1.0)
    assert found.depth == pytest.approx(exact, rel=1e-11, abs=0.0)
    if b >= 5.0:
        tail = math.sqrt(2.0 * math.pi) * special.ndtr(-2.0 * b)
        assert found.depth == pytest.approx(tail, rel=1e-10, abs=0.0)


def radial_excess(dim, b, level, depth):
    """P - level for sigma = 1 at this depth, by a 30-digit integral over the other coordinates' length."""
    with mpmath.workdps(30):
        b, level, n = mpmath.mpf(b), mpmath.mpf(level), dim - 1
        log_norm = (mpmath.mpf(n) / 2 - 1) * mpmath.log(2) + mpmath.loggamma(mpmath.mpf(n) / 2)
        centre = mpmath.sqrt(n)
        first, last = max(mpmath.mpf(0), centre - 13), min(b, centre + 14)
        cuts = [first + (last - first) * k / 7 for k in range(8)]

        def integrand(w):
            u = mpmath.sqrt(b * b - w * w)
            sides = mpmath.ncdf(u - b + depth) - mpmath.ncdf(depth - u - b)
            return mpmath.exp((n - 1) * mpmath.log(w) - w * w / 2 - log_norm) * sides

        return mpmath.quad(integrand, cuts, maxdegree=6) - level


@pytest.mark.parametrize(
    ("dim", "b", "level"),
    [
        (2, 1e6, 0.5),
        (2, 20.0, 0.01),
        (3, 1e6, 0.3),
        (6, 100.0, 0.999),
        (784, 1e3, 0.5),
        (10**6, 1e6, 0.5),
    ],
)
def test_the_depth_has_10_digits_where_subtraction_would_lose_them(dim, b, level):
    depth = mpmath.mpf(float(ball_radius(dim, b, 1.0, level).depth))
    with mpmath.workdps(30):
        low, high = sorted((depth * (1 - mpmath.mpf(10) ** -10), depth * (1 + mpmath.mpf(10) ** -10)))
    assert radial_excess(dim, b, level, low) < 0 < radial_excess(dim, b, level, high)


@pytest.mark.parametrize("dim", [2, 5, 100, 10**4, 10**6])
@pytest.mark.parametrize("level", [1e-3, 0.5, 0.9])
def test_near_the_critical_sigma_the_radius_agrees_with_its_expansion(dim, level):
    # F(y; lam) = F(y; 0) - lam f_{d+2}(y; 0) + ..., whence lam = x f_d(m^2) / f_{d+2}(m^2) = x dim / m^2
    # for y = m^2 + x.
    m = 1.0 / balls.critical_sigma(dim, 1.0, level)
    over = 1e-5 / dim**0.5
    b = m * (1.0 + over)
    found = ball_radius(dim, b, 1.0, level)
    x = m * m * over * (2.0 + over)
    assert found.radius**2 == pytest.approx(dim * x / m**2, rel=1e-4)
    # ... and, to rounding of b times its conditioning, it solves its equation as SciPy sees it.
    exact_level = stats.ncx2.cdf(b * b, dim, found.radius**2)
    assert exact_level == pytest.approx(level, rel=1e-10)


@pytest.mark.parametrize("level", [1e-3, 0.5, 0.9])
@pytest.mark.parametrize("dim", [1, 2, 3, 10, 11, 100, 784, 10**4])
def test_scipy_agrees_that_the_radius_has_its_level(dim, level):
    m = 1.0 / balls.critical_sigma(dim, 1.0, level)
    b = m * np.array([1.0 + 1e-7, 1.001, 1.1, 1.5, 3.0])
    found = ball_radius(dim, b, 1.0, level)
    assert not found.empty.any()
    assert stats.ncx2.cdf(b**2, dim, found.radius**2) == pytest.approx(np.full(5, level), rel=1e-9)
    assert stats.ncx2.sf(b**2, dim, found.radius**2) == pytest.approx(np.full(5, 1.0 - level), rel=1e-9)


@settings(max_examples=100, deadline=None)
@given(dims, log_uniform(1e-3, 1e6), log_uniform(1e-3, 1e3))
def test_the_curvature_bounds_hold(dim, ratio, sigma):
    radius = ratio * sigma
    found = ball_radius(dim, radius, sigma)
    square = found.radius**2
    rounding = 1e-14 * radius**2
    if found.empty:
        assert radius**2 < dim * sigma**2
    else:
        assert radius**2 - dim * sigma**2 <= square + rounding
        assert square <= radius**2 - (dim - 1) * sigma**2 + rounding
        # The same from the depth, which stays exact where r^2 - rho^2 has lost its digits.
        gap = found.depth * (radius + found.radius) / sigma**2
        assert (dim - 1) * (1.0 - 1e-9) <= gap <= (dim - 1 + 0.4549) * (1.0 + 1e-9)


@settings(max_examples=100, deadline=None)
@given(dims, log_uniform(1e-3, 1e6), levels, st.sampled_from([2.0**-30, 0.25, 2.0, 2.0**20]))
def test_lengths_scale_together(dim, ratio, level, scale):
    one = ball_radius(dim, ratio, 1.0, level)
    other = ball_radius(dim, scale * ratio, scale, level)
    assert (other.radius, other.depth, other.empty) == (scale * one.radius, scale * one.depth, one.empty)
    assert inverse_ball_radius(dim, scale * ratio, scale, level) == scale * inverse_ball_radius(
        dim, ratio, 1.0, level
    )


@settings(max_examples=100, deadline=None)
@given(dims, log_uniform(1e-3, 1e6), levels, log_uniform(1.0001, 10.0))
def test_more_radius_leaves_more_and_more_noise_leaves_less(dim, ratio, level, factor):
    radii = ball_radius(dim, ratio * np.array([1.0, factor]), 1.0, level).radius
    assert radii[0] < radii[1] or radii[1] == 0.0
    assert ball_probability(dim, ratio, ratio, factor) <= ball_probability(dim, ratio, ratio, 1.0)
    if level >= 0.5:
        less = ball_radius(dim, 1.0, np.array([1.0, factor]) / ratio, level)
        assert less.depth[0] < less.depth[1] or less.empty[0] or dim == 1
        assert less.radius[1] <= less.radius[0]


@settings(max_examples=100, deadline=None)
@given(dims, log_uniform(1e-3, 1e6), levels)
def test_the_inverse_undoes_the_noise(dim, ratio, level):
    grown = inverse_ball_radius(dim, ratio, 1.0, level)
    assert grown >= 1.0 / balls.critical_sigma(dim, 1.0, level) * (1.0 - 1e-11)
    back = ball_radius(dim, grown, 1.0, level)
    # Rounding of the grown radius moves the square of the result by 1e-16 times y f_d / f_{d+2} < y + dim,
    # rounding of a probability near 1 the grown radius.
    rounding = 2e-14 + 3e-18 / (1.0 - level)
    assert back.radius**2 == pytest.approx(ratio**2, rel=1e-9, abs=rounding * (grown**2 + dim))


@settings(max_examples=100, deadline=None)
@given(dims, log_uniform(1e-3, 1e6), levels)
def test_the_level_is_reached_exactly_at_the_radius(dim, ratio, level):
    found = ball_radius(dim, ratio, 1.0, level)
    if found.empty:
        assert ball_probability(dim, 0.0, ratio, 1.0) < level
        return
    assume(abs(found.depth) > 1e-9 * ratio)  # else the distance itself has no digits left for the level
    # Rounding of the distance moves the score by about 1e-16 of the distance.
    assert ball_probability(dim, found.radius, ratio, 1.0) == pytest.approx(level, rel=1e-9 + 4e-15 * ratio)


@pytest.mark.parametrize("level", [0.01, 0.3, 0.9])
def test_a_huge_ball_is_a_half_space(level):
    found = ball_radius(np.array([1, 2, 50]), 1e8, 1.0, level)
    assert found.depth == pytest.approx(np.full(3, special.ndtri(level)), rel=1e-6)
    # Half-spaces are fixed points at level 1/2: only curvature, (dim - 1) sigma^2 / 2 r, is left.
    depth = ball_radius(np.array([2, 51]), 1e8, 1.0).depth
    assert depth == pytest.approx([0.5e-8, 25e-8], rel=1e-9)


@settings(max_examples=60, deadline=None)
@given(dims, log_uniform(0.1, 30.0), st.floats(0.0, 3.0), log_uniform(1e-3, 3.0))
def test_training_noise_never_helps_one_ball(dim, ratio, alpha, beta):
    radius = ratio / balls.critical_sigma(dim, 1.0)
    alphas = np.array([0.0, alpha, 1.5 * alpha])
    risks = ball_risk(dim, radius, alphas, beta)
    assert (np.diff(risks) >= 0.0).all()
    assert ((risks >= 0.0) & (risks <= 1.0)).all()


def test_the_risk_is_the_share_of_the_volume_and_keeps_small_shares():
    found = ball_radius(10, ball_radius(10, 1.0, 0.1).radius, 0.2)
    assert ball_risk(10, 1.0, 0.1, 0.2) == pytest.approx(1.0 - found.radius**10, rel=1e-12)
    # Two small steps erode by (dim - 1)(alpha^2 + beta^2)/2 r to leading order.
    assert ball_risk(784, 1.0, 1e-8, 2e-8) == pytest.approx(784 * 783 * 2.5e-16, rel=1e-9)
    assert ball_risk(3, 1.0, 0.0, 2.0) == 1.0


def test_a_training_level_below_one_half_can_undo_the_smoothing():
    alpha = balls.compensating_alpha(10, 1.0, 0.22356, 1e-3)
    assert alpha == pytest.approx(0.07366, abs=2e-5)
    assert ball_risk(10, 1.0, alpha, 0.22356, training_level=1e-3) < 1e-12
    assert ball_radius(10, 1.0, alpha, 1e-3).radius > 1.0


@pytest.mark.parametrize(
    ("dim", "level", "beta"), [(1, 0.2, 0.9), (2, 1e-3, 0.3), (100, 0.01, 0.02), (784, 1e-6, 1e-3)]
)
def test_the_compensating_alpha_is_the_smallest_that_compensates(dim, level, beta):
    alpha = balls.compensating_alpha(dim, 2.0, 2.0 * beta, level)
    wanted = inverse_ball_radius(dim, 1.0, beta)
    smaller = ball_radius(dim, 1.0, alpha / 2.0 * np.linspace(0.0, 0.999, 50), level)
    assert ball_radius(dim, 1.0, alpha / 2.0, level).radius == pytest.approx(wanted, rel=1e-12)
    assert (smaller.radius < wanted).all()


def test_there_is_no_compensation_beyond_what_training_can_dilate():
    furthest = ball_radius(10, 1.0, np.linspace(0.0, 1.0, 2001), 1e-3).radius.max()
    reach = np.linspace(0.3, 0.6, 301)
    possible = [balls.compensating_alpha(10, 1.0, beta, 1e-3) is not None for beta in reach]
    assert possible == (inverse_ball_radius(10, 1.0, reach) <= furthest).tolist()
    assert 0 < sum(possible) < len(possible)
    assert balls.compensating_alpha(10, 1.0, 0.01, 0.5) is None
    assert balls.compensating_alpha(10, 1.0, 0.0, 0.7) == 0.0


# Certified at a radius


def test_the_certified_risk_of_a_disc_has_its_known_values_and_agrees_with_quadrature():
    found = ball_risk(2, 3.0, [0.0, 1.3], 1.0, certified_radius=0.5)
    assert found == pytest.approx([0.64832, 0.57770], abs=5e-6)
    # the votes at each distance from SciPy, the area by a sum over thin rings
    trained = ball_radius(2, 3.0, 1.3).radius
    middles = (np.arange(200_000) + 0.5) * 4e-5
    votes = stats.ncx2.cdf(trained**2, 2, middles**2)
    missed = np.where(middles <= 3.0, votes < stats.norm.cdf(0.5), votes > stats.norm.cdf(-0.5))
    assert found[1] == pytest.approx((missed * middles).sum() * 2 * 4e-5 / 9.0, abs=1e-4)


@pytest.mark.parametrize("level", [0.5, 0.1])
@pytest.mark.parametrize(
    ("dim", "radius", "beta"), [(1, 3.0, 1.0), (2, 3.0, 1.0), (3, 3.0, 1.0), (10, 1.0, 0.1), (3, 2.0, 1.0)]
)
def test_no_alpha_of_a_fine_grid_certifies_more_than_the_best(dim, radius, beta, level):
    alphas = np.linspace(0.0, 1.1 * balls.critical_sigma(dim, radius, level), 1501)
    for ratio in (0.1, 0.3, 0.75, 1.0, 2.0):
        setting = {"training_level": level, "certified_radius": ratio * beta}
        best = balls.compensating_alpha(dim, radius, beta, level, ratio * beta)
        lowest = ball_risk(dim, radius, alphas, beta, **setting).min()
        if best == math.inf:
            assert lowest >= 1.0 - 1e-12
        elif best is None:
            assert level < 0.5
        else:
            found = ball_risk(dim, radius, best, beta, **setting)
            assert found < 1.0
            assert lowest - 1e-2 < found <= lowest + 1e-12


def test_the_best_alpha_certifies_the_background_up_to_the_ball_and_equals_beta_at_a_known_radius():
    # alpha = beta is best at the radius that a point of the sphere then has: -beta Phi^-1(its votes)
    trained = ball_radius(2, 3.0, 1.0).radius
    crossing = -stats.norm.ppf(stats.ncx2.cdf(trained**2, 2, 9.0))
    assert crossing == pytest.approx(1.0 / 3.0, rel=0.06)  # (dim - 1) beta^2 / radius
    assert balls.compensating_alpha(2, 3.0, 1.0, 0.5, crossing) == pytest.approx(1.0, rel=1e-8)
    # and alpha = 0 up to the radius it has without training noise
    start = -stats.norm.ppf(stats.ncx2.cdf(9.0, 2, 9.0))
    assert balls.compensating_alpha(2, 3.0, 1.0, 0.5, 0.999 * start) == 0.0
    assert balls.compensating_alpha(2, 3.0, 1.0, 0.5, 1.001 * start) > 0.0


def test_a_plateau_where_nothing_is_certified_is_no_optimum():
    assert balls.compensating_alpha(2, 3.0, 1.0, 0.5, 2.0) == math.inf
    assert balls.compensating_alpha(3, 1.0, 2.0, 0.5, 0.5) == math.inf


def test_arrays_broadcast_and_numbers_stay_numbers():
    sigmas, sizes = np.array([[0.1], [0.2]]), np.array([1, 2, 10])
    found = ball_radius(sizes, 1.0, sigmas)
    assert found.radius.shape == found.depth.shape == found.empty.shape == (2, 3)
    single = ball_radius(10, 1.0, 0.2)
    assert found.radius[1, 2] == single.radius
    assert (type(single.radius), type(single.empty)) == (float, bool)
    assert type(ball_risk(2, 1.0, 0.1, 0.1)) is float
    assert ball_radius(2, np.zeros(0), 1.0).radius.shape == (0,)


def test_no_noise_changes_nothing_and_extremes_do_not_overflow():
    assert ball_radius(3, 2.0, 0.0) == balls.SmoothedBall(2.0, 0.0, False)
    assert ball_probability(3, [1.0, 2.0, 3.0], 2.0, 0.0).tolist() == [1.0, 1.0, 0.0]
    with np.errstate(all="raise", under="ignore"):
        assert ball_probability(3, 1e200, 1e200, 1e-200) == 1.0
        assert ball_probability(10**6, 1e9, 1.0, 1e-3) == 0.0
        assert ball_probability(2, 1.0, 1e-200, 1.0) == 0.0
        assert ball_radius(10**6, 1e-3, 1.0).empty
        assert ball_radius(2, 1.0, 1e-300).radius == 1.0
        assert ball_radius(1, 1.0, 1e-60).radius == 1.0
        assert ball_radius(2, 1e-3, 1e-9, 1e-12).radius == pytest.approx(1e-3, rel=1e-4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Ball(0, 1.0), "dim must be a whole number from 1 to 1000000, got 0"),
        (lambda: Ball(2, -1.0), "radius must be a finite number of at least 0, got -1.0"),
        (lambda: ball_radius(0, 1.0, 1.0), "dim must be a whole number from 1 to 1000000, got 0"),
        (lambda: ball_radius(2.5, 1.0, 1.0), "dim must be a whole number from 1 to 1000000, got 2.5"),
        (lambda: ball_radius(math.nan, 1.0, 1.0), "dim must be a whole number from 1 to 1000000, got nan"),
        (
            lambda: ball_radius(1_000_001, 1.0, 1.0),
            "dim must be a whole number from 1 to 1000000, got 1000001",
        ),
        (lambda: ball_radius(2, -1.0, 1.0), "radius must be a finite number of at least 0, got -1.0"),
        (
            lambda: ball_radius(2, [1.0, math.nan], 1.0),
            "radius must be a finite number of at least 0, got nan",
        ),
        (lambda: ball_radius(2, 1.0, -0.5), "sigma must be a finite number of at least 0, got -0.5"),
        (lambda: ball_radius(2, 1.0, math.inf), "sigma must be a finite number of at least 0, got inf"),
        (lambda: ball_radius(2, 1.0, 1.0, 1.0), "level must lie strictly between 0 and 1, got 1.0"),
        (lambda: ball_radius(2, 1.0, 1.0, 1e-41), "level must be at least 1e-40, got 1e-41"),
        (lambda: balls.critical_sigma(2, 1.0, 0.0), "level must lie strictly between 0 and 1, got 0.0"),
        (lambda: ball_radius(2, "wide", 1.0), "radius must be numbers, got 'wide'"),
        (lambda: ball_radius(2, [1.0, 2.0], [1.0, 2.0, 3.0]), "arguments must broadcast against each other"),
        (lambda: ball_probability(2, -1.0, 1.0, 1.0), "distance must be a finite number of at least 0"),
        (lambda: ball_risk(2, 0.0, 0.1, 0.1), "radius must be a positive finite number, got 0.0"),
        (lambda: ball_risk(2, 1.0, -0.1, 0.1), "alpha must be a finite number of at least 0, got -0.1"),
        (lambda: ball_risk(2, 1.0, 0.1, math.nan), "beta must be a finite number of at least 0, got nan"),
        (
            lambda: ball_risk(2, 1.0, 0.1, 0.1, training_level=math.nan),
            "training_level must lie strictly between 0 and 1, got nan",
        ),
        (
            lambda: ball_risk(2, 1.0, 0.1, 0.1, certified_radius=-1.0),
            "certified_radius must be a finite number of at least 0, got -1.0",
        ),
        (
            lambda: ball_risk(2, 1.0, 0.1, [0.5, 0.1], certified_radius=1.0),
            "certified_radius must be at most 8 beta = 0.8 to be certified, got 1.0",
        ),
        (
            lambda: balls.compensating_alpha(2, 1.0, 0.0, 0.5, 0.1),
            "certified_radius must be at most 8 beta = 0",
        ),
        (lambda: balls.compensating_alpha(2, 1.0, 0.1, 1.5), "training_level must lie strictly between"),
    ],
)
def test_a_mistake_is_one_clear_line(call, message):
    with pytest.raises(SettingError) as caught:
        call()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
