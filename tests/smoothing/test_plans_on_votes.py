"""The sequential plans, on real votes of a classifier whose true radius is known."""

from dataclasses import replace

import numpy as np
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


def test_a_sequential_plan_spends_a_fraction_of_the_votes(linear):
    smoothed = SmoothedClassifier(linear, 0.5, batch_size=4000, device="cpu")
    x = torch.tensor([[0.6, 0.0]]).repeat(50, 1)
    decisions = smoothed.certify(x, parse_plan("decide(0.25)"))
    assert all(d.radius == 0.25 for d in decisions)
    assert np.mean([d.votes for d in decisions]) < 100_100 / 50


def test_the_outcome_does_not_depend_on_which_images_are_certified_together(linear):
    x = torch.tensor([[0.3, 0.0], [-0.2, 1.0], [0.9, 2.0]])
    plan = parse_plan("curve(0.1,0.2,0.3)")
    together = SmoothedClassifier(linear, 0.5, batch_size=999, device="cpu").certify(x, plan)
    for index in range(3):
        alone = SmoothedClassifier(linear, 0.5, batch_size=64, device="cpu").certify(
            x[index : index + 1], plan, examples=[index]
        )
        assert replace(alone[0], seconds=0.0) == replace(together[index], seconds=0.0)
