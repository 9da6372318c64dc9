import math

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sfumato.errors import SettingError
from sfumato.theory.intervals import Intervals, deploy, smooth_probability, threshold
from sfumato.theory.waves import gaussian_mass

PAIR = Intervals((-1.25, 0.25), (-0.25, 1.25))
quick = settings(max_examples=40, deadline=None, derandomize=True)
noises = st.floats(0.03, 3.0)


def mp_probability(region, x, sigma, digits=40):
    """u(x) in many digits: sums of normal probabilities, over images of a period where there is one."""
    with mp.workdps(digits):
        shifts = [0]
        if region.period is not None:
            reach = int(12 * sigma / region.period) + 3 + int(abs(x) / region.period)
            shifts = range(-reach, reach + 1)
        x, s = mp.mpf(x), mp.mpf(sigma)
        return mp.fsum(
            mp.ncdf((mp.mpf(b) + k * mp.mpf(region.period or 0) - x) / s)
            - mp.ncdf((mp.mpf(a) + k * mp.mpf(region.period or 0) - x) / s)
            for k in shifts
            for a, b in zip(region.starts, region.ends, strict=True)
        )


@st.composite
def regions(draw, min_width=0.05, max_width=2.0, min_gap=0.05, max_gap=2.0, most=5):
    count = draw(st.integers(1, most))
    widths = draw(st.lists(st.floats(min_width, max_width), min_size=count, max_size=count))
    gaps = draw(st.lists(st.floats(min_gap, max_gap), min_size=count, max_size=count))
    starts = np.cumsum([0.0, *(w + g for w, g in zip(widths, gaps, strict=True))])[:-1]
    return Intervals(tuple(starts), tuple(starts + widths))


def surplus(inner, outer):
    """Measure of the part of the first region outside the second, without the code under test."""
    return sum(
        b - a - sum(max(0.0, min(b, d) - max(a, c)) for c, d in zip(outer.starts, outer.ends, strict=True))
        for a, b in zip(inner.starts, inner.ends, strict=True)
    )


def probability(first, second):
    """P(exactly one of the two regions) under a normal density."""
    density = stats.norm(1.0, 2.0)
    pieces = first.symmetric_difference(second)
    return sum(density.cdf(b) - density.cdf(a) for a, b in zip(pieces.starts, pieces.ends, strict=True))


def moved(region, factor, shift):
    return Intervals(
        tuple(factor * v + shift for v in region.starts), tuple(factor * v + shift for v in region.ends)
    )


# Exact values, computed once in 16 digits by mpmath


def test_two_near_intervals_fill_their_gap_and_outlive_the_noise_that_kills_them():
    answer = deploy(PAIR, alpha=0.38, beta=1.36)
    assert answer.trained.ends == pytest.approx([1.245859954419671], rel=1e-14)
    assert answer.trained.starts == pytest.approx([-1.245859954419671], rel=1e-14)
    assert answer.risk == pytest.approx(0.7961715303996173, rel=1e-13)
    assert answer.plain_risk == 2.0
    assert answer.benefit == pytest.approx(2.0 - 0.7961715303996173, rel=1e-13)


@pytest.mark.parametrize(
    ("radius", "sigma", "level", "expected"),
    [
        (1.0, 1.0, 0.5, 0.933270599644474),
        (2.0, 1.0, 0.5, 1.999920585324758),
        (1.0, 0.5, 0.3, 1.262195901265081),
    ],
)
def test_one_interval_shrinks_to_the_exact_width(radius, sigma, level, expected):
    found = threshold(Intervals((-radius,), (radius,)), sigma, level)
    assert found.ends == pytest.approx([expected], rel=1e-14)
    assert found.starts == pytest.approx([-expected], rel=1e-14)


# Smoothed probabilities


@pytest.mark.parametrize("x", [-30.0, -7.0, -1.25, 0.0, 0.1, 4.0, 25.0])
@pytest.mark.parametrize("sigma", [0.01, 0.7, 1.0, 40.0])
def test_probabilities_keep_their_digits_into_the_tails(x, sigma):
    expected = mp_probability(PAIR, x, sigma, digits=330)
    found = float(smooth_probability(PAIR, np.array([x]), sigma)[0])
    assert found == pytest.approx(float(expected), rel=3e-13, abs=1e-300)


@pytest.mark.parametrize("sigma", [0.02, 0.2, 0.299, 0.301, 0.9, 3.0])
def test_images_and_fourier_series_agree_with_the_exact_periodic_sum(sigma):
    region = Intervals((0.1, 0.5), (0.3, 0.85), period=1.0)
    points = np.array([-3.3, 0.0, 0.2, 0.45, 0.97, 7.2])
    expected = [float(mp_probability(region, x, sigma)) for x in points]
    assert smooth_probability(region, points, sigma) == pytest.approx(expected, abs=3e-15)


def test_narrow_intervals_do_not_cancel():
    low = np.array([0.0, 3.0, -8.0, 35.0])
    width = 1e-9
    high = low + width
    with mp.workdps(700):
        exact = [float(mp.ncdf(mp.mpf(b)) - mp.ncdf(mp.mpf(a))) for a, b in zip(low, high, strict=True)]
    assert gaussian_mass(low, high) == pytest.approx(np.array(exact), rel=1e-14)


def test_without_noise_the_probability_is_the_indicator():
    assert smooth_probability(PAIR, np.array([0.0, 1.0]), 0.0).tolist() == [0.0, 1.0]
    assert threshold(PAIR, 0.0) == PAIR


@pytest.mark.parametrize("sigma", [1e-264, 1e-20, 1e-18, 3e-16])
@pytest.mark.parametrize("level", [0.1, 0.5, 0.9])
def test_noise_below_the_spacing_of_floats_moves_nothing_and_loses_nothing(sigma, level):
    found = threshold(PAIR, sigma, level)
    assert found.starts == pytest.approx(PAIR.starts, rel=1e-15)
    assert found.ends == pytest.approx(PAIR.ends, rel=1e-15)


# Every end is found, and is an end


@quick
@given(regions(), noises, st.floats(0.02, 0.98))
def test_membership_agrees_with_the_probability_everywhere(region, sigma, level):
    found = threshold(region, sigma, level)
    x = np.linspace(region.starts[0] - 3 * sigma, region.ends[-1] + 3 * sigma, 4001)
    u = sum(
        stats.norm.cdf((b - x) / sigma) - stats.norm.cdf((a - x) / sigma)
        for a, b in zip(region.starts, region.ends, strict=True)
    )
    decided = np.abs(u - level) > 1e-11
    assert np.array_equal(found.contains(x)[decided], (u >= level)[decided])
    assert len(found.starts) <= len(region.starts)


@quick
@given(regions(most=3), noises, st.floats(0.02, 0.98))
def test_at_every_end_the_probability_is_the_level(region, sigma, level):
    for end in (*threshold(region, sigma, level).starts, *threshold(region, sigma, level).ends):
        slope = mp.diff(lambda x: mp_probability(region, x, sigma), end)
        error = float(abs(mp_probability(region, end, sigma) - level))
        assert error <= 2e-15 + 1e-15 * abs(end) * abs(float(slope))


@pytest.mark.parametrize("sigma", [0.05, 0.2, 0.29, 0.31, 0.6])
@pytest.mark.parametrize("level", [0.2, 0.5, 0.64])
def test_periodic_membership_agrees_with_the_probability_everywhere(sigma, level):
    region = Intervals((0.1, 0.5, 0.9), (0.4, 0.85, 1.0), period=1.05)
    found = threshold(region, sigma, level)
    x = np.linspace(-1.0, 2.0, 3001)
    u = sum(
        stats.norm.cdf((b + 1.05 * k - x) / sigma) - stats.norm.cdf((a + 1.05 * k - x) / sigma)
        for k in range(-12, 13)
        for a, b in zip(region.starts, region.ends, strict=True)
    )
    decided = np.abs(u - level) > 1e-11
    assert np.array_equal(found.contains(x)[decided], (u >= level)[decided])


@pytest.mark.parametrize("step", [1e-4, 1e-8, 1e-12])
def test_a_bump_that_barely_reaches_the_level_is_found_and_one_that_does_not_is_none(step):
    """Two intervals: the level passes a dip at 0 and the top of two humps, all of known height."""
    sigma = 0.6
    dip = float(mp_probability(PAIR, 0, sigma))
    top_at = mp.findroot(lambda x: mp.diff(lambda t: mp_probability(PAIR, t, sigma), x), 0.75)
    top = float(mp_probability(PAIR, top_at, sigma))
    assert dip < top
    assert len(threshold(PAIR, sigma, dip - step).starts) == 1
    assert len(threshold(PAIR, sigma, dip + step).starts) == 2
    assert len(threshold(PAIR, sigma, top - step).starts) == 2
    assert threshold(PAIR, sigma, top + step).is_empty


@pytest.mark.parametrize("level", [1e-200, 1e-30, 1e-6])
def test_tiny_levels_are_met_far_outside(level):
    found = threshold(PAIR, 0.5, level)
    assert len(found.starts) == 1
    reached = mp_probability(PAIR, found.ends[0], 0.5)
    assert float(reached / mp.mpf(level)) == pytest.approx(1.0, rel=1e-12)
    assert found.starts[0] == pytest.approx(-found.ends[0], rel=1e-14)


@pytest.mark.parametrize(("sigma", "count"), [(1e-5, 400), (0.003, 400), (0.02, None), (1.0, 1), (1e4, 0)])
def test_a_fine_comb_is_resolved_at_every_noise(sigma, count):
    starts = 0.02 * np.arange(400)
    comb = Intervals(tuple(starts), tuple(starts + 0.012))
    found = threshold(comb, sigma)
    assert count is None or len(found.starts) == count
    if sigma == 1.0:  # homogenised: density .6 of a slab [0, 8], whose end solves .6 Phi(t) = 1/2
        assert found.starts[0] == pytest.approx(stats.norm.ppf(0.5 / 0.6), abs=0.01)


# Properties of T


@quick
@given(regions(), noises, st.floats(0.02, 0.2))
def test_a_larger_region_stays_larger(region, sigma, trim):
    inside = [(a + trim / 10, b) for a, b in zip(region.starts, region.ends, strict=True)]
    smaller = Intervals(tuple(a for a, _ in inside[1:]), tuple(b for _, b in inside[1:]))
    assert surplus(threshold(smaller, sigma), threshold(region, sigma)) < 1e-7


@quick
@given(regions(), noises, st.floats(0.1, 0.9), st.floats(-50, 50), st.floats(0.01, 100))
def test_thresholding_moves_and_scales_with_the_region(region, sigma, level, shift, factor):
    expected = moved(threshold(region, sigma, level), factor, shift)
    found = threshold(moved(region, factor, shift), factor * sigma, level)
    unit = factor * (region.ends[-1] - region.starts[0])
    assert surplus(found, expected) + surplus(expected, found) < 1e-7 * (1 + unit)


@quick
@given(regions(), noises, st.floats(0.1, 0.9))
def test_the_complement_is_thresholded_to_the_complement(region, sigma, level):
    first = threshold(region.complement(), sigma, 1 - level)
    second = threshold(region, sigma, level).complement()
    assert len(first.starts) == len(second.starts)
    assert first.starts == pytest.approx(second.starts, abs=1e-6)
    assert first.ends == pytest.approx(second.ends, abs=1e-6)


@quick
@given(st.floats(-5, 5), st.floats(1e-3, 1e3))
def test_half_lines_are_fixed_points(edge, sigma):
    found = threshold(Intervals((edge,), (math.inf,)), sigma)
    assert found.starts[0] == pytest.approx(edge, abs=1e-15 * max(1, sigma))
    assert found.ends == (math.inf,)
    shifted = threshold(Intervals((-math.inf,), (edge,)), sigma, 0.2)
    assert shifted.ends[0] == pytest.approx(edge - sigma * stats.norm.ppf(0.2), rel=1e-13, abs=1e-13)


@quick
@given(regions(max_width=1.0, min_gap=1.0), noises, noises)
def test_intervals_no_wider_than_their_gaps_only_shrink_and_never_benefit(region, alpha, beta):
    answer = deploy(region, alpha, beta)
    assert surplus(answer.trained, region) < 1e-9
    assert answer.benefit < 1e-9
    assert probability(region, answer.smoothed) >= probability(region, threshold(region, beta)) - 1e-9


@quick
@given(regions(min_width=1.0, max_gap=1.0), noises, noises)
def test_by_duality_gaps_no_wider_than_the_intervals_never_benefit_either(region, alpha, beta):
    unbounded = Intervals((-math.inf, *region.starts[1:]), (*region.ends[:-1], math.inf))
    assert deploy(unbounded, alpha, beta).benefit < 1e-9


# Sets and measures


def test_lengths_and_memberships_of_simple_regions():
    assert Intervals((), ()).is_empty
    assert Intervals((-math.inf,), (math.inf,)).is_everything
    assert Intervals((0.0,), (2.0,), period=2.0).is_everything
    assert Intervals((0.0, 1.0), (1.0, 2.0)) == Intervals((0.0,), (2.0,))
    assert Intervals((0.0, 0.7), (0.3, 1.0), period=1.0) == Intervals((0.7,), (1.3,), period=1.0)
    assert PAIR.length == 2.0
    assert PAIR.contains(np.array([-2, -1.25, 0, 0.25, 3])).tolist() == [False, True, False, True, False]


@quick
@given(regions(), regions())
def test_the_symmetric_difference_has_the_measure_of_both_surpluses(first, second):
    both = first.symmetric_difference(second)
    assert both.length == pytest.approx(surplus(first, second) + surplus(second, first), abs=1e-12)
    assert first.symmetric_difference(first).is_empty
    assert first.complement().symmetric_difference(second.complement()).length == pytest.approx(
        both.length, abs=1e-12
    )


def test_periodic_differences_wrap_around():
    first, second = Intervals((0.8,), (1.2,), 1.0), Intervals((0.0,), (0.4,), 1.0)
    assert first.symmetric_difference(second).length == pytest.approx(0.4, abs=1e-15)
    assert first.complement().length == pytest.approx(0.6, abs=1e-15)
    everything = Intervals((), (), 1.0).complement()
    assert everything.is_everything
    assert everything.complement().is_empty


def test_the_deployed_risk_agrees_with_simulation():
    answer = deploy(PAIR, 0.35, 0.9)
    rng = np.random.default_rng(11)
    points = rng.normal(1.0, 2.0, 3_000)
    noise = 0.9 * rng.standard_normal((3_000, 1_000))
    votes = threshold(PAIR, 0.35).contains(points[:, None] + noise).mean(axis=1) >= 0.5
    wrong = (votes != PAIR.contains(points)).mean()
    assert probability(PAIR, answer.smoothed) == pytest.approx(wrong, abs=4.5 * math.sqrt(0.25 / 3_000))


@pytest.mark.parametrize("period", [None, 3.2])
def test_the_certified_risk_agrees_with_a_sum_over_points(period):
    region = Intervals(PAIR.starts, PAIR.ends, period)
    x = np.linspace(-1.6, 1.6, 64_001) if period else np.linspace(-6.0, 6.0, 240_001)
    trained = threshold(region, 0.4)
    images = [0.0] if period is None else [period * k for k in range(-4, 5)]
    votes = sum(
        stats.norm.cdf((b + shift - x) / 0.3) - stats.norm.cdf((a + shift - x) / 0.3)
        for shift in images
        for a, b in zip(trained.starts, trained.ends, strict=True)
    )
    inside = region.contains(x)
    missed = np.where(inside, votes < stats.norm.cdf(1.0), votes > stats.norm.cdf(-1.0))
    found = deploy(region, 0.4, 0.3, radius=0.3)
    assert found.risk == pytest.approx(missed.mean() * (x[-1] - x[0]), abs=5e-4)
    assert found.smoothed == deploy(region, 0.4, 0.3).smoothed


def test_on_the_line_noise_in_training_certifies_no_more_of_one_interval():
    one = Intervals((-3.0,), (3.0,))
    risks = [deploy(one, alpha, 1.0, radius=0.5).risk for alpha in (0.0, 0.5, 1.0, 2.0, 4.2)]
    assert risks[0] == pytest.approx(2.0, abs=1e-5)  # a strip of twice the radius at each end
    assert np.all(np.diff(risks) >= -1e-12)
    assert risks[-1] > risks[0] + 0.01


# Bad input


@pytest.mark.parametrize(
    ("starts", "ends", "period", "message"),
    [
        ((0.0, 0.5), (1.0, 2.0), None, r"\[0.0, 1.0\] before \[0.5, 2.0\]"),
        ((3.0, 0.0), (4.0, 1.0), None, "in order"),
        ((0.0,), (0.0,), None, "must end after it starts"),
        ((0.0,), (math.nan,), None, "must end after it starts"),
        ((0.0, 1.0), (0.5,), None, "a start and an end, got 2 and 1"),
        ((0.0, 0.6), (0.5, 1.1), 1.0, "one period of 1.0"),
        ((0.0,), (math.inf,), 1.0, "finite ends"),
        ((0.0,), (0.5,), -1.0, "period must be a positive"),
        ((), (), 0.0, "period must be a positive"),
    ],
)
def test_intervals_that_are_none_are_refused_by_name(starts, ends, period, message):
    with pytest.raises(SettingError, match=message):
        Intervals(starts, ends, period)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: deploy(PAIR, -0.1, 1.0), "alpha must be a finite number of at least 0, got -0.1"),
        (lambda: deploy(PAIR, 0.1, math.nan), "beta must be"),
        (
            lambda: deploy(PAIR, 0.1, 1.0, radius=-1.0),
            "radius must be a finite number of at least 0, got -1.0",
        ),
        (lambda: deploy(PAIR, 0.1, 0.1, radius=1.0), "radius must be at most 8 beta = 0.8 to be certified"),
        (lambda: threshold(PAIR, 1.0, 1.0), "level must lie strictly between 0 and 1, got 1.0"),
        (lambda: smooth_probability(PAIR, np.zeros(1), -1.0), "sigma must be"),
        (lambda: PAIR.symmetric_difference(Intervals((), (), 1.0)), "one period"),
    ],
)
def test_settings_that_make_no_sense_are_refused(call, message):
    with pytest.raises(SettingError, match=message):
        call()
