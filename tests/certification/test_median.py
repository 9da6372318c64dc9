"""Median smoothing: a linear model attains the bounds, ranks are binomial, odd outputs count against both."""

import numpy as np
import pytest
import torch
from scipy import stats

from sfumato import MedianSmoothed
from sfumato.errors import DataError, ModelError, SettingError
from sfumato.noise import Gaussian, Laplace, Uniform
from sfumato.statistics.order_ranks import lower_rank, upper_rank


@pytest.mark.parametrize(
    ("n", "p", "level"), [(1000, 0.5, 5e-4), (100, 0.9, 0.01), (50, 0.02, 0.05), (7, 0.5, 1e-3)]
)
def test_ranks_are_the_sharpest_that_the_binomial_allows(n, p, level):
    i, j = lower_rank(n, p, level), upper_rank(n, p, level)
    assert stats.binom.cdf(i - 1, n, p) <= level < stats.binom.cdf(i, n, p)
    assert stats.binom.sf(j - 1, n, p) <= level
    assert j == 1 or stats.binom.sf(j - 2, n, p) > level


def test_order_statistics_bound_a_quantile_as_often_as_they_should():
    draws = np.sort(np.random.default_rng(0).exponential(size=(5000, 80)), axis=1)
    quantile, level = stats.expon.ppf(0.7), 0.05
    above = draws[:, lower_rank(80, 0.7, level) - 1] > quantile
    below = draws[:, upper_rank(80, 0.7, level) - 1] < quantile
    for missed in (above, below):
        assert stats.binomtest(int(missed.sum()), 5000, level, alternative="greater").pvalue > 1e-3
        assert missed.mean() > 0.01


def test_the_bounds_of_a_linear_model_hold_what_moves_do_to_it_and_hardly_more():
    # the output is normal, and a move of length R changes its median by up to |w| R
    weights, radius = torch.tensor([[3.0, -1.0], [0.5, 0.25]]), 0.3
    model = torch.nn.Linear(2, 2, bias=False)
    model.weight.data = weights
    x = torch.tensor([[1.0, 2.0], [-1.0, 0.5]])
    found = MedianSmoothed(model, beta=0.5, device="cpu", batch_size=4000).certify(x, radius, n=40_000)
    middle, reach = (x @ weights.T).numpy(), radius * weights.norm(dim=1).numpy()
    assert (found.lower <= middle - reach).all()
    assert (found.upper >= middle + reach).all()
    np.testing.assert_allclose(found.lower, middle - reach, atol=0.1 * reach.max())
    np.testing.assert_allclose(found.upper, middle + reach, atol=0.1 * reach.max())
    np.testing.assert_allclose(found.median, middle, atol=0.05)
    assert (found.median.shape, found.radius, found.confidence, found.draws) == ((2, 2), 0.3, 0.999, 40_000)


@pytest.mark.parametrize("kind", [Uniform, Laplace])
def test_other_noises_bound_moves_along_an_axis(kind):
    found = MedianSmoothed(lambda x: x[:, 0], noise=kind(0.5), device="cpu", batch_size=5000).certify(
        torch.tensor([[1.0, 0.0]]), 0.2, n=20_000
    )
    assert found.lower[0, 0] <= 0.8 <= 1.2 <= found.upper[0, 0]
    assert found.upper[0, 0] - found.lower[0, 0] < 0.5


def test_outputs_that_are_no_numbers_count_against_both_bounds():
    def model(x):
        return torch.where(x[:, 0] > 0.6, torch.nan, x[:, 0])

    found = MedianSmoothed(model, beta=0.5, device="cpu").certify(torch.zeros(1, 1), 0.1, n=4000)
    # a share of Phi(-1.2) = 0.115 is NaN: the quantiles move by as much on either side
    assert stats.norm.cdf(found.lower[0, 0] / 0.5) < 0.421 - 0.1 + 0.02
    assert stats.norm.cdf(found.upper[0, 0] / 0.5) > 0.579
    few = MedianSmoothed(model, beta=0.5, device="cpu").certify(torch.zeros(1, 1), 0.1, n=5)
    assert (few.lower[0, 0], few.upper[0, 0]) == (-np.inf, np.inf)


def test_bytes_are_pixels_as_everywhere():
    smoothed = MedianSmoothed(lambda x: x[:, 0], beta=0.01, device="cpu")
    with pytest.warns(UserWarning, match="images are bytes: they are divided by 255"):
        found = smoothed.certify(np.array([[255, 0]], dtype=np.uint8), 0.01, n=2000)
    assert found.median[0, 0] == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize(("n", "lost"), [(999, 1), (1000, 1), (1000, 0)])
def test_the_median_is_that_of_the_outputs_that_are_numbers(n, lost):
    def model(x):
        return torch.where(torch.arange(len(x)) < lost, torch.nan, x[:, 0])

    smoothed = MedianSmoothed(model, beta=0.5, device="cpu", batch_size=n)
    found = smoothed.certify(torch.zeros(1, 1), 0.1, n=n)
    draws = smoothed._draws(torch.zeros(1), 0, n)
    assert abs(found.median[0, 0] - np.nanmedian(draws)) < (1e-15 if not lost else 2e-3)


def test_the_result_is_a_function_of_seed_and_number_and_the_users_module_stays_as_it_was():
    model = torch.nn.Sequential(torch.nn.Linear(2, 1), torch.nn.Dropout(0.5)).train()
    x = torch.ones(2, 2)
    first = MedianSmoothed(model, beta=0.5, device="cpu").certify(x, 0.1, n=500)
    again = MedianSmoothed(model, beta=0.5, device="cpu", batch_size=33).certify(
        x, 0.1, n=500, examples=[0, 1]
    )
    np.testing.assert_allclose(first.lower, again.lower, rtol=1e-6)
    assert model.training
    assert first.median[0, 0] != first.median[1, 0]
    other = MedianSmoothed(model, beta=0.5, seed=1, device="cpu").certify(x, 0.1, n=500)
    assert other.median[0, 0] != first.median[0, 0]


def test_what_is_wrong_is_refused():
    smoothed = MedianSmoothed(lambda x: x[:, :, None], beta=0.5, device="cpu")
    with pytest.raises(ModelError, match="real numbers, got"):
        smoothed.certify(torch.zeros(1, 2), 0.1, n=10)
    with pytest.raises(DataError, match="finite"):
        smoothed.certify(torch.full((1, 2), torch.nan), 0.1)
    with pytest.raises(DataError, match="1 example indices for 2"):
        smoothed.certify(torch.zeros(2, 2), 0.1, examples=[3])
    with pytest.raises(SettingError, match="radius"):
        smoothed.certify(torch.zeros(1, 2), -0.1)
    with pytest.raises(DataError, match="at least one"):
        smoothed.certify(torch.zeros(0, 2), 0.1)
    with pytest.raises(SettingError, match="beta must be"):
        MedianSmoothed(lambda x: x, noise=Gaussian(0.0))
    with pytest.raises(SettingError, match="one number for all inputs"):
        MedianSmoothed(lambda x: x, beta=np.array([0.1, 0.2]))
    with pytest.raises(SettingError, match="either beta or noise"):
        MedianSmoothed(lambda x: x)
