import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfumato.errors import SettingError
from sfumato.theory.intervals import Intervals, deploy, threshold
from sfumato.theory.phase import phase_diagram

quick = settings(max_examples=40, deadline=None, derandomize=True)


def row(count, gap):
    """``count`` intervals of width 1 with equal gaps."""
    starts = (1 + gap) * np.arange(count)
    return Intervals(tuple(starts), tuple(starts + 1))


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
