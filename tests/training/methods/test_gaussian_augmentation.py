import math

import pytest
import torch

from sfumato.errors import SettingError
from sfumato.noise import Gaussian, Span, Stream, Use
from sfumato.training.methods.gaussian import GaussianAugmentation


class Recorder(torch.nn.Module):
    """Keeps the inputs it is given."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, x):
        self.seen.append(x.detach().clone())
        return torch.zeros(len(x), 2)


def test_noise_is_fresh_at_every_step_and_for_every_copy():
    model, stream = Recorder(), Stream(Use.TRAINING_NOISE, 0, Span(0))
    x, y = torch.zeros(500, 20), torch.zeros(500, dtype=torch.int64)
    for _ in range(2):
        GaussianAugmentation(draws=2).loss(model, x, y, Gaussian(0.3), stream)
    first, second = model.seen
    assert first.shape == (1000, 20)
    assert first.std().item() == pytest.approx(0.3, rel=0.02)
    assert not torch.equal(first, second)
    assert not torch.equal(first[0], first[1])


def test_alpha_zero_trains_on_the_images_themselves():
    model, x = Recorder(), torch.rand(4, 5)
    labels = torch.zeros(4, dtype=torch.int64)
    GaussianAugmentation(draws=3).loss(
        model, x, labels, Gaussian(0.0), Stream(Use.TRAINING_NOISE, 0, Span(0))
    )
    assert torch.equal(model.seen[0], x)


def test_the_loss_is_the_mean_cross_entropy_over_the_copies():
    logits = torch.tensor([[1.0, 0.0], [0.0, 3.0]])

    def model(x):
        return logits.repeat_interleave(len(x) // 2, dim=0)

    loss = GaussianAugmentation(draws=2).loss(
        model, torch.zeros(2, 1), torch.tensor([0, 0]), Gaussian(0.5), Stream(Use.TRAINING_NOISE, 0, Span(0))
    )
    by_hand = (math.log(1 + math.exp(-1)) + math.log(1 + math.exp(3))) / 2
    assert loss.item() == pytest.approx(by_hand, rel=1e-6)


def test_draws_below_one_are_refused():
    with pytest.raises(SettingError, match="draws must be at least 1, got 0"):
        GaussianAugmentation(draws=0)
