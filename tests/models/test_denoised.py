import math

import pytest
import torch

from sfumato.certification.smoothed_classifier import SmoothedClassifier
from sfumato.errors import ModelError, SettingError
from sfumato.models.denoised import OneStepDiffusion, denoised

MEAN, SPREAD = 0.3, 0.1
ABAR = torch.linspace(0.9999, 0.001, 1000)


def perfect(x_t, t):
    """Return E[e | x_t] for pixels N(MEAN, SPREAD^2): N(2 MEAN - 1, 4 SPREAD^2) in [-1, 1]."""
    abar = ABAR[t].view(-1, 1).double()
    variance = abar * 4 * SPREAD**2 + 1 - abar
    return ((1 - abar).sqrt() * (x_t.double() - abar.sqrt() * (2 * MEAN - 1)) / variance).to(x_t.dtype)


@pytest.mark.parametrize("beta", [0.1, 0.25, 0.5, 1.0])
def test_one_step_of_a_perfect_diffusion_is_the_posterior_mean(beta):
    front = OneStepDiffusion(perfect, ABAR, beta)
    assert front.step_noise == pytest.approx(beta, rel=0.01)
    x = torch.linspace(-1, 2, 61)[:, None]
    # the mean of N(MEAN, SPREAD^2) given a value with noise beta
    by_hand = (SPREAD**2 * x + beta**2 * MEAN) / (SPREAD**2 + beta**2)
    assert torch.allclose(front(x), by_hand, atol=0.02 * beta)


def test_channels_beyond_the_image_s_are_a_variance_and_cut_off():
    def learned_variance(x, t):
        return torch.cat([torch.zeros_like(x), torch.full_like(x, 9.0)], dim=1)

    x = torch.rand(2, 3, 4, 4)
    assert torch.allclose(OneStepDiffusion(learned_variance, ABAR, 0.25)(x), x, atol=1e-5)


def test_a_denoiser_lets_a_classifier_of_clean_inputs_certify():
    clean = torch.nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        clean.weight.copy_(torch.tensor([[5.0, 0.0], [-5.0, 0.0]]))

    class Blur(torch.nn.Module):
        def forward(self, x):
            return torch.stack([x[:, 0] - 0.5, x[:, 1]], dim=1)

    classifier = denoised(clean, Blur())
    assert classifier.name == "Linear behind Blur"
    (row,) = SmoothedClassifier(classifier, beta=0.5).certify(torch.tensor([[1.5, 0.0]]), "decide(0.9)")
    assert (row.prediction, row.radius) == (0, 0.9)
    black_box = denoised(lambda x: clean(x), Blur())
    (other,) = SmoothedClassifier(black_box, beta=0.5).certify(torch.tensor([[1.5, 0.0]]), "decide(0.9)")
    assert (other.prediction, other.radius) == (0, 0.9)


def test_bad_input():
    for abar, beta, words in (
        (ABAR, 50.0, "beta must be at most 15"),
        (ABAR.flip(0), 0.5, "abar must fall strictly"),
        (torch.tensor([1.0, 0.5]), 0.5, "abar must fall strictly"),
        (ABAR, 0.0, "beta must be"),
    ):
        with pytest.raises(SettingError, match=words):
            OneStepDiffusion(perfect, abar, beta)
    with pytest.raises(ModelError, match=r"returned \(2, 1\) for images \(2, 3\)"):
        OneStepDiffusion(lambda x, t: x[:, :1], ABAR, 0.5)(torch.rand(2, 3))
    with pytest.raises(ModelError, match="a model is a torch"):
        denoised(torch.nn.Linear(2, 2), 3)
    assert math.isclose(OneStepDiffusion(perfect, ABAR, 0.25).step_noise, 0.25, rel_tol=0.01)
