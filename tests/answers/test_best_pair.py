"""The best pair of noises: of certificates whose truth is known, and of published ones."""

import numpy as np
import pytest
from scipy import stats

from sfumato.answers.best_pair import best_pair
from sfumato.answers.objective import CertifiedAccuracy, VoteRisk, WeightedAccuracy
from sfumato.answers.published import tables_as_study
from sfumato.certification.certificate import Certificate
from sfumato.certification.table import read_rows
from sfumato.errors import DataError, SettingError
from sfumato.studies.results import CellResult, StudyResults
from support import SHARED_DATA

COHEN = SHARED_DATA.parent / "reference" / "cohen"


def certified(radii, *, plan="", label=1, confidence=0.999):
    """Return certificates with these radii; a negative one is of a wrong prediction."""
    return [
        Certificate(i, label, 1 if r >= 0 else 0, abs(r), 1.0, confidence=confidence, plan=plan)
        for i, r in enumerate(radii)
    ]


def study(certificates, cells=None):
    return StudyResults("made", "pixels", 100, cells or {}, certificates)


def voted(alpha, beta, wrong):
    ones = np.ones(len(wrong), dtype=np.int64)
    return CellResult(alpha, beta, 0, np.arange(len(wrong)), ones, np.where(wrong, 0, 1), ones, ones, ones)


def random_study(rng, rates, images=300):
    """Return a study that certifies radius 1 with these rates, each image's difficulty common to all."""
    difficulty = rng.random(images)
    found = {}
    for pair, rate in rates.items():
        ease = np.where(rng.random(images) < 0.4, rng.random(images), difficulty)
        found[(*pair, 0)] = certified(np.where(ease < rate, 1.5, 0.5))
    return study(found)


def test_an_image_counts_if_its_label_is_certified_at_the_radius():
    found = best_pair(
        study({(0.5, 0.5, 0): certified([0.0, 0.3, 0.5, -0.9, 0.50000049])}), CertifiedAccuracy(0.5)
    )
    assert (found.accuracy, found.images) == (2 / 5, 5)
    assert (
        best_pair(study({(0.5, 0.5, 0): certified([0, 0.3, -0.9, 1])}), CertifiedAccuracy(0)).accuracy == 0.75
    )


def test_the_best_pair_is_found_over_both_noises_or_at_one_beta():
    rates = {(0.5, 0.5): 0.5, (1.0, 0.5): 0.3, (0.5, 1.0): 0.1, (1.0, 1.0): 0.2, (2.0, 1.0): 0.75}
    results = random_study(np.random.default_rng(0), rates)
    found = best_pair(results, CertifiedAccuracy(1.0))
    assert (found.alpha, found.beta, found.members) == (2.0, 1.0, ((2.0, 1.0),))
    assert (found.gain.rule, found.gain.alpha, found.gain.beta) == ("best alpha = beta", 0.5, 0.5)
    assert found.edges == ("alpha* 2 is the largest", "beta* 1 is the largest")
    here = best_pair(results, CertifiedAccuracy(1.0), beta=1.0)
    assert (here.alpha, here.gain.rule, here.gain.alpha) == (2.0, "alpha = beta", 1.0)
    assert best_pair(results, CertifiedAccuracy(1.0), beta=0.5).alpha == 0.5


def test_the_gain_and_the_bounds_are_those_of_textbooks():
    results = random_study(np.random.default_rng(1), {(0.5, 0.5): 0.3, (1.0, 0.5): 0.6})
    found = best_pair(results, CertifiedAccuracy(1.0))
    rule, best = (
        np.array([row.radius > 1 for row in results.certificates[alpha, 0.5, 0]]) for alpha in (0.5, 1.0)
    )
    more, less = int((best & ~rule).sum()), int((rule & ~best).sum())
    assert found.gain.gain == pytest.approx((more - less) / 300)
    assert found.gain.p_value == pytest.approx(stats.binomtest(more, more + less).pvalue)
    exact = stats.binomtest(int(best.sum()), 300).proportion_ci(1 - 0.05 / 2, "exact")  # for both pairs
    assert found.low == pytest.approx((exact.low - 0.001) / 0.999, abs=1e-6)
    assert found.high == pytest.approx(exact.high, abs=1e-6)


@pytest.mark.parametrize("unstated", [(0.5, 0.5, 0), (1.0, 0.5, 0)])
def test_certificates_that_state_no_confidence_count_with_the_usual_one(unstated):
    results = random_study(np.random.default_rng(1), {(0.5, 0.5): 0.3, (1.0, 0.5): 0.6})
    usual = best_pair(results, CertifiedAccuracy(1.0))
    for key, rows in results.certificates.items():
        level = float("nan") if key == unstated else 0.999999
        results.certificates[key] = certified([row.radius for row in rows], confidence=level)
    for objective in (CertifiedAccuracy(1.0), WeightedAccuracy({1.0: 1})):
        assert best_pair(results, objective).low == usual.low
    for key, rows in results.certificates.items():
        results.certificates[key] = certified([row.radius for row in rows], confidence=0.999999)
    assert best_pair(results, CertifiedAccuracy(1.0)).low > usual.low


def test_the_set_and_the_bounds_hold_the_truth_as_often_as_stated():
    rng = np.random.default_rng(2)
    rates = {(0.5, 0.5): 0.5, (1.0, 0.5): 0.53, (0.5, 1.0): 0.4, (1.0, 1.0): 0.5, (2.0, 1.0): 0.52}
    repeats, outside, bounds, gains = 300, 0, 0, 0
    for index in range(repeats):
        found = best_pair(random_study(rng, rates), CertifiedAccuracy(1.0), confidence=0.9, seed=index)
        outside += (1.0, 0.5) not in found.members
        bounds += not found.low <= rates[found.alpha, found.beta] <= found.high
        gain = found.gain
        true = np.mean([rates[a] - rates[b] for a, b in zip(gain.selected, gain.against, strict=True)])
        gains += not gain.low <= true <= gain.high
    assert max(outside, bounds, gains) <= stats.binom.ppf(0.999, repeats, 0.1)


def test_every_objective_answers_for_pairs():
    rng = np.random.default_rng(3)
    cells = {(a, b, 0): voted(a, b, rng.random(200) < a) for a, b in ((0.3, 0.2), (0.1, 0.2), (0.2, 0.4))}
    found = best_pair(study({}, cells), VoteRisk())
    assert (found.alpha, found.beta) == (0.1, 0.2)
    assert found.accuracy == pytest.approx(1 - cells[0.1, 0.2, 0].risk)
    assert found.pairs == ((0.1, 0.2), (0.3, 0.2), (0.2, 0.4))


def test_weighted_radii_count_by_their_weights():
    """Four images: at radius .5 the first pair holds 3, the second 2; at radius 1 none and 2."""
    rows = {(1, 1, 0): certified([0.6, 0.6, 0.6, 0.1]), (2, 1, 0): certified([1.0, 1.0, 0.1, -1.0])}
    found = best_pair(study(rows), WeightedAccuracy({0.5: 3, 1.0: 1}))
    assert found.accuracies == pytest.approx([(3 * 3 / 4 + 0) / 4, (3 * 2 / 4 + 2 / 4) / 4])
    assert (found.alpha, found.images, found.seeds) == (1, 4, (0,))
    assert best_pair(study(rows), WeightedAccuracy({0.5: 2, 1.0: 1})).accuracies == pytest.approx([0.5, 0.5])
    assert best_pair(study(rows), WeightedAccuracy({0.5: 1, 1.0: 1})).alpha == 2
    one, weighted = (
        best_pair(study(rows), goal) for goal in (CertifiedAccuracy(0.5), WeightedAccuracy({0.5: 1}))
    )
    assert (one.members, one.gain, one.low, one.high) == (
        *(weighted.members, weighted.gain),
        *(weighted.low, weighted.high),
    )


def test_the_set_and_the_bounds_of_weighted_radii_hold_the_truth_as_often_as_stated():
    """Two pairs that are equally good: one holds more at radius .5, the other at 1."""
    rng, runs, images = np.random.default_rng(5), 400, 150
    goal = WeightedAccuracy({0.5: 3, 1.0: 1})
    chances = {(1.0, 1.0, 0): [0.50, 0.40, 0.10], (2.0, 1.0, 0): [0.55, 0.20, 0.25]}  # none, .5 and 1
    truth = (3 * 0.50 + 0.10) / 4
    held = within = excluded = 0
    for _ in range(runs):
        rows = {
            key: certified(rng.choice([0.2, 0.7, 1.2], size=images, p=p), confidence=1 - 1e-9)
            for key, p in chances.items()
        }
        found = best_pair(study(rows), goal)
        held += len(found.members) == 2
        within += found.low <= truth <= found.high
        excluded += found.gain.p_value <= 0.05
    # both are truly the best, and each may be dropped in 5 % of the studies
    assert stats.binomtest(runs - held, runs, 2 * 0.05, alternative="greater").pvalue > 1e-3
    assert stats.binomtest(runs - within, runs, 0.05, alternative="greater").pvalue > 1e-3
    assert stats.binomtest(excluded, runs, 0.05, alternative="greater").pvalue > 1e-3


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ({}, "at least one radius"),
        ({-1.0: 1}, "radius must be a finite number of at least 0, got -1"),
        ({1.0: 0}, "weight must be a whole number of at least 1, got 0"),
        ({1.0: 0.5}, "weight must be a whole number of at least 1, got 0.5"),
        ({1.0: 60, 2.0: 60}, "weights must add up to at most 100, got 120"),
    ],
)
def test_weights_out_of_range_are_refused(weights, words):
    with pytest.raises(SettingError, match=words):
        WeightedAccuracy(weights)


def test_a_tie_goes_to_the_smaller_beta_then_the_smaller_alpha():
    rows = certified([1.0, 1.0, 0.2])
    keys = [(2.0, 1.0, 0), (1.0, 1.0, 0), (2.0, 0.5, 0), (1.0, 0.5, 0)]
    found = best_pair(study(dict.fromkeys(keys, rows)), CertifiedAccuracy(0.5))
    assert (found.alpha, found.beta) == (1.0, 0.5)
    assert len(found.members) == 4
    assert found.gain.gain == 0.0


@pytest.mark.parametrize(
    ("certificates", "radius", "beta", "words"),
    [
        ({}, 0.5, None, "radius 0.5 needs certificates and the study has only votes"),
        (
            {(1, 1, 0): certified([3.0])},
            6.0,
            None,
            "largest radius certified is 3, at beta 1; a beta of about 2 could",
        ),
        (
            {(1, 1, 0): certified([3.0]), (1, 0.5, 0): certified([1.5]), (1, 2, 0): certified([1.5])},
            2.0,
            0.5,
            "not certify radius 2: the largest radius certified is 1.5, at beta 0.5; beta 1 could",
        ),
        ({(1, 1, 0): certified([-1.0])}, 0.0, None, "no measured beta certifies radius 0"),
        (
            {(1, 1, 0): certified([1.0], plan="curve(0.5,1)")},
            0.75,
            None,
            "the certificates are for radius 0.5, 1;",
        ),
        ({(1, 1, 0): certified([1.0], plan="decide(1)")}, 0.0, None, "radius 0 was not certified"),
        ({(1, 1, 0): certified([1.0], label=-1)}, 0.5, None, "alpha 1, beta 1 lack labels"),
        (
            {(1, 1, 0): certified([1.0]), (2, 1, 0): certified([1.0, 1.0])},
            0.5,
            None,
            "(alpha 1, beta 1, seed 0; 1 images) and (alpha 2, beta 1, seed 0; 2 images) were measured on",
        ),
    ],
)
def test_what_cannot_be_answered_is_one_clear_line(certificates, radius, beta, words):
    with pytest.raises(DataError) as refused:
        best_pair(study(certificates), CertifiedAccuracy(radius), beta=beta)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_settings_out_of_range_are_refused():
    results = study({(1, 1, 0): certified([1.0])})
    for radius in (-0.5, float("nan"), float("inf")):
        with pytest.raises(SettingError, match="radius must be a finite number of at least 0"):
            CertifiedAccuracy(radius)
    with pytest.raises(SettingError, match=r"beta must be one of those measured \(1\), got 2"):
        best_pair(results, CertifiedAccuracy(0.5), beta=2.0)
    with pytest.raises(SettingError, match="confidence must lie"):
        best_pair(results, CertifiedAccuracy(0.5), confidence=1.0)


@pytest.mark.skipif(not COHEN.is_dir(), reason="the published tables are not here")
@pytest.mark.parametrize(
    ("radius", "beta", "pair", "p_value"),
    [
        (0.25, 0.5, (0.5, 0.5), None),
        (0.5, 0.5, (0.5, 0.5), None),
        (1.25, 0.5, (1.0, 0.5), 1.09e-3),
        (1.5, 0.5, (1.0, 0.5), 1.11e-5),
        (1.75, 0.5, (1.0, 0.5), 8.07e-8),
        (0.25, None, (0.25, 0.25), None),
        (1.25, None, (1.0, 0.5), None),
        (2.0, None, (1.0, 1.0), None),
    ],
)
def test_the_published_tables_of_cohen_say_which_noises_are_best(radius, beta, pair, p_value):
    """The p-values are SciPy's of the exact paired test, the shares counted with awk."""
    tables = [(p.stem, p, {}, read_rows(p)) for p in sorted(COHEN.glob("cifar10_*.tsv"))]
    found = best_pair(tables_as_study(tables), CertifiedAccuracy(radius), beta=beta)
    assert (found.alpha, found.beta) == pair
    assert pair in found.members
    if p_value is not None:
        assert found.gain.p_value == pytest.approx(p_value, rel=5e-3)
        assert (found.gain.alpha, found.gain.beta) == (0.5, 0.5)
