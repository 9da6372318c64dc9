import math

import numpy as np
import pytest

from sfumato.advice.kappa import KappaRule, kappa_rule, tolerated_beta
from sfumato.errors import SettingError


def network(risks, images=2000, seed=0):
    """One network on images of which each errs from its own beta on: betas, and who errs at each."""
    threshold = np.random.default_rng(seed).permutation(images) / images
    betas = [round(0.1 * step, 1) for step in range(len(risks))]
    return betas, threshold[:, None] < np.array(risks)


def test_the_tolerated_beta_is_the_largest_within_one_standard_error():
    # clean risk .1 of 100: one standard error is .03, so 13 errors are tolerated and 14 are not
    assert tolerated_beta([0, 0.2, 0.4, 0.6], [10, 14, 13, 14], 100) == 0.4
    assert tolerated_beta([0, 0.2], [10, 14], 100) == 0.0
    assert tolerated_beta([0, 0.2], [0, 0], 100) == 0.2


def test_the_bootstrap_is_the_resampling_of_whole_images():
    betas, wrong = network([0.10, 0.102, 0.105, 0.11, 0.2], images=400)
    rule = kappa_rule(0.3, betas, wrong, draws=3000)
    generator = np.random.default_rng(7)
    by_hand = []
    for _ in range(3000):
        picked = wrong[generator.integers(0, 400, 400)].mean(axis=0)
        limit = picked[0] + math.sqrt(picked[0] * (1 - picked[0]) / 400)
        by_hand.append(max(0.1 * i for i, risk in enumerate(picked) if risk <= limit + 1e-12))
    for beta in (0.1, 0.2, 0.3):
        mine, theirs = np.mean(rule.draws <= beta + 0.01), np.mean(np.array(by_hand) <= beta + 0.01)
        assert abs(mine - theirs) < 4 * math.sqrt(0.5 / 3000)


def test_the_interval_holds_what_unlimited_images_would_give():
    # tolerated is .3 in the population as the standard error is that of 2,000 images, .0067
    risks, held = [0.10, 0.10, 0.10, 0.10, 0.14], 0
    for seed in range(20):
        generator = np.random.default_rng(seed)
        uniform = generator.random(2000)
        wrong = uniform[:, None] < np.array(risks)
        low, high = kappa_rule(0.3, [0.0, 0.1, 0.2, 0.3, 0.4], wrong, draws=200, seed=seed).interval(0.6)
        held += low <= 0.3 * 0.6 / 0.3 + 1e-9 and high >= 0.3 * 0.6 / 0.3 - 1e-9
    assert held >= 18


def test_a_rule_that_never_meets_its_limit_says_so():
    rule = kappa_rule(0.3, *network([0.1, 0.1, 0.1]))
    assert rule.open_ended
    assert rule(0.4) == pytest.approx(0.3 * 0.4 / 0.2)
    assert not kappa_rule(0.3, *network([0.1, 0.1, 0.4])).open_ended


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: tolerated_beta([0.1, 0.2], [1, 2], 10), "got 0.1, 0.2"),
        (lambda: tolerated_beta([0, 0.2], [1, 20], 10), "0 to 10"),
        (lambda: kappa_rule(0.3, *network([0.1, 0.3])), "alpha 0.3 tolerates none of the measured betas"),
        (lambda: kappa_rule(0.3, [0.0, 0.1], np.zeros((5, 3), bool)), r"got \(5, 3\)"),
        (lambda: KappaRule(0.0, 0.4, 0.9), "alpha0 must be"),
        (lambda: KappaRule(0.3, 0.4, 0.9).interval(0.5), "no draws"),
    ],
)
def test_bad_input_is_refused_by_name(make, words):
    with pytest.raises(SettingError, match=words):
        make()
