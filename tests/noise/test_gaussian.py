import numpy as np
import pytest
import torch
from scipy import stats

from sfumato.errors import SettingError
from sfumato.noise import Gaussian, keyed_generator, keyed_generators


def test_draws_are_normal_with_the_given_scale():
    drawn = Gaussian(0.25).add(torch.zeros(100_000), keyed_generator(0, 0, 0)).numpy()
    assert stats.kstest(drawn / 0.25, "norm").pvalue > 1e-3
    assert abs(drawn.std() / 0.25 - 1) < 0.01


def test_scale_zero_leaves_the_input_alone():
    x = torch.rand(3, 4)
    assert Gaussian(0.0).add(x, keyed_generator(0, 0, 0)) is x


@pytest.mark.parametrize("scale", [-0.1, float("nan"), float("inf")])
def test_a_scale_that_is_no_standard_deviation_is_refused(scale):
    with pytest.raises(SettingError, match=str(scale)):
        Gaussian(scale)


def test_noise_of_different_keys_is_uncorrelated():
    keys = [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0), (0, 2**32, 0), (2**32, 0, 0), (0, 0, 2**32)]
    draws = np.stack([torch.randn(20_000, generator=keyed_generator(*key)).numpy() for key in keys])
    correlations = np.corrcoef(draws) - np.eye(len(keys))
    assert np.abs(correlations).max() < 5 / np.sqrt(20_000)


def test_keys_above_32_bits_do_not_fold_onto_small_ones():
    first = torch.randn(8, generator=keyed_generator(0, 5, 0))
    folded = torch.randn(8, generator=keyed_generator(0, 5 + 2**32, 0))
    assert not torch.equal(first, folded)


def test_the_stream_is_the_mersenne_twister_started_from_philox_words():
    words = np.random.Philox(key=np.array([3, 4], np.uint64), counter=np.array([5 * 78, 0, 0, 0], np.uint64))
    twister = np.random.MT19937(0)
    key = words.random_raw(312).view(np.uint32)
    twister.state = {"bit_generator": "MT19937", "state": {"key": key, "pos": 624}}
    drawn = torch.empty(1000, dtype=torch.int32).random_(generator=keyed_generator(3, 4, 5))
    assert np.array_equal(drawn.numpy(), twister.random_raw(1000) & 0x7FFFFFFF)


def test_a_run_of_chunks_is_each_chunk_by_itself():
    together = [torch.randn(40, generator=g) for g in keyed_generators(3, 4, range(5, 9))]
    for chunk, drawn in zip(range(5, 9), together, strict=True):
        assert torch.equal(drawn, torch.randn(40, generator=keyed_generator(3, 4, chunk)))


def test_a_negative_key_is_refused():
    with pytest.raises(SettingError, match="-1"):
        keyed_generator(0, -1, 0)
