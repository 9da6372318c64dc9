"""Near ties follow the rounding that can happen: the same votes in every batch, layout and thread."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sfumato import SmoothedClassifier
from sfumato.errors import ModelError
from sfumato.smoothing.base_classifier import BaseClassifier
from sfumato.smoothing.full_precision import full_precision
from support import votes

CPU = torch.device("cpu")


class Cancelling(nn.Module):
    """Two sums of hundreds of terms that nearly cancel: logits of hundredths from sums of hundreds."""

    def __init__(self, seed, classes, gain, convolution):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.body = nn.Conv2d(1, 4, 3, padding=1) if convolution else nn.Identity()
        width = 400 if convolution else 100
        common = gain * torch.randn(1, width, generator=generator).abs()
        self.large, self.common = nn.Linear(width, classes), nn.Linear(width, 1, bias=False)
        with torch.no_grad():
            for parameter in self.body.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator) / 3)
            apart = torch.randn(classes, width, generator=generator) * 1e-4
            self.large.weight.copy_(common + apart)
            self.large.bias.copy_(torch.randn(classes, generator=generator) * 1e-4)
            self.common.weight.copy_(common)

    def forward(self, x):
        x = self.body(x).flatten(1)
        return self.large(x) - self.common(x)


@st.composite
def cancelling(draw):
    return Cancelling(
        draw(st.integers(0, 2**31)),
        draw(st.integers(2, 12)),
        draw(st.sampled_from([0.5, 3.0, 20.0])),
        draw(st.booleans()),
    ).eval()


@settings(max_examples=15, deadline=None, derandomize=True)
@given(cancelling(), st.sampled_from([3, 31, 64]), st.integers(0, 2**31))
def test_float32_classes_are_those_of_float64_whatever_the_batch_and_the_layout(network, size, seed):
    generator = torch.Generator().manual_seed(seed)
    clean = torch.rand(1, 1, 10, 10, generator=generator)
    x = clean + 0.5 * torch.randn(600, 1, 10, 10, generator=generator)
    with torch.no_grad():
        exact = copy.deepcopy(network).double()(x.double())
    best = exact.topk(2).values
    clear = best[:, 0] - best[:, 1] > 1e-10
    for channels_last in (False, True):
        base = BaseClassifier(network, CPU, channels_last=channels_last)
        base.probe(clean, 0.5)
        found = torch.cat([base.classes(part) for part in x.split(size)])
        assert torch.equal(found[clear], exact.argmax(dim=1)[clear])


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@settings(max_examples=8, deadline=None, derandomize=True)
@given(network=cancelling(), seed=st.integers(0, 2**31))
def test_votes_on_cancelling_logits_do_not_depend_on_batch_layout_or_threads(precision, network, seed):
    x = torch.rand(2, 1, 10, 10, generator=torch.Generator().manual_seed(seed))
    found = [
        votes(network, x, 400, precision=precision, **configuration)
        for configuration in (
            {"batch_size": 256},
            {"batch_size": 7},
            {"batch_size": 50, "channels_last": True, "workers": 2},
        )
    ]
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])


def test_an_untrained_bf16_convolution_network_is_no_random_one():
    torch.manual_seed(3)
    network = nn.Sequential(
        *(layer for _ in range(6) for layer in (nn.Conv2d(16, 16, 3, padding=1), nn.ReLU())),
        nn.Flatten(),
        nn.Linear(16 * 64, 10),
    )
    x = torch.rand(2, 16, 8, 8)
    for configuration in ({"batch_size": 33}, {"channels_last": True}):
        assert votes(network, x, 64, precision="bf16", **configuration).sum() == 128


def test_two_equal_rows_of_weights_are_a_tie_for_the_first():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(300, 3))
    with torch.no_grad():
        network[1].weight[1:] = network[1].weight[0]
        network[1].bias.zero_()
    for batch in (1, 7, 64):
        found = votes(network, torch.rand(1, 3, 10, 10), 300, batch_size=batch)
        assert found.tolist() == [[300, 0, 0]]


def rounded_to_ten_bits(x):
    """Return float32 with the mantissa of TF32."""
    return ((x.view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32)


class TensorCores(nn.Module):
    """A matrix product as a GPU computes it: in TF32 wherever the program's settings allow it."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(5, 64, generator=torch.Generator().manual_seed(0)))

    def forward(self, x):
        x, weight = x.flatten(1), self.weight.to(x.dtype)
        if x.dtype == torch.float32 and torch.get_float32_matmul_precision() != "highest":
            x, weight = rounded_to_ten_bits(x), rounded_to_ten_bits(weight)
        return x @ weight.T


@pytest.fixture
def shortened_products():
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    yield
    torch.set_float32_matmul_precision(before)


def test_float32_is_certified_in_float32_though_the_program_allows_tf32(shortened_products):
    x = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    network = TensorCores()
    found = votes(network, x, 2000)
    assert torch.get_float32_matmul_precision() == "high", "the program's setting is put back"
    torch.set_float32_matmul_precision("highest")
    assert np.array_equal(found, votes(network, x, 2000))


def test_settings_of_the_program_are_put_back_when_the_last_of_several_votes_ends(shortened_products):
    conv = getattr(torch.backends.cudnn, "conv", None)
    before = conv.fp32_precision if conv is not None else torch.backends.cudnn.allow_tf32
    with full_precision(CPU):
        with full_precision(CPU):
            pass
        assert torch.get_float32_matmul_precision() == "highest"
        if conv is not None:
            assert conv.fp32_precision == "ieee"
    assert torch.get_float32_matmul_precision() == "high"
    assert (conv.fp32_precision if conv is not None else torch.backends.cudnn.allow_tf32) == before


def test_autocast_around_the_call_changes_no_vote():
    torch.manual_seed(2)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    x = torch.rand(4, 1, 8, 8)
    plain = votes(network, x, 1000)
    for workers in (1, 2):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert np.array_equal(votes(network, x, 1000, workers=workers), plain)


def test_a_network_that_leaves_its_measured_rounding_ends_the_run():
    """A kernel that errs in large batches only, after the probe: the run must not go on with it."""

    class Broken(nn.Module):
        broken = False

        def forward(self, x):
            x = x.flatten(1)
            out = torch.stack([x.sum(1), x.sum(1) * 0.9], dim=1)
            return out + 0.01 * len(x) if type(self).broken and len(x) > 16 else out

    smoothed = SmoothedClassifier(Broken(), 0.5, device="cpu", batch_size=64)
    smoothed.check(torch.rand(2, 1, 8, 8))
    Broken.broken = True
    with pytest.raises(ModelError, match="not a fixed function"):
        smoothed.votes(torch.rand(2, 1, 8, 8), 1000)
