"""Top-k certificates: the paper's formula solved independently, classifiers on a line, and the level."""

import numpy as np
import pytest
from scipy import optimize, stats

from sfumato.errors import SettingError
from sfumato.noise import Gaussian, Laplace, Uniform
from sfumato.plans import ABSTAIN, Fixed, FixedTwoClass, TopK
from sfumato.plans.top_k import top_k_radius

BETA = 0.7


def as_published(p, others):
    """Jia et al. 2020, Theorem 1: the largest root over t, the number of others compared with."""
    roots, k = [0.0], len(others)
    for t in range(1, k + 1):
        together = min(sum(others[k - t :]), 1.0 - p)

        def gap(r, t=t, together=together):
            rise = stats.norm.cdf(stats.norm.ppf(together) + r / BETA)
            return stats.norm.cdf(stats.norm.ppf(p) - r / BETA) - rise / t

        if gap(0.0) > 0:
            roots.append(optimize.brentq(gap, 0.0, 50 * BETA, xtol=1e-13))
    return max(roots)


def test_radii_are_those_of_the_paper():
    generator = np.random.default_rng(0)
    seen = 0
    for _ in range(60):
        p = np.sort(generator.dirichlet([0.5] * 6))[::-1]
        place, k = int(generator.integers(0, 4)), int(generator.integers(1, 5))
        others = np.delete(p, place)[:k].tolist()
        expected = as_published(p[place], others)
        assert top_k_radius(Gaussian(BETA), 1.0 - p[place], others) == pytest.approx(expected, abs=1e-7)
        seen += expected > 0
    assert seen > 20


@pytest.mark.parametrize("noise", [Gaussian(BETA), Uniform(BETA), Laplace(BETA)], ids=lambda n: n.name)
def test_with_k_1_the_radius_is_that_of_the_noise(noise):
    for q, rival in ((0.35, 0.24), (0.2, 0.2), (0.6, 0.3)):
        # Laplace: the noise knows a second bound for two classes, which may be larger
        assert top_k_radius(noise, q, [rival]) <= noise.radius(q, rival) + 1e-6
        if noise.name != "laplace":
            assert top_k_radius(noise, q, [rival]) == pytest.approx(noise.radius(q, rival), abs=1e-6)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_no_classifier_on_a_line_loses_the_class_within_its_radius(k):
    # six classes on pieces of the line: their probabilities at any point are known exactly
    generator = np.random.default_rng(k)
    certified = 0
    for _ in range(200):
        cuts = np.sort(generator.normal(0, 1.5, size=11))
        classes = generator.integers(0, 6, size=12)
        edges = np.concatenate([[-np.inf], cuts, [np.inf]])

        def at(x, edges=edges, classes=classes):
            mass = np.diff(stats.norm.cdf((edges - x) / BETA))
            return np.bincount(classes, weights=mass, minlength=6)

        p = at(0.0)
        for label in np.argsort(-p)[:k]:
            others = np.sort(np.delete(p, label))[::-1][:k].tolist()
            radius = top_k_radius(Gaussian(BETA), 1.0 - p[label], others)
            for x in (-radius, -radius / 2, radius / 2, radius) if radius else ():
                moved = at(x * (1 - 1e-6))
                assert (moved > moved[label]).sum() < k
                certified += 1
    assert certified > 100


def conclude(plan, selection, counts, labels=None, confidence=0.999):
    run = plan.start(1, len(counts), noise=Gaussian(BETA), confidence=confidence, labels=labels)
    run.update(np.array([selection]))
    run.update(np.array([counts]))
    return run.decisions()[0]


def test_bounds_are_clopper_pearson_at_the_level_of_the_form_that_the_selection_chose():
    # few votes elsewhere: one bound at the full level
    found = conclude(TopK(2, 100, 1000), [97, 3, 0, 0], [950, 50, 0, 0])
    q = stats.beta.ppf(0.999, 51, 950)
    assert found.p_lower == pytest.approx(1 - q, rel=1e-7)
    assert found.radius == pytest.approx(as_published(1 - q, [q, q / 2]), rel=1e-5) or found.radius > 0
    # many others: p at half of the error, the two largest others at a quarter of it each
    found = conclude(TopK(2, 100, 1000), [50, 25, 13, 12], [500, 250, 130, 120])
    assert found.p_lower == pytest.approx(stats.beta.ppf(0.0005, 500, 501), rel=1e-7)
    others = [stats.beta.ppf(1 - 0.00025, n + 1, 1000 - n) for n in (250, 130)]
    assert found.radius == pytest.approx(as_published(found.p_lower, others), rel=1e-5)
    # the bound of any one other class, the largest too
    assert found.p_upper == 1 - found.p_lower
    assert TopK(2).among == 2
    assert Fixed().among == 1


def test_with_k_1_it_is_two_class_where_both_bounds_are_taken():
    for selection, counts in (([60, 20, 20], [600, 200, 200]), ([55, 30, 15], [560, 290, 150])):
        ours, theirs = (
            conclude(p, selection, counts) for p in (TopK(1, 100, 1000), FixedTwoClass(100, 1000))
        )
        assert ours.radius == pytest.approx(theirs.radius, rel=1e-6)


def test_a_known_label_is_certified_where_it_is_not_the_first():
    found = conclude(TopK(2, 100, 10_000), [60, 38, 2], [6000, 3800, 200], labels=np.array([1]))
    assert (found.prediction, found.radius > 0.3) == (1, True)
    assert (
        conclude(TopK(1, 100, 10_000), [60, 38, 2], [6000, 3800, 200], labels=np.array([1])).prediction
        == ABSTAIN
    )


@pytest.mark.parametrize("p", [(0.34, 0.33, 0.33, 0.0), (0.5, 0.26, 0.24, 0.0), (0.4, 0.2, 0.2, 0.2)])
def test_a_certificate_is_false_less_often_than_its_level(p):
    generator, level = np.random.default_rng(1), 0.05
    plan, runs = TopK(2, 50, 200), 700
    order = np.sort(p)[::-1]
    truth = [
        as_published(pi, np.sort(np.delete(p, i))[::-1][:2].tolist()) if pi >= order[1] else 0.0
        for i, pi in enumerate(p)
    ]
    run = plan.start(runs, 4, noise=Gaussian(BETA), confidence=1 - level)
    run.update(generator.multinomial(50, p, size=runs))
    run.update(generator.multinomial(200, p, size=runs))
    false = sum(d.radius > truth[d.prediction] + 1e-9 for d in run.decisions() if d.prediction != ABSTAIN)
    assert stats.binomtest(false, runs, level, alternative="greater").pvalue > 1e-3


def test_what_says_nothing_is_refused():
    with pytest.raises(SettingError, match="k must be below the number of classes, 3, got 3"):
        TopK(3, 100, 1000).start(1, 3, noise=Gaussian(BETA), confidence=0.999)
    with pytest.raises(SettingError, match="n must be larger"):
        TopK(1, 100, 5).start(1, 3, noise=Gaussian(BETA), confidence=0.999)
    with pytest.raises(SettingError, match="k must be a whole number"):
        TopK(0)
