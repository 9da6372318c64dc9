"""The binomial tail against 50-digit sums, for numbers of trials where SciPy loses digits."""

import math

import mpmath
import numpy as np
import pytest
from scipy import stats

from sfumato.statistics import binomial_tail


def exact_tail(failures, trials, q):
    with mpmath.workdps(50):
        q = mpmath.mpf(q)
        term = mpmath.exp(trials * mpmath.log(1 - q))
        total = term
        for k in range(failures):
            term *= mpmath.mpf(trials - k) / (k + 1) * q / (1 - q)
            total += term
        return total, term


@pytest.mark.parametrize("trials", [30, 10**4, 10**6, 10**8, 10**9])
@pytest.mark.parametrize("failures", [0, 1, 7, 15, 16, 200, 5000])
@pytest.mark.parametrize("shift", [-4.0, 0.5, 4.0])
def test_the_tail_and_its_last_term_have_12_digits(trials, failures, shift):
    if failures >= trials:
        failures = trials - 1
    q = min(max((failures + 0.3 + shift * math.sqrt(failures + 0.5)) / trials, 0.01 / trials), 0.999)
    total, last = exact_tail(failures, trials, q)
    assert math.exp(binomial_tail.log_probability(failures, trials, q)) == pytest.approx(
        float(last), rel=1e-12
    )
    assert binomial_tail.tail_probability(failures, trials, q) == pytest.approx(float(total), rel=1e-12)


def test_the_tail_of_few_trials_is_scipys():
    for q in (0.1, 0.5, 0.93):
        found = [binomial_tail.tail_probability(k, 60, q) for k in range(60)]
        np.testing.assert_allclose(found, stats.binom.cdf(np.arange(60), 60, q), rtol=1e-11)


def test_a_rough_start_is_improved_to_12_digits():
    q = 2.5e-6
    level = float(exact_tail(200, 10**8, q)[0])
    found = binomial_tail.improved_upper_failure_probability(q * (1 + 1e-7), 200, 10**8, level)
    assert found == pytest.approx(q, rel=1e-12)
