"""Binomial bounds against 50-digit arithmetic, closed forms and their own definition."""

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sfumato.errors import SettingError
from sfumato.statistics import binomial


def exact_upper_failure(successes, trials, confidence):
    """Solve P_p(X >= successes) = 1 - confidence for q = 1 - p with 50 digits."""
    with mpmath.workdps(50):
        level = 1 - mpmath.mpf(confidence)
        failures = trials - successes
        if failures == 0:
            return 1 - level ** (mpmath.mpf(1) / trials)

        def at_most(log_q):
            # P(at most `failures` failures), a sum of positive terms by their ratio.
            q = mpmath.exp(log_q)
            term = total = (1 - q) ** trials
            for k in range(failures):
                term *= mpmath.mpf(trials - k) / (k + 1) * q / (1 - q)
                total += term
            return mpmath.log(total / level)

        start = mpmath.log(mpmath.mpf(failures + 1) / trials)
        end = mpmath.log((failures + 12 + 8 * mpmath.sqrt(failures)) / trials)
        end = min(end, mpmath.log(mpmath.mpf(1) - mpmath.mpf(10) ** -9))
        return mpmath.exp(mpmath.findroot(at_most, (start, end), solver="anderson", tol=1e-40, maxsteps=300))


@pytest.mark.parametrize("trials", [10, 1000, 100_000, 10**7, 10**8])
@pytest.mark.parametrize("failures", [0, 1, 2, 5, 40])
@pytest.mark.parametrize("confidence", [0.9, 0.99, 0.999, 0.999999])
def test_the_upper_failure_bound_is_outward_and_close_to_50_digits(trials, failures, confidence):
    if failures >= trials / 2:
        pytest.skip("fewer trials than failures")
    found = binomial.upper_failure_probability(trials - failures, trials, confidence)
    exact = exact_upper_failure(trials - failures, trials, confidence)
    assert 0 <= (mpmath.mpf(found) - exact) / exact <= 1e-9


@pytest.mark.parametrize(
    ("trials", "failures"),
    [(100, 98), (10**5, 99_990), (10**6, 3000), (10**7, 300), (10**8, 3), (10**8, 4000)],
)
@pytest.mark.parametrize("confidence", [0.5, 0.68, 0.999, 1.0 - 1e-9])
def test_the_level_lies_between_the_tails_at_the_bound_and_a_billionth_inside(trials, failures, confidence):
    found = binomial.upper_failure_probability(trials - failures, trials, confidence)

    def at_most(q):
        """P(at most ``failures`` failures), from its largest term down, or 1 - P(more)."""
        with mpmath.workdps(50):
            odds, term = q / (1 - q), mpmath.mpf(1)
            total, k = term, failures
            while k > 0 and term > total * mpmath.mpf(10) ** -25:
                term *= k / ((trials - k + 1) * odds)
                total, k = total + term, k - 1
            log_last = mpmath.loggamma(trials + 1) - mpmath.loggamma(failures + 1)
            log_last += failures * mpmath.log(q) + (trials - failures) * mpmath.log(1 - q)
            return total * mpmath.exp(log_last - mpmath.loggamma(trials - failures + 1))

    with mpmath.workdps(50):
        level = 1 - mpmath.mpf(confidence)
        assert at_most(mpmath.mpf(found)) <= level <= at_most(mpmath.mpf(found) / (1 + mpmath.mpf(10) ** -9))


@pytest.mark.parametrize("trials", [10**7, 10**8])
def test_forming_p_from_q_never_rounds_inward(trials):
    for failures in (0, 1, 3):
        lower = binomial.lower_bound(trials - failures, trials, 0.999)
        assert mpmath.mpf(lower) <= 1 - exact_upper_failure(trials - failures, trials, 0.999)


@pytest.mark.parametrize("q", [0.01, 0.2, 0.5])
def test_the_one_sided_bound_covers_at_least_its_confidence_exactly(q):
    trials, confidence = 300, 0.99
    counts = np.arange(trials + 1)
    bounds = np.array([binomial.upper_failure_probability(int(k), trials, confidence) for k in counts])
    covered = bounds >= q
    coverage = stats.binom.pmf(counts, trials, 1.0 - q)[covered].sum()
    assert confidence - 1e-12 <= coverage < 1.0


def test_the_two_sided_interval_covers_at_least_its_confidence_exactly():
    trials = 60
    intervals = [binomial.two_sided_interval(k, trials, 0.95) for k in range(trials + 1)]
    for p in np.linspace(0.005, 0.995, 199):
        inside = [low <= p <= high for low, high in intervals]
        assert stats.binom.pmf(np.arange(trials + 1), trials, p)[inside].sum() >= 0.95 - 1e-12


def test_two_class_bounds_hold_together_by_enumeration():
    """All outcomes of 12 votes for three classes, class 0 fixed in advance."""
    trials, confidence = 12, 0.9
    for p in [(0.4, 0.3, 0.3), (0.5, 0.45, 0.05), (0.6, 0.2, 0.2), (0.34, 0.33, 0.33)]:
        wrong = 0.0
        for a in range(trials + 1):
            for b in range(trials + 1 - a):
                q_upper, p_b = binomial.two_class_bounds(a, max(b, trials - a - b), trials, confidence)
                if q_upper < 1.0 - p[0] or p_b < max(p[1:]):
                    wrong += stats.multinomial.pmf([a, b, trials - a - b], trials, p)
        assert wrong <= 1.0 - confidence


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 10**6), st.data())
def test_more_successes_never_give_a_larger_failure_bound(trials, data):
    k = data.draw(st.integers(0, trials - 1))
    confidence = data.draw(st.sampled_from([0.9, 0.999, 1.0 - 1e-9]))
    less, more = (binomial.upper_failure_probability(count, trials, confidence) for count in (k, k + 1))
    assert more <= less
    assert more > (trials - k - 1) / trials or k + 1 == trials


def test_unanimous_trials_is_the_first_number_that_does():
    for q, level in [(0.5, 1e-3), (0.001, 1e-9), (0.16, 0.25), (0.5, 0.25), (1e-12, 0.5)]:
        n = binomial.unanimous_trials(q, level)
        with mpmath.workdps(50):
            assert (1 - mpmath.mpf(q)) ** n <= level * (1 + 1e-12)
            assert n == 1 or (1 - mpmath.mpf(q)) ** (n - 1) > level


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: binomial.lower_bound(11, 10, 0.9), "successes must lie in 0..10"),
        (lambda: binomial.lower_bound(-1, 10, 0.9), "successes must lie in 0..10"),
        (lambda: binomial.lower_bound(0, 0, 0.9), "trials must be at least 1"),
        (lambda: binomial.lower_bound(1, 10, 1.0), "confidence must lie strictly"),
        (lambda: binomial.two_class_bounds(6, 5, 10, 0.9), "more than the 10 trials"),
        (lambda: binomial.sign_test_p_value(-1, 2), "at least 0"),
    ],
)
def test_bad_counts_are_refused_in_one_line(call, message):
    with pytest.raises(SettingError, match=message) as error:
        call()
    assert "\n" not in str(error.value)
