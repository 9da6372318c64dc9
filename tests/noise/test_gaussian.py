import numpy as np
import pytest
import torch
from scipy import stats

from sfumato.errors import SettingError
from sfumato.noise import Gaussian, Span, Stream, Use


def stream():
    return Stream(Use.VOTES, 0, Span(0))


def test_draws_are_normal_with_the_given_scale():
    drawn = Gaussian(0.25).add(torch.zeros(100, 1000), stream()).numpy().ravel()
    assert stats.kstest(drawn / 0.25, "norm").pvalue > 1e-3
    assert abs(drawn.std() / 0.25 - 1) < 0.01


def test_noise_is_added_to_the_input_and_leaves_it_alone():
    x = torch.rand(3, 4, 5)
    before = x.clone()
    drawn = torch.empty(3, 4, 5)
    Gaussian(0.5).draw(drawn, stream())
    assert torch.equal(Gaussian(0.5).add(x, stream()), before + drawn)
    assert torch.equal(x, before)


def test_memory_layout_does_not_change_the_noise():
    x = torch.rand(3, 2, 5, 5)
    last = x.to(memory_format=torch.channels_last)
    assert torch.equal(Gaussian(0.5).add(x, stream()), Gaussian(0.5).add(last, stream()))


def test_scale_zero_leaves_the_input_alone():
    x = torch.rand(3, 4)
    assert Gaussian(0.0).add(x, stream()) is x


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
