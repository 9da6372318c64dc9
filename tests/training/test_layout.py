"""Training with the channels innermost: the same weights after an interruption, and models that refuse it."""

import numpy as np
import pytest
import torch
from torch import nn

from sfumato.datasets import Dataset, Split
from sfumato.training.loop import fastest_layout, train
from sfumato.training.settings import TrainingSettings

SETTINGS = TrainingSettings(alpha=0.2, architecture="cnn", epochs=3, batch_size=100)


@pytest.fixture
def few(digits):
    train_split = Split(digits.train.x[:300], digits.train.y[:300])
    test_split = Split(digits.test.x[:50], digits.test.y[:50])
    return Dataset(digits.name, train_split, test_split, digits.class_names, digits.unit, digits.source)


class Killed(Exception):
    pass


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_an_interrupted_convolutional_training_ends_with_the_weights_of_an_unbroken_one(
    few, tmp_path, precision
):
    def kill(report):
        if report.epoch == 1:
            raise Killed

    settings = TrainingSettings(**{**vars(SETTINGS), "precision": precision})
    whole = train(few, settings, tmp_path / "whole.safetensors", device="cpu")
    with pytest.raises(Killed):
        train(few, settings, tmp_path / "broken.safetensors", device="cpu", on_epoch=kill)
    broken = train(few, settings, tmp_path / "broken.safetensors", device="cpu")
    assert broken.weights_sha256 == whole.weights_sha256


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
