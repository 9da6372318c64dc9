"""A training given again: the same one returns its model, another one says what differs."""

from pathlib import Path

import pytest
import torch

from sfumato.errors import OutputError
from sfumato.training.loop import train
from sfumato.training.settings import TrainingSettings

SMALL = TrainingSettings(alpha=0.3, epochs=1)


@pytest.fixture(scope="module")
def finished(digits, tmp_path_factory):
    path = tmp_path_factory.mktemp("finished") / "digits.safetensors"
    return path, train(digits, SMALL, path, device="cpu")


def test_the_same_training_returns_the_model_as_it_is(digits, finished):
    path, record = finished
    before = path.stat().st_mtime_ns
    epochs = []
    same = [SMALL, SMALL.replace(mean=digits.channel_mean, std=digits.channel_std), SMALL.replace(seed=0)]
    for settings in same:
        assert train(digits, settings, path, device="cpu", on_epoch=epochs.append) == record
    assert (epochs, path.stat().st_mtime_ns) == ([], before)


def test_another_training_says_which_settings_differ(digits, finished, tmp_path):
    path, _ = finished
    for change, words in [
        ({"alpha": 0.5}, "alpha 0.3 there, 0.5 asked for"),
        ({"epochs": 2, "seed": 1}, "epochs 1 there, 2 asked for; seed 0 there, 1 asked for"),
        ({"mean": (0.0,), "std": (1.0,)}, "mean .* there, .*std"),
        ({"warm_start": path}, "warm_start None there"),
        ({"alpha_schedule": "ramp"}, "alpha_schedule None there, ramp asked for"),
    ]:
        with pytest.raises(OutputError, match=words):
            train(digits, SMALL.replace(**change), path, device="cpu")
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(path.read_bytes()[:-4] + b"\1\2\3\4")
    torch.save({}, tmp_path / "other.pt")
    for other in (damaged, tmp_path / "other.pt"):
        with pytest.raises(OutputError, match="choose another output or remove it"):
            train(digits, SMALL, other, device="cpu")


def test_the_command_line_prints_the_finished_model(tmp_path, monkeypatch, sfumato):
    monkeypatch.chdir(tmp_path)
    command = ("train", "--alpha", "0.3", "--epochs", "1", "--out", "m.safetensors")
    code, first, errors = sfumato(*command)
    assert (code, errors) == (0, "")
    written = Path("m.safetensors").read_bytes()
    code, second, errors = sfumato(*command)
    assert (code, second) == (0, first)
    assert "is not trained again" in errors
    code, _, errors = sfumato(*command, "--seed", "1")
    assert (code, "seed 0 there, 1 asked for" in errors) == (2, True)
    assert Path("m.safetensors").read_bytes() == written
