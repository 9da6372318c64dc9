"""Mixture confidence sequences: against quadrature, and valid at every number of votes."""

import mpmath
import numpy as np
import pytest

from sfumato.errors import SettingError
from sfumato.statistics.mixture import mixture_boundaries, mixture_interval
from sfumato.statistics.sequential import look_schedule
from sfumato.statistics.walk import walk_outcome


def mixture(p, successes, trials):
    """Return the likelihood ratio of a Jeffreys mixture against p, with 50 digits."""
    with mpmath.workdps(50):
        half = mpmath.mpf(1) / 2
        failures = trials - successes
        evidence = mpmath.beta(half + successes, half + failures) / mpmath.beta(half, half)
        return evidence / (mpmath.mpf(p) ** successes * (1 - mpmath.mpf(p)) ** failures)


@pytest.mark.parametrize(("successes", "trials"), [(5, 10), (990, 1000), (99_990, 100_000), (1, 300)])
def test_the_ends_of_the_interval_are_where_the_mixture_reaches_its_threshold(successes, trials):
    low, high = mixture_interval(successes, trials, confidence=0.999)
    for end in (low, high):
        assert mixture(end, successes, trials) == pytest.approx(1000, rel=1e-4)


def test_an_interval_without_votes_or_with_one_sided_votes_keeps_its_end():
    assert mixture_interval(0, 0, 0.99) == (0.0, 1.0)
    assert mixture_interval(20, 20, 0.99)[1] == 1.0
    assert mixture_interval(0, 20, 0.99)[0] == 0.0


@pytest.mark.parametrize("p", [0.5, 0.9])
def test_the_true_p_ever_leaves_the_intervals_no_more_often_than_allowed(p):
    looks = tuple(range(1, 100))
    level = 0.05
    certify, give_up = [], []
    for n in looks:
        inside = [low <= p <= high for low, high in (mixture_interval(k, n, 1 - level) for k in range(n + 1))]
        first, last = int(np.argmax(inside)), n - int(np.argmax(inside[::-1]))
        certify.append(last + 1)
        give_up.append(first - 1)
    outcome = walk_outcome(looks, certify, give_up, p, 1 - p)
    assert 0.0 < outcome.certified + outcome.gave_up <= level


@pytest.mark.parametrize("q0", [0.5, 0.16, 0.0013])
def test_the_one_sided_test_keeps_its_level_and_wastes_some(q0):
    test = mixture_boundaries(q0, 1e-3, look_schedule(20_000, 32))
    assert 1e-4 < test.crossing <= 1e-3


def test_counts_that_do_not_fit_are_refused():
    with pytest.raises(SettingError, match=r"successes must lie in 0\.\.5"):
        mixture_interval(6, 5, 0.9)
