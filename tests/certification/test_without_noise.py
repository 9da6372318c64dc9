"""From Python as on the command line: labels that the model only guesses are warned of before the votes."""

import numpy as np
import pytest
import torch

from sfumato import SmoothedClassifier

X = torch.eye(8)[:, :, None, None].repeat(1, 1, 2, 2)
Y = np.arange(8)


def smoothed():
    return SmoothedClassifier(lambda x: x.mean(dim=(2, 3)), 0.01, device="cpu")


@pytest.mark.parametrize("x", [X, X.numpy(), (255 * X).to(torch.uint8)])
def test_labels_counted_from_one_are_warned_of(x):
    with pytest.warns(
        UserWarning, match="0 of 7 right without noise is what guessing among 8 classes gives: does"
    ):
        smoothed().certify(x[:7], "vote(10)", labels=Y[:7] + 1)
    with pytest.warns(UserWarning, match="0 of 8 right without noise"):
        smoothed().certify(x, "vote(10)", known_labels=np.roll(Y, 1))


@pytest.mark.parametrize("labels", [None, Y, np.where(Y < 6, np.roll(Y, 1), -1)])
def test_right_unknown_and_few_labels_are_not(labels, recwarn):
    smoothed().certify(X, "vote(10)", labels=labels)
    assert not recwarn.list
