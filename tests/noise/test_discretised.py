"""Rounded Gaussian noise: what is drawn, against exact probabilities, and its certificate, by other means.

The true probabilities are mpmath's, by the complementary error function. The lemma is checked against the
worst classifier of the grid itself (Neyman & Pearson 1933), whose probabilities need no rounding of real
points.
"""

import json
import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sfumato import SmoothedClassifier
from sfumato.errors import DataError, SettingError
from sfumato.noise import DiscretisedGaussian, Gaussian, Span, Stream, Use, make_noise, noise_of
from sfumato.noise.discretised import thresholds
from sfumato.plans import Fixed


def phi(x):
    return mpmath.erfc(-mpmath.mpf(x) / mpmath.sqrt(2)) / 2


def probability(k, scale):
    """Return P(N = k), ``scale`` being the standard deviation in steps."""
    with mpmath.workprec(300):
        k = -abs(k)  # where nothing cancels
        return phi((k + mpmath.mpf(0.5)) / scale) - phi((k - mpmath.mpf(0.5)) / scale)


def drawn(noise, rows, width, *, seed=0, use=Use.VOTES, first=0):
    return noise.draw_steps(Stream(use, seed, Span(3, first)), rows, width)


class Told:
    """A stream whose numbers are given: their first 64 digits, and those that follow."""

    def __init__(self, words, further=()):
        self.further, self.asked = further, 0
        self._words = np.array([words], dtype=np.uint64)

    def words(self, rows, width):
        assert self._words.shape == (rows, width)
        return self._words, self._more

    def _more(self, row, column, number):
        self.asked += 1
        return self.further[number]


@pytest.mark.parametrize(("deviation", "steps"), [(0.5, 255), (0.1, 16), (0.001, 255)])
def test_the_words_of_each_value_are_its_probability_to_the_last_of_64_digits(deviation, steps):
    noise = DiscretisedGaussian(deviation, steps)
    first, low, high = thresholds(deviation, steps)
    assert len(low) == len(high) + 1
    for k in {0, 1, -1, first + 1, -first - 1, first // 2}:
        place = k - first
        certain = int(low[place]) - int(high[place - 1])
        possible = (int(high[place]) if place < len(high) else 2**64) - int(low[place - 1])
        with mpmath.workprec(300):
            expected = probability(k, mpmath.mpf(deviation) * steps) * mpmath.mpf(2) ** 64
            assert certain <= expected
            assert place == len(high) or expected <= possible
    # and the words are read so: the last certain one of each value, without further digits
    places = [place for place in range(1, len(high)) if int(low[place]) - 1 >= int(high[place - 1])]
    told = Told([int(low[place]) - 1 for place in places])
    found = noise.draw_steps(told, 1, len(places))[0]
    assert (found == first + np.array(places)).all()
    assert (len(places) > 10 * deviation * steps, told.asked) == (True, 0)


@pytest.mark.parametrize("word", [0, 1, 2**63 - 1, 2**63, 2**64 - 1, "threshold", "threshold + 1"])
@pytest.mark.parametrize(
    "further", [(0, 0, 1), (2**64 - 1,) * 3 + (5,), (2**63, 1), (12345678901234567890, 7)]
)
def test_where_64_digits_do_not_decide_the_next_ones_do(word, further):
    deviation, steps = 0.5, 16
    low = thresholds(deviation, steps).low
    known = {"threshold": int(low[20]), "threshold + 1": int(low[20]) + 1}
    digits = known.get(word, word)
    found = int(DiscretisedGaussian(deviation, steps).draw_steps(Told([digits], further), 1, 1)[0, 0])
    with mpmath.workprec(600):
        uniform = mpmath.mpf(digits) / mpmath.mpf(2) ** 64
        for number, more in enumerate(further):
            uniform += mpmath.mpf(more) / mpmath.mpf(2) ** (64 * (number + 2))
        assert phi((found - mpmath.mpf(0.5)) / 8) <= uniform < phi((found + mpmath.mpf(0.5)) / 8)


@pytest.mark.parametrize(("deviation", "steps"), [(0.01, 255), (0.25, 4), (0.5, 255)])
def test_draws_have_the_exact_probabilities(deviation, steps):
    noise, count = DiscretisedGaussian(deviation, steps), 200_000
    found = drawn(noise, count // 10, 10).ravel()
    scale = deviation * steps
    edges = np.unique(np.round(stats.norm.ppf(np.linspace(0.002, 0.998, 60)) * scale)).astype(int)
    expected = np.array([float(phi((k + 0.5) / scale)) for k in edges])
    expected = np.diff([0.0, *expected, 1.0]) * count
    observed = np.bincount(np.searchsorted(edges, found), minlength=len(edges) + 1)
    kept = expected > 5.0
    assert kept.all()
    assert stats.chisquare(observed, expected).pvalue > 0.01
    assert found.min() < 0 < found.max()


def test_neighbouring_coordinates_and_rows_are_independent():
    found = np.sign(drawn(DiscretisedGaussian(0.5, 255), 50_000, 4) + 0.5)
    for shifted in (found[:, 0] * found[:, 1], found[1:, 0] * found[:-1, 0], found[:, 0] * found[:, 3]):
        assert stats.binomtest(int((shifted > 0).sum()), len(shifted)).pvalue > 0.01


def test_a_row_depends_on_its_key_alone():
    noise = DiscretisedGaussian(0.5)
    whole = drawn(noise, 40, 6)
    assert (drawn(noise, 7, 6, first=11) == whole[11:18]).all()
    assert (drawn(noise, 40, 6, seed=1) != whole).any()
    assert (drawn(noise, 40, 6, use=Use.TRAINING_NOISE) != whole).any()
    out = torch.empty(40, 2, 3)
    noise.draw(out, Stream(Use.VOTES, 0, Span(3)))
    assert torch.equal(out.view(40, 6), torch.from_numpy(whole / 255.0).float())
    parts = np.concatenate([drawn(noise, 33, 6), drawn(noise, 7, 6, first=33)])
    assert (parts == whole).all()


def test_further_digits_differ_from_number_to_number_and_are_the_same_again():
    words, more = Stream(Use.VOTES, 0, Span(3), Span(4, 5, 10)).words(2**6, 3)
    again = Stream(Use.VOTES, 0, Span(3)).words(2**6, 3)[1]
    found = {more(row, column, number) for row in (0, 1, 63) for column in (0, 2) for number in range(3)}
    assert len(found | set(words.ravel().tolist())) == 18 + words.size
    assert more(63, 2, 1) == again(63, 2, 1)
    other = Stream(Use.VOTES, 0, Span(9, 0, 2), Span(3, 63)).words(3, 3)[1]  # by item and row, wherever it is
    assert other(2, 2, 1) == more(63, 2, 1)


@given(
    st.lists(
        st.tuples(st.integers(0, 2**18), st.integers(-(2**30), 2**30) | st.integers(-3000, 3000)),
        min_size=1,
        max_size=20,
    ),
    st.sampled_from([1, 16, 255, 65535]),
)
def test_sums_in_float32_are_the_sums_of_the_whole_numbers(pairs, steps):
    noise = DiscretisedGaussian(0.5 / steps, steps)
    pixels, draws = (torch.tensor(column) for column in zip(*pairs, strict=True))
    noisy = (draws.clamp(-(2**20), 2**20).double() / steps).float() + (pixels.double() / steps).float()
    noise.settle(noisy)
    expected = (pixels + draws).clamp(-(2**19), 2**19)
    assert torch.equal((noisy.double() * steps).round().long(), expected)
    assert torch.equal(noisy, expected.float() / steps)  # a function of the whole number, bit for bit


def test_a_sum_of_zero_has_one_sign_whatever_the_last_bits_of_the_pixel():
    """1 / x would tell -0.0 from 0.0, and with it on which side of its step the pixel lies."""
    noise = DiscretisedGaussian(0.3, 255)
    third = torch.tensor(85 / 255, dtype=torch.float32)
    near = torch.stack([torch.nextafter(third, torch.tensor(end)) for end in (0.0, 1.0)])
    noise.check(near[None])
    noisy = near - third
    noise.settle(noisy)
    assert (1.0 / noisy).tolist() == [math.inf, math.inf]


def test_the_network_sees_whole_steps_only_and_exactly_those_that_are_drawn():
    seen = []

    def network(x):
        seen.append(x.clone())
        return torch.stack([x[:, 0], -x[:, 0]], dim=1)

    noise = DiscretisedGaussian(0.3, 255)
    smoothed = SmoothedClassifier(network, noise=noise, device="cpu", batch_size=50)
    smoothed.check(torch.tensor([[10, 200]]) / 255.0)
    seen.clear()
    smoothed.votes(torch.tensor([[10, 200]]) / 255.0, 50, examples=[3])
    expected = torch.from_numpy(np.sort(drawn(noise, 50, 2)[:, 0]) + 10) / 255.0
    assert any(len(x) == 50 and torch.equal(x[:, 0].sort().values, expected) for x in seen)


def worst_probability(p, scale, move):
    """Return the least P(f(m + d + N) = A) over all f with P(f(m + N) = A) >= p: the best test of the grid.

    Beyond 10 standard deviations there are less than 2e-23 of the probability.
    """
    reach = math.ceil(10 * scale) + move
    here = [probability(k, scale) for k in range(-reach, reach + 1)]
    there = [probability(k - move, scale) for k in range(-reach, reach + 1)]
    left, found = mpmath.mpf(p), mpmath.mpf(0)
    for a, b in sorted(zip(here, there, strict=True), key=lambda pair: pair[1] / pair[0]):
        share = min(1, left / a)
        found, left = found + share * b, left - share * a
        if left <= 0:
            break
    return found


@pytest.mark.parametrize("p", [0.5001, 0.6, 0.77, 0.9, 0.99, 0.9999])
@pytest.mark.parametrize(("deviation", "steps"), [(0.5, 16), (0.125, 16), (0.0625, 16)])
def test_no_classifier_of_the_grid_breaks_the_certificate(p, deviation, steps):
    noise = DiscretisedGaussian(deviation, steps)
    covered = noise.squared_steps(noise.radius(1.0 - p))
    furthest = math.isqrt(covered) if covered >= 0 else -1
    with mpmath.workprec(120):
        for move in {0, 1, furthest // 2, furthest}:
            if 0 <= move <= furthest:
                least = worst_probability(p, mpmath.mpf(deviation * steps), move)
                assert least > 0.5
                assert least >= 1.0 - float(noise.worst_failure(np.array(1.0 - p), move / steps)) - 1e-15


@pytest.mark.parametrize("threshold", [1, 3, 8])
def test_the_certificate_is_attained_by_half_spaces_between_steps(threshold):
    # "N >= -threshold" at m has probability Phi((threshold + 1/2) / scale), and 1/2 at threshold + 1/2 steps
    noise, scale = DiscretisedGaussian(0.25, 16), 4.0
    with mpmath.workprec(200):
        q = float(phi(-(threshold + mpmath.mpf(0.5)) / scale))
    assert noise.radius(q) == pytest.approx((threshold + 0.5) / 16, rel=1e-12)
    assert noise.squared_steps(noise.radius(q)) == threshold * (threshold + 1)  # below (threshold + 1/2)^2


@given(st.floats(1e-12, 0.9999), st.floats(1e-12, 0.9999), st.sampled_from([0.1, 0.5, 1.0]))
def test_radii_are_never_above_the_true_ones_and_within_1e_11_of_them(q, rival, deviation):
    noise = DiscretisedGaussian(deviation)
    with mpmath.workprec(200):
        quantile = [-mpmath.sqrt(2) * mpmath.erfinv(2 * mpmath.mpf(value) - 1) for value in (q, rival)]
        for found, true in (
            (noise.radius(q), deviation * quantile[0]),
            (noise.radius(q, rival), mpmath.mpf(deviation) / 2 * (quantile[0] + quantile[1])),
        ):
            assert found <= max(true, 0)
            assert found >= true - 1e-11
        radius = noise.radius(q, rival)
        assert noise.failure_at(radius) <= phi(-mpmath.mpf(radius) / deviation)
        worst = float(noise.worst_failure(np.array(q), radius))
        assert worst >= phi(-quantile[0] + mpmath.mpf(radius) / deviation)
        assert worst <= phi(-quantile[0] + mpmath.mpf(radius) / deviation) + 1e-12
    assert noise.radius(q) == pytest.approx(Gaussian(deviation).radius(q), abs=1e-11)


def test_worst_failures_of_many_and_of_certain_events():
    noise, q = DiscretisedGaussian(0.5), np.array([[0.0, 0.1], [0.5, 1.0]])
    assert noise.worst_failure(q, 0.0) is q
    found = noise.worst_failure(q, 0.25)
    np.testing.assert_allclose(found, Gaussian(0.5).worst_failure(q, 0.25), atol=1e-12)
    assert (noise.radius(0.0), noise.radius(1.0), noise.radius(0.5)) == (math.inf, 0.0, 0.0)


@given(st.fractions(0, 4).map(float), st.sampled_from([1, 16, 255]))
def test_squared_steps_are_the_largest_whole_number_within_the_radius(radius, steps):
    covered = DiscretisedGaussian(0.1, steps).squared_steps(radius)
    assert covered < (Fraction(radius) * steps) ** 2 <= covered + 1


def test_false_certificates_are_as_rare_as_the_level_says():
    """A half space whose true radius is known exactly: 2.5 steps of 1/16, at level 0.1 with 60 votes."""
    noise, runs, votes = DiscretisedGaussian(0.125, 16), 4000, 60
    found = drawn(noise, runs * (votes + 10), 1, seed=7).reshape(runs, -1) >= -2
    run = Fixed(10, votes).start(runs, 2, noise=noise, confidence=0.9)
    for part in (found[:, :10], found[:, 10:]):
        right = part.sum(axis=1)
        run.update(np.stack([part.shape[1] - right, right], axis=1))
    decisions = run.decisions()
    # class 1 is the most probable one up to squared distances of 2.5^2 steps, so 6 may be stated and 7 not
    false = sum(one.prediction == 1 and one.squared_steps >= 7 for one in decisions)
    exact = stats.binom(votes, float(phi(2.5 / 2.0)))
    least = next(k for k in range(votes + 1) if noise.squared_steps(run_radius(noise, k, votes)) >= 7)
    assert exact.sf(least - 1) <= 0.1
    assert stats.binomtest(false, runs, exact.sf(least - 1)).pvalue > 1e-3
    assert false > 0


def run_radius(noise, right, votes):
    run = Fixed(10, votes).start(1, 2, noise=noise, confidence=0.9)
    run.update(np.array([[0, 10]]))
    run.update(np.array([[votes - right, right]]))
    return run.decisions()[0].radius


def test_images_off_the_grid_are_refused_with_the_value():
    smoothed = SmoothedClassifier(torch.nn.Linear(2, 2), noise=DiscretisedGaussian(0.5), device="cpu")
    with pytest.raises(DataError, match=r"image 1 has the value 0.3, which is not on the grid of 1/255"):
        smoothed.certify(torch.tensor([[0.2, 0.4], [0.3, 0.6]]), "vote(10)")
    with pytest.raises(DataError, match="image 0 has the value 2000"):
        smoothed.check(torch.tensor([[2000.0, 0.0]]))
    smoothed.check(torch.tensor([[0.2, 0.4]]))  # 51 and 102 steps, as near as float32 has them


def test_settings_that_are_no_grid_are_refused_and_others_are_written_and_read():
    for steps in (0, -1, 65536, 2.5, True):
        with pytest.raises(SettingError, match="steps must be a whole number from 1 to 65535"):
            DiscretisedGaussian(0.5, steps)
    with pytest.raises(SettingError, match=r"at most 16.0627 with 255 steps per unit, got 17"):
        DiscretisedGaussian(17.0)
    with pytest.raises(SettingError, match="gaussian noise has no steps"):
        make_noise("gaussian", 0.5, steps=255)
    noise = make_noise("discretised", 0.25, steps=16)
    written = json.loads(json.dumps(noise.identity()))
    assert written == {"noise": "discretised", "beta": 0.25, "steps": 16}
    assert noise_of(written) == noise
    assert (noise.sound, Gaussian(0.25).sound) == (True, False)
    assert "rounded to steps of 1/16" in str(noise)


class ReadsLastDigits(torch.nn.Module):
    """Voracek & Hein 2023: last digits of a pixel of 6/255 plus noise are coarse where both cancel."""

    def forward(self, x):
        digits = x * 2.0**29
        fine = ((x.abs() < 0.0077) & (digits != digits.round())).any(dim=1)
        return torch.stack([fine, ~fine], dim=1).to(x.dtype)


def test_a_network_that_reads_last_digits_has_a_false_certificate_without_whole_steps_alone():
    black, near = torch.zeros(1, 784), torch.full((1, 784), 6 / 255)
    votes = {}
    for noise in (Gaussian(0.5), DiscretisedGaussian(0.5)):
        smoothed = SmoothedClassifier(ReadsLastDigits(), noise=noise, device="cpu")
        (found,) = smoothed.certify(black, "fixed(20,500)", examples=[0])
        assert (found.prediction, found.radius > float(near.norm())) == (0, True)
        votes[noise.name] = int(smoothed.votes(near, 500, examples=[1])[0, 0])
    assert votes["gaussian"] == 0  # another class within the certified radius, always
    assert votes["discretised"] > 450
