import csv

import numpy as np
import pytest

from rule_regrets import rule_regrets
from sfumato.advice.kappa import KappaRule, tolerated_beta
from sfumato.advice.rules import same_rule
from sfumato.answers.baselines import study_kappa_rule
from sfumato.errors import SettingError
from sfumato.studies.results import CellResult, StudyResults
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


@pytest.mark.parametrize(
    ("rule", "mean", "highest"),
    [("kappa", 0.0007, 0.0015), (lambda beta: 0.7 * beta, 0.0009, 0.0017), (same_rule, 0.0020, 0.0057)],
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


def test_a_rule_is_judged_by_the_nearest_measured_alpha_and_the_beta_it_is_for():
    risks = {(0.1, 0.2): 0.5, (0.3, 0.2): 0.4, (0.2, 0.4): 0.3, (0.4, 0.4): 0.1, (0.2, 0.0): 0.0}
    low, high = rule_regrets(risks, same_rule)
    assert (low.beta, low.named, low.alpha, low.best_alpha) == (0.2, 0.2, 0.1, 0.3)
    assert low.regret == pytest.approx(0.1)
    assert (high.alpha, high.regret) == (0.4, 0.0)


def test_rules_need_a_risk_at_a_positive_beta():
    with pytest.raises(SettingError, match="no risk at a positive beta"):
        rule_regrets({(0.1, 0.0): 0.1}, same_rule)


def test_the_kappa_rule_of_a_study_is_of_the_network_nearest_to_the_share_rule():
    """At alpha 0.3 errors pass the tolerated level after beta 0.2, at 0.1 at once; 0.75 beta is 0.375."""
    images = np.arange(400)
    cells = [
        cell(alpha, beta, images < errors)
        for alpha, row in {0.1: (20, 100, 200), 0.3: (20, 20, 200)}.items()
        for beta, errors in zip((0.0, 0.2, 0.5), row, strict=True)
    ]
    results = StudyResults("made", "pixels", 100, {(c.alpha, c.beta, c.seed): c for c in cells}, {})
    found = study_kappa_rule(results, 0.5, 0)
    assert (found.alpha0, found.tolerated) == (0.3, tolerated_beta([0.0, 0.2, 0.5], [20, 20, 200], 400))
    assert study_kappa_rule(results, 0.5, seed=1) is None
