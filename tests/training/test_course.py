"""A training that diverges stops at once and keeps its last good state."""

import re

import pytest
import torch

from sfumato.errors import SfumatoError
from sfumato.models.checkpoint import read_safetensors
from sfumato.training import course
from sfumato.training.loop import train
from sfumato.training.methods.gaussian import GaussianAugmentation
from sfumato.training.settings import TrainingSettings
from sfumato.training.state import read_state, state_path


class Bursting(GaussianAugmentation):
    """Cross-entropy that is not finite, or has a gradient that is not, at one step counted from 1."""

    step: int
    gradient: bool = False
    value: str = "nan"

    def loss(self, model, x, y, noise, stream):
        loss = super().loss(model, x, y, noise, stream)
        seen.append(len(x))
        if len(seen) != self.step:
            return loss
        if self.gradient:
            loss.register_hook(lambda gradient: gradient * float(self.value))
            return loss
        return loss * float(self.value)


seen = []


@pytest.fixture(autouse=True)
def _no_steps_seen():
    seen.clear()


def diverged(data, path, **method):
    settings = TrainingSettings(alpha=0.2, epochs=3, batch_size=100, method=Bursting(**method))
    with pytest.raises(SfumatoError) as told:
        train(data, settings, path, device="cpu")
    assert told.value.exit_code == 1
    return str(told.value)


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_the_step_and_its_rate_are_named_and_the_state_of_the_last_epoch_is_kept(digits, tmp_path, value):
    path, steps = tmp_path / "m.safetensors", -(-len(digits.train) // 100)
    line = diverged(digits, path, step=steps + 3, value=value)
    # the first 30 % of the steps rise from 4 % to the peak
    rate = 0.002 * (0.04 + 0.96 * (steps + 3) / (0.3 * 3 * steps))
    if (steps + 3) / (3 * steps) >= 0.3:
        rate = 0.002 * 0.5 * (1 + torch.cos(torch.tensor(torch.pi * ((steps + 3) / (3 * steps) - 0.3) / 0.7)))
    assert (
        f"its loss is {value} at step {steps + 3} of {3 * steps} (epoch 2), where the learning rate is"
        in line
    )
    told = float(re.search(r"learning rate is ([\d.e-]+);", line)[1])
    assert told == pytest.approx(float(rate), rel=0.01)
    assert "below 0.002" in line
    assert f"{state_path(path)} keeps the state after epoch 1" in line
    tensors, record = read_state(state_path(path))
    assert record["epochs_done"] == 1
    assert all(bool(tensor.isfinite().all()) for tensor in tensors.values())
    assert len(seen) <= steps + course._CHECKED


def test_a_step_that_ruins_the_weights_at_the_end_of_an_epoch_is_not_saved(digits, tmp_path):
    path, steps = tmp_path / "m.safetensors", -(-len(digits.train) // 100)
    line = diverged(digits, path, step=2 * steps, gradient=True)
    assert f"weights are no longer finite at step {2 * steps} of {3 * steps}" in line
    assert read_state(state_path(path))[1]["epochs_done"] == 1


def test_the_kept_state_can_be_started_from_with_a_smaller_rate(digits, tmp_path):
    path = tmp_path / "m.safetensors"
    diverged(digits, path, step=20)
    other = tmp_path / "other.safetensors"
    settings = TrainingSettings(
        alpha=0.2, epochs=1, learning_rate=1e-12, weight_decay=0.0, warm_start=state_path(path)
    )
    train(digits, settings, other, device="cpu")
    before, after = read_safetensors(state_path(path))[0], read_safetensors(other)[0]
    for name, value in after.items():
        assert torch.allclose(value, before[f"model/{name}"], atol=1e-6), name
