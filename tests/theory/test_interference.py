"""Verdicts against exact risks, sums over balls and Monte Carlo: a proof is never contradicted."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfumato.errors import SettingError
from sfumato.theory.balls import Ball, ball_radius
from sfumato.theory.interference import no_benefit, stays_within
from sfumato.theory.intervals import Intervals, deploy, threshold

lengths = st.floats(0.05, 2.0)
noises = st.floats(0.02, 3.0)


def union(lengths_in_turn, period=None):
    """Return intervals and gaps of the given lengths in turn, from 0 on."""
    edges = np.concatenate([[0.0], np.cumsum(lengths_in_turn)])
    starts, ends = edges[:-1:2], edges[1::2]
    return Intervals(tuple(starts), tuple(ends), period)


@given(
    pieces=st.lists(lengths, min_size=3, max_size=9).filter(lambda p: len(p) % 2), alpha=noises, beta=noises
)
@settings(max_examples=100, deadline=None)
def test_a_verdict_on_intervals_is_never_contradicted_by_the_exact_risk(pieces, alpha, beta):
    region = union(pieces)
    verdict = no_benefit(region, alpha, beta)
    benefit = deploy(region, alpha, beta).benefit
    if verdict.holds:
        assert benefit <= 1e-11
    if verdict.holds is False:
        assert benefit > 0.0


@given(
    pieces=st.lists(lengths, min_size=2, max_size=8).filter(lambda p: len(p) % 2 == 0),
    alpha=noises,
    beta=noises,
)
@settings(max_examples=80, deadline=None)
def test_a_verdict_on_periodic_intervals_is_never_contradicted_by_the_exact_risk(pieces, alpha, beta):
    region = union(pieces[:-1], period=sum(pieces))
    if no_benefit(region, alpha, beta).holds:
        assert deploy(region, alpha, beta).benefit <= 1e-11


@given(
    width=st.floats(0.2, 0.99),
    gaps=st.lists(st.floats(1.0, 3.0), min_size=1, max_size=4),
    alpha=noises,
    beta=noises,
)
@settings(max_examples=60, deadline=None)
def test_gaps_at_least_as_wide_as_the_intervals_rule_out_a_benefit(width, gaps, alpha, beta):
    pieces = [width] + [part for gap in gaps for part in (gap, width)]
    region = union(pieces)
    verdict = no_benefit(region, alpha, beta)
    assert verdict.holds
    assert verdict.theorem == "intervals no wider than the gaps between them"
    assert verdict.margin == pytest.approx(min(gaps) - width)
    assert deploy(region, alpha, beta).benefit <= 1e-11
    # and the other way round, on the complement
    assert no_benefit(region.complement(), alpha, beta).holds


def test_widths_and_gaps_that_differ_by_rounding_alone_are_equal():
    region = Intervals((0.1, 0.3, 0.5), (0.2, 0.4, 0.6))
    assert 0.2 - 0.1 > 0.5 - 0.4
    assert no_benefit(region, 0.1, 0.2).holds


@pytest.mark.parametrize("width", [0.3, 0.5, 0.8])
def test_periodic_slabs_never_benefit_whatever_their_width(width):
    verdict = no_benefit(Intervals((0.0,), (width,), period=1.0), 0.2, 0.4)
    assert verdict.holds
    assert verdict.theorem.startswith("for the complement: ") == (width > 0.5)


def test_two_near_intervals_are_proved_to_benefit_and_others_left_undecided():
    near = Intervals((-1.25, 0.25), (-0.25, 1.25))
    helped = no_benefit(near, 0.38, 1.36)
    assert helped.holds is False
    assert helped.margin == pytest.approx(2.0 - 0.7961715303996173, rel=1e-10)
    unequal = Intervals((-1.25, 0.25), (-0.25, 1.35))
    assert no_benefit(unequal, 0.38, 1.36).holds is None
    assert no_benefit(unequal, 0.38, 1.36).statement == "not decided by these theorems"


def test_small_noises_that_only_erode_rule_out_a_benefit_although_the_gap_is_narrow():
    near = Intervals((-1.25, 0.25), (-0.25, 1.25))
    assert no_benefit(near, 1.7, 2.5).holds  # both empty it
    edges = stays_within(near, 0.38)
    assert edges.holds is False
    assert edges.margin == pytest.approx(-1.5 + 0.5, abs=0.05) or edges.margin < 0


def test_an_edge_that_moves_less_than_rounding_is_not_called_a_proof():
    nearly = Intervals((0.0, 1.999), (1.0, 2.999))  # the gap is 0.999 of the width: it dilates, invisibly
    assert stays_within(nearly, 0.05).holds is None
    assert no_benefit(nearly, 0.05, 0.05).holds is None


@given(pieces=st.lists(lengths, min_size=3, max_size=7).filter(lambda p: len(p) % 2), sigma=noises)
@settings(max_examples=80, deadline=None)
def test_the_inclusion_verdict_is_that_of_the_exact_edges(pieces, sigma):
    region = union(pieces)
    holds = stays_within(region, sigma).holds
    noisy = threshold(region, sigma)
    points = np.linspace(-1.0, sum(pieces) + 1.0, 4001)
    outside = noisy.contains(points) & ~region.contains(points)
    if holds:
        assert not outside.any()
    if holds is False:
        larger = Intervals(region.starts, region.ends).symmetric_difference(noisy)
        assert larger.length > 0


@given(dim=st.integers(1, 1000), radius=st.floats(0.1, 10), alpha=st.floats(0, 9), beta=st.floats(0, 9))
@settings(max_examples=20, deadline=None)
def test_an_isolated_ball_never_benefits(dim, radius, alpha, beta):
    assert no_benefit(Ball(dim, radius), alpha, beta).holds


def test_without_noise_in_one_step_there_is_nothing_to_gain():
    near = Intervals((-1.25, 0.25), (-0.25, 1.25))
    assert no_benefit(near, 0.0, 1.0).holds
    assert no_benefit(near, 1.0, 0.0).holds


@given(gap=st.floats(0.05, 1.5), alpha=st.floats(0.05, 1.5), beta=st.floats(0.5, 3.0))
@settings(max_examples=80, deadline=None)
def test_a_proved_benefit_is_the_exact_one(gap, alpha, beta):
    pair = Intervals((-gap / 2 - 1, gap / 2), (-gap / 2, gap / 2 + 1))
    verdict = no_benefit(pair, alpha, beta)
    if verdict.holds is False:
        assert gap < 1.0
        assert verdict.margin == pytest.approx(deploy(pair, alpha, beta).benefit, rel=1e-8)


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


def test_another_kind_of_region_is_refused():
    with pytest.raises(SettingError, match="region must be a Ball or Intervals, got str"):
        no_benefit("ball", 0.1, 0.1)
    with pytest.raises(SettingError, match="alpha must be a finite number of at least 0, got -1"):
        no_benefit(Ball(2, 1.0), -1.0, 0.1)
