"""The early majority: its error against enumeration and simulation, its stops against the rule itself."""

import itertools

import numpy as np
import pytest

from sfumato.noise import Gaussian
from sfumato.plans import ABSTAIN
from sfumato.plans.early_vote import EarlyVote, boundaries, crossing_probability, error_bound


def run_on(sequence: np.ndarray, plan: EarlyVote, classes: int):
    """Feed one image's votes (classes, -1 for NaN) in their order."""
    run, spent = plan.start(1, classes, noise=Gaussian(0.5), confidence=0.999), 0
    while (wanted := int(run.demand()[0])) > 0:
        part = sequence[spent : spent + wanted]
        run.update(np.bincount(part[part >= 0], minlength=classes)[None, :])
        spent += wanted
    return run.decisions()[0]


def test_the_crossing_probability_is_that_of_all_orders_of_the_votes():
    n, total, looks, needed = 10, 5, np.array([4, 7]), np.array([4, 6])
    crossed = [
        any(sum(place < look for place in places) >= need for look, need in zip(looks, needed, strict=True))
        for places in itertools.combinations(range(n), total)
    ]
    assert crossing_probability(n, looks, needed, total) == pytest.approx(np.mean(crossed), abs=1e-12)


@pytest.mark.parametrize(("n", "error"), [(40, 0.05), (100, 0.001), (101, 0.01), (150, 0.001)])
def test_the_error_of_every_composition_stays_within_the_bound(n, error):
    looks, needed = boundaries(n, error)
    assert (needed > looks / 2).all(), "two classes could be declared at once"
    assert error_bound(n, looks, needed) <= error
    chance = [0.0, *(crossing_probability(n, looks, needed, total) for total in range(1, n // 2 + 1))]
    worst = 0.0
    for most in range(1, n):
        # the others as few and as large as possible, and as many equal ones as possible
        for size in range(1, min(most, n - most) + 1):
            count, rest = divmod(n - most, size)
            worst = max(worst, count * chance[size] + chance[rest])
    assert 0 < worst <= error_bound(n, looks, needed) * (1 + 1e-12)


def test_the_prediction_is_that_of_all_votes_but_for_the_stated_error():
    plan, rng, repeats = EarlyVote(40, 0.05), np.random.default_rng(0), 1500
    wrong = 0
    for _ in range(repeats):
        # the worst case: a tie, which goes to class 0
        sequence = rng.permutation(np.repeat([0, 1], 20))
        wrong += run_on(sequence, plan, 3).prediction != 0
    assert 0 < wrong / repeats <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / repeats)


def test_clear_images_stop_at_the_first_look_and_close_ones_go_on():
    plan = EarlyVote(100, 0.001)
    clear = run_on(np.full(100, 2), plan, 4)
    assert (clear.prediction, clear.votes, clear.stopped_by) == (2, 16, "far ahead")
    close = run_on(np.tile([1, 0], 50), plan, 4)
    assert close.prediction == 0
    assert close.votes > 64
    assert close.plan == clear.plan == EarlyVote(100, 0.001).name


def test_votes_of_nan_count_for_no_class():
    assert run_on(np.full(100, -1), EarlyVote(100), 3).prediction == ABSTAIN
    sequence = np.where(np.arange(100) % 2 == 0, 1, -1)
    assert run_on(sequence, EarlyVote(100), 3).prediction == 1


def test_few_votes_are_simply_curtailed():
    found = run_on(np.array([0, 1, 1, 1, 0]), EarlyVote(5), 2)
    assert (found.prediction, found.votes) == (1, 4)
