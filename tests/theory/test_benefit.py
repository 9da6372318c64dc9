"""Proved benefits against the exact engine of the line, closed forms and limits."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sfumato.errors import SettingError
from sfumato.theory.benefit import homogenised_ball, interval_benefit
from sfumato.theory.intervals import Intervals, deploy


def test_the_worked_example_saves_what_it_should():
    # Delta(0, beta) = 2 and Delta(alpha, beta) = 0.7961715303996173 to 16 digits
    assert interval_benefit(1.0, 0.5, 0.38, 1.36) == pytest.approx(2.0 - 0.7961715303996173, rel=1e-11)


@given(gap=st.floats(0.05, 1.5), alpha=st.floats(0.05, 1.5), beta=st.floats(0.5, 3.0))
@settings(max_examples=80, deadline=None)
def test_a_proved_benefit_is_the_exact_one(gap, alpha, beta):
    gain = interval_benefit(1.0, gap, alpha, beta)
    if gain is None:
        return
    pair = Intervals((-gap / 2 - 1, gap / 2), (-gap / 2, gap / 2 + 1))
    assert gap < 1.0
    assert gain == pytest.approx(deploy(pair, alpha, beta).benefit, rel=1e-8)


@pytest.mark.parametrize("density", [0.2, 0.5])
def test_a_body_at_most_half_full_is_lost_to_any_noise(density):
    answer = homogenised_ball(3, 1.0, density, alpha=0.2, beta=0.1)
    assert answer.risk == answer.plain_risk == 1.0


def test_filling_the_pores_helps_most_with_the_least_noise():
    benefits = [homogenised_ball(2, 1.0, 0.8, alpha, 0.5).benefit for alpha in (0.0, 0.1, 0.3, 0.6)]
    assert benefits == sorted(benefits, reverse=True)
    assert benefits[0] > 0.2


@pytest.mark.parametrize(("alpha", "beta"), [(0.3, 1.0), (1.0, 0.3), (0.7, 0.7)])
def test_flat_boundaries_benefit_exactly_if_alpha_is_below_beta(alpha, beta):
    # per unit of surface the risk changes by -(2 delta - 1) (beta - alpha) z with z = Phi^-1(1 / (2 delta))
    density, radius = 0.8, 1e5
    z = stats.norm.ppf(1 / (2 * density))
    expected = (2 * density - 1) / density * (beta - alpha) * z * 3 / radius
    assert homogenised_ball(3, radius, density, alpha, beta).benefit == pytest.approx(
        expected, rel=1e-3, abs=1e-9
    )


def test_fine_slabs_within_an_interval_tend_to_the_homogenised_interval():
    pieces, density, alpha, beta = 200, 0.75, 0.1, 0.6
    starts = np.linspace(-1.0, 1.0, pieces, endpoint=False)
    slabs = Intervals(tuple(starts), tuple(starts + 2.0 * density / pieces))
    exact = deploy(slabs, alpha, beta)
    limit = homogenised_ball(1, 1.0, density, alpha, beta)
    assert exact.risk / slabs.length == pytest.approx(limit.risk, abs=5e-3)
    assert exact.plain_risk / slabs.length == pytest.approx(limit.plain_risk, abs=5e-3)
    assert math.isclose(limit.trained.radius, exact.trained.ends[-1], abs_tol=5e-3)


def test_impossible_settings_are_refused():
    with pytest.raises(SettingError, match="gap must be a positive finite number, got 0"):
        interval_benefit(1.0, 0.0, 0.1, 0.1)
    with pytest.raises(SettingError, match="density must lie strictly between 0 and 1, got 1"):
        homogenised_ball(2, 1.0, 1.0, 0.1, 0.1)
