"""Bounds on what several balls add up to, against the sums themselves."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sfumato.errors import SettingError
from sfumato.theory.spillover import neighbour_bound, pair_spills, separation_needed


def one_ball(dim, distances, radius, sigma):
    return stats.ncx2.cdf((radius / sigma) ** 2, dim, (np.asarray(distances) / sigma) ** 2)


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("gap", [0.0, 0.5, 3.0])
@pytest.mark.parametrize("sigma", [0.3, 1.0, 4.0])
def test_the_neighbour_bound_is_above_the_sum_over_a_cubic_lattice(dim, gap, sigma):
    step = 2 + gap
    reach = {1: 200, 2: 40, 3: 14}[dim]
    centres = np.array(list(itertools.product(range(-reach, reach + 1), repeat=dim))) * step
    # from the middle of an edge, where the two nearest balls are equally far
    point = np.zeros(dim)
    point[0] = step / 2
    values = np.sort(one_ball(dim, np.linalg.norm(centres - point, axis=1), 1.0, sigma))
    assert neighbour_bound(dim, 1.0, gap, sigma) >= values[:-1].sum()


@pytest.mark.parametrize("dim", [2, 10, 784])
def test_the_bound_for_few_balls_is_that_all_of_them_are_at_half_the_separation(dim):
    radius, gap, sigma = 1.0, 0.4, 1.3 / math.sqrt(dim)
    expected = 3 * one_ball(dim, 1.2, radius, sigma)
    assert neighbour_bound(dim, radius, gap, sigma, number=4) == pytest.approx(expected, rel=1e-6)


def test_the_bound_grows_with_the_number_and_falls_with_the_gap():
    few, many, all_of_them = (neighbour_bound(3, 1.0, 1.0, 0.7, n) for n in (4, 50, math.inf))
    assert few < many <= all_of_them * 1.001  # their shells differ
    assert neighbour_bound(3, 1.0, 1.2, 0.7) < all_of_them
    assert neighbour_bound(3, 1.0, 1.0, 0.7, number=1) == 0.0


def test_the_bound_of_the_line_is_nearly_reached_by_intervals_in_a_row():
    sigma, step = 0.8, 3.0
    right = one_ball(1, 1.5 + step * np.arange(0, 50), 1.0, sigma).sum()
    left = one_ball(1, 1.5 + step * np.arange(1, 50), 1.0, sigma).sum()
    assert 1.0 < neighbour_bound(1, 1.0, 1.0, sigma) / (left + right) < 1.5


@given(
    dim=st.sampled_from([1, 2, 3, 10]),
    gap=st.floats(0.0, 3.0),
    sigma=st.floats(0.15, 4.0),
    place=st.floats(0.0, 1.0),
    aside=st.floats(0.0, 1.0),
)
@settings(max_examples=60, deadline=None)
def test_two_balls_that_are_said_to_stay_apart_reach_one_half_nowhere_outside(dim, gap, sigma, place, aside):
    if pair_spills(dim, 1.0, gap, sigma):
        return
    along, across = 1.0 + gap * place, aside if dim > 1 else 0.0
    first, second = math.hypot(along, across), math.hypot(2 + gap - along, across)
    if min(first, second) >= 1.0:
        assert one_ball(dim, [first, second], 1.0, sigma).sum() < 0.5 + 1e-9


@pytest.mark.parametrize(("gap", "sigma"), [(0.5, 0.57), (0.2, 0.6), (0.0, 0.9)])
def test_two_discs_that_spill_over_reach_one_half_between_them(gap, sigma):
    assert pair_spills(2, 1.0, gap, sigma)
    along = 1.0 + np.linspace(0, gap, 2001)
    both = one_ball(2, along, 1.0, sigma) + one_ball(2, 2 + gap - along, 1.0, sigma)
    assert both.max() >= 0.5


@given(number=st.integers(2, 10_000), sigma=st.floats(0.1, 5.0), diameter=st.floats(0.5, 4.0))
@settings(max_examples=60, deadline=None)
def test_pieces_at_the_needed_separation_add_less_than_the_nearest_leaves(number, sigma, diameter):
    gap = separation_needed(diameter, number, sigma)
    others = math.log(number - 1) + stats.norm.logcdf(-gap / (2 * sigma))
    assert others <= stats.norm.logcdf(-diameter / sigma) + 1e-12


def test_impossible_balls_are_refused():
    with pytest.raises(SettingError, match="gap must be a finite number of at least 0, got -1"):
        neighbour_bound(2, 1.0, -1.0, 1.0)
    with pytest.raises(SettingError, match="sigma must be a positive finite number, got 0"):
        pair_spills(2, 1.0, 1.0, 0.0)
    with pytest.raises(SettingError, match="number must be a whole number of at least 2, got 1"):
        separation_needed(2.0, 1, 1.0)
