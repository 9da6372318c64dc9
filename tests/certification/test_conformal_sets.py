"""The steps of robust conformal sets: a linear classifier whose worst move is known, and what is refused."""

import time

import numpy as np
import pytest
import torch

from sfumato import ConformalClassifier, DiscretisedGaussian, SmoothedClassifier
from sfumato.datasets import Split
from sfumato.errors import DataError, SettingError


@pytest.fixture
def smoothed(linear):
    return SmoothedClassifier(linear, 0.5, device="cpu", batch_size=4000)


def population(generator, count):
    """Return inputs and their labels, one in twelve of which lies on the wrong side."""
    labels = generator.integers(0, 2, count)
    side = np.where(generator.random(count) < 1 / 12, -1, 1) * (2 * labels - 1)
    x = np.column_stack([side * np.abs(generator.normal(0.8, 0.4, count)), generator.normal(size=count)])
    return x.astype(np.float32), labels


@pytest.mark.parametrize("radius", [0.0, 0.2])
def test_coverage_under_the_worst_move_is_what_was_asked_for(smoothed, radius):
    generator = np.random.default_rng(0)
    (x, y), (u, v) = population(generator, 600), population(generator, 600)
    # towards and across the hyperplane, away from the label's side
    u[:, 0] -= radius * (2 * v - 1)
    sets = smoothed.conformal((x, y), u, coverage=0.9, radius=radius, votes=60)
    covered = int(sets.covered(v).sum())
    # of this calibration: the error of 600 and 600 draws
    assert covered / 600 > 0.9 - 4 * np.sqrt(0.09 * (1 / 600 + 1 / 600))
    if not radius:
        assert covered / 600 < 0.9 + 4 * np.sqrt(0.09 * (1 / 600 + 1 / 600)) + 0.05
    assert (sets.sizes >= sets.covered(v)).all()
    assert sets.votes == 60


def test_the_steps_are_those_of_the_function_and_sets_grow_with_the_radius(smoothed, linear):
    x, y = population(np.random.default_rng(1), 300)
    again = SmoothedClassifier(linear, 0.5, device="cpu", batch_size=4000)
    steps = ConformalClassifier(again, coverage=0.8, radius=0.3, votes=50).conformalize(x, y)
    sets = steps.predict_set(x[:40])
    one = smoothed.conformal(Split(x, y), x[:40], 0.8, 0.3, votes=50)
    np.testing.assert_array_equal(sets.members, one.members)
    assert (one.coverage, one.radius, one.threshold) == (pytest.approx(0.8), 0.3, sets.threshold)
    assert sets.labels(0) == np.flatnonzero(sets.members[0]).tolist()
    thresholds = [
        smoothed.conformal((x, y), x[:1], 0.8, radius, votes=50).threshold for radius in (0.0, 0.2, 0.4, 0.8)
    ]
    assert thresholds == sorted(thresholds, reverse=True)
    assert thresholds[0] > thresholds[-1]
    assert "coverage 0.8 within radius 0.3" in repr(sets)


def test_calibration_and_test_inputs_never_share_noise(smoothed):
    x, y = population(np.random.default_rng(2), 50)
    steps = ConformalClassifier(smoothed, votes=40).conformalize(x, y)
    first, second = steps.predict_set(x), steps.predict_set(x)
    assert (len(first), first.members.shape) == (50, (50, 2))
    counts = [smoothed.fresh_votes(x, 40) for _ in range(2)]
    assert (counts[0] != counts[1]).any()
    assert len(second) == 50


def test_a_model_that_changed_after_the_calibration_is_refused():
    model = torch.nn.Linear(2, 2)
    x = torch.randn(40, 2, generator=torch.Generator().manual_seed(0))
    steps = ConformalClassifier(SmoothedClassifier(model, beta=0.5, device="cpu"), votes=20)
    steps.conformalize(x, (x[:, 0] > 0).int()).predict_set(x)
    with torch.no_grad():
        model.weight.mul_(-1.0)
    with pytest.raises(SettingError, match="the model has changed since conformalize"):
        steps.predict_set(x)
    steps.conformalize(x, (x[:, 0] > 0).int()).predict_set(x)


def test_sound_noise_is_calibrated_by_its_exact_certificate_in_little_time():
    noise = DiscretisedGaussian(0.5)
    model = torch.nn.Linear(1, 2)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[0.0], [4.0]]))
        model.bias.copy_(torch.tensor([0.0, -2.0]))
    x = torch.arange(256)[:, None] / 255.0
    began = time.process_time()
    asked = {"coverage": 0.8, "radius": 0.1, "votes": 30}
    steps = ConformalClassifier(SmoothedClassifier(model, noise=noise, device="cpu"), **asked)
    steps.conformalize(x, (x[:, 0] > 0.5).int())
    assert time.process_time() - began < 30
    same = ConformalClassifier(SmoothedClassifier(model, beta=0.5, device="cpu"), **asked)
    assert steps.plan == same.plan
    assert steps.plan.threshold(25, steps._worst) == same.plan.threshold(25, same._worst)


def test_too_few_calibration_inputs_give_all_labels(smoothed):
    x, y = population(np.random.default_rng(3), 5)
    sets = smoothed.conformal((x, y), x, coverage=0.9)
    assert (sets.threshold, sets.members.all()) == (0, True)


def test_what_is_wrong_is_refused(smoothed):
    x, y = population(np.random.default_rng(4), 10)
    with pytest.raises(SettingError, match="conformalize comes before"):
        ConformalClassifier(smoothed).predict_set(x)
    with pytest.raises(DataError, match="9 labels for 10 images"):
        ConformalClassifier(smoothed).conformalize(x, y[:9])
    with pytest.raises(DataError, match=r"labels must lie in 0\.\.1, got 0\.\.2"):
        ConformalClassifier(smoothed).conformalize(x, y + (np.arange(10) == 3) * (2 - y))
    with pytest.raises(DataError, match="calibration must be images and labels, or a split, got ndarray"):
        SmoothedClassifier(torch.nn.Linear(1, 2), beta=0.5, device="cpu").conformal(x, x)
    with pytest.raises(SettingError, match="coverage must lie strictly"):
        ConformalClassifier(smoothed, coverage=1.0)
    with pytest.raises(SettingError, match="radius"):
        ConformalClassifier(smoothed, radius=-1.0)
