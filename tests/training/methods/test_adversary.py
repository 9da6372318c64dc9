import math

import pytest
import torch

from sfumato.training.methods.adversary import ddn, evaluation_mode, log_mean_probabilities, pgd

NORMAL = torch.tensor([0.6, 0.8])


def linear(x):
    """Return logits whose boundary is the line NORMAL . x = 0."""
    score = 4 * x @ NORMAL
    return torch.stack([score, -score], dim=1)


def losses(x):
    return torch.nn.functional.cross_entropy(
        linear(x), torch.zeros(len(x), dtype=torch.long), reduction="none"
    )


def test_pgd_goes_straight_to_the_boundary_of_its_ball():
    x = torch.tensor([[3.0, 1.0], [0.1, 0.2]])
    found = pgd(losses, x, epsilon=0.5, steps=5, step_size=0.3)
    assert torch.allclose(found, x - 0.5 * NORMAL, atol=1e-5)
    free = pgd(losses, x, epsilon=math.inf, steps=5, step_size=0.3)
    assert torch.allclose(free, x - 1.5 * NORMAL, atol=1e-5)


def test_ddn_finds_the_distance_to_a_line():
    x = torch.tensor([[0.5, 0.5], [0.2, 0.1]])
    y = torch.zeros(2, dtype=torch.long)
    found = ddn(lambda inputs: linear(inputs).log_softmax(1), x, y, epsilon=2.0, steps=120)
    assert (found - x).norm(dim=1).tolist() == pytest.approx((x @ NORMAL).tolist(), rel=0.06)
    assert (linear(found).argmax(1) != y).all()


def test_ddn_returns_the_image_where_nothing_is_misclassified_within_reach():
    x = torch.tensor([[30.0, 30.0]])
    found = ddn(lambda i: linear(i).log_softmax(1), x, torch.zeros(1, dtype=torch.long), epsilon=0.1, steps=3)
    assert torch.equal(found, x)


def test_an_attack_leaves_batch_norms_alone():
    model = torch.nn.Sequential(torch.nn.BatchNorm1d(2), torch.nn.Linear(2, 2))
    model[1].eval()
    with evaluation_mode(model):
        log_mean_probabilities(model, torch.ones(3, 2), torch.zeros(2, 3, 2))
    assert model[0].running_mean.tolist() == [0.0, 0.0]
    assert [part.training for part in model] == [True, False]
