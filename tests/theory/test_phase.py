import math
import time

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from sfumato.errors import SettingError
from sfumato.theory.intervals import Intervals, deploy, threshold
from sfumato.theory.phase import phase_diagram

quick = settings(max_examples=40, deadline=None, derandomize=True)


def row(count, gap):
    """``count`` intervals of width 1 with equal gaps."""
    starts = (1 + gap) * np.arange(count)
    return Intervals(tuple(starts), tuple(starts + 1))


def symmetric_pair_by_hand(gap, sigma):
    """Delta/|A| of smoothing two unit intervals, by mpmath roots of the probability itself."""
    inner, outer = mp.mpf(gap) / 2, 1 + mp.mpf(gap) / 2
    return smoothed_edges_by_hand([(-outer, -inner), (inner, outer)], sigma)


def smoothed_edges_by_hand(pieces, sigma):
    """Roots on x > 0 of u = 1/2 for a symmetric region, from a dense scan refined by bisection."""

    def u(x):
        return mp.fsum(mp.ncdf((b - x) / sigma) - mp.ncdf((a - x) / sigma) for a, b in pieces)

    scan = [mp.mpf(k) / 200 for k in range(401)]
    values = [u(x) - 0.5 for x in scan]
    return [
        mp.findroot(lambda x: u(x) - 0.5, (a, b), solver="anderson")
        for a, b, f, g in zip(scan, scan[1:], values, values[1:], strict=False)
        if f * g < 0
    ], values[0] >= 0


def vanishing_sigma(region):
    """The noise at which the thresholded region becomes empty, by bisection."""
    low, high = 0.01, 10.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if threshold(region, middle).is_empty else (middle, high)
    return low


def arc(share, sigma):
    """The share of the circle that noise leaves of an arc."""
    return threshold(Intervals((0.0,), (share,), 1.0), sigma).length


# Periodic


def test_a_periodic_arc_has_the_exact_width_and_vanishes_at_the_exact_noise():
    assert arc(0.3, 0.15) == pytest.approx(0.2799821641636732, rel=1e-14)
    critical = 0.3581403625617034
    assert arc(0.45, critical * (1 - 1e-9)) > 0
    assert arc(0.45, critical * (1 + 1e-9)) == 0


@quick
@given(st.floats(0.01, 0.99), st.floats(0.01, 2.0))
def test_arcs_narrower_than_their_gaps_shrink_wider_ones_grow_and_both_mirror(share, noise):
    width, mirrored = arc(share, noise), arc(1 - share, noise)
    assert width + mirrored == pytest.approx(1.0, abs=1e-7)
    assert (width - share) * (share - 0.5) >= -1e-12


@quick
@given(st.floats(0.05, 5.0), st.floats(0.0, 3.0), st.floats(0.01, 3.0))
def test_a_periodic_row_never_benefits(gap, alpha, beta):
    assert deploy(Intervals((0.0,), (1.0,), period=1.0 + gap), alpha, beta).benefit < 1e-7


# Two intervals


def test_the_diagram_holds_the_exact_risks_of_two_intervals():
    diagram = phase_diagram([0.5], [0.38], [1.36])
    assert 2 * diagram.risk[0, 0, 0] == pytest.approx(0.7961715303996173, rel=1e-13)
    assert 2 * diagram.plain_risk[0, 0] == pytest.approx(2.0, rel=1e-15)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_the_diagram_agrees_with_one_region_at_a_time(count):
    gaps, alphas, betas = [0.15, 0.6, 1.3], [0.0, 0.2, 0.9], [0.0, 0.4, 1.1, 1.7]
    diagram = phase_diagram(gaps, alphas, betas, count=count)
    for i, gap in enumerate(gaps):
        for j, alpha in enumerate(alphas):
            for k, beta in enumerate(betas):
                answer = deploy(row(count, gap), alpha, beta)
                assert count * diagram.risk[i, j, k] == pytest.approx(answer.risk, abs=1e-12)
                assert count * diagram.plain_risk[i, k] == pytest.approx(answer.plain_risk, abs=1e-12)


def test_the_risk_of_a_pair_agrees_with_roots_found_by_hand():
    """At beta 1.32 smoothing alone keeps little but the gap; after alpha .372 most of the pair stays."""
    roots, filled = symmetric_pair_by_hand(0.5, 1.32)
    assert filled
    assert len(roots) == 1
    plain = 0.25 + 1.25 - roots[0]
    (outer,), filled = symmetric_pair_by_hand(0.5, 0.372)
    assert filled
    (deployed,), filled = smoothed_edges_by_hand([(-outer, outer)], 1.32)
    risk = 0.25 + 1.25 - deployed
    diagram = phase_diagram([0.5], [0.372], [1.32])
    assert diagram.plain_risk[0, 0] == pytest.approx(float(plain), rel=1e-13)
    assert diagram.risk[0, 0, 0] == pytest.approx(float(risk), rel=1e-13)
    assert diagram.benefit[0, 0, 0] == pytest.approx(float(plain - risk), rel=1e-13)


@pytest.mark.parametrize(
    ("gap", "at_least"),
    [(0.1, 0.44), (0.3, 0.62), (0.5, 0.80), (0.6, 0.88), (0.7, 0.84), (0.8, 0.82), (0.9, 0.51)],
)
def test_the_largest_benefit_of_a_pair_falls_to_nothing_as_the_gap_reaches_the_width(gap, at_least):
    """``at_least``: what a coarse independent search found, a lower bound of the maximum."""
    critical = vanishing_sigma(row(2, gap))
    near = np.concatenate([1 - np.geomspace(1e-4, 0.1, 25), [1.0001, 1.001]])
    diagram = phase_diagram([gap], np.linspace(0.02, 0.9, 111), critical * near)
    assert at_least - 0.005 <= diagram.best_benefit.max() < 0.9


def test_at_gap_95_the_benefit_lives_in_a_hair_of_beta_and_at_gap_1_nowhere():
    alphas = np.linspace(0.02, 1.2, 119)
    critical = vanishing_sigma(row(2, 0.95))
    near = phase_diagram([0.95], alphas, [critical * (1 + 1e-6)])
    assert near.best_benefit[0, 0] == pytest.approx(0.106, abs=1e-3)
    betas = np.linspace(0.02, 2.0, 100)
    assert phase_diagram([1.0, 1.2], alphas[::10], betas).best_benefit.max() < 1e-12


@quick
@given(st.floats(1.0, 3.0), st.floats(0.0, 3.0), st.floats(0.01, 3.0), st.integers(1, 4))
def test_gaps_of_at_least_the_width_never_benefit(gap, alpha, beta, count):
    assert phase_diagram([gap], [alpha], [beta], count=count).benefit.max() < 1e-9


def test_the_window_of_benefit_and_the_best_alpha_are_those_of_the_grid():
    alphas, betas = np.linspace(0.01, 1.3, 130), np.linspace(0.3, 1.7, 71)
    diagram = phase_diagram([0.5, 1.1], alphas, betas)
    low, high = diagram.benefit_window[0]
    assert low == pytest.approx(0.38, abs=0.021)
    assert high == pytest.approx(1.7)
    assert np.isnan(diagram.benefit_window[1]).all()
    assert not diagram.best_alpha[1].any()
    k = int(np.argmin(np.abs(betas - 1.30)))
    assert diagram.best_alpha[0, k] == pytest.approx(0.393, abs=0.03)
    ratio = diagram.best_alpha[0] / betas
    assert (ratio[diagram.best_benefit[0] > 1e-9] < 1).all()


@pytest.mark.parametrize("level", [0.2, 0.5, 0.9])
def test_an_interval_alone_vanishes_where_its_centre_reaches_the_level(level):
    critical = 0.5 / stats.norm.ppf((1 + level) / 2)
    assert not threshold(Intervals((0.0,), (1.0,)), critical * (1 - 1e-12), level).is_empty
    assert threshold(Intervals((0.0,), (1.0,)), critical * (1 + 1e-12), level).is_empty


def test_a_pair_vanishes_where_the_maximum_of_its_probability_falls_to_a_half():
    def peak(sigma):
        values = [
            stats.norm.cdf((1.25 - x) / sigma)
            - stats.norm.cdf((0.25 - x) / sigma)
            + stats.norm.cdf((-0.25 - x) / sigma)
            - stats.norm.cdf((-1.25 - x) / sigma)
            for x in np.linspace(0, 1.25, 41)
        ]
        return max(values) - 0.5

    expected = optimize.brentq(peak, 0.5, 3.0, xtol=1e-14)  # its maximum is at 0, a point of the scan
    assert vanishing_sigma(row(2, 0.5)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.slow
def test_a_diagram_of_60_by_60_by_60_takes_seconds():
    start = time.perf_counter()
    diagram = phase_diagram(
        np.linspace(0.02, 1.2, 60), np.linspace(0.02, 1.2, 60), np.linspace(0.03, 1.8, 60)
    )
    assert time.perf_counter() - start < 60
    assert diagram.best_benefit[:, :].max() == pytest.approx(0.887, abs=0.01)
    assert diagram.best_benefit[diagram.gaps >= 1].max() < 1e-12


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: phase_diagram([0.0], [1.0], [1.0]), "gaps must be a positive finite number, got 0.0"),
        (
            lambda: phase_diagram([0.5], [-1.0], [1.0]),
            "alphas must be a finite number of at least 0, got -1.0",
        ),
        (lambda: phase_diagram([0.5], [1.0], [math.nan]), "betas must be"),
        (lambda: phase_diagram([0.5], [1.0], []), "betas must be a list of numbers"),
        (lambda: phase_diagram([0.5], [1.0], [1.0], count=0), "count must be a whole number"),
    ],
)
def test_settings_that_make_no_sense_are_refused(call, message):
    with pytest.raises(SettingError, match=message):
        call()
