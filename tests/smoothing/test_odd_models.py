"""Models that answer, copy or fail in unusual ways: their own votes or one line, unchanged and in time."""

import sys

import numpy as np
import pytest
import torch
from torch import nn

from sfumato.errors import ModelError, SfumatoError
from sfumato.smoothing.threads import interference
from support import votes

X = torch.rand(3, 1, 4, 4, generator=torch.Generator().manual_seed(1))


class Then(nn.Module):
    """A linear network whose logits go through a function."""

    def __init__(self, change):
        super().__init__()
        torch.manual_seed(0)
        self.linear, self.change = nn.Linear(16, 3), change

    def forward(self, x):
        return self.change(self.linear(x.flatten(1)))


def raised(error):
    raise error


class Unreadable(Exception):
    def __str__(self):
        raise RuntimeError("no text")


class OfNoClass(BaseException):
    pass


@pytest.mark.parametrize("error", [SystemExit(0), OfNoClass("quota"), Unreadable()])
def test_whatever_a_forward_pass_raises_is_one_line(error):
    with pytest.raises(SfumatoError, match=type(error).__name__):
        votes(Then(lambda _: raised(error)), X)


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (torch.Tensor.to_sparse, "sparse"),
        (lambda logits: logits.to("meta"), "meta"),
        (lambda logits: torch.nested.as_nested_tensor(list(logits)), "nested"),
        (lambda logits: torch._empty_affine_quantized(logits.shape, dtype=torch.qint8), "quantized"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_tensors_that_hold_no_plain_numbers_are_refused(change, kind):
    with pytest.raises(ModelError, match=f"got a {kind} tensor"):
        votes(Then(change), X)


def test_a_model_without_values_is_refused():
    with torch.device("meta"):
        model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    with pytest.raises(ModelError, match=r"1\.weight has no values"):
        votes(model, X)


class CopyIs(Then):
    """A model whose copy is what it is given."""

    def __init__(self, copy):
        super().__init__(nn.Identity())
        self.given = copy

    def __deepcopy__(self, memo):
        return self.given(self)


@pytest.mark.parametrize(
    "copy", [lambda model: model, lambda _: None, lambda _: 3, lambda _: raised(SystemExit(1))]
)
@pytest.mark.filterwarnings("ignore:votes are counted by one thread")
def test_a_model_that_copies_itself_in_a_way_of_its_own_is_not_changed(copy):
    model = CopyIs(copy).train()
    found = votes(model, X, workers=2)
    np.testing.assert_array_equal(found, votes(Then(nn.Identity()), X))
    assert model.training
    assert model.linear.weight.dtype == torch.float32


class NoMode(Then):
    def train(self, mode=True):
        raise ValueError("there is one mode only")


def test_a_model_that_has_no_evaluation_mode_is_one_line():
    with pytest.raises(ModelError, match="there is one mode only"):
        votes(NoMode(nn.Identity()), X)


@pytest.mark.parametrize("kind", ["<f4", ">f4", "<f8"])
def test_numpy_arrays_of_a_callable_are_its_logits(kind):
    model = Then(nn.Identity())

    def function(x):
        return model(x).detach().numpy().astype(kind)

    np.testing.assert_array_equal(votes(function, X), votes(model, X))


def test_tracing_ends_when_the_time_for_interruptions_is_over(monkeypatch):
    monkeypatch.setattr("sfumato.smoothing.threads.MOST_SECONDS", 0.0)
    traced = []

    def network(x):
        for _ in range(3):
            traced.append(sys.gettrace())
        return x.flatten(1)

    interference(network, network, X, X)
    assert traced[-1] is None


def test_a_function_that_reuses_its_array_is_not_taken_for_its_own_change():
    array = np.zeros((64, 3), np.float32)

    def function(x):
        array[: len(x)] = x.flatten(1)[:, :3].numpy()
        return array[: len(x)]

    np.testing.assert_array_equal(votes(function, X), votes(lambda x: x.flatten(1)[:, :3], X))
