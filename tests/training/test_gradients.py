"""Batches that memory does not hold are taken in parts."""

import pytest
import torch
from torch import nn

from sfumato.errors import ModelError, SfumatoError
from sfumato.models.checkpoint import read_safetensors
from sfumato.models.registry import build_model
from sfumato.noise import Gaussian, Span, Stream, Use
from sfumato.training.gradients import Gradients
from sfumato.training.loop import train
from sfumato.training.methods.registry import METHODS
from sfumato.training.settings import TrainingSettings
from sfumato.training.state import state_path

LIMIT = 0


class Hungry(nn.Module):
    """Raises what PyTorch does where a pass in training has more rows than ``LIMIT``, half-way through."""

    error: BaseException = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    def forward(self, x):
        if self.training and len(x) > LIMIT:
            raise self.error
        return x


def hungry(shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), Hungry(), nn.Linear(16, classes))


def hungry_with_batch_norm(shape, classes):
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 16), nn.BatchNorm1d(16), Hungry(), nn.Linear(16, classes)
    )


@pytest.fixture
def limit(monkeypatch):
    return lambda rows: monkeypatch.setattr(f"{__name__}.LIMIT", rows)


SETTINGS = TrainingSettings(alpha=0.2, epochs=2, batch_size=250, architecture=f"{__name__}:hungry")


def trained(digits, path, settings=SETTINGS):
    lines = []
    record = train(digits, settings, path, device="cpu", on_warning=lines.append)
    return record, read_safetensors(path)[0], lines


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
)
def test_the_result_is_that_of_whole_batches_up_to_rounding_and_said_once(
    digits, tmp_path, limit, monkeypatch, error
):
    limit(10**6)
    whole_record, whole, lines = trained(digits, tmp_path / "whole.safetensors")
    assert lines == []
    assert "images_per_part" not in whole_record.training
    limit(100)
    monkeypatch.setattr(Hungry, "error", error)
    record, parts, lines = trained(digits, tmp_path / "parts.safetensors")
    assert lines == [
        "out of memory with a batch of 250 images: its gradient is added up over parts of at most 63; the "
        "result is the same up to rounding"
    ]
    assert record.training["images_per_part"] == 63
    for name, value in whole.items():
        assert torch.allclose(value, parts[name], atol=2e-5), name


def test_batch_norms_see_the_parts_and_nothing_of_a_failed_pass(digits, tmp_path, limit):
    limit(100)
    settings = SETTINGS.replace(architecture=f"{__name__}:hungry_with_batch_norm", epochs=1)
    _, tensors, (line,) = trained(digits, tmp_path / "m.safetensors", settings)
    assert "batch norms take their statistics from each part" in line
    batches = -(-len(digits.train) // 250)
    last = len(digits.train) - 250 * (batches - 1)
    assert int(tensors["1.2.num_batches_tracked"]) == 4 * (batches - 1) + -(-last // 63)


def test_an_interrupted_training_goes_on_with_parts_of_the_same_size(digits, tmp_path, limit):
    limit(100)
    settings = SETTINGS.replace(architecture=f"{__name__}:hungry_with_batch_norm")
    whole, _, _ = trained(digits, tmp_path / "whole.safetensors", settings)
    path = tmp_path / "broken.safetensors"

    def kill(report):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(digits, settings, path, device="cpu", on_epoch=kill)
    limit(10**6)  # memory that is free again changes nothing
    record, _, lines = trained(digits, path, settings)
    assert record.weights_sha256 == whole.weights_sha256
    assert len(lines) == 1


@pytest.mark.parametrize("name", list(METHODS))
def test_every_methods_loss_and_gradient_add_up_over_parts(name):
    generator = torch.Generator().manual_seed(0)
    x, y = torch.rand(12, 1, 4, 4, generator=generator), torch.arange(12) % 3
    method, noise = METHODS[name](), Gaussian(0.3)
    found = []
    for most in (None, 5):
        model = build_model("mlp", (1, 4, 4), 3, [0.5], [0.5])
        stream = Stream(Use.TRAINING_NOISE, 0, Span(0))

        def loss(rows, stream, model=model):
            return method.loss(model, x[rows], y[rows], noise, stream)

        value, behind = Gradients(most).take(model, torch.arange(11), loss, stream)
        after = torch.empty(1, 16 * getattr(method, "draws", 1) if name != "gaussian" else 16)
        behind.normal(after)
        found.append([value, after, *(parameter.grad for parameter in model.parameters())])
    for whole, parts in zip(*found, strict=True):
        assert torch.allclose(whole, parts, rtol=1e-3, atol=1e-5)


def test_one_image_that_does_not_fit_is_a_failure_that_keeps_the_last_epoch(digits, tmp_path, limit):
    limit(250)
    path = tmp_path / "m.safetensors"
    with pytest.raises(SfumatoError, match="out of memory with one image at a time") as told:
        train(digits, SETTINGS, path, device="cpu", on_epoch=lambda report: limit(0))
    assert told.value.exit_code == 1
    assert state_path(path).exists()


def test_other_errors_of_a_network_are_not_taken_for_a_lack_of_memory(digits, tmp_path, limit, monkeypatch):
    limit(100)
    monkeypatch.setattr(Hungry, "error", RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(ModelError, match="shapes cannot be multiplied"):
        train(digits, SETTINGS, tmp_path / "m.safetensors", device="cpu")
