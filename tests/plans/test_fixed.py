"""Cohen et al.'s procedure and its two-class variant, exactly."""

import mpmath
import numpy as np
import pytest
from scipy import special
from vote_sequences import all_sequences, run_on, simulate, weights

from sfumato.noise import Gaussian
from sfumato.plans import ABSTAIN, Fixed, FixedTwoClass


def test_the_certificate_is_that_of_the_published_procedure():
    run = Fixed(100, 100_000).start(1, 10, noise=Gaussian(0.25), confidence=0.999)
    run.update(np.array([[1, 99] + [0] * 8]))
    run.update(np.array([[0, 100_000] + [0] * 8]))
    (decision,) = run.decisions()
    with mpmath.workdps(30):
        q = 1 - mpmath.mpf("0.001") ** (mpmath.mpf(1) / 100_000)
    assert decision.prediction == 1
    assert decision.radius == pytest.approx(-0.25 * special.ndtri(float(q)), rel=1e-8)
    assert decision.radius <= -0.25 * special.ndtri(float(q))
    assert decision.votes == 100_100


def test_selection_votes_never_enter_the_bound():
    def certificate(selection):
        run = Fixed(100, 1000).start(1, 2, noise=Gaussian(0.5), confidence=0.999)
        run.update(np.array([selection]))
        run.update(np.array([[900, 100]]))
        return run.decisions()[0]

    assert certificate([51, 49]) == certificate([100, 0])


def test_a_wrong_selection_abstains():
    run = Fixed(1, 1000).start(1, 2, noise=Gaussian(0.5), confidence=0.999)
    run.update(np.array([[1, 0]]))
    run.update(np.array([[400, 600]]))
    assert run.decisions()[0].prediction == ABSTAIN


@pytest.mark.parametrize("record", [Fixed, FixedTwoClass])
def test_no_radius_is_too_large_more_often_than_allowed_over_all_sequences(record):
    sequences = all_sequences(9, 3)
    decisions = run_on(record(3, 6), sequences, 3, confidence=0.8)
    seen = 0.0
    for p in [(0.4, 0.3, 0.3), (0.5, 0.5, 0.0), (0.6, 0.3, 0.1), (0.7, 0.15, 0.15), (1 / 3, 1 / 3, 1 / 3)]:
        p = np.array(p)
        z = special.ndtri(np.clip(p, 1e-300, 1 - 1e-16))
        entitled = [(z[c] - max(np.delete(z, c))) / 2 for c in range(3)]
        false = [d.prediction != ABSTAIN and d.radius > entitled[d.prediction] + 1e-12 for d in decisions]
        rate = weights(sequences, p)[np.array(false)].sum()
        assert rate <= 0.2
        seen = max(seen, rate)
    assert seen > 0.0


def test_two_classes_certify_more_where_the_rest_is_shared():
    probabilities = np.tile([0.55, 0.15, 0.15, 0.15], (50, 1))
    settings = {"noise": Gaussian(0.5), "confidence": 0.999}
    one = simulate(Fixed(100, 5000).start(50, 4, **settings), probabilities, np.random.default_rng(0))
    two = simulate(FixedTwoClass(100, 5000).start(50, 4, **settings), probabilities, np.random.default_rng(0))
    assert all(b.radius > 2 * a.radius for a, b in zip(one, two, strict=True))


def test_two_classes_fall_back_to_one_by_the_selection_votes_alone():
    def radius(record, selection):
        run = record(100, 5000).start(1, 3, noise=Gaussian(0.5), confidence=0.999)
        run.update(np.array([selection]))
        run.update(np.array([[3000, 1000, 1000]]))
        return run.decisions()[0].radius

    # With all of the rest on one class the selection votes favour one bound, at the full level ...
    assert radius(FixedTwoClass, [60, 40, 0]) == radius(Fixed, [60, 40, 0])
    # ... even though these estimation votes would have given the larger radius to two bounds.
    assert radius(FixedTwoClass, [60, 20, 20]) > radius(Fixed, [60, 20, 20])
