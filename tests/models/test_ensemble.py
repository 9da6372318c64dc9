import pytest
import torch

from sfumato.errors import ModelError
from sfumato.models.ensemble import ensemble
from sfumato.smoothing.smoothed import Smoothed


def member(weight):
    layer = torch.nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[weight, 0.0], [0.0, 0.0]]))
    return layer


def test_logits_are_averaged_and_not_votes():
    # the first two vote for class 1 where x < 0 and the third, ten times as sure, against them
    classifier = ensemble([member(1.0), member(1.0), member(-10.0)])
    logits = classifier.model(torch.tensor([[1.0, 0.0]]))
    assert logits.tolist() == [[pytest.approx(-8.0 / 3), 0.0]]
    assert classifier.name == "mean of 3 networks, the first Linear"
    assert Smoothed(classifier, beta=0.1).predict(torch.tensor([[1.0, 0.0]]), n=50).tolist() == [1]


def test_bad_input():
    with pytest.raises(ModelError, match="at least one model"):
        ensemble([])
    with pytest.raises(ModelError, match=r"must be a torch\.nn\.Module"):
        ensemble([lambda x: x])
