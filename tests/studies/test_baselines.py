import csv
import math

import numpy as np
import pytest

from sfumato.errors import DataError, SettingError
from sfumato.studies.baselines import (
    KappaRule,
    kappa_rule,
    rule_regrets,
    same_rule,
    share_rule,
    tolerated_beta,
)
from sfumato.studies.results import CellResult
from support import SHARED_DATA

REFERENCE = SHARED_DATA.parent / "reference"


@pytest.fixture(scope="module")
def published():
    path = REFERENCE / "pal_sulam_mnist_risk.csv"
    if not path.is_file():
        pytest.skip(f"the published array is not in {REFERENCE}")
    with path.open() as file:
        return {(float(r["alpha"]), float(r["beta"])): int(r["errors"]) for r in csv.DictReader(file)}


def cell(alpha, beta, wrong, seed=0, first=0):
    count = len(wrong)
    labels = np.zeros(count, int)
    ones = np.ones(count, int)
    return CellResult(
        alpha, beta, seed, np.arange(first, first + count), labels, np.asarray(wrong, int), ones, ones, ones
    )


def network(risks, images=2000, seed=0):
    """One network's cells in which every image errs from its own beta on: risks at 0, 0.1, 0.2, ..."""
    threshold = np.random.default_rng(seed).permutation(images) / images
    return [cell(0.3, round(0.1 * step, 1), threshold < risk) for step, risk in enumerate(risks)]


@pytest.mark.parametrize(
    ("rule", "mean", "highest"),
    [("kappa", 0.0007, 0.0015), (share_rule, 0.0009, 0.0017), (same_rule, 0.0020, 0.0057)],
)
def test_the_rules_regrets_on_the_published_mnist_array_are_those_of_the_theory_note(
    published, rule, mean, highest
):
    if rule == "kappa":
        betas = [round(0.1 * step, 1) for step in range(10)]
        tolerated = tolerated_beta(betas, [published[0.3, beta] for beta in betas], 10_000)
        rule = KappaRule(0.3, tolerated, betas[-1])
    found = rule_regrets({key: errors / 10_000 for key, errors in published.items()}, rule)
    assert [regret.beta for regret in found] == pytest.approx([0.1 * step for step in range(1, 10)])
    regrets = [regret.regret for regret in found]
    assert round(float(np.mean(regrets)), 4) == mean
    assert round(max(regrets), 4) == highest


def test_the_tolerated_beta_is_the_largest_within_one_standard_error():
    # clean risk .1 of 100: one standard error is .03, so 13 errors are tolerated and 14 are not
    assert tolerated_beta([0, 0.2, 0.4, 0.6], [10, 14, 13, 14], 100) == 0.4
    assert tolerated_beta([0, 0.2], [10, 14], 100) == 0.0
    assert tolerated_beta([0, 0.2], [0, 0], 100) == 0.2


def test_the_bootstrap_is_the_resampling_of_whole_images():
    cells = network([0.10, 0.102, 0.105, 0.11, 0.2], images=400)
    rule = kappa_rule(cells, draws=3000)
    wrong = np.stack([c.wrong for c in cells])
    generator = np.random.default_rng(7)
    by_hand = []
    for _ in range(3000):
        picked = wrong[:, generator.integers(0, 400, 400)].mean(axis=1)
        limit = picked[0] + math.sqrt(picked[0] * (1 - picked[0]) / 400)
        by_hand.append(max(0.1 * i for i, risk in enumerate(picked) if risk <= limit + 1e-12))
    for beta in (0.1, 0.2, 0.3):
        mine, theirs = np.mean(rule.draws <= beta + 0.01), np.mean(np.array(by_hand) <= beta + 0.01)
        assert abs(mine - theirs) < 4 * math.sqrt(0.5 / 3000)


def test_the_interval_holds_what_unlimited_images_would_give():
    # tolerated is .3 in the population as the standard error is that of 2,000 images, .0067
    risks, held = [0.10, 0.10, 0.10, 0.10, 0.14], 0
    for seed in range(40):
        generator = np.random.default_rng(seed)
        uniform = generator.random(2000)
        cells = [cell(0.3, round(0.1 * s, 1), uniform < risk) for s, risk in enumerate(risks)]
        low, high = kappa_rule(cells, draws=200, seed=seed).interval(0.6)
        held += low <= 0.3 * 0.6 / 0.3 + 1e-9 and high >= 0.3 * 0.6 / 0.3 - 1e-9
    assert held >= 36


def test_a_rule_that_never_meets_its_limit_says_so():
    rule = kappa_rule(network([0.1, 0.1, 0.1]))
    assert rule.open_ended
    assert rule(0.4) == pytest.approx(0.3 * 0.4 / 0.2)
    assert not kappa_rule(network([0.1, 0.1, 0.4])).open_ended


def test_a_rule_is_judged_by_the_nearest_measured_alpha_and_the_beta_it_is_for():
    risks = {(0.1, 0.2): 0.5, (0.3, 0.2): 0.4, (0.2, 0.4): 0.3, (0.4, 0.4): 0.1, (0.2, 0.0): 0.0}
    low, high = rule_regrets(risks, same_rule)
    assert (low.beta, low.named, low.alpha, low.best_alpha) == (0.2, 0.2, 0.1, 0.3)
    assert low.regret == pytest.approx(0.1)
    assert (high.alpha, high.regret) == (0.4, 0.0)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: tolerated_beta([0.1, 0.2], [1, 2], 10), SettingError, "got 0.1, 0.2"),
        (lambda: tolerated_beta([0, 0.2], [1, 20], 10), SettingError, "0 to 10"),
        (lambda: kappa_rule(network([0.1, 0.3])), SettingError, "alpha 0.3 tolerates no beta"),
        (lambda: kappa_rule([cell(0.3, 0.0, [0]), cell(0.4, 0.1, [0])]), SettingError, "got 2"),
        (lambda: kappa_rule([cell(0.3, 0.0, [0]), cell(0.3, 0.1, [0], first=5)]), DataError, "images differ"),
        (lambda: KappaRule(0.0, 0.4, 0.9), SettingError, "alpha0 must be"),
        (lambda: KappaRule(0.3, 0.4, 0.9).interval(0.5), SettingError, "no draws"),
        (lambda: rule_regrets({(0.1, 0.0): 0.1}, same_rule), SettingError, "no risk at a positive beta"),
        (lambda: share_rule(math.nan), SettingError, "got nan"),
    ],
)
def test_bad_input_is_refused_by_name(make, error, words):
    with pytest.raises(error, match=words):
        make()
