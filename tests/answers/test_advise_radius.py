import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from sfumato import Dataset, SmoothedClassifier, Split, advise_radius, load_classifier
from sfumato.answers.advise_radius import usual_betas
from sfumato.errors import SettingError

RADIUS = 0.5
PLACES = (0.0, 0.2, 0.3, 0.7)


class Strip(torch.nn.Module):
    """Class 1 where the first coordinate is within 1 of 0, class 0 elsewhere."""

    def forward(self, x):
        return torch.stack([torch.zeros(len(x)), 1.0 - x[:, 0].abs()], dim=1)


def radius_of(place: float, beta: float) -> float:
    """Return the exact radius of class 1, by Cohen et al. 2019 with the probability known."""
    inside = stats.norm.cdf((1 - place) / beta) - stats.norm.cdf((-1 - place) / beta)
    return beta * stats.norm.ppf(inside)


@pytest.fixture(scope="module")
def strip():
    """Return 200 points of the strip, four places in turn; the last 20 have the wrong label."""
    x = np.zeros((200, 2), dtype=np.float32)
    x[:, 0] = np.resize(PLACES, 200)
    split = Split(x, np.where(np.arange(200) < 180, 1, 0))
    return Dataset("strip", split, split, ("outside", "inside"), "the data's own unit", "made here")


def test_the_beta_that_certifies_the_most_is_found_with_its_accuracy(strip):
    betas = (0.25, 0.5, 1.0)
    exact = {
        beta: sum(radius_of(place, beta) >= RADIUS for place in np.resize(PLACES, 180)) / 200
        for beta in betas
    }
    assert exact == {0.25: 0.675, 0.5: 0.675, 1.0: 0.0}, "by hand: all but the last place, and none"
    found = advise_radius(Strip(), strip, 0.5, RADIUS, betas=betas, device="cpu")
    assert (found.beta, found.accuracy) == (0.5, exact[0.5]), "in a tie the largest"
    assert found.members == (0.25, 0.5)
    assert [(one.beta, one.dropped) for one in found.tried] == [(0.25, False), (0.5, False), (1.0, True)]
    assert found.tried[2].images < found.images == 200
    # Clopper-Pearson by SciPy: at a third of the error for each of three betas, certificates wrong at 0.001
    level = 0.05 / 3 / 2
    low, high = stats.beta.ppf(level, 135, 66), stats.beta.ppf(1 - level, 136, 65)
    assert found.low == pytest.approx((low - 0.001) / 0.999, abs=1e-6)
    assert found.high == pytest.approx(high, abs=1e-6)
    assert found.other.verdict == "cannot say"
    assert found.edge is None


def test_one_beta_is_answered_at_the_full_level(strip):
    found = advise_radius(Strip(), strip, 0.5, RADIUS, betas=[0.5], device="cpu")
    assert (found.beta, found.accuracy, found.members, found.edge) == (0.5, 0.675, (0.5,), None)
    assert found.high == pytest.approx(stats.beta.ppf(0.975, 136, 65), abs=1e-6)


def test_the_answer_is_that_of_a_plain_certification_of_each_beta(digits, digits_model):
    betas, images, radius = (0.3, 0.6), 10, 0.25
    classifier = load_classifier(str(digits_model), digits.input_shape, digits.num_classes)
    found = advise_radius(classifier, digits, 0.3, radius, betas=betas, images=images, device="cpu")
    x, y = digits.test.x[:images], digits.test.y[:images]
    counts = {}
    for beta in betas:
        smoothed = SmoothedClassifier(classifier, beta, device="cpu")
        rows = smoothed.certify(x, f"decide({radius})", examples=range(images), known_labels=y)
        counts[beta] = sum(row.predict == row.label and row.radius >= radius for row in rows)
    assert found.beta == max(betas, key=lambda beta: (counts[beta], beta))
    assert found.accuracy == counts[found.beta] / images
    assert {one.beta: one.certified for one in found.tried if one.images == images} == {
        one.beta: counts[one.beta] for one in found.tried if one.images == images
    }


def test_a_network_trained_with_other_noise_is_not_judged_by_studies_of_gaussian_noise(digits, digits_model):
    classifier = load_classifier(str(digits_model), digits.input_shape, digits.num_classes)
    record = classifier.record.model_copy(
        update={"training": classifier.record.training | {"noise": "uniform"}}
    )
    uniform = replace(classifier, record=record)
    mnist = replace(digits, name="mnist")
    verdicts = [
        advise_radius(network, mnist, 0.5, 1.0, betas=[0.5], images=1, device="cpu").other.verdict
        for network in (classifier, uniform)
    ]
    assert verdicts == ["likely", "cannot say"]


def test_the_betas_that_are_tried_can_certify_and_are_spread():
    for alpha0, radius in ((0.5, 0.5), (0.0, 1.0), (0.25, 0.0), (0.12, 2.0)):
        betas = usual_betas(alpha0, radius)
        assert all(large >= 1.2 * small for small, large in itertools.pairwise(betas))
        assert min(betas) >= 0.3 * radius
        assert max(betas) >= max(alpha0, radius)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"radius": -1.0}, "radius must be a finite number of at least 0, got -1"),
        (
            {"radius": 3.0, "betas": [0.1, 0.2]},
            r"betas 0\.1, 0\.2 can certify radius 3; it takes a beta of at least",
        ),
        ({"betas": [0.0]}, "beta must be a positive finite number, got 0"),
        ({"alpha0": -0.1}, "alpha0 must be a finite number of at least 0, got -0.1"),
        ({"alpha0": 0.0, "radius": 0.0}, "no beta to try with alpha0 0 and radius 0; give the betas"),
        ({"images": 201}, "images must be at most the 200 test images"),
        ({"confidence": 0.9995}, "confidence must be below 0.999, got 0.9995"),
    ],
)
def test_what_cannot_be_answered_is_one_line(strip, changes, words):
    arguments = {"alpha0": 0.5, "radius": RADIUS} | changes
    with pytest.raises(SettingError, match=words):
        advise_radius(Strip(), strip, **arguments, device="cpu")


def test_a_best_beta_at_the_end_of_those_tried_is_told(strip):
    assert advise_radius(Strip(), strip, 0.5, RADIUS, betas=[0.5, 1.0], device="cpu").edge == "smallest"


def test_betas_that_cannot_certify_are_named(strip):
    found = advise_radius(Strip(), strip, 0.5, RADIUS, betas=[0.1, 0.5], images=20, device="cpu")
    assert (found.cannot, found.beta) == ((0.1,), 0.5)
