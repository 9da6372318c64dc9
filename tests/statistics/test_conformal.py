"""Coverage of robust conformal sets, exact and simulated, under the worst perturbation there is."""

import functools

import numpy as np
import pytest
from scipy import special, stats

from sfumato.errors import SettingError
from sfumato.statistics.conformal import ConformalPlan, plan_conformal


def gaussian(radius):
    """The worst case of Gaussian noise of standard deviation 1: a half-space attains it."""
    return lambda q: special.ndtr(special.ndtri(q) + radius) if radius else q


def coverage(plan, t, p_moved):
    return stats.binom.sf(t - 1, plan.votes, p_moved)


@pytest.mark.parametrize("votes", [1, 5, 100, 1000])
@pytest.mark.parametrize("radius", [0.05, 0.25, 0.5, 1.0])
def test_the_inequality_of_the_theorem_holds_on_a_grid_of_its_own(votes, radius):
    worst = gaussian(radius)
    plan = plan_conformal(votes, 0.9, worst)
    p = np.concatenate([np.linspace(0, 1, 20_001), 10.0 ** np.linspace(-12, -4, 200)])
    for k in sorted({1, votes // 3, votes // 2, votes - 1, votes} - {0}):
        t = plan.threshold(k, worst)
        moved = stats.norm.cdf(stats.norm.ppf(p) - radius)
        left = coverage(plan, t, moved) if t else np.ones_like(p)
        right = plan.coverage + plan.slope * (stats.binom.sf(k - 1, votes, p) - (1 - plan.error))
        assert (left >= right - 1e-12).all()
        if 1 < t < k:  # and with one more it breaks, or nearly
            looser = coverage(plan, t + 1, moved) < right + 1e-3
            assert looser.any()


def test_with_one_vote_the_sets_are_those_of_rcp1_and_the_bound_is_attained():
    worst = gaussian(0.5)
    plan = plan_conformal(1, 0.9, worst)
    # c(1 - alpha') = 1 - alpha, so that inputs of just this probability are covered just 1 - alpha
    assert stats.norm.cdf(stats.norm.ppf(1 - plan.error) - 0.5) == pytest.approx(0.9, abs=2e-4)
    assert plan.threshold(1, worst) == 1


@pytest.mark.parametrize("votes", [20, 100])
def test_the_bound_is_nearly_attained_by_inputs_of_the_worst_probability(votes):
    # inputs of the probability at which (1) is tightest, and inputs that are always right or always wrong
    worst, p = gaussian(0.5), np.linspace(0.3, 0.99999, 20_000)
    plan = plan_conformal(votes, 0.9, worst)
    k = votes // 2
    t = plan.threshold(k, worst)
    unmoved, moved = (
        stats.binom.sf(k - 1, votes, p),
        coverage(plan, t, stats.norm.cdf(stats.norm.ppf(p) - 0.5)),
    )
    place = np.argmin(moved - plan.slope * unmoved)
    other = 1.0 if unmoved[place] < 1 - plan.error else 0.0
    share = (1 - plan.error - other) / (unmoved[place] - other)
    attained = share * moved[place] + (1 - share) * other
    assert 0.9 <= attained < 0.93


@pytest.mark.parametrize("radius", [0.0, 0.5])
@pytest.mark.parametrize("votes", [1, 60])
def test_simulated_coverage_under_the_worst_perturbation_is_what_was_asked_for(votes, radius):
    generator, worst = np.random.default_rng(votes), gaussian(radius)
    plan = plan_conformal(votes, 0.9, worst)
    threshold = functools.cache(lambda k: plan.threshold(k, worst))
    hits = []
    for _ in range(1500):
        # 99 calibration inputs and one test input of the same population
        z = generator.normal(1.6, 0.9, size=100)
        counts = generator.binomial(votes, special.ndtr(z[:99]))
        t = threshold(plan.calibration_count(counts))
        hits.append(1.0 if t == 0 else coverage(plan, t, special.ndtr(z[99] - radius)))
    error = np.std(hits) / np.sqrt(len(hits))
    assert np.mean(hits) >= 0.9 - 3 * error


def test_without_a_perturbation_coverage_is_exactly_what_was_asked_for():
    # continuous scores: the count of many votes hardly ties
    generator, plan = np.random.default_rng(3), ConformalPlan(1_000_000, 0.9, 0.1, 1.0)
    covered = 0
    for _ in range(4000):
        counts = generator.binomial(plan.votes, generator.uniform(size=100))
        covered += counts[99] >= plan.threshold(plan.calibration_count(counts[:99]), lambda q: q)
    assert stats.binomtest(covered, 4000, 0.9).pvalue > 0.001


def test_too_few_calibration_inputs_give_the_set_of_all_labels():
    plan = plan_conformal(100, 0.9, lambda q: q)
    assert plan.calibration_count(np.full(8, 100)) == 0
    assert plan.calibration_count(np.arange(50, 59)) == 50
    assert plan.threshold(0, lambda q: q) == 0
    assert plan.calibration_count(np.array([], dtype=int)) == 0


def test_what_is_wrong_is_refused():
    plan = ConformalPlan(10, 0.9, 0.1, 1.0)
    for counts in ([11], [-1], [0.5]):
        with pytest.raises(SettingError, match=r"0\.\.10"):
            plan.calibration_count(np.array(counts))
    with pytest.raises(SettingError, match="coverage"):
        plan_conformal(10, 1.0, lambda q: q)
    with pytest.raises(SettingError, match="votes"):
        plan_conformal(0, 0.9, lambda q: q)
