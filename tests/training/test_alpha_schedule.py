import pytest
import torch

from sfumato.datasets import load_dataset
from sfumato.noise import Gaussian, Span, Stream, Use
from sfumato.training.alpha_schedule import UniformLevels
from sfumato.training.loop import train
from sfumato.training.settings import TrainingSettings, named


def test_levels_are_uniform_per_row_and_independent_of_the_batch():
    noise, drawn = UniformLevels(2.0, Gaussian(2.0), 0.25), torch.empty(4000, 200)
    noise.draw(drawn, Stream(Use.TRAINING_NOISE, 0, Span(0)))
    levels = drawn.std(dim=1)
    # uniform on [0.5, 2]: mean 1.25, standard deviation 1.5 / sqrt(12)
    assert levels.mean().item() == pytest.approx(1.25, abs=0.03)
    assert levels.std().item() == pytest.approx(1.5 / 12**0.5, rel=0.05)
    part = torch.empty(3, 200)
    noise.draw(part, Stream(Use.TRAINING_NOISE, 0, Span(0, first=10)))
    assert torch.equal(part, drawn[10:13])
    assert noise.radius(0.01) == 0.0


def test_a_ramp_rises_over_half_of_the_epochs_and_ends_at_alpha():
    settings = TrainingSettings(alpha=0.4, alpha_schedule="ramp")
    levels = [settings.noise_in(epoch, 10).standard_deviation for epoch in range(10)]
    assert levels == pytest.approx([0.0, 0.08, 0.16, 0.24, 0.32, *[0.4] * 5])


def test_a_schedule_is_part_of_the_identity_and_a_constant_alpha_is_not_told():
    constant, ramp = (
        TrainingSettings(alpha=0.4, alpha_schedule=schedule) for schedule in ("constant", "ramp")
    )
    assert "alpha_schedule" not in named(constant.values())
    assert named(ramp.values())["alpha_schedule"] == "ramp"
    assert TrainingSettings.flat(ramp.values() | {"warm_start": None}) == ramp


def test_a_network_for_a_range_is_better_at_low_noise_than_one_for_its_upper_end(tmp_path):
    digits = load_dataset("digits")
    clean = {}
    for schedule in ("constant", "uniform"):
        settings = TrainingSettings(alpha=0.8, alpha_schedule=schedule, epochs=10)
        clean[schedule] = train(digits, settings, tmp_path / f"{schedule}.safetensors").clean_accuracy
    assert clean["uniform"] > clean["constant"] + 0.02
