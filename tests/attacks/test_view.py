import pytest
import torch

from sfumato.attacks.view import SmoothedView
from sfumato.errors import ModelError, SettingError

foolbox = pytest.importorskip("foolbox")


def network():
    layer = torch.nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[3.0, 0.0], [-3.0, 0.0]]))
    return torch.nn.Sequential(layer)


def test_straight_through_returns_votes_and_the_gradient_of_probabilities():
    x = torch.tensor([[0.2, 0.0]], requires_grad=True)
    hard = SmoothedView(network(), 0.5, draws=4000, surrogate="straight-through", seed=1)
    soft = SmoothedView(network(), 0.5, draws=4000, seed=1)
    share = hard(x).exp()[0, 0].item()
    # P(0.2 + 0.5 Z > 0) = Phi(0.4)
    assert share == pytest.approx(0.6554, abs=0.03)
    assert share * 4000 == pytest.approx(round(share * 4000), abs=1e-2)
    first, second = (torch.autograd.grad(view(x).exp()[0, 0], x)[0] for view in (hard, soft))
    assert torch.allclose(first, second, rtol=0.1)
    assert first[0, 0] > 0


def test_each_call_draws_anew_and_the_seed_repeats_it():
    x = torch.rand(3, 2)
    one, two = (SmoothedView(network(), 0.5, seed=7) for _ in range(2))
    first = one(x)
    assert torch.equal(first, two(x))
    assert not torch.equal(first, one(x))


def test_an_outside_library_attacks_the_view():
    x, y = torch.tensor([[0.4, 0.1], [0.8, 0.2]]), torch.tensor([0, 0])
    view = SmoothedView(network(), beta=0.25, draws=64).eval()
    model = foolbox.PyTorchModel(view, bounds=(-1, 1))
    _, found, broken = foolbox.attacks.L2PGD(steps=10, rel_stepsize=0.25, random_start=False)(
        model, x, y, epsilons=0.5
    )
    # the boundary lies at distances 0.4 and 0.8
    assert broken.tolist() == [True, False]
    assert float((found[0] - x[0]).norm()) <= 0.5 + 1e-5


def test_bad_input():
    with pytest.raises(ModelError, match="an attack needs gradients"):
        SmoothedView(lambda x: x, 0.5)
    with pytest.raises(SettingError, match="give either beta or noise"):
        SmoothedView(network())
    with pytest.raises(SettingError, match="draws must be a whole number of at least 1"):
        SmoothedView(network(), 0.5, draws=0)
