"""Proved benefits against the exact engine of the line, and a limit of many pieces."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfumato.errors import SettingError
from sfumato.theory.balls import ball_radius
from sfumato.theory.benefit import interval_benefit
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


def test_fine_slabs_within_an_interval_are_filled_first_and_smoothed_as_one():
    """In the limit a noise sees the share of the slabs, so that training acts at level 1 / (2 share)."""
    pieces, density, alpha, beta = 200, 0.75, 0.1, 0.6
    starts = np.linspace(-1.0, 1.0, pieces, endpoint=False)
    slabs = Intervals(tuple(starts), tuple(starts + 2.0 * density / pieces))
    exact = deploy(slabs, alpha, beta)
    level = 1.0 / (2.0 * density)
    filled = ball_radius(1, 1.0, alpha, level).radius
    left = np.array([ball_radius(1, filled, beta).radius, ball_radius(1, 1.0, beta, level).radius])
    limits = 1.0 - (2.0 * density - 1.0) / density * left
    assert np.array([exact.risk, exact.plain_risk]) / slabs.length == pytest.approx(limits, abs=5e-3)
    assert exact.trained.ends[-1] == pytest.approx(filled, abs=5e-3)


def test_impossible_settings_are_refused():
    with pytest.raises(SettingError, match="gap must be a positive finite number, got 0"):
        interval_benefit(1.0, 0.0, 0.1, 0.1)
