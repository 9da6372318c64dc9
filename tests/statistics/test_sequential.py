"""Look schedules and the outcomes of group-sequential tests."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfumato.errors import SettingError
from sfumato.statistics.planner import bayes_boundaries
from sfumato.statistics.sequential import (
    RIVALS,
    Boundaries,
    free_selection_floor,
    leaves_rivals_little,
    look_schedule,
)
from sfumato.statistics.walk import crossing_probability


@given(st.integers(1, 300), st.integers(1, 200_000))
def test_looks_are_multiples_of_the_chunk_that_end_at_the_cap(chunk, more):
    n_max = chunk + more
    looks = look_schedule(n_max, chunk)
    assert looks[0] == chunk
    assert looks[-1] == n_max
    assert all(n % chunk == 0 for n in looks[:-1])
    assert all(low < high for low, high in itertools.pairwise(looks))


def test_certifying_is_less_likely_for_every_smaller_p():
    looks = look_schedule(5000, 32)
    certify = tuple(n * 7 // 10 + 40 for n in looks)
    values = [crossing_probability(looks, certify, 1 - q, q) for q in (0.5, 0.4, 0.31, 0.3)]
    assert 0.0 < values[0] < values[1] < values[2] < values[3]


@given(st.floats(1e-6, 0.999), st.integers(1, 10**6))
def test_the_free_selection_floor_meets_the_condition_of_the_lemma(q0, n):
    (floor,) = free_selection_floor((n,), q0)
    assert floor >= n * (1 - q0) + q0 - 1e-6
    assert floor <= n * (1 - q0) + q0 + 1 + 1e-6


def test_where_rivals_are_left_little_the_error_is_convex_and_two_classes_stay_within_the_level():
    q0, error = 0.48, 0.001
    test = bayes_boundaries(q0, error * (1 - RIVALS), look_schedule(2000, 32), cost=5e5)
    assert leaves_rivals_little(test)
    p = np.linspace(0.0, 1.0 - q0, 105)[1:]
    found = np.array([crossing_probability(test.looks, test.certify, x, 1 - x) for x in p])
    # each look counts 2e-18 that are left out as crossing
    assert (found[2:] + found[:-2] >= 2 * found[1:-1] - 1e-15).all()
    of_rivals = np.array([crossing_probability(test.looks, test.certify, 1 - x, x) for x in p[p >= 0.5]])
    assert (found[p >= 0.5] + of_rivals).max() <= error


@pytest.mark.parametrize(
    ("q0", "certify", "level"),
    [
        (0.5, (10, 19, 28), 0.001),  # the rival is as likely as the leader
        (0.499, (10, 19, 28), 0.001),  # nearly so
        (0.3, (8, 15, 22), 0.5),  # less than a standard deviation above n p0
    ],
)
def test_rivals_are_not_left_little_where_they_are_likely_or_the_boundaries_low(q0, certify, level):
    assert not leaves_rivals_little(Boundaries((10, 20, 30), certify, (-1, -1, -1), q0, level, level))


@pytest.mark.parametrize(
    ("n_max", "chunk", "message"),
    [(10, 32, "first look of 32"), (0, 1, "n_max"), (10, 0, "chunk"), (10**8, 1, "at most 10000000")],
)
def test_impossible_schedules_are_refused(n_max, chunk, message):
    with pytest.raises(SettingError, match=message):
        look_schedule(n_max, chunk)
