"""The smoothed curve: close to known curves, closer than the measured values, with bands that cover."""

import numpy as np
import pytest
from scipy import interpolate, special

from sfumato.answers.smooth_risk import smooth_counts, smooth_errors, smoothing_matrix
from sfumato.errors import SettingError

ALPHAS = np.linspace(0.0, 1.0, 11)


def true_risk(alphas):
    """Return a curve with its minimum at 0.45."""
    return special.expit(-3.0 + 6.0 * (np.asarray(alphas) - 0.45) ** 2)


def measured(rng, alphas=ALPHAS, images=2000, own=0.15, luck=0.05, runs=1):
    """Return errors with a common difficulty of the images and some luck of each training."""
    lucky = rng.normal(0.0, luck, (runs, len(alphas), 1))
    risk = special.expit(special.logit(true_risk(alphas))[:, np.newaxis] + lucky)
    fresh = rng.random((runs, len(alphas), images))
    return np.where(rng.random(fresh.shape) < own, fresh, rng.random(images)) < risk


def test_the_smoother_is_the_natural_cubic_smoothing_spline():
    """Against scipy's penalised spline at the same penalty: lambda = 1 / bend, weights 1 / variance."""
    place = np.array([0.0, 0.1, 0.3, 0.45, 0.7, 0.8, 1.0])
    values, variance, bend = np.sin(5 * place), np.array([1, 2, 1, 3, 1, 1, 2]) * 0.05, 40.0
    where = np.linspace(0, 1, 33)
    spline = interpolate.make_smoothing_spline(place, values, 1.0 / variance, lam=1.0 / bend)
    np.testing.assert_allclose(
        smoothing_matrix(where, place, bend, variance) @ values, spline(where), rtol=1e-6, atol=1e-8
    )


def test_the_minimum_is_found_closer_than_by_the_lowest_measured_value():
    rng = np.random.default_rng(0)
    smooth, raw = [], []
    for index in range(60):
        wrong = measured(rng, luck=0.1)
        curve = smooth_errors(ALPHAS, wrong, draws=20, seed=index)
        smooth.append(curve.alpha - 0.45)
        raw.append(ALPHAS[wrong.mean(axis=(0, 2)).argmin()] - 0.45)
        assert curve.lowest == curve.risk.min()
    assert np.std(smooth) < 0.8 * np.std(raw)
    assert abs(np.mean(smooth)) < 0.03


@pytest.mark.parametrize("luck", [0.05, 0.4])
def test_bands_cover_the_true_curve_and_the_interval_its_minimum(luck):
    """Whether the images or the trainings make most of the error."""
    rng = np.random.default_rng(1)
    repeats, covered, minimum = 60, [], 0
    for index in range(repeats):
        curve = smooth_errors(ALPHAS, measured(rng, luck=luck), confidence=0.9, draws=200, seed=index)
        truth = true_risk(curve.alphas)
        covered.append(np.mean((curve.low <= truth) & (truth <= curve.high)))
        minimum += curve.alpha_low <= 0.45 <= curve.alpha_high
    assert 0.82 < np.mean(covered) < 0.97
    assert minimum / repeats > 0.8


def test_bands_widen_with_the_confidence_and_hold_the_curve():
    wrong = measured(np.random.default_rng(2))
    narrow, wide = (smooth_errors(ALPHAS, wrong, confidence=c, draws=500) for c in (0.5, 0.99))
    np.testing.assert_array_equal(narrow.risk, wide.risk)
    assert np.all((wide.low < narrow.low) & (narrow.high < wide.high))
    assert np.all((wide.low < wide.risk) & (wide.risk < wide.high))
    assert set(ALPHAS.round(6)) <= set(wide.alphas.round(6))


def test_the_luck_of_training_is_estimated():
    rng = np.random.default_rng(3)
    alphas = np.linspace(0, 1, 21)
    spreads = [
        np.mean(
            [
                smooth_errors(alphas, measured(rng, alphas, 20_000, 0.02, luck), draws=5).training_spread
                for _ in range(12)
            ]
        )
        for luck in (0.0, 0.15)
    ]
    assert spreads[0] < 0.06
    assert spreads[1] == pytest.approx(0.15, rel=0.25)


def test_counts_without_images_give_nearly_the_same_minimum():
    wrong = measured(np.random.default_rng(4), images=5000)
    errors = wrong[0].sum(axis=1)
    by_images = smooth_errors(ALPHAS, wrong, draws=50)
    by_counts = smooth_counts(ALPHAS, errors, 5000, draws=50)
    assert by_counts.alpha == pytest.approx(by_images.alpha, abs=0.06)
    assert by_counts.lowest == pytest.approx(by_images.lowest, rel=0.1)


def test_no_errors_at_all_are_drawn_near_zero():
    curve = smooth_errors(ALPHAS, np.zeros((1, 11, 400), bool), draws=50)
    assert np.all((curve.risk > 0) & (curve.risk < 0.003))


def test_several_runs_narrow_what_training_adds():
    rng = np.random.default_rng(5)
    one, four = (
        np.mean(
            [
                smooth_errors(ALPHAS, measured(rng, luck=0.3, runs=runs), draws=20).training_spread
                for _ in range(12)
            ]
        )
        for runs in (1, 4)
    )
    assert four < 0.75 * one


@pytest.mark.parametrize(
    ("alphas", "rows", "words"),
    [
        ((0.0, 0.1, 0.2, 0.3), 4, "at least 5 increasing alphas"),
        ((0.0, 0.2, 0.1, 0.3, 0.4), 5, "increasing alphas"),
        ((0.0, 0.1, 0.2, 0.3, 0.4), 4, "4 results"),
    ],
)
def test_bad_input_is_named(alphas, rows, words):
    with pytest.raises(SettingError, match=words):
        smooth_errors(alphas, np.zeros((1, rows, 10), bool))
    with pytest.raises(SettingError, match="confidence must lie"):
        smooth_counts(ALPHAS, np.ones(11, int), 100, confidence=0.0)
