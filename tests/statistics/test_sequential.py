"""Look schedules and exact group-sequential boundaries."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from sfumato.errors import SettingError
from sfumato.statistics.sequential import (
    free_selection_floor,
    look_schedule,
    spending_boundaries,
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


@pytest.mark.parametrize("z0", [0.0, 0.5, 1.0, 2.0, 3.0])
@pytest.mark.parametrize("chunk", [32, 128])
def test_spending_boundaries_use_the_level_to_within_one_percent(z0, chunk):
    q0 = float(special.ndtr(-z0))
    test = spending_boundaries(q0, 1e-3, look_schedule(100_000, chunk))
    assert 0.99e-3 <= test.crossing <= 1e-3


def test_spending_boundaries_are_the_smallest_their_spending_allows():
    looks = (16, 32, 64)
    test = spending_boundaries(0.3, 0.01, looks)
    for j in range(len(looks)):
        lower = list(test.certify[: j + 1])
        lower[j] -= 1
        spent = 0.01 * np.log1p(looks[j] / looks[0]) / np.log1p(looks[-1] / looks[0])
        assert crossing_probability(looks[: j + 1], lower, 0.7, 0.3) > spent


def test_the_crossing_probability_is_below_the_level_for_every_smaller_p():
    test = spending_boundaries(0.3, 0.001, look_schedule(5000, 32))
    values = [test.outcome(q).certified for q in (0.5, 0.4, 0.31, 0.3)]
    assert values == sorted(values)
    assert values[-1] <= test.crossing <= 0.001


@given(st.floats(1e-6, 0.999), st.integers(1, 10**6))
def test_the_free_selection_floor_meets_the_condition_of_the_lemma(q0, n):
    (floor,) = free_selection_floor((n,), q0)
    assert floor >= n * (1 - q0) + q0 - 1e-6
    assert floor <= n * (1 - q0) + q0 + 1 + 1e-6


@pytest.mark.parametrize(
    ("n_max", "chunk", "message"),
    [(10, 32, "first look of 32"), (0, 1, "n_max"), (10, 0, "chunk"), (10**8, 1, "at most 10000000")],
)
def test_impossible_schedules_are_refused(n_max, chunk, message):
    with pytest.raises(SettingError, match=message):
        look_schedule(n_max, chunk)
