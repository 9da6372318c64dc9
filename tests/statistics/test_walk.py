"""Crossing probabilities against enumeration of all vote sequences and 50-digit arithmetic."""

from itertools import product

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from sfumato.statistics.walk import NEGLIGIBLE, binomial_step, crossing_probability


@settings(max_examples=40)
@given(st.data(), st.floats(0.02, 0.98))
def test_the_walk_agrees_with_all_vote_sequences(data, p):
    looks = data.draw(st.sampled_from([(1, 2, 5, 9), (4, 8, 10), (3,), (2, 10)]))
    certify = [data.draw(st.integers(0, n + 1)) for n in looks]
    expected = sum(
        p ** sum(votes) * (1 - p) ** (looks[-1] - sum(votes))
        for votes in product((0, 1), repeat=looks[-1])
        if any(sum(votes[:n]) >= boundary for n, boundary in zip(looks, certify, strict=True))
    )
    assert crossing_probability(looks, certify, p, 1 - p) == pytest.approx(expected, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("z0", [0.0, 1.0, 3.0])
def test_one_look_is_a_binomial_tail_to_12_digits(z0):
    q = float(special.ndtr(-z0))
    n = 100_000
    boundary = int(stats.binom.isf(1e-3, n, 1 - q))
    exact = stats.binom.cdf(n - boundary, n, q)
    assert crossing_probability([n], [boundary], 1 - q, q) == pytest.approx(exact, rel=1e-11)


def test_unanimous_votes_have_their_closed_form_at_every_look():
    # Reaching n successes at look n, once failed never again: only the first look counts.
    assert crossing_probability([10, 20, 40], [10, 20, 40], 0.9, 0.1) == pytest.approx(0.9**10, rel=1e-13)


@pytest.mark.parametrize(("votes", "q"), [(32, 0.5), (9000, 0.16), (9000, 0.0013), (10**6, 0.5)])
def test_a_step_has_the_binomial_probabilities_to_12_digits(votes, q):
    step = binomial_step(votes, 1 - q, q)
    with mpmath.workdps(50):
        for i in range(0, step.mass.size, max(1, step.mass.size // 17)):
            k = step.first + i
            log = (
                mpmath.loggamma(votes + 1)
                - mpmath.loggamma(k + 1)
                - mpmath.loggamma(votes - k + 1)
                + k * mpmath.log(mpmath.mpf(1 - q))
                + (votes - k) * mpmath.log(mpmath.mpf(q))
            )
            # 1 - q and q as floats sum to 1 only to 1e-16, which the number of votes magnifies.
            assert step.mass[i] == pytest.approx(float(mpmath.exp(log)), rel=1e-12 + 1e-16 * votes)


def test_what_a_step_leaves_out_is_negligible():
    step = binomial_step(5000, 0.7, 0.3)
    outside = stats.binom.cdf(step.first - 1, 5000, 0.7)
    outside += stats.binom.sf(step.first + step.mass.size - 1, 5000, 0.7)
    assert outside <= NEGLIGIBLE


def test_more_looks_at_the_same_bound_cross_more_often():
    looks = np.arange(100, 1100, 100)
    boundary = stats.binom.isf(1e-3, looks, 0.5).astype(int) + 1
    often = crossing_probability(looks, boundary, 0.5, 0.5)
    assert often > 3 * crossing_probability(looks[-1:], boundary[-1:], 0.5, 0.5)
