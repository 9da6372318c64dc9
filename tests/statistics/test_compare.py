"""Comparisons of many classifiers on the same images: exact tests, sets that cover, gains without luck."""

import itertools

import numpy as np
import pytest
from scipy import stats

from sfumato.errors import SettingError
from sfumato.statistics.compare import (
    best_set,
    bootstrap_best_set,
    bootstrap_means,
    compare_paired_runs,
    compare_selected,
    cross_fitted_gain,
    mcnemar_p_values,
    mean_rate_interval,
    sign_flip_p_values,
)


def nested_errors(rng, risks, images, runs=1, noise=0.02):
    """Return errors that go together: an image's difficulty is common, each network adds its own."""
    risks = np.asarray(risks)
    difficulty = rng.random(images)
    own = rng.random((runs, len(risks), images)) < noise
    fresh = rng.random((runs, len(risks), images))
    return np.where(own, fresh, difficulty) < risks[:, np.newaxis]  # each has its risk exactly


def test_mcnemars_p_values_are_binomial_tails():
    worse, better = np.meshgrid(np.arange(9), np.arange(9))
    expected = stats.binom.sf(worse - 1, worse + better, 0.5)
    assert mcnemar_p_values(worse, better) == pytest.approx(expected, abs=1e-14)


def test_mcnemars_test_keeps_its_level():
    """Exact, by summing over all outcomes: the chance of p <= 0.05 given the discordant images."""
    for discordant in (5, 12, 40, 101):
        worse = np.arange(discordant + 1)
        chance = stats.binom.pmf(worse, discordant, 0.5)
        assert chance[mcnemar_p_values(worse, discordant - worse) <= 0.05].sum() <= 0.05


@pytest.mark.parametrize("values", [[2, 1, 0], [3, -1, -1, 2, 0, 1], [1, -1], [0, 0], [-2, -2, 1], [5]])
def test_sign_flip_p_values_equal_the_enumeration_of_all_signs(values):
    values = np.array(values)
    sums = [
        sum(s * abs(v) for s, v in zip(signs, values, strict=True))
        for signs in itertools.product((1, -1), repeat=len(values))
    ]
    above = np.mean([total >= values.sum() for total in sums])
    below = np.mean([total <= values.sum() for total in sums])
    assert sign_flip_p_values(values) == pytest.approx((above, below), abs=1e-10)


def test_the_sign_flip_test_of_one_run_is_mcnemars():
    values = np.array([1] * 320 + [-1] * 250 + [0] * 9000)
    above, below = sign_flip_p_values(values)
    assert above == pytest.approx(stats.binom.sf(319, 570, 0.5), abs=1e-10)
    assert below == pytest.approx(stats.binom.cdf(320, 570, 0.5), abs=1e-10)


def test_the_interval_of_one_run_is_clopper_and_pearsons():
    events = np.zeros((1, 300), bool)
    events[0, :17] = True
    exact = stats.binomtest(17, 300).proportion_ci(0.9, "exact")
    assert mean_rate_interval(events, confidence=0.9) == pytest.approx((exact.low, exact.high), abs=1e-9)


def test_the_mean_rates_interval_covers_with_runs_that_go_together():
    rng = np.random.default_rng(0)
    missed = 0
    for _ in range(400):
        low, high = mean_rate_interval(
            nested_errors(rng, [0.1], 150, runs=3, noise=0.3)[:, 0], confidence=0.9
        )
        missed += not low <= 0.1 <= high
    assert missed <= stats.binom.ppf(0.999, 400, 0.1)


def test_three_identical_runs_say_little_more_than_one():
    one = np.arange(400)[np.newaxis] < 40
    low, high = mean_rate_interval(one, confidence=0.95)
    low_three, high_three = mean_rate_interval(np.repeat(one, 3, axis=0), confidence=0.95)
    assert low_three < low < high < high_three
    assert high_three - low_three < 1.3 * (high - low)


@pytest.mark.parametrize("runs", [1, 3])
def test_the_interval_of_a_difference_covers_it(runs):
    rng = np.random.default_rng(1)
    repeats, missed = 400, 0
    for _ in range(repeats):
        first, second = np.moveaxis(nested_errors(rng, [0.12, 0.07], 200, runs, noise=0.3), 1, 0)
        found = compare_paired_runs(first, second, confidence=0.9)
        missed += not found.low <= 0.05 <= found.high
    assert missed <= stats.binom.ppf(0.999, repeats, 0.1)


def test_the_p_value_of_one_run_is_the_two_sided_binomial_test():
    first, second = np.zeros((2, 1, 200), bool)
    first[0, :30] = second[0, 20:33] = True
    found = compare_paired_runs(first, second, confidence=0.95)
    assert (found.only_first, found.only_second) == (20, 3)
    assert found.difference == pytest.approx(17 / 200)
    assert found.p_value == pytest.approx(stats.binomtest(20, 23).pvalue, abs=1e-12)


def test_an_interval_of_one_run_excludes_zero_about_when_the_p_value_is_small():
    """At 0.9 of the error for the sign: p < 0.045 excludes zero, p > 0.05 never does."""
    for more, less in itertools.product(range(25), repeat=2):
        first, second = np.zeros((2, 1, 200), bool)
        first[0, :more] = second[0, more : more + less] = True
        found = compare_paired_runs(first, second, confidence=0.95)
        excluded = found.low > 0 or found.high < 0
        if found.p_value < 0.045 - 1e-9:
            assert excluded
        if found.p_value > 0.05:
            assert not excluded


def test_swapping_the_two_mirrors_the_comparison():
    rng = np.random.default_rng(2)
    first, second = np.moveaxis(nested_errors(rng, [0.2, 0.1], 300, 2, noise=0.2), 1, 0)
    there = compare_paired_runs(first, second, confidence=0.95)
    back = compare_paired_runs(second, first, confidence=0.95)
    assert (back.difference, back.low, back.high) == pytest.approx(
        (-there.difference, -there.high, -there.low)
    )
    assert back.p_value == pytest.approx(there.p_value)


def test_the_corrected_comparison_covers_the_luckiest_of_many_equals():
    """All candidates have the reference's risk; the one that looks best is compared with it."""
    rng = np.random.default_rng(3)
    repeats, rejected, missed, naive = 1500, 0, 0, 0
    for _ in range(repeats):
        wrong = nested_errors(rng, [0.15] * 9, 200, noise=0.6)
        pick = 1 + int(wrong[0, 1:].sum(axis=1).argmin())
        found = compare_selected(wrong[:, 0], wrong[:, pick], confidence=0.9, candidates=8)
        missed += not found.low <= 0 <= found.high
        rejected += found.p_value <= 0.1
        naive += compare_paired_runs(wrong[:, 0], wrong[:, pick], confidence=0.9).p_value <= 0.1
    allowed = stats.binom.ppf(0.999, repeats, 0.1)
    assert missed <= allowed
    assert rejected <= allowed
    assert naive > allowed  # so the correction is needed


@pytest.mark.parametrize(
    ("risks", "runs"), [([0.1, 0.11, 0.12, 0.2], 1), ([0.1] * 8, 1), ([0.1, 0.105, 0.11, 0.15], 2)]
)
def test_the_exact_set_holds_the_truly_best_with_the_stated_confidence(risks, runs):
    rng = np.random.default_rng(4)
    repeats = 1000
    missed = sum(
        not best_set(nested_errors(rng, risks, 300, runs, noise=0.4), confidence=0.9).kept[0]
        for _ in range(repeats)
    )
    assert missed <= stats.binom.ppf(0.999, repeats, 0.1)


def test_the_exact_set_leaves_out_who_is_clearly_worse_and_never_the_leader():
    rng = np.random.default_rng(5)
    for _ in range(50):
        wrong = nested_errors(rng, [0.05, 0.06, 0.2, 0.3], 400, noise=0.2)
        found = best_set(wrong, confidence=0.95)
        assert found.kept[wrong[0].sum(axis=1).argmin()]
        assert not found.kept[2:].any()


def test_the_exact_sets_p_values_are_the_smallest_of_mcnemars_times_their_number():
    wrong = nested_errors(np.random.default_rng(6), [0.05, 0.1, 0.12], 300, noise=0.3)
    found = best_set(wrong, confidence=0.95)
    for index in range(3):
        tails = []
        for other in {0, 1, 2} - {index}:
            worse = int((wrong[0, index] & ~wrong[0, other]).sum())
            better = int((wrong[0, other] & ~wrong[0, index]).sum())
            tails.append(stats.binomtest(worse, worse + better, 0.5, alternative="greater").pvalue)
        assert found.p_values[index] == pytest.approx(min(1.0, 2 * min(tails)), abs=1e-12)


def test_a_single_candidate_is_the_best():
    found = best_set(np.ones((1, 1, 5), bool), confidence=0.9)
    assert found.kept.tolist() == [True]
    assert found.p_values.tolist() == [1.0]


def test_bootstrap_means_have_the_covariance_of_the_sample_means():
    wrong = nested_errors(np.random.default_rng(7), [0.1, 0.15, 0.3], 500, noise=0.2)
    means = bootstrap_means(wrong, draws=20_000, seed=1)
    np.testing.assert_allclose(means.mean(axis=0), wrong[0].mean(axis=1), atol=1e-3)
    expected = np.cov(wrong[0].astype(float), bias=True) / 500
    np.testing.assert_allclose(np.cov(means.T), expected, rtol=0.08, atol=2e-6)


def test_the_bootstrap_of_runs_spreads_as_independent_runs_do():
    """Runs whose whole risk varies: the spread of their mean is s / sqrt(R), s unbiased."""
    losses = np.repeat(np.array([0.1, 0.2, 0.4, 0.5])[:, np.newaxis, np.newaxis], 50, axis=2)
    means = bootstrap_means(losses, draws=20_000, seed=2)
    assert means.std() == pytest.approx(np.std([0.1, 0.2, 0.4, 0.5], ddof=1) / 2, rel=0.03)


def test_the_bootstrap_is_the_same_for_the_same_seed_and_pairs_the_candidates():
    wrong = nested_errors(np.random.default_rng(8), [0.1, 0.2], 100)
    wrong[:, 1] = wrong[:, 0]
    first, again = bootstrap_means(wrong, draws=300, seed=3), bootstrap_means(wrong, draws=300, seed=3)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first[:, 0], first[:, 1])
    assert not np.array_equal(first, bootstrap_means(wrong, draws=300, seed=4))


@pytest.mark.parametrize("risks", [[0.1, 0.11, 0.12, 0.2], [0.1] * 6])
def test_the_bootstrap_set_holds_the_truly_best_about_as_often_as_stated(risks):
    rng = np.random.default_rng(9)
    repeats, missed = 300, 0
    for index in range(repeats):
        wrong = nested_errors(rng, risks, 600, noise=0.4)
        resampled = bootstrap_means(wrong, draws=300, seed=index)
        missed += not bootstrap_best_set(wrong[0].mean(axis=1), resampled, confidence=0.9).kept[0]
    assert missed <= stats.binom.ppf(0.999, repeats, 0.1)


def test_the_bootstrap_set_leaves_out_who_is_clearly_worse():
    wrong = nested_errors(np.random.default_rng(10), [0.05, 0.055, 0.2], 800, noise=0.2)
    found = bootstrap_best_set(wrong[0].mean(axis=1), bootstrap_means(wrong), confidence=0.95)
    assert found.kept.tolist() == [True, True, False]


def test_the_cross_fitted_gain_is_unbiased_where_the_naive_one_is_not():
    """Twelve equals: no gain is to be had, yet the best of them on its own images seems better."""
    rng = np.random.default_rng(11)
    crossed, naive, missed = [], [], 0
    repeats = 400
    for index in range(repeats):
        wrong = nested_errors(rng, [0.1] * 12, 300, noise=0.7)
        found = cross_fitted_gain(wrong, 0, confidence=0.9, seed=index)
        crossed.append(found.gain)
        naive.append(wrong[0, 0].mean() - wrong[0].mean(axis=1).min())
        missed += not found.low <= 0 <= found.high
    error = np.std(crossed) / np.sqrt(repeats)
    assert abs(np.mean(crossed)) < 4 * error
    assert np.mean(naive) > 10 * error
    assert missed <= stats.binom.ppf(0.999, repeats, 0.1)


def test_the_cross_fitted_gain_is_the_gain_where_one_candidate_is_best_on_both_halves():
    wrong = nested_errors(np.random.default_rng(12), [0.3, 0.05, 0.4], 1000, noise=0.1)
    found = cross_fitted_gain(wrong, 0, confidence=0.95)
    assert found.selected == (1, 1)
    assert found.gain == pytest.approx(wrong[0, 0].mean() - wrong[0, 1].mean())
    assert found.risk == pytest.approx(wrong[0, 1].mean())
    assert 0 < found.low < found.gain < found.high
    assert found.p_value < 1e-6


def test_the_cross_fitted_interval_shares_the_error_between_the_halves():
    """All images are alike, so that either half is compared as seven of them are."""
    wrong = np.zeros((1, 2, 14), bool)
    wrong[0, 0] = True
    found = cross_fitted_gain(wrong, 0, confidence=0.9)
    one = compare_paired_runs(wrong[:, 0, :7], wrong[:, 1, :7], confidence=0.95)
    assert (found.gain, found.low, found.high) == pytest.approx((1.0, one.low, one.high))
    assert found.p_value == pytest.approx(2 * stats.binomtest(7, 7).pvalue)


def test_the_reference_gains_nothing_over_itself():
    wrong = nested_errors(np.random.default_rng(13), [0.05, 0.4], 200)
    found = cross_fitted_gain(wrong, 0, confidence=0.95)
    assert (found.gain, found.low, found.high, found.p_value) == (0.0, 0.0, 0.0, 1.0)


ONE = np.zeros((1, 2, 4), bool)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: mcnemar_p_values(np.array([-1]), np.array([0])), "whole numbers of at least 0"),
        (lambda: mcnemar_p_values(np.array([1.5]), np.array([0])), "whole numbers of at least 0"),
        (lambda: sign_flip_p_values(np.array([0.5])), "differences must be whole numbers"),
        (lambda: mean_rate_interval(ONE[0, 0], confidence=0.9), "boolean arrays"),
        (lambda: mean_rate_interval(ONE[0], confidence=1.0), "confidence must lie"),
        (lambda: compare_paired_runs(ONE[0], ONE[0, :1], confidence=0.9), "of one shape"),
        (
            lambda: compare_selected(ONE[0], ONE[0], confidence=0.9, candidates=0),
            "candidates must be a whole number of at least 1, got 0",
        ),
        (lambda: best_set(ONE.astype(int), confidence=0.9), "boolean array"),
        (lambda: best_set(ONE, confidence=0.0), "confidence must lie"),
        (lambda: bootstrap_means(ONE, draws=0), "draws must be a whole number of at least 1, got 0"),
        (lambda: bootstrap_means(ONE[0]), "losses must be of shape"),
        (lambda: bootstrap_best_set(np.zeros(3), np.zeros((5, 2)), confidence=0.9), "do not fit"),
        (lambda: cross_fitted_gain(ONE, 2, confidence=0.9), "reference must be"),
        (lambda: cross_fitted_gain(ONE[:, :, :1], 0, confidence=0.9), "images must be at least 2"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(SettingError, match=words):
        call()
