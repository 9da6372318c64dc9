"""What is drawn: the stated distributions, fresh for each coordinate and key."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from sfumato.errors import SettingError
from sfumato.noise import Gaussian, Laplace, Span, Stream, Uniform, Use, draw_each

DISTRIBUTIONS = {
    Gaussian(0.25): stats.norm(0.0, 0.25),
    Uniform(0.25): stats.uniform(-0.25 * math.sqrt(3.0), 0.5 * math.sqrt(3.0)),
    Laplace(0.25): stats.laplace(0.0, 0.25 / math.sqrt(2.0)),
}


def votes(example, first):
    return Stream(Use.VOTES, 0, Span(example, first))


every_noise = pytest.mark.parametrize("noise", DISTRIBUTIONS, ids=lambda noise: noise.name)


@every_noise
def test_draws_have_the_stated_distribution_and_standard_deviation(noise):
    drawn = torch.full((2000, 100), math.nan)
    noise.draw(drawn, votes(0, 0))
    values = drawn.numpy().ravel()
    assert np.isfinite(values).all()
    assert stats.kstest(values, DISTRIBUTIONS[noise].cdf).pvalue > 1e-3
    assert values.std() == pytest.approx(0.25, rel=0.01)
    assert abs(np.corrcoef(drawn.numpy()[:, :20].T) - np.eye(20)).max() < 5 / math.sqrt(2000)


@every_noise
def test_noise_is_added_to_the_input_and_depends_on_the_key_alone(noise):
    x = torch.rand(3, 2, 4, 4)
    before, first = x.clone(), noise.add(x, votes(5, 1))
    drawn = torch.empty(x.shape)
    noise.draw(drawn, votes(5, 1))
    assert torch.equal(first, before + drawn)
    assert torch.equal(x, before)
    assert torch.equal(first, noise.add(x.to(memory_format=torch.channels_last), votes(5, 1)))
    assert not torch.equal(first, noise.add(x, votes(5, 2)))
    assert type(noise)(0.0).add(x, votes(0, 0)) is x


@every_noise
def test_a_noise_says_what_it_is(noise):
    assert noise.identity() == {"noise": noise.name, "beta": 0.25}
    assert noise.norm == ("L2" if noise.name == "gaussian" else "L1")
    assert "standard deviation 0.25" in str(noise)


@pytest.mark.parametrize("scale", [-0.1, float("nan"), float("inf")])
def test_a_scale_that_is_no_standard_deviation_is_refused(scale):
    with pytest.raises(SettingError, match=str(scale)):
        Gaussian(scale)


def test_noise_of_different_keys_is_uncorrelated():
    keys = [(0, 0), (0, 1), (1, 0), (0, 2**32), (2**32, 0), (0, 2**62)]
    draws = []
    for use in (Use.VOTES, Use.TRAINING_NOISE):
        for seed, item in keys:
            drawn = torch.empty(2, 10_000)
            Gaussian(1.0).draw(drawn, Stream(use, seed, Span(item)))
            draws.append(drawn.flatten().numpy())
    correlations = np.corrcoef(draws) - np.eye(len(draws))
    assert np.abs(correlations).max() < 5 / np.sqrt(20_000)


@pytest.mark.parametrize("width", [1, 7, 784, 50_001])
@pytest.mark.parametrize(
    "noises",
    [[Gaussian(0.3), Gaussian(0.5), Gaussian(1e-5)], [Gaussian(0.3), Laplace(0.5), Uniform(0.7)]],
    ids=["gaussian", "several kinds"],
)
def test_several_noises_drawn_together_are_those_that_each_draws_alone(noises, width):
    spans = Span(3, 5, 40), Span(9, 0, 60)
    together, alone = (torch.full((len(noises), 100, width), math.nan) for _ in range(2))
    draw_each(noises, list(together), Stream(Use.VOTES, 2, *spans))
    for noise, out in zip(noises, alone, strict=True):
        noise.draw(out, Stream(Use.VOTES, 2, *spans))
    assert torch.equal(together, alone)
    assert len(together.unique()) > 250


def test_numbers_of_several_gaussian_noises_are_drawn_once(monkeypatch):
    drawn, uniforms = [], Stream._uniforms

    def watched(stream, rows, *others):
        drawn.append(rows)
        return uniforms(stream, rows, *others)

    monkeypatch.setattr(Stream, "_uniforms", watched)
    draw_each([Gaussian(0.3), Gaussian(0.5)], list(torch.empty(2, 30, 784)), votes(0, 0))
    assert sum(drawn) == 30
