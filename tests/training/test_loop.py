import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch

from sfumato.errors import ModelError, OutputError, SettingError
from sfumato.models import load_model
from sfumato.models.checkpoint import read_safetensors
from sfumato.noise import Gaussian, Run, Stream, Use
from sfumato.training import TrainingSettings, train
from sfumato.training.gaussian import gaussian_loss
from sfumato.training.state import state_path

SMALL = TrainingSettings(alpha=0.2, epochs=3, batch_size=250)


class Recorder(torch.nn.Module):
    """Keeps the inputs it is given."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, x):
        self.seen.append(x.detach().clone())
        return torch.zeros(len(x), 2)


def test_noise_is_fresh_at_every_step_and_for_every_copy():
    model, stream = Recorder(), Stream(Use.TRAINING_NOISE, 0, Run(0))
    x, y = torch.zeros(500, 20), torch.zeros(500, dtype=torch.int64)
    for _ in range(2):
        gaussian_loss(model, x, y, Gaussian(0.3), draws=2, stream=stream)
    first, second = model.seen
    assert first.shape == (1000, 20)
    assert first.std().item() == pytest.approx(0.3, rel=0.02)
    assert not torch.equal(first, second)
    assert not torch.equal(first[0], first[1])


def test_alpha_zero_trains_on_the_images_themselves():
    model = Recorder()
    x = torch.rand(4, 5)
    stream = Stream(Use.TRAINING_NOISE, 0, Run(0))
    gaussian_loss(model, x, torch.zeros(4, dtype=torch.int64), Gaussian(0.0), 3, stream)
    assert torch.equal(model.seen[0], x)


def test_the_same_seed_gives_the_same_weights(digits, tmp_path):
    records = [train(digits, SMALL, tmp_path / f"{i}.safetensors", device="cpu") for i in range(2)]
    other = train(digits, replace(SMALL, seed=1), tmp_path / "other.safetensors", device="cpu")
    assert records[0].weights_sha256 == records[1].weights_sha256 != other.weights_sha256


class Killed(Exception):
    pass


@pytest.mark.parametrize("stop_after", [1, 2])
def test_an_interrupted_training_ends_with_the_weights_of_an_unbroken_one(digits, tmp_path, stop_after):
    def kill(report):
        if report.epoch == stop_after:
            raise Killed

    whole = train(digits, SMALL, tmp_path / "whole.safetensors", device="cpu")
    path = tmp_path / "broken.safetensors"
    with pytest.raises(Killed):
        train(digits, SMALL, path, device="cpu", on_epoch=kill)
    epochs = []
    record = train(digits, SMALL, path, device="cpu", on_epoch=lambda report: epochs.append(report.epoch))
    assert epochs[0] == stop_after + 1
    assert record.weights_sha256 == whole.weights_sha256
    assert not state_path(path).exists()


def test_an_unfinished_training_of_other_settings_is_not_continued(digits, tmp_path):
    def kill(_):
        raise Killed

    path = tmp_path / "m.safetensors"
    with pytest.raises(Killed):
        train(digits, SMALL, path, device="cpu", on_epoch=kill)
    before = state_path(path).read_bytes()
    with pytest.raises(OutputError, match=r"alpha 0\.2, not 0\.3"):
        train(digits, replace(SMALL, alpha=0.3), path, device="cpu")
    assert state_path(path).read_bytes() == before


def test_an_unfinished_training_under_the_former_noise_is_not_continued(digits, tmp_path, monkeypatch):
    def kill(_):
        raise Killed

    path = tmp_path / "m.safetensors"
    monkeypatch.setattr("sfumato.training.loop.NOISE_VERSION", 1)
    with pytest.raises(Killed):
        train(digits, SMALL, path, device="cpu", on_epoch=kill)
    monkeypatch.undo()
    with pytest.raises(OutputError, match=r"unfinished: was begun by a version of Sfumato that draws other"):
        train(digits, SMALL, path, device="cpu")


def test_a_warm_start_begins_with_the_weights_of_the_other(digits, digits_model, tmp_path):
    settings = replace(SMALL, warm_start=digits_model, epochs=1, learning_rate=1e-12, weight_decay=0.0)
    record = train(digits, settings, tmp_path / "warm.safetensors", device="cpu")
    start, start_record = load_model(digits_model)
    end, _ = load_model(tmp_path / "warm.safetensors")
    assert record.warm_start_sha256 == start_record.weights_sha256
    for name, tensor in start.state_dict().items():
        assert torch.allclose(tensor, end.state_dict()[name], atol=1e-6)
    with pytest.raises(ModelError, match=r"is a|is mlp"):
        train(digits, replace(settings, architecture="cnn"), tmp_path / "x.safetensors", device="cpu")


def test_bf16_autocast_trains(digits, tmp_path):
    record = train(digits, replace(SMALL, precision="bf16"), tmp_path / "m.safetensors", device="cpu")
    assert record.precision == "bf16"
    assert record.clean_accuracy > 0.3


def test_noise_training_pays_under_noise(digits, tmp_path):
    settings = TrainingSettings(alpha=0.6, epochs=25)
    noisy = train(digits, settings, tmp_path / "noisy.safetensors", device="cpu")
    plain = train(digits, replace(settings, alpha=0.0), tmp_path / "plain.safetensors", device="cpu")
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
        ({"alpha": -0.1}, "alpha must be a finite number of at least 0, got -0.1"),
        ({"alpha": float("nan")}, "got nan"),
        ({"epochs": 0}, "epochs must be a whole number of at least 1, got 0"),
        ({"draws": 0}, "draws"),
        ({"precision": "fp8"}, "precision must be one of float32, bf16, got 'fp8'"),
        ({"learning_rate": 0.0}, "learning_rate must be a positive"),
    ],
)
def test_settings_out_of_range_are_refused(change, words):
    with pytest.raises(SettingError, match=words):
        replace(SMALL, **change)


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
        "40",
        "--device",
        "cpu",
    ]
    whole, broken = tmp_path / "whole.safetensors", tmp_path / "broken.safetensors"
    subprocess.run([*command, "--out", str(whole)], check=True, capture_output=True)
    process = subprocess.Popen([*command, "--out", str(broken)], stdout=subprocess.DEVNULL)
    while not state_path(broken).exists():
        assert process.poll() is None, "it finished before it could be killed"
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not broken.exists()
    subprocess.run([*command, "--out", str(broken)], check=True, capture_output=True)
    assert torch.equal(*(read_safetensors(p)[0]["1.5.weight"] for p in (whole, broken)))
    assert load_model(whole)[1].weights_sha256 == load_model(broken)[1].weights_sha256
