"""The Bayes-optimal test: exact level, calibration, optimality, and the lemma's condition."""

import itertools

import numpy as np
import pytest
from scipy import special, stats

from sfumato.errors import SettingError
from sfumato.statistics.planner import ATOMS, HIGHEST_Z, LOWEST_Z, bayes_boundaries
from sfumato.statistics.sequential import Boundaries, free_selection_floor, look_schedule
from sfumato.statistics.walk import Walk, crossing_probability

USUAL = look_schedule(100_000, 32)


@pytest.fixture(scope="module")
def usual():
    """Plans of thresholds z0 at the usual settings."""
    return {z0: bayes_boundaries(float(special.ndtr(-z0)), 1e-3, USUAL, 1e6) for z0 in (0, 0.5, 1, 2, 3, 3.5)}


def test_the_exact_crossing_probability_is_within_one_percent_below_the_level(usual):
    for test in usual.values():
        exact = crossing_probability(test.looks, test.certify, 1 - test.q0, test.q0)
        assert exact == test.crossing
        assert 0.99e-3 <= exact <= 1e-3


@pytest.mark.parametrize("level", [0.2, 1e-2, 1e-6, 1e-9])
def test_other_levels_are_met_as_closely(level):
    test = bayes_boundaries(0.3, level, look_schedule(20_000, 16), 1e6)
    assert 0.98 * level <= test.crossing <= level


def test_boundaries_fulfil_the_condition_of_the_free_selection_lemma(usual):
    for test in usual.values():
        floor = free_selection_floor(test.looks, test.q0)
        assert all(b >= least for b, least in zip(test.certify, floor, strict=True))


def test_the_crossing_probability_over_p_does_not_decrease_below_the_threshold(usual):
    """The lemma itself, on exact numbers: g(p) / p is nondecreasing up to p0."""
    for test in usual.values():
        q = test.q0 * np.linspace(1.2, 1.0, 12)
        ratio = [crossing_probability(test.looks, test.certify, 1 - x, x) / (1 - x) for x in q]
        # What the walk leaves out, below 1e-14, is added to every crossing probability.
        assert all(low <= high * (1 + 1e-9) + 1e-14 for low, high in itertools.pairwise(ratio))


def test_giving_up_lies_below_certifying(usual):
    for test in usual.values():
        assert all(a < b for a, b in zip(test.give_up, test.certify, strict=True))


def outcome(test: Boundaries, q: float) -> tuple[float, float]:
    """Return the expected votes and the probability of certifying, by SciPy's binomial step by step."""
    first, mass, before, votes, certified = 0, np.ones(1), 0, 0.0, 0.0
    for n, certify, give_up in zip(test.looks, test.certify, test.give_up, strict=True):
        votes += mass.sum() * (n - before)
        mass = np.convolve(mass, stats.binom.pmf(np.arange(n - before + 1), n - before, 1 - q))
        certified += mass[max(certify - first, 0) :].sum()
        kept = max(give_up + 1 - first, 0)
        first, mass, before = first + kept, mass[kept : max(certify - first, 0)], n
        if not mass.size:
            break
    return votes, certified


def expected_cost(test: Boundaries, cost: float) -> float:
    """Return the prior mean of votes plus the cost of leaving a p >= p0 uncertified."""
    q = special.ndtr(-np.linspace(LOWEST_Z, HIGHEST_Z, ATOMS)[::6])
    votes, certified = np.transpose([outcome(test, float(value)) for value in q])
    return float(np.mean(votes) + cost * np.mean((1 - certified)[q <= test.q0]) * np.mean(q <= test.q0))


def test_no_single_shift_of_the_boundaries_costs_less_at_the_same_level():
    cost, looks = 1e5, look_schedule(3000, 100)
    test = bayes_boundaries(0.3, 1e-3, looks, cost)
    best = expected_cost(test, cost)
    for j in range(0, len(looks), 7):
        for change in (-3, 3):
            moved = list(test.give_up)
            moved[j] = max(-1, min(moved[j] + change, test.certify[j] - 1))
            other = Boundaries(looks, test.certify, tuple(moved), test.q0, test.level, test.crossing)
            assert expected_cost(other, cost) >= best * (1 - 2e-3)


def spent_evenly(q0, level, looks):
    """The smallest counts whose crossing probability grows evenly in log n (Jennison & Turnbull 1999)."""
    certify, walk, crossed, before = [], Walk(), 0.0, 0
    for n in looks:
        walk.advance(n - before, 1 - q0, q0)
        before = n
        room = level * np.log1p(n / looks[0]) / np.log1p(looks[-1] / looks[0]) - crossed
        taken = int(np.searchsorted(np.cumsum(walk.mass[::-1]), room, side="right"))
        certify.append(min(walk.offset + walk.mass.size - taken, n + 1))
        crossed += walk.stop_at_or_above(certify[-1])
    return tuple(certify)


def test_it_costs_less_than_spending_the_level_evenly():
    looks = look_schedule(5_000, 32)
    planned = bayes_boundaries(0.16, 1e-3, looks, 1e5)
    certify = spent_evenly(0.16, 1e-3, looks)
    assert crossing_probability(looks, certify, 0.84, 0.16) == pytest.approx(1e-3, rel=0.01)
    # Lend it the planned rule for giving up, so that only the certifying boundaries differ.
    give_up = tuple(min(a, b - 1) for a, b in zip(planned.give_up, certify, strict=True))
    other = Boundaries(looks, certify, give_up, 0.16, 1e-3, 1e-3)
    assert expected_cost(planned, 1e5) < expected_cost(other, 1e5)


def test_one_look_is_the_exact_binomial_test():
    test = bayes_boundaries(0.5, 0.01, (100,), 1e5)
    exact = next(b for b in range(101) if crossing_probability((100,), (b,), 0.5, 0.5) <= 0.01)
    assert test.certify == (exact,)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ((0.001, 1e-3, (32, 64), 1e6), "n_max >= 6905"),
        ((0.0, 1e-3, (32,), 1e6), "q0"),
        ((0.5, 0.0, (32,), 1e6), "level"),
        ((0.5, 0.1, (32,), 0.0), "cost"),
    ],
)
def test_what_cannot_be_planned_is_refused(settings, message):
    with pytest.raises(SettingError, match=message):
        bayes_boundaries(*settings)
