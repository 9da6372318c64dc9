"""Comparisons of many classifiers on the same images: exact tests, sets that cover, gains without luck."""

import itertools

import numpy as np
import pytest
from scipy import integrate, stats

from sfumato.errors import SettingError
from sfumato.statistics.compare import (
    best_set,
    mcnemar_p_values,
    mean_rate_interval,
    paired_difference,
    selected_gain,
    sign_flip_p_values,
)

ONE = np.zeros((1, 2, 4), bool)


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


@pytest.mark.parametrize(("rates", "runs"), [((0.12, 0.07), 1), ((0.12, 0.07), 3), ((0.04, 0.01), 1)])
def test_the_interval_of_a_difference_covers_it(rates, runs):
    rng = np.random.default_rng(1)
    repeats, missed = 1000, 0
    for _ in range(repeats):
        first, second = np.moveaxis(nested_errors(rng, rates, 200, runs, noise=0.3), 1, 0)
        found = paired_difference(first, second, confidence=0.9)
        missed += not found.low <= rates[0] - rates[1] <= found.high
    assert missed <= stats.binom.ppf(0.999, repeats, 0.1)


def newcombe(only_first, only_second, both, images):
    """Return Newcombe's (1998) interval of a paired difference, his method 10, by its published formula."""
    z = stats.norm.ppf(0.975)

    def wilson(count):
        share, half = count / images, z**2 / images
        root = z * np.sqrt(share * (1 - share) / images + half / (4 * images))
        return (share + half / 2 - root) / (1 + half), (share + half / 2 + root) / (1 + half)

    a, b, c, d = both, only_first, only_second, images - both - only_first - only_second
    product = (a + b) * (c + d) * (a + c) * (b + d)
    excess = a * d - b * c
    shrunk = max(excess - images / 2, 0) if excess > 0 else excess
    phi = shrunk / np.sqrt(product) if product else 0.0
    (l1, u1), (l2, u2) = wilson(a + b), wilson(a + c)
    p1, p2 = (a + b) / images, (a + c) / images
    low = np.sqrt((p1 - l1) ** 2 - 2 * phi * (p1 - l1) * (u2 - p2) + (u2 - p2) ** 2)
    high = np.sqrt((p2 - l2) ** 2 - 2 * phi * (p2 - l2) * (u1 - p1) + (u1 - p1) ** 2)
    return p1 - p2 - low, p1 - p2 + high


def test_the_interval_of_a_difference_is_about_as_wide_as_newcombes():
    for counts in ((20, 12, 40), (30, 5, 10), (8, 2, 60)):
        first, second = np.zeros((2, 1, 400), bool)
        more, less, both = counts
        first[0, : more + both] = second[0, more : more + both + less] = True
        found = paired_difference(first, second, confidence=0.95)
        low, high = newcombe(*counts, 400)
        assert 0.85 < (found.high - found.low) / (high - low) < 1.15


def test_the_p_value_of_one_run_is_the_two_sided_binomial_test():
    first, second = np.zeros((2, 1, 200), bool)
    first[0, :30] = second[0, 20:33] = True
    found = paired_difference(first, second, confidence=0.95)
    assert found.value == pytest.approx(17 / 200)
    assert found.p_value == pytest.approx(stats.binomtest(20, 23).pvalue, abs=1e-12)


def test_an_interval_excludes_zero_exactly_where_the_p_value_is_small():
    for more, less in itertools.product(range(25), repeat=2):
        first, second = np.zeros((2, 1, 200), bool)
        first[0, :more] = second[0, more : more + less] = True
        found = paired_difference(first, second, confidence=0.95)
        assert (found.low <= 0 <= found.high) == (found.p_value > 0.05)
        assert found.low <= found.value <= found.high


def test_no_difference_seen_is_bounded_as_a_rare_event():
    """Wilson's bound of an event that none of n images showed: z^2 / (n + z^2)."""
    found = paired_difference(ONE[0, :1].repeat(100, axis=1), ONE[0, :1].repeat(100, axis=1), confidence=0.95)
    limit = stats.norm.ppf(0.975) ** 2
    assert found.high == -found.low == pytest.approx(limit / (400 + limit))


def test_swapping_the_two_mirrors_the_comparison():
    rng = np.random.default_rng(2)
    first, second = np.moveaxis(nested_errors(rng, [0.2, 0.1], 300, 2, noise=0.2), 1, 0)
    there = paired_difference(first, second, confidence=0.95)
    back = paired_difference(second, first, confidence=0.95)
    assert (back.value, back.low, back.high) == pytest.approx((-there.value, -there.high, -there.low))
    assert back.p_value == pytest.approx(there.p_value)


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


@pytest.mark.parametrize("risks", [[0.1] * 12, [0.1] * 3, [0.12, 0.1, 0.1, 0.08]])
def test_the_selected_gain_is_unbiased_and_covered_where_the_naive_one_is_not(risks):
    """Near ties: the best of many on its own images seems better than it is."""
    rng = np.random.default_rng(11)
    errors, naive, missed, rejected = [], [], 0, 0
    repeats = 600
    for index in range(repeats):
        wrong = nested_errors(rng, risks, 300, noise=0.7)
        found = selected_gain(wrong, [0], confidence=0.9, seed=index)
        true = risks[0] - np.mean([risks[pick] for pick in found.selected])
        best = int(wrong[0].mean(axis=1).argmin())
        errors.append(found.gain.value - true)
        naive.append(wrong[0, 0].mean() - wrong[0, best].mean() - (risks[0] - risks[best]))
        missed += not found.gain.low <= true <= found.gain.high
        rejected += found.gain.p_value <= 0.1
    error = np.std(errors) / np.sqrt(repeats)
    assert abs(np.mean(errors)) < 4 * error
    assert np.mean(naive) > 6 * error
    assert missed <= stats.binom.ppf(0.999, repeats, 0.1)
    if len(set(risks)) == 1:
        assert rejected <= stats.binom.ppf(0.999, repeats, 0.1)


def test_a_clear_selection_is_tested_exactly_on_all_images():
    wrong = nested_errors(np.random.default_rng(12), [0.3, 0.05, 0.4], 1000, noise=0.1)
    found = selected_gain(wrong, [0], confidence=0.95)
    more, less = (int((wrong[0, a] & ~wrong[0, b]).sum()) for a, b in ((0, 1), (1, 0)))
    assert found.selected == (1, 1)
    assert found.clear
    assert found.gain == paired_difference(wrong[:, 0], wrong[:, 1], confidence=0.95)
    assert found.gain.p_value == pytest.approx(stats.binomtest(more, more + less).pvalue)


def test_an_unclear_selection_has_a_wider_interval_that_agrees_with_its_p_value():
    rng = np.random.default_rng(14)
    seen = 0
    for index in range(60):
        wrong = nested_errors(rng, [0.2, 0.12, 0.12], 300, noise=0.5)
        found = selected_gain(wrong, [0], confidence=0.95, seed=index)
        gain = found.gain
        assert (gain.low <= 0 <= gain.high) == (gain.p_value > 0.05)
        if not found.clear and found.selected == (1, 1):
            plain = paired_difference(wrong[:, 0], wrong[:, 1], confidence=0.95)
            assert gain.value == pytest.approx(plain.value)
            assert gain.high - gain.low == pytest.approx(np.sqrt(1.36) * (plain.high - plain.low), rel=0.03)
            seen += 1
    assert seen


def test_ties_make_the_halves_go_together_by_no_more_than_the_interval_allows():
    """For P equal candidates the correlation is m^2 / (P - 1), m the expected maximum of P normals."""
    z = np.linspace(-9, 9, 4001)
    maxima = {
        p: integrate.trapezoid(z * p * stats.norm.pdf(z) * stats.norm.cdf(z) ** (p - 1), z)
        for p in range(2, 60)
    }
    assert maxima[3] == pytest.approx(1.5 / np.sqrt(np.pi))
    assert 1.35 < 1 + max(m**2 / (p - 1) for p, m in maxima.items()) < 1.36


def test_the_best_of_the_references_is_selected_too():
    wrong = nested_errors(np.random.default_rng(15), [0.3, 0.1, 0.2, 0.02], 800, noise=0.1)
    found = selected_gain(wrong, [0, 1, 2], confidence=0.95)
    assert (found.selected, found.references) == ((3, 3), (1, 1))


@pytest.mark.parametrize("outside", [0.05, 0.12])
def test_a_reference_that_is_no_candidate_is_compared_and_never_selected(outside):
    rng = np.random.default_rng(16)
    missed, repeats = 0, 300
    for index in range(repeats):
        wrong = nested_errors(rng, [0.1, 0.1, 0.1, outside], 300, noise=0.7)
        found = selected_gain(wrong, [3], confidence=0.9, seed=index, candidates=[0, 1, 2])
        assert set(found.selected) <= {0, 1, 2}
        assert found.references == (3, 3)
        missed += not found.gain.low <= outside - 0.1 <= found.gain.high
    assert missed <= stats.binom.ppf(0.999, repeats, 0.1)
    one = selected_gain(wrong, [3], confidence=0.9, candidates=[1])
    assert one.gain == paired_difference(wrong[:, 3], wrong[:, 1], confidence=0.9)


def test_the_reference_gains_nothing_over_itself():
    wrong = nested_errors(np.random.default_rng(13), [0.05, 0.4], 200)
    found = selected_gain(wrong, [0], confidence=0.95).gain
    assert (found.value, found.low, found.high, found.p_value) == (0.0, 0.0, 0.0, 1.0)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: mcnemar_p_values(np.array([-1]), np.array([0])), "whole numbers of at least 0"),
        (lambda: mcnemar_p_values(np.array([1.5]), np.array([0])), "whole numbers of at least 0"),
        (lambda: sign_flip_p_values(np.array([0.5])), "differences must be whole numbers"),
        (lambda: mean_rate_interval(ONE[0, 0], confidence=0.9), "boolean arrays"),
        (lambda: mean_rate_interval(ONE[0], confidence=1.0), "confidence must lie"),
        (lambda: paired_difference(ONE[0], ONE[0, :1], confidence=0.9), "of one shape"),
        (lambda: paired_difference(ONE[0], ONE[0], confidence=1.0), "confidence must lie"),
        (lambda: best_set(ONE.astype(int), confidence=0.9), "boolean array"),
        (lambda: best_set(ONE, confidence=0.0), "confidence must lie"),
        (lambda: selected_gain(ONE, [2], confidence=0.9), "references must be"),
        (lambda: selected_gain(ONE, [], confidence=0.9), "references must be"),
        (lambda: selected_gain(ONE, [0], confidence=0.9, candidates=[2]), "candidates must be indices"),
        (lambda: selected_gain(ONE, [0], confidence=0.9, candidates=[]), "candidates must be indices"),
        (lambda: selected_gain(ONE[:, :, :1], [0], confidence=0.9), "images must be at least 2"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(SettingError, match=words):
        call()


def test_candidates_left_of_more_are_tested_against_all_of_them():
    wrong = np.zeros((1, 2, 60), bool)
    wrong[0, 1, :9] = True
    # the second loses 9 images that the first does not, and wins none
    p_value = stats.binomtest(9, 9, 0.5, alternative="greater").pvalue
    assert best_set(wrong, confidence=0.95).p_values == pytest.approx([1.0, p_value])
    left = best_set(wrong, confidence=0.95, among=36)
    assert left.p_values == pytest.approx([1.0, 35 * p_value])
    assert left.kept.tolist() == [True, True]
    with pytest.raises(SettingError, match="among must be"):
        best_set(wrong, confidence=0.95, among=1)
