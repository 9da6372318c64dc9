"""predict: the answer is a most probable class, but for the level."""

import numpy as np
import pytest
from vote_sequences import all_sequences, run_on, simulate, weights

from sfumato.noise import Gaussian
from sfumato.plans import ABSTAIN, Predict


@pytest.mark.parametrize("chunk", [1, 3])
@pytest.mark.parametrize(("votes", "classes"), [(13, 2), (9, 3), (7, 4)])
def test_a_wrong_answer_is_no_more_frequent_than_allowed_over_all_sequences(votes, classes, chunk):
    sequences = all_sequences(votes, classes)
    decisions = run_on(Predict(n_max=votes, chunk=chunk), sequences, classes, confidence=0.8)
    answers = np.array([d.prediction for d in decisions])
    assert (answers != ABSTAIN).any()
    for top in (0.5001, 0.42, 0.36, 0.6):
        p = np.full(classes, (1 - top) / (classes - 1))
        p[0] = top
        for shift in range(classes):
            moved = np.roll(p, shift)
            wrong = (answers != ABSTAIN) & (moved[answers] < moved.max())
            assert weights(sequences, moved)[wrong].sum() <= 0.2


def test_the_level_is_used_when_two_classes_are_nearly_even():
    images, level = 20_000, 0.05
    run = Predict(n_max=2000).start(images, 2, noise=Gaussian(1.0), confidence=1 - level)
    probabilities = np.tile([0.4999, 0.5001], (images, 1))
    decisions = simulate(run, probabilities, np.random.default_rng(3))
    rate = np.mean([d.prediction == 0 for d in decisions])
    assert 0.2 * level < rate <= level + 4 * np.sqrt(level / images)


def test_a_clear_majority_is_found_and_an_even_vote_is_not():
    run = Predict().start(2, 10, noise=Gaussian(1.0), confidence=0.999)
    probabilities = np.array([[0.02] * 7 + [0.82, 0.02, 0.02], [0.5, 0.5] + [0.0] * 8])
    clear, even = simulate(run, probabilities, np.random.default_rng(0))
    assert (clear.prediction, clear.stopped_by) == (7, "decided")
    assert clear.votes < 200
    assert even.prediction == ABSTAIN
    assert even.stopped_by in ("gave up", "all votes")
