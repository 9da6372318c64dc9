import copy
import threading

import numpy as np
import pytest
import torch
from scipy import stats

from oracles import certify_as_published, gaussian_tail, noise_of_votes
from sfumato import Fixed, SmoothedClassifier
from sfumato.errors import DataError, ModelError, SettingError
from sfumato.models import build_model, load_model
from sfumato.smoothing.smoothed import verified_majority
from support import votes


@pytest.mark.parametrize("architecture", ["mlp", "cnn"])
def test_certificates_on_digits_equal_an_independent_reimplementation(digits, digits_model, architecture):
    trained, _ = load_model(digits_model)
    model = trained if architecture == "mlp" else build_model("cnn", (1, 8, 8), 10, (0.5,), (0.3,), seed=1)
    images, n0, n = (20, 100, 1000) if architecture == "mlp" else (5, 50, 200)
    x, seed = torch.from_numpy(digits.test.x[:images]), 3
    smoothed = SmoothedClassifier(model, 0.5, seed=seed, batch_size=333, device="cpu")
    decisions = smoothed.certify(x, Fixed(n0, n), examples=range(images))
    votes0, votes = smoothed.votes(x, n0), smoothed.votes(x, n, first=n0)
    twin = copy.deepcopy(model).eval()
    for index, decision in enumerate(decisions):

        def noise(first, last, index=index):
            return torch.from_numpy(noise_of_votes(seed, index, first, last - first, (1, 8, 8)))

        # the noisy copy itself is float32: that is the input the classifier is given
        label, radius, counts0, counts = certify_as_published(twin, x[index], 0.5, n0, n, 0.999, noise)
        assert votes0[index].tolist() == counts0.tolist()
        assert votes[index].tolist() == counts.tolist()
        assert decision.prediction == label
        assert decision.radius == pytest.approx(radius, rel=1e-6)


@pytest.mark.slow
def test_a_certified_radius_exceeds_the_true_distance_no_more_often_than_stated(linear):
    """The boundary of a linear classifier is at a known distance, and its smoothed version's is the same."""
    confidence, distance, images = 0.99, 0.3, 20_000
    smoothed = SmoothedClassifier(linear, 0.5, seed=11, batch_size=4000, device="cpu")
    x = torch.tensor([[distance, 0.0]]).repeat(images, 1)
    decisions = smoothed.certify(x, Fixed(n0=50, n=500), confidence=confidence)
    false = sum(d.prediction == 0 or d.radius > distance for d in decisions)
    assert sum(d.prediction == 1 for d in decisions) > 0.99 * images
    assert false <= stats.binom.ppf(0.9999, images, 1 - confidence)
    # an exact bound that never errs would be no bound of this confidence
    assert false >= stats.binom.ppf(0.0001, images, 0.5 * (1 - confidence))


def test_votes_have_the_closed_form_share(linear):
    votes = SmoothedClassifier(linear, 0.5, device="cpu").votes(torch.tensor([[0.2, 0.0]]), 40_000)[0]
    expected = gaussian_tail(-0.2 / 0.5)
    assert votes.sum() == 40_000
    assert abs(votes[1] / 40_000 - expected) < 4 * np.sqrt(expected * (1 - expected) / 40_000)


@pytest.mark.parametrize("batch_size", [1, 7, 31, 32, 33, 1000])
def test_votes_do_not_depend_on_batch_size_order_or_company(digits, digits_model, batch_size):
    model, _ = load_model(digits_model)
    x = torch.from_numpy(digits.test.x[:6])
    reference = SmoothedClassifier(model, 0.6, seed=2, batch_size=256, device="cpu").votes(x, 130)
    other = SmoothedClassifier(model, 0.6, seed=2, batch_size=batch_size, device="cpu")
    backwards = other.votes(x.flip(0), 130, examples=[5, 4, 3, 2, 1, 0])
    assert np.array_equal(backwards[::-1], reference)
    in_parts = sum(
        other.votes(x[3:4], count, examples=[3], first=first) for first, count in ((0, 33), (33, 97))
    )
    assert np.array_equal(in_parts[0], reference[3])


class OnlyFloat32(torch.nn.Module):
    def forward(self, x):
        assert x.dtype == torch.float32
        return torch.stack([x[:, 0], x[:, 0]], dim=1)


def test_ties_go_to_the_smaller_class_and_models_without_float64_work():
    assert votes(OnlyFloat32(), torch.zeros(1, 3), 20).tolist() == [[20, 0]]
    assert votes(lambda x: torch.zeros(len(x), 3), torch.zeros(1, 3), 20).tolist() == [[20, 0, 0]]


def test_prediction_abstains_by_the_two_sided_test_of_the_two_top_classes():
    assert verified_majority(np.array([3, 60, 40]), 0.95) == (
        1 if stats.binomtest(60, 100, 0.5).pvalue <= 0.05 else -1
    )
    for first in range(50, 101):
        expected = 0 if stats.binomtest(first, 100, 0.5).pvalue <= 1 - 0.999 else -1
        assert verified_majority(np.array([first, 100 - first]), 0.999) == expected


def test_the_plain_majority_never_abstains_and_the_verified_one_may(linear):
    x = torch.tensor([[0.0, 0.0], [2.0, 0.0]])
    smoothed = SmoothedClassifier(linear, 0.5, device="cpu")
    assert smoothed.predict(x, 100).tolist()[1] == 1
    assert smoothed.predict(x, 100, confidence=0.999).tolist() == [-1, 1]


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (lambda x: x.sum(), r"must return \(batch, classes\)"),
        (lambda x: torch.zeros(len(x)), r"must return \(batch, classes\)"),
        (lambda x: torch.zeros(len(x) + 1, 3), r"must return \(batch, classes\)"),
        (lambda x: torch.zeros(len(x), 1), "at least 2 classes"),
        (lambda x: torch.full((len(x), 3), float("nan")), "NaN"),
        (torch.nn.Linear(3, 2), r"does not accept a batch of \d+ inputs of shape \(2,\)"),
    ],
)
def test_unusable_models_are_refused(model, words):
    with pytest.raises(ModelError, match=words):
        SmoothedClassifier(model, 0.5, device="cpu").votes(torch.zeros(1, 2), 10)


def test_bad_settings_are_refused(linear):
    for beta in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(SettingError, match=f"beta must be a positive finite number, got {beta}"):
            SmoothedClassifier(linear, beta)
    smoothed = SmoothedClassifier(linear, 0.5, device="cpu")
    x = torch.zeros(1, 2)
    with pytest.raises(SettingError, match="n must be"):
        smoothed.votes(x, 0)
    for confidence in (0.0, 1.0, 1.5, float("nan")):
        with pytest.raises(SettingError, match="confidence must lie strictly between 0 and 1"):
            smoothed.certify(x, confidence=confidence)
    with pytest.raises(DataError, match="NaN"):
        smoothed.votes(torch.tensor([[float("nan"), 0.0]]), 10)
    smoothed.votes(x, 10)
    with pytest.raises(DataError, match=r"shape \(3,\), but the first ones had \(2,\)"):
        smoothed.votes(torch.zeros(1, 3), 10)
    with pytest.raises(DataError, match="2 example indices for 1 images"):
        smoothed.votes(x, 10, examples=[1, 2])


def sign_of_sum(x):
    return torch.stack([x.flatten(1).sum(1), torch.zeros(len(x))], dim=1)


def test_two_calls_share_no_noise_unless_they_are_asked_to():
    def smoother():
        return SmoothedClassifier(sign_of_sum, 0.5, device="cpu")

    def radii(smoothed, images, **options):
        return [found.radius for found in smoothed.certify(torch.full((images, 4), 0.3), plan, **options)]

    plan, even = Fixed(20, 200), torch.zeros(40, 4)
    counts = smoother().votes(torch.zeros(160, 4), 60)[:, 0]
    majority = np.where(2 * counts >= 60, 0, 1)
    smoothed = smoother()
    first, second = radii(smoothed, 40), radii(smoothed, 40)
    assert first + second == radii(smoother(), 80)
    assert first != second
    # predict goes on behind them, and votes stays a function of its arguments
    assert smoothed.predict(even, 60).tolist() == majority[80:120].tolist()
    assert smoothed.votes(even, 60)[:, 0].tolist() == counts[:40].tolist()
    assert smoothed.votes(even, 60)[:, 0].tolist() == counts[:40].tolist()
    assert smoothed.predict(even, 60).tolist() == majority[120:].tolist()
    assert smoothed.predict(even, 60, examples=range(40)).tolist() == majority[:40].tolist()
    assert radii(smoothed, 40, examples=range(40)) == first


def test_calls_from_several_threads_share_no_noise():
    smoothed, even, found = SmoothedClassifier(sign_of_sum, 0.5, device="cpu"), torch.zeros(7, 4), []

    def work():
        for _ in range(5):
            found.extend((60 * smoothed(even, 60)[:, 0]).round().tolist())

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    each_number_once = smoothed.votes(torch.zeros(8 * 5 * 7, 4), 60)[:, 0]
    assert sorted(found) == sorted(each_number_once.tolist())
