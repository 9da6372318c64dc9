"""What makes the base classifier faster leaves it the function it is."""

import random

import numpy as np
import pytest
import torch
from torch import nn

from sfumato import SmoothedClassifier
from sfumato.errors import ModelError, SfumatoError
from sfumato.models import build_model
from sfumato.smoothing.base_classifier import BaseClassifier
from sfumato.smoothing.configuration import Configuration
from sfumato.smoothing.folding import with_folded_batch_norms
from support import votes

CPU = torch.device("cpu")
X = torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def with_statistics(model):
    """Give every batch norm statistics and weights of its own, as training does."""
    generator = torch.Generator().manual_seed(2)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low, high in (
                (module.running_mean, -0.5, 0.5),
                (module.running_var, 0.5, 2.0),
                (module.weight, 0.5, 1.5),
                (module.bias, -0.5, 0.5),
            ):
                tensor.data.uniform_(low, high, generator=generator)
    return model.eval()


@pytest.fixture(scope="module")
def resnet():
    return with_statistics(build_model("resnet20", (3, 16, 16), 10, (0.5,) * 3, (0.25,) * 3))


def norms(model):
    return sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())


@torch.inference_mode()
def test_folding_removes_every_batch_norm_of_a_resnet_and_keeps_its_logits(resnet):
    folded = with_folded_batch_norms(resnet)
    assert norms(resnet) == 21
    assert norms(folded) == 0
    torch.testing.assert_close(folded(X), resnet(X), rtol=1e-4, atol=1e-5)


class SharedConvolution(nn.Module):
    """One convolution before two batch norms; one more whose result is used twice; one without statistics."""

    def __init__(self):
        super().__init__()
        self.shared = nn.Conv2d(3, 3, 3, padding=1)
        self.first, self.second = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
        self.twice, self.third = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.alone, self.fourth = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, x):
        x = self.first(self.shared(x)) + self.second(self.shared(2 * x))
        convolved = self.twice(x)
        return self.fourth(self.alone(self.third(convolved) + convolved)).flatten(2).mean(2)


@torch.inference_mode()
def test_a_convolution_with_other_uses_keeps_its_batch_norm():
    model = with_statistics(SharedConvolution())
    folded = with_folded_batch_norms(model)
    assert norms(folded) == 3
    torch.testing.assert_close(folded(X), model(X), rtol=1e-4, atol=1e-5)


def hooked(model):
    """A hook on a batch norm, which tracing calls beside the graph."""
    model[1].register_forward_hook(lambda module, given, out: torch.where(out > 1.5, 3 * out, out))
    return model


def hooked_before(model):
    model[0].register_forward_pre_hook(lambda module, given: (2 * given[0],))
    return model


def hooked_outside(model):
    """A hook on the whole model, which tracing drops."""
    model.register_forward_hook(lambda module, given, out: -out)
    return model


def own_forward(model):
    plain = model[1].forward
    model[1].forward = lambda x: plain(x).abs()
    return model


def parametrised(model):
    nn.utils.parametrizations.weight_norm(model[0])
    return model


class TwiceItsBatchNorm(nn.BatchNorm2d):
    def forward(self, x):
        return 2 * super().forward(x)


def subclassed(model):
    model[1] = TwiceItsBatchNorm(4)
    return with_statistics(model)


class ReadsTheWeights(nn.Module):
    """Uses the convolution's weights a second time, beside the convolution."""

    def __init__(self, body):
        super().__init__()
        self.body = body

    def forward(self, x):
        return self.body(x) + self.body[0].weight.sum() * torch.eye(4)[0]


@pytest.mark.parametrize(
    "change", [hooked, hooked_before, hooked_outside, own_forward, parametrised, subclassed, ReadsTheWeights]
)
def test_what_happens_beside_the_graph_keeps_its_batch_norm_and_its_votes(change):
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model = change(with_statistics(body)).eval()
    assert norms(with_folded_batch_norms(model)) == 1
    with torch.inference_mode():
        torch.testing.assert_close(with_folded_batch_norms(model)(X), model(X))
    assert np.array_equal(votes(model, X, 300), votes(lambda x: model(x), X, 300))


class DependsOnValues(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))

    def forward(self, x):
        out = self.body(x).flatten(2).mean(2)
        return out if out.sum() > 0 else -out


def test_a_model_that_cannot_be_traced_is_taken_as_it_is():
    model = with_statistics(DependsOnValues())
    assert with_folded_batch_norms(model) is model


class Dice(nn.Module):
    """Python's randomness, which tracing would freeze."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))

    def forward(self, x):
        return self.body(x).flatten(2).mean(2) + random.random()


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_randomness_inside_a_traced_model_is_found(precision):
    random.seed(0)
    classifier = BaseClassifier(with_statistics(Dice()), CPU, precision=precision)
    with pytest.raises(ModelError, match="not deterministic"):
        classifier.probe(X)


def digits_body():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(768, 10))


class OfTheBatch(nn.Module):
    def __init__(self, change):
        super().__init__()
        self.body, self.change = digits_body(), change

    def forward(self, x):
        return self.body(self.change(x))


def with_batch_statistics():
    torch.manual_seed(0)
    return nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False), digits_body())


def dense_with_batch_statistics():
    norm = nn.BatchNorm1d(10, track_running_stats=False)
    return nn.Sequential(digits_body(), norm)


NO_FIXED_FUNCTION = {
    "batch norm": (with_batch_statistics, r"batch norm '0' has no running statistics"),
    "dense batch norm": (dense_with_batch_statistics, r"batch norm '1' has no running statistics"),
    "functional": (
        lambda: OfTheBatch(lambda x: nn.functional.batch_norm(x, None, None, training=True)),
        "depend on the other inputs",
    ),
    "largest": (lambda: OfTheBatch(lambda x: x / x.abs().max()), "depend on the other inputs"),
    "mean": (lambda: OfTheBatch(lambda x: x - 0.1 * x.mean(0)), "depend on the other inputs"),
    "place": (
        lambda: OfTheBatch(lambda x: x + 0.01 * torch.arange(len(x)).view(-1, 1, 1, 1)),
        "depend on the other inputs",
    ),
    "size": (lambda: OfTheBatch(lambda x: x * (1 + (len(x) == 1))), "depend on the other inputs"),
    "dropout": (
        lambda: OfTheBatch(lambda x: nn.functional.dropout(x, 0.1, training=True)),
        "not deterministic",
    ),
    "quantised": (
        lambda: torch.ao.quantization.quantize_dynamic(digits_body(), {nn.Linear}, dtype=torch.qint8),
        "depend on the other inputs",
    ),
}


@pytest.mark.filterwarnings("ignore:.*torch.ao.quantization")
@pytest.mark.parametrize("beta", [0.0, 0.5])
@pytest.mark.parametrize(("make", "words"), NO_FIXED_FUNCTION.values(), ids=NO_FIXED_FUNCTION)
def test_logits_that_depend_on_the_batch_are_refused_for_one_image_too(make, words, beta):
    classifier = BaseClassifier(make().eval(), CPU)
    with pytest.raises(ModelError, match=words):
        classifier.probe(X[:1], beta)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_votes_of_a_folded_network_do_not_depend_on_layout_or_batch(resnet, precision):
    found = votes(resnet, X[:2], 96, batch_size=20, channels_last=True, workers=2, precision=precision)
    assert np.array_equal(found, votes(resnet, X[:2], 96, batch_size=96, precision=precision))


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_a_compiled_network_gives_the_same_votes(resnet, precision):
    compiled = Configuration(64, channels_last=True, workers=2, precision=precision, compiled=True)
    fast = SmoothedClassifier(resnet, 0.5, device="cpu", configuration=compiled)
    # 150 votes: two full batches, which are compiled, and a rest, which is not
    found = fast.votes(X[:3], 150)
    assert fast._base.compiled
    plain = votes(resnet, X[:3], 150, channels_last=True, workers=2, precision=precision)
    assert np.array_equal(found, plain)


def test_where_compiling_fails_it_is_said_once_and_the_votes_are_the_same(resnet, monkeypatch):
    def broken(*_, **__):
        def call(x):
            raise RuntimeError("no C++ compiler\nlong story")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.warns(UserWarning, match="not compiled") as caught:
        found = votes(resnet, X[:2], 96, batch_size=32, workers=2, compiled=True)
    assert [str(warning.message) for warning in caught] == ["the model is not compiled: no C++ compiler"]
    assert np.array_equal(found, votes(resnet, X[:2], 96))


def test_a_service_that_does_not_answer_is_a_failure_said_in_one_line(linear):
    answers = 40

    def service(batch):
        nonlocal answers
        answers -= 1
        if answers < 0:
            raise ConnectionRefusedError("connection refused")
        return linear(batch)

    smoothed = SmoothedClassifier(service, beta=0.5, batch_size=10, device="cpu")
    points = torch.tensor([[1.0, 0.0]])
    with pytest.raises(
        SfumatoError, match=r"^the model failed on \d+ noisy copies on cpu \(connection refused\)$"
    ):
        smoothed.votes(points, 1000)
    answers = 0
    with pytest.raises(SfumatoError, match=r"^the model does not answer \(connection refused\)$"):
        SmoothedClassifier(service, beta=0.5, device="cpu").votes(points, 10)
