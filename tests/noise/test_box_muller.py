"""Normal numbers against 128-bit arithmetic, in the tail above all."""

import math

import mpmath as mp
import numpy as np
import pytest
import torch
from scipy import stats

from sfumato.noise import Span, Stream, Use
from sfumato.noise.box_muller import box_muller

TAILS = (4, 5, 5.77, 6, 7, 8, 10)


@pytest.fixture(autouse=True)
def _in_128_bits():
    with mp.workprec(128):
        yield


def transformed(radial, angular, scale=1.0, dtype=torch.float64):
    out = torch.empty(1, 2 * len(radial), dtype=dtype)
    uniforms = (torch.tensor([values], dtype=torch.float64) for values in (radial, angular))
    box_muller(*uniforms, [scale], [out])
    return out[0, : len(radial)].tolist(), out[0, len(radial) :].tolist()


def radius(uniform):
    return mp.sqrt(-2 * mp.log(mp.mpf(uniform)))


def cell(uniform):
    """Return the width of the cell that a number of ``Stream.uniform`` stands for, its rounding included."""
    return mp.mpf(2) ** -53 if uniform >= 2.0**-20 else mp.mpf(2) ** -106 + mp.mpf(uniform) * mp.mpf(2) ** -53


def words():
    """Numbers of all sizes that can be drawn: random ones, and the ends."""
    rng = np.random.default_rng(1)
    small = np.ldexp(rng.integers(2**40, 2**53, 60), -rng.integers(73, 106, 60)).tolist()
    large = (rng.integers(2**33, 2**53, 60) * 2.0**-53).tolist()
    near_one = [1 - k * 2.0**-53 for k in (1, 2, 3, 10, 10**6, 10**12)]
    quantiles = [float(mp.floor(mp.exp(-(mp.mpf(t) ** 2) / 2) * 2**106) / 2**106) for t in TAILS]
    return [2.0**-106, 2.0**-80, 2.0**-53, 2.0**-20, 0.5, *small, *large, *near_one, *quantiles]


def test_the_arithmetic_is_that_of_128_bits_to_a_relative_2_to_the_minus_48():
    radial = words()
    angular = (np.random.default_rng(2).integers(0, 2**53, len(radial)) * 2.0**-53).tolist()
    cosines, sines = transformed(radial, angular)
    for u, v, cosine, sine in zip(radial, angular, cosines, sines, strict=True):
        bound = radius(u) * mp.mpf(2) ** -48
        assert abs(cosine - radius(u) * mp.cos(2 * mp.pi * mp.mpf(v))) <= bound, u
        assert abs(sine - radius(u) * mp.sin(2 * mp.pi * mp.mpf(v))) <= bound, u


def test_a_number_is_as_close_to_the_exact_one_as_the_docstring_says():
    """The farthest that the uniform number of a cell can be from the one that is used for it."""
    for u in words():
        if u < 2.0**-80:
            continue  # the event that the docstring leaves out
        other = mp.mpf(u) - cell(u) if u < 2.0**-20 else min(mp.mpf(1), mp.mpf(u) + cell(u))
        error = abs(radius(u) - radius(other))
        assert error <= mp.mpf(2) ** -26 * (1 + mp.mpf(2) ** -50), u
        if radius(u) < 10 and radius(u) > 2.0**-16:
            assert error <= mp.mpf(2) ** -35, u


def test_what_is_left_out_is_less_than_a_billionth_for_an_image_of_150528_values():
    pairs = 150_528 // 2
    assert pairs * mp.mpf(2) ** -80 < 7e-20 < 1e-9
    assert transformed([2.0**-106], [0.0])[0][0] > 12.1
    # the former sampler, PyTorch's in float32, for comparison: U in steps of 2^-24
    end = radius(mp.mpf(2) ** -24)
    assert 5.76 < end < 5.77
    assert 1.1e-3 < 150_528 * mp.erfc(end / mp.sqrt(2)) < 1.3e-3


@pytest.mark.parametrize("t", TAILS)
def test_the_tail_of_the_construction_is_the_gaussian_tail(t):
    """P(|Z| > t) over all angles, U in its cells, against erfc."""

    def beyond(angle):
        cells = mp.floor(mp.exp(-((t / mp.cos(angle)) ** 2) / 2) * mp.mpf(2) ** 106)
        return cells * mp.mpf(2) ** -106

    # the angles at which less than one cell in 2^80 is left count for nothing
    last = mp.acos(t / mp.sqrt(2 * mp.log(2) * 100))
    found = mp.quad(beyond, mp.linspace(0, last, 9), maxdegree=5) * 2 / mp.pi
    assert abs(found / mp.erfc(t / mp.sqrt(2)) - 1) < 1e-9


@pytest.mark.parametrize("t", TAILS)
def test_a_chosen_word_gives_a_value_beyond_any_end(t):
    uniform = float(mp.exp(-(mp.mpf(t) ** 2) / 2))
    assert transformed([uniform], [0.0])[0][0] == pytest.approx(t, rel=1e-14)
    assert transformed([uniform], [0.5])[0][0] == pytest.approx(-t, rel=1e-14)


def test_values_are_rounded_to_float32_once():
    radial = np.random.default_rng(3).random(1000).tolist()
    angular = np.random.default_rng(4).random(1000).tolist()
    scale = 0.37
    single, double = (transformed(radial, angular, scale, dtype) for dtype in (torch.float32, torch.float64))
    assert np.array_equal(np.float32(double), np.array(single))


def test_values_are_normal_and_beyond_four_as_often_as_they_should_be():
    out = torch.empty(400, 10_000)
    Stream(Use.PROBES, 5, Span(0)).normal(out, 2.0)
    values = out.numpy() / 2.0
    assert stats.kstest(values[:20].ravel(), "norm").pvalue > 1e-3
    assert abs(values.mean()) < 5 / math.sqrt(values.size)
    assert abs(values.var() - 1) < 5 * math.sqrt(2 / values.size)
    assert abs((values**4).mean() - 3) < 5 * math.sqrt(96 / values.size)
    for t in (3, 4, 4.5):
        expected = values.size * math.erfc(t / math.sqrt(2))
        assert abs((np.abs(values) > t).sum() - expected) < 5 * math.sqrt(expected)
    # the two of a pair lie on no circle: their squares are independent of each other
    squares = values.reshape(400, 2, 5000) ** 2
    assert abs(np.corrcoef(squares[:, 0].ravel(), squares[:, 1].ravel())[0, 1]) < 5 / math.sqrt(
        squares.size / 2
    )
