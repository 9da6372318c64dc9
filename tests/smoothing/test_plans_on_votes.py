"""The sequential plans, on real votes of a classifier whose true radius is known."""

import pytest
import torch

from sfumato import SmoothedClassifier
from sfumato.plans import parse_plan


@pytest.mark.parametrize(
    ("plan", "least", "most"),
    [
        ("decide(0.25)", 0.25, 0.25),
        ("curve(0.125,0.25,0.375,0.75)", 0.375, 0.375),
        ("precision(0.05)", 0.45, 0.5),
        ("fixed(100,20000)", 0.45, 0.5),
    ],
)
def test_certificates_of_a_linear_classifier_stay_within_its_distance(linear, plan, least, most):
    smoothed = SmoothedClassifier(linear, 0.5, batch_size=4000, device="cpu")
    x = torch.tensor([[0.5, 1.0], [-0.5, 3.0], [0.0, 0.0]])
    decisions = smoothed.certify(x, parse_plan(plan), confidence=0.999)
    assert [d.prediction for d in decisions] == [1, 0, -1]
    for decision in decisions[:2]:
        assert least <= decision.radius <= most
        assert decision.plan == parse_plan(plan).name
