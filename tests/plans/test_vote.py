"""vote: identical to the full majority, and never a vote too many."""

import numpy as np
import pytest
from vote_sequences import all_sequences, run_on

from sfumato.noise import Gaussian
from sfumato.plans import ABSTAIN, Vote


@pytest.mark.parametrize(("votes", "classes"), [(1, 3), (2, 3), (7, 3), (8, 3), (12, 2), (5, 4)])
@pytest.mark.parametrize("chunk", [1, 3])
def test_the_prediction_is_the_majority_of_all_votes_for_every_sequence(votes, classes, chunk):
    sequences = all_sequences(votes, classes)
    decisions = run_on(Vote(votes, chunk=chunk), sequences, classes, confidence=0.9)
    full = np.eye(classes, dtype=int)[sequences].sum(axis=1)
    assert [d.prediction for d in decisions] == np.argmax(full, axis=1).tolist()


def test_no_sequence_is_stopped_later_than_its_outcome_is_certain():
    votes, classes = 7, 3
    sequences = all_sequences(votes, classes)
    decisions = run_on(Vote(votes), sequences, classes, confidence=0.9)
    outcome = {tuple(row): d.prediction for row, d in zip(sequences.tolist(), decisions, strict=True)}
    for row, decision in zip(sequences.tolist(), decisions, strict=True):
        # One vote earlier some continuation must still have led to another majority.
        prefix = row[: decision.votes - 1]
        rests = all_sequences(votes - len(prefix), classes).tolist()
        assert len({outcome[tuple(prefix + rest)] for rest in rests}) > 1


def test_votes_that_name_no_class_leave_the_majority_to_the_rest():
    run = Vote(10).start(2, 3, noise=Gaussian(0.5), confidence=0.9)
    while (wanted := run.demand()).any():
        run.update(np.array([[0, 0, min(1, wanted[0])], [0, 0, 0]]))
    assert [d.prediction for d in run.decisions()] == [2, ABSTAIN]
