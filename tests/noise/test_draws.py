"""What is drawn: the stated distributions, fresh for each coordinate and key."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from sfumato.noise import Laplace, Span, Stream, Uniform, Use

DISTRIBUTIONS = {
    Uniform(0.25): stats.uniform(-0.25 * math.sqrt(3.0), 0.5 * math.sqrt(3.0)),
    Laplace(0.25): stats.laplace(0.0, 0.25 / math.sqrt(2.0)),
}


def votes(example, first):
    return Stream(Use.VOTES, 0, Span(example, first))


both = pytest.mark.parametrize("noise", DISTRIBUTIONS, ids=lambda noise: noise.name)


@both
def test_draws_have_the_stated_distribution_and_standard_deviation(noise):
    drawn = torch.full((2000, 100), math.nan)
    noise.draw(drawn, votes(0, 0))
    values = drawn.numpy().ravel()
    assert np.isfinite(values).all()
    assert stats.kstest(values, DISTRIBUTIONS[noise].cdf).pvalue > 1e-3
    assert values.std() == pytest.approx(0.25, rel=0.01)
    assert abs(np.corrcoef(drawn.numpy()[:, :20].T) - np.eye(20)).max() < 5 / math.sqrt(2000)


@both
def test_noise_is_added_to_the_input_and_depends_on_the_key_alone(noise):
    x = torch.rand(3, 4)
    first = noise.add(x, votes(5, 1))
    drawn = torch.empty(3, 4)
    noise.draw(drawn, votes(5, 1))
    assert torch.equal(first, x + drawn)
    assert not torch.equal(first, noise.add(x, votes(5, 2)))
    assert type(noise)(0.0).add(x, votes(0, 0)) is x


@both
def test_a_noise_says_what_it_is(noise):
    assert noise.identity() == {"noise": noise.name, "beta": 0.25}
    assert noise.norm == "L1"
    assert "standard deviation 0.25" in str(noise)
