"""precision: valid radii from fresh votes only, about as large as the cap would give."""

import numpy as np
import pytest
from scipy import special
from vote_sequences import simulate

from sfumato.noise import Gaussian
from sfumato.plans import ABSTAIN, Precision
from sfumato.statistics.binomial import upper_failure_probability


def test_pilot_votes_never_enter_the_bound():
    def certificate(pilot, share):
        run = Precision(0.2, n_max=2000, pilot=100).start(1, 2, noise=Gaussian(0.5), confidence=0.999)
        run.update(np.array([pilot]))
        fresh = int(run.demand()[0])
        run.update(np.array([[round(share * fresh), fresh - round(share * fresh)]]))
        return run.decisions()[0], fresh

    decision, fresh = certificate([90, 10], 0.8)
    q_upper = upper_failure_probability(round(0.8 * fresh), fresh, 0.999)
    assert decision.radius == Gaussian(0.5).radius(q_upper)
    assert decision.votes == 100 + fresh


@pytest.mark.parametrize("z", [0.3, 1.0, 2.5])
def test_radii_are_too_large_no_more_often_than_allowed(z):
    images, level = 20_000, 0.01
    p = special.ndtr(z)
    run = Precision(0.2, n_max=20_000, pilot=32).start(images, 3, noise=Gaussian(1.0), confidence=1 - level)
    probabilities = np.tile([p, 0.6 * (1 - p), 0.4 * (1 - p)], (images, 1))
    decisions = simulate(run, probabilities, np.random.default_rng(8))
    rate = np.mean([d.radius > z for d in decisions])
    assert rate <= level + 4 * np.sqrt(level / images)


@pytest.mark.parametrize(("z", "eps"), [(1.0, 0.05), (2.0, 0.1)])
def test_the_average_radius_loses_about_eps_against_the_cap(z, eps):
    p = special.ndtr(z)
    run = Precision(eps).start(300, 2, noise=Gaussian(1.0), confidence=0.999)
    decisions = simulate(run, np.tile([p, 1 - p], (300, 1)), np.random.default_rng(9))
    cap = Gaussian(1.0).radius(upper_failure_probability(round(p * 100_000), 100_000, 0.999))
    loss = 1 - np.mean([d.radius for d in decisions]) / cap
    assert 0.5 * eps < loss < 1.5 * eps
    assert np.mean([d.votes for d in decisions]) < 30_000


def test_a_small_pilot_is_enlarged_before_a_long_run():
    run = Precision(0.01, pilot=64).start(1, 2, noise=Gaussian(1.0), confidence=0.999)
    run.update(np.array([[54, 10]]))
    assert run.demand().tolist() == [192]


def test_an_image_without_a_class_is_given_up_after_the_pilot():
    run = Precision(0.05).start(1, 3, noise=Gaussian(1.0), confidence=0.999)
    run.update(np.array([[43, 43, 42]]))
    assert run.demand().tolist() == [0]
    (decision,) = run.decisions()
    assert (decision.prediction, decision.radius, decision.stopped_by) == (ABSTAIN, 0.0, "gave up")
