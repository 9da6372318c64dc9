"""Verdicts against exact risks, sums over balls and Monte Carlo: a proof is never contradicted."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sfumato.errors import SettingError
from sfumato.theory.balls import Ball
from sfumato.theory.interference import no_benefit, stays_within
from sfumato.theory.intervals import Intervals, deploy, threshold
from sfumato.theory.packing import BallUnion

lengths = st.floats(0.05, 2.0)
noises = st.floats(0.02, 3.0)


def union(lengths_in_turn, period=None):
    """Return intervals and gaps of the given lengths in turn, from 0 on."""
    edges = np.concatenate([[0.0], np.cumsum(lengths_in_turn)])
    starts, ends = edges[:-1:2], edges[1::2]
    return Intervals(tuple(starts), tuple(ends), period)


def balls(centres, radius=1.0, side=1000.0, periodic=False):
    return BallUnion(np.asarray(centres, dtype=float) + side / 2, radius, side, periodic)


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
    assert no_benefit(BallUnion(np.full((1, 3), 9.0), radius, 20.0, periodic=False), alpha, beta).holds


def test_without_noise_in_one_step_there_is_nothing_to_gain():
    near = Intervals((-1.25, 0.25), (-0.25, 1.25))
    assert no_benefit(near, 0.0, 1.0).holds
    assert no_benefit(near, 1.0, 0.0).holds


def test_balls_thirty_two_radii_apart_are_settled_for_every_noise_and_number():
    grid = np.stack(np.meshgrid([0.0, 34.0, 68.0], [0.0, 34.0, 68.0]), axis=-1).reshape(-1, 2)
    torus = BallUnion(grid, 1.0, 102.0, periodic=True)
    verdict = no_benefit(torus, 50.0, 3.0)
    assert verdict.holds
    assert verdict.theorem == "equal balls 32 radii apart"
    assert verdict.margin == pytest.approx(0.0, abs=1e-9)


def test_convex_pieces_far_apart_for_their_number_are_settled_by_their_separation():
    line = balls([[0.0, 0.0], [12.0, 0.0], [24.0, 0.0]])
    verdict = stays_within(line, 1.0)
    needed = 2 * math.sqrt(2.0**2 + 2 * math.log(2))
    assert verdict.holds
    assert verdict.theorem == "convex pieces far apart for their number"
    assert verdict.margin == pytest.approx(10.0 - needed)


@pytest.mark.parametrize(("gap", "holds"), [(0.50, None), (0.56, True)])
def test_two_discs_are_settled_from_their_pair_threshold_on(gap, holds):
    pair = balls([[0.0, 0.0], [2.0 + gap, 0.0]])
    assert no_benefit(pair, 0.57, 0.57).holds is holds


@pytest.mark.parametrize(("periodic", "gap"), [(True, 3.2), (False, 3.0)])
@pytest.mark.parametrize("sigma", [0.5, 1.0, 3.0])
def test_a_proof_for_many_discs_is_never_contradicted_by_their_sum(periodic, gap, sigma):
    rng = np.random.default_rng(5)
    step, count = 2.0 + gap, 8
    grid = np.stack(np.meshgrid(np.arange(count), np.arange(count)), axis=-1).reshape(-1, 2) * step
    region = BallUnion(grid, 1.0, count * step, periodic)
    verdict = stays_within(region, sigma)
    assert verdict.holds, verdict
    points = rng.uniform(0, region.side, (4000, 2))
    away = points[:, None] - grid
    if periodic:
        away -= region.side * np.round(away / region.side)
    away = np.linalg.norm(away, axis=2)
    outside = away.min(axis=1) > 1.0
    total = stats.ncx2.cdf(1 / sigma**2, 2, (away[outside] / sigma) ** 2).sum(axis=1)
    assert total.max() < 0.5


def test_near_discs_on_a_torus_are_left_undecided():
    torus = BallUnion(np.array([[1.0, 1.0], [3.2, 1.0]]), 1.0, 10.0, periodic=True)
    verdict = no_benefit(torus, 0.5, 0.8)
    assert verdict.holds is None
    assert verdict.margin < 0


def test_on_a_torus_a_balls_own_images_count():
    alone = BallUnion(np.array([[1.0, 1.0]]), 1.0, 2.1, periodic=True)
    assert no_benefit(alone, 0.3, 0.5).holds is None


@pytest.mark.slow
def test_two_discs_proved_not_to_benefit_lose_more_by_monte_carlo():
    rng = np.random.default_rng(11)
    pair = np.array([[0.0, 0.0], [2.7, 0.0]])
    alpha, beta = 0.4, 0.5
    assert no_benefit(balls(pair), alpha, beta).holds
    points = rng.uniform((-1, -1), (3.7, 1), (2000, 2))
    inside = np.linalg.norm(points[:, None] - pair, axis=2).min(axis=1) <= 1
    noisy = points[:, None] + beta * rng.standard_normal((2000, 4000, 2))
    near = np.linalg.norm(noisy[:, :, None] - pair, axis=3)
    plain = (near.min(axis=2) <= 1).mean(axis=1) >= 0.5
    trained = stats.ncx2.cdf(1 / alpha**2, 2, (near / alpha) ** 2).sum(axis=2) >= 0.5
    augmented = trained.mean(axis=1) >= 0.5
    assert np.mean(augmented != inside) >= np.mean(plain != inside)


def test_another_kind_of_region_is_refused():
    with pytest.raises(SettingError, match="region must be a Ball, Intervals or a BallUnion, got str"):
        no_benefit("ball", 0.1, 0.1)
    with pytest.raises(SettingError, match="alpha must be a finite number of at least 0, got -1"):
        no_benefit(Ball(2, 1.0), -1.0, 0.1)
