"""The user's module is the user's: voting neither changes it nor overlooks a change in it."""

import copy
import threading
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, spectral_norm, weight_norm

from sfumato import SmoothedClassifier
from sfumato.errors import ModelError
from sfumato.smoothing.private_copy import Lent, private_copy
from support import votes

CPU = torch.device("cpu")
X = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def mlp():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 5))


def cnn():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Flatten(),
        nn.Linear(256, 5),
    )


@pytest.mark.parametrize("make", [mlp, cnn])
@pytest.mark.parametrize("configuration", [{}, {"precision": "bf16"}, {"channels_last": True, "workers": 2}])
def test_voting_changes_nothing_of_the_users_module(make, configuration):
    network = make().train()
    network[1].eval()
    network[-1].requires_grad_(False)
    hook = network[2].register_forward_hook(lambda module, given, out: out)
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    identity = {name: (id(t), t.dtype, t.stride(), t.requires_grad) for name, t in network.named_parameters()}
    modes = [module.training for module in network.modules()]
    with pytest.warns(UserWarning, match="in training mode"):
        votes(network, X, **configuration)
    assert modes == [module.training for module in network.modules()]
    assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())
    assert identity == {
        name: (id(t), t.dtype, t.stride(), t.requires_grad) for name, t in network.named_parameters()
    }
    assert list(network[2]._forward_hooks) == [hook.id]


@pytest.mark.parametrize("make", [mlp, cnn])
def test_votes_are_those_of_evaluation_mode_whenever_train_is_called(make):
    network = make().eval()
    smoothed = SmoothedClassifier(network, 0.5, device="cpu")
    expected = smoothed.votes(X, 200)
    network.train()
    assert np.array_equal(smoothed.votes(X, 200), expected)
    assert network.training


def by_assignment(network):
    network[-1].bias = nn.Parameter(torch.tensor([0.0, 0.0, 99.0, 0.0, 0.0]))


def in_place(network):
    with torch.no_grad():
        network[-1].bias[2] = 99.0


def behind_autograds_back(network):
    network[-1].bias.data[2] = 99.0


def by_an_optimizer(network):
    optimizer = torch.optim.SGD(network.parameters(), lr=1000.0)
    (-network.eval()(X)[:, 2]).sum().backward()
    optimizer.step()


def by_a_hook(network):
    network.register_forward_hook(lambda module, given, out: out + 99.0 * torch.eye(5)[2])


def by_a_layer(network):
    network[-1] = nn.Linear(network[-1].in_features, 5)
    in_place(network)


@pytest.mark.parametrize("make", [mlp, cnn])
@pytest.mark.parametrize(
    "change", [by_assignment, in_place, behind_autograds_back, by_an_optimizer, by_a_hook, by_a_layer]
)
def test_a_change_of_the_module_is_followed(make, change):
    network = make().eval()
    smoothed = SmoothedClassifier(network, 0.5, device="cpu")
    before = smoothed.votes(X, 50)
    assert not (before[:, 2] == 50).all()
    change(network)
    assert (smoothed.votes(X, 50)[:, 2] == 50).all()


def test_a_change_of_an_attribute_and_of_the_number_of_classes_is_followed():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.sign, self.classes = 1.0, 2

        def forward(self, x):
            first = self.sign * (1.0 + 0.0 * x.flatten(1).sum(1))
            return torch.stack([first] + [0.0 * first] * (self.classes - 1), dim=1)

    network = Scaled()
    smoothed = SmoothedClassifier(network, 0.5, device="cpu")
    assert smoothed.votes(X, 10).tolist() == [[10, 0]] * 3
    network.sign = -1.0
    assert smoothed.votes(X, 10).tolist() == [[0, 10]] * 3
    network.classes = 4
    assert smoothed.votes(X, 10).tolist() == [[0, 10, 0, 0]] * 3


class Locked(nn.Module):
    def __init__(self):
        super().__init__()
        self.net, self.lock = cnn(), threading.Lock()

    def forward(self, x):
        with self.lock:
            return self.net(x)


class Keeping(nn.Module):
    def __init__(self):
        super().__init__()
        self.net, self.kept = cnn(), []

    def forward(self, x):
        self.kept = [self.net[:4](x)]
        return self.net[4:](self.kept[0])


class Uncopyable(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = cnn()

    def forward(self, x):
        return self.net(x)

    def __deepcopy__(self, memo):
        raise RuntimeError("there is only one")


def kept():
    network = Keeping().eval()
    network(X)
    return network


def normed(norm):
    network = cnn()
    norm(network[0])
    norm(network[-1])
    return network


HARD_TO_COPY = {
    "a lock": Locked,
    "kept activations": kept,
    "no copy": Uncopyable,
    "old weight norm": lambda: normed(weight_norm),
    "old spectral norm": lambda: normed(spectral_norm),
    "weight norm": lambda: normed(parametrizations.weight_norm),
    "spectral norm": lambda: normed(parametrizations.spectral_norm),
}


@pytest.mark.filterwarnings("ignore:.*weight_norm")
@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("make", HARD_TO_COPY.values(), ids=HARD_TO_COPY)
def test_a_module_that_is_hard_to_copy_computes_all_the_same(make, precision):
    network = make().train()
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = votes(network, X, precision=precision, workers=2, channels_last=True)
    assert network.training
    assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())
    if precision == "float32":
        # the same votes by a plain callable in evaluation mode, of which nothing is copied
        network.eval()
        assert np.array_equal(found, votes(lambda x: network(x), X, batch_size=50))


def test_a_module_whose_functions_hold_on_to_it_is_lent_and_gets_its_mode_back():
    network = cnn().train()
    network.register_forward_hook(lambda module, given, out: out + network[-1].bias)
    lent, copied = private_copy(network, CPU)
    assert isinstance(lent, Lent)
    assert not copied
    expected = copy.deepcopy(network).eval()
    assert torch.equal(lent(X), expected(X))
    assert all(module.training for module in network.modules())


def test_parameters_without_values_are_said_in_one_line():
    network = nn.Sequential(nn.Flatten(), nn.LazyLinear(3))
    with pytest.raises(ModelError, match=r"^the model's 1\.weight has no values yet \(a lazy layer\)"):
        SmoothedClassifier(network, 0.5, device="cpu")

    class MakesItsHead(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = None

        def forward(self, x):
            self.head = self.head or nn.Linear(64, 3)
            return self.head(x.flatten(1))

    with pytest.raises(ModelError, match="makes parameters in its first forward pass"):
        SmoothedClassifier(MakesItsHead(), 0.5, device="cpu").votes(X, 10)
