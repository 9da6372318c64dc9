import os
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from sfumato import devices
from sfumato.datasets import Dataset, Split
from sfumato.errors import ModelError, OutputError, SettingError
from sfumato.models import load_model
from sfumato.models.checkpoint import read_safetensors, save_model
from sfumato.training.layout import fastest_layout, lay_out
from sfumato.training.loop import train
from sfumato.training.settings import TrainingSettings
from sfumato.training.state import state_path

SMALL = TrainingSettings(alpha=0.2, epochs=3, batch_size=250)


def test_the_same_seed_gives_the_same_weights(digits, tmp_path):
    records = [train(digits, SMALL, tmp_path / f"{i}.safetensors", device="cpu") for i in range(2)]
    other = train(digits, SMALL.replace(seed=1), tmp_path / "other.safetensors", device="cpu")
    assert records[0].weights_sha256 == records[1].weights_sha256 != other.weights_sha256


def test_the_output_may_be_a_path_as_text(digits, tmp_path):
    record = train(digits, SMALL, str(tmp_path / "text.safetensors"), device="cpu")
    model, _ = load_model(str(tmp_path / "text.safetensors"))
    assert (
        save_model(model, record, str(tmp_path / "copy.safetensors")).weights_sha256 == record.weights_sha256
    )


class Killed(Exception):
    pass


def interrupted(data, path, settings=SMALL, stop_after=1):
    """Train so many epochs of what is to be written to ``path``; the state of the training is left."""

    def kill(report):
        if report.epoch == stop_after:
            raise Killed

    with pytest.raises(Killed):
        train(data, settings, path, device="cpu", on_epoch=kill)


@pytest.mark.parametrize("stop_after", [1, 2])
def test_an_interrupted_training_ends_with_the_weights_of_an_unbroken_one(digits, tmp_path, stop_after):
    whole = train(digits, SMALL, tmp_path / "whole.safetensors", device="cpu")
    path, epochs = tmp_path / "broken.safetensors", []
    interrupted(digits, path, stop_after=stop_after)
    record = train(digits, SMALL, path, device="cpu", on_epoch=lambda report: epochs.append(report.epoch))
    assert epochs[0] == stop_after + 1
    assert record.weights_sha256 == whole.weights_sha256
    assert not state_path(path).exists()


def test_an_unfinished_training_of_other_settings_or_former_noise_is_not_continued(
    digits, tmp_path, monkeypatch
):
    path = tmp_path / "m.safetensors"
    with monkeypatch.context() as former:
        former.setattr("sfumato.noise.NOISE_VERSION", 1)
        interrupted(digits, path)
    with pytest.raises(OutputError, match=r"unfinished: was begun by a version of Sfumato that draws other"):
        train(digits, SMALL, path, device="cpu")
    state_path(path).unlink()
    interrupted(digits, path)
    before = state_path(path).read_bytes()
    with pytest.raises(OutputError, match=r"alpha 0\.2, not 0\.3"):
        train(digits, SMALL.replace(alpha=0.3), path, device="cpu")
    assert state_path(path).read_bytes() == before


def test_a_warm_start_begins_with_the_weights_of_the_other(digits, digits_model, tmp_path):
    settings = SMALL.replace(warm_start=digits_model, epochs=1, learning_rate=1e-12, weight_decay=0.0)
    record = train(digits, settings, tmp_path / "warm.safetensors", device="cpu")
    start, start_record = load_model(digits_model)
    end, _ = load_model(tmp_path / "warm.safetensors")
    assert record.training["warm_start"] == start_record.weights_sha256
    for name, tensor in start.state_dict().items():
        assert torch.allclose(tensor, end.state_dict()[name], atol=1e-6)
    with pytest.raises(ModelError, match=r"is a|is mlp"):
        train(digits, settings.replace(architecture="cnn"), tmp_path / "x.safetensors", device="cpu")


def test_bf16_autocast_trains(digits, tmp_path):
    record = train(digits, SMALL.replace(precision="bf16"), tmp_path / "m.safetensors", device="cpu")
    assert record.training["precision"] == "bf16"
    assert record.clean_accuracy > 0.3


def test_bf16_where_it_is_slow_is_warned_of_once(digits, tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "bf16_slowdown", lambda device: 17.0)
    monkeypatch.setattr(devices, "_TOLD", set())
    settings = SMALL.replace(precision="bf16", epochs=1)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        train(digits, settings.replace(precision="float32"), tmp_path / "a.safetensors", device="cpu")
        assert not told
        for name in "bc":
            train(digits, settings, tmp_path / f"{name}.safetensors", device="cpu")
    (line,) = told
    assert "products take 17.0 times as long in bf16" in str(line.message)


def test_noise_training_pays_under_noise(digits, tmp_path):
    settings = TrainingSettings(alpha=0.6, epochs=25)
    noisy = train(digits, settings, tmp_path / "noisy.safetensors", device="cpu")
    plain = train(digits, settings.replace(alpha=0.0), tmp_path / "plain.safetensors", device="cpu")
    x = torch.from_numpy(digits.test.x)
    x = x + 0.6 * torch.randn(x.shape, generator=torch.Generator().manual_seed(9))
    accuracy = [
        (load_model(tmp_path / name)[0](x).argmax(1).numpy() == digits.test.y).mean()
        for name in ("noisy.safetensors", "plain.safetensors")
    ]
    assert accuracy[0] > accuracy[1] + 0.05
    assert noisy.alpha == 0.6
    assert plain.noisy_accuracy == plain.clean_accuracy


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"alpha": -0.1}, "alpha must be at least 0, got -0.1"),
        ({"alpha": float("nan")}, "got nan"),
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"precision": "fp8"}, "precision must be 'auto', 'float32' or 'bf16', got 'fp8'"),
        ({"learning_rate": 0.0}, "learning_rate must be greater than 0, got 0"),
    ],
)
def test_settings_out_of_range_are_refused(change, words):
    with pytest.raises(SettingError, match=words):
        SMALL.replace(**change)


def test_an_existing_model_is_not_overwritten(digits, digits_model):
    before = digits_model.read_bytes()
    with pytest.raises(OutputError, match="exists already"):
        train(digits, SMALL, digits_model, device="cpu")
    assert digits_model.read_bytes() == before


def test_a_killed_process_resumes_to_the_same_weights(digits, tmp_path):
    command = [
        sys.executable,
        "-m",
        "sfumato",
        "train",
        "--alpha",
        "0.2",
        "--epochs",
        "15",
        "--device",
        "cpu",
    ]
    whole, broken = tmp_path / "whole.safetensors", tmp_path / "broken.safetensors"
    process = subprocess.Popen([*command, "--out", str(broken)], stdout=subprocess.DEVNULL)
    while not state_path(broken).exists():
        assert process.poll() is None, "it finished before it could be killed"
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not broken.exists()
    settings = TrainingSettings(alpha=0.2, epochs=15)
    records = [train(digits, settings, path, device="cpu") for path in (whole, broken)]
    assert torch.equal(*(read_safetensors(p)[0]["1.5.weight"] for p in (whole, broken)))
    assert records[0].weights_sha256 == records[1].weights_sha256


@pytest.fixture
def few(digits):
    train_split = Split(digits.train.x[:300], digits.train.y[:300])
    test_split = Split(digits.test.x[:50], digits.test.y[:50])
    return Dataset(digits.name, train_split, test_split, digits.class_names, digits.unit, digits.source)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_an_interrupted_convolutional_training_ends_with_the_weights_of_an_unbroken_one(
    few, tmp_path, precision
):
    settings = TrainingSettings(alpha=0.2, architecture="cnn", epochs=3, batch_size=100, precision=precision)
    whole, broken = tmp_path / "whole.safetensors", tmp_path / "broken.safetensors"
    interrupted(few, broken, settings)
    records = [train(few, settings, path, device="cpu") for path in (whole, broken)]
    assert records[0].weights_sha256 == records[1].weights_sha256


class Viewing(nn.Module):
    """Reshapes with ``view``, which a tensor with its channels innermost does not allow."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.head = nn.Linear(4 * 36, 10)

    def forward(self, x):
        return self.head(self.conv(x).view(len(x), -1))


def test_only_models_that_can_are_laid_out_with_their_channels_innermost():
    x = torch.from_numpy(np.ones((2, 1, 8, 8), dtype=np.float32))
    assert fastest_layout(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU()), x) == torch.channels_last
    assert fastest_layout(nn.Sequential(nn.Flatten(), nn.Linear(64, 2)), x) == torch.contiguous_format
    assert fastest_layout(Viewing(), x) == torch.contiguous_format


@pytest.mark.parametrize(
    ("convolution", "layout"),
    [
        (nn.Conv2d(15, 4, 1, stride=2), torch.contiguous_format),
        (nn.Conv2d(8, 4, 1, stride=(1, 4)), torch.contiguous_format),
        (nn.Conv2d(32, 32, 1, stride=3, groups=4), torch.contiguous_format),
        (nn.Conv2d(16, 4, 1, stride=2), torch.channels_last),
        (nn.Conv2d(8, 4, 1), torch.channels_last),
        (nn.Conv2d(8, 4, 2, stride=2), torch.channels_last),
    ],
    ids=str,
)
def test_convolutions_whose_gradients_corrupt_memory_keep_their_channels_outermost(convolution, layout):
    model = nn.Sequential(nn.Conv2d(1, convolution.in_channels, 3), convolution)
    assert fastest_layout(model, torch.ones(2, 1, 8, 8)) == layout


STEPS = """
import torch
from torch import nn
from sfumato.training.layout import lay_out

for channels, stride, side in ((3, 2, 64), (8, 2, 64), (8, 4, 128)):
    model = nn.Sequential(nn.Conv2d(3, channels, 3, padding=1), nn.Conv2d(channels, 16, 1, stride))
    x = torch.ones(16, 3, side, side)
    lay_out(model, x[:2])
    for _ in range(3):
        model(x).square().sum().backward()
print("whole")
"""


def test_a_narrow_convolution_with_a_stride_is_trained_without_a_crash():
    # in a process of its own: where it fails, the process is gone
    done = subprocess.run([sys.executable, "-c", STEPS], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "whole\n"), done.stderr


def test_gradients_are_those_of_any_layout_and_come_to_a_max_pooling_with_their_channels_innermost():
    model = nn.Sequential(nn.Conv2d(2, 8, 3), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(72, 3))
    x = torch.rand(4, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    model(x).square().sum().backward()
    expected = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    lay_out(model, x)
    seen = []
    model[1].register_forward_hook(lambda module, inputs, output: output.register_hook(seen.append) and None)
    model(x).square().sum().backward()
    assert seen[0].is_contiguous(memory_format=torch.channels_last)
    for parameter, gradient in zip(model.parameters(), expected, strict=True):
        assert torch.allclose(parameter.grad, gradient, atol=1e-5)
