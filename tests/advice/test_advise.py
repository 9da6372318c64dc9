import math

import numpy as np
import pytest

from sfumato.advice.advise import advise
from sfumato.advice.surrogate import Surrogate
from sfumato.advice.sweep import Sweep
from sfumato.errors import SettingError


def network(alpha0, risks, images=1000, name="net"):
    betas = tuple(round(0.1 * step, 1) for step in range(len(risks)))
    rank = (np.arange(images) + 0.5) / images
    return Sweep(name, alpha0, betas, rank[:, None] < np.array(risks))


def parzen(risks):
    rank = (np.arange(1000) + 0.5) / 1000
    wrong = rank[None, :] < np.array(risks)[:, None]
    return Surrogate(tuple(0.1 * step for step in range(len(risks))), wrong)


def test_without_evidence_it_is_the_rule_of_thumb_and_says_so():
    found = advise(0.8)
    assert (found.alpha, found.alpha_low, found.alpha_high) == pytest.approx((0.6, 0.4, 0.8))
    assert found.confidence.startswith("weak")
    assert found.same_cost is found.risk is found.plain_risk is None
    assert len(found.cannot_say) == 2


def test_a_classifier_moves_the_advice_by_the_kappa_rule():
    net = network(0.3, [0.05, 0.05, 0.05, 0.05, 0.05, 0.3, 0.6])  # tolerates .4: alpha* = .75 beta
    found = advise(0.4, sweeps=[net])
    assert [e.alpha for e in found.estimates] == pytest.approx([0.3, 0.3])
    assert found.confidence.startswith("fair")
    # the same beta / alpha as asked for, .4 / .3, was measured at alpha0 = .3, beta = .4
    assert found.risk.value == pytest.approx(0.05)
    timid = network(0.3, [0.05, 0.05, 0.05, 0.3, 0.5])  # tolerates .2: alpha* = 1.5 beta
    found = advise(0.4, sweeps=[timid])
    assert found.alpha == pytest.approx(math.sqrt(0.3 * 0.6))
    assert found.alpha_high >= 0.6
    assert found.confidence.startswith("weak: rule of thumb and kappa rule differ by a factor of 2.00")


def test_a_network_tuned_to_its_noise_decides_alone():
    # at beta = alpha0 it errs least, without noise much more: neither 0.75 beta nor the kappa rule applies
    tuned = network(0.3, [0.4, 0.35, 0.3, 0.2, 0.4])
    assert tuned.matched_beta() == pytest.approx(0.3)
    found = advise(0.5, sweeps=[tuned])
    assert found.alpha == pytest.approx(0.5)
    assert [e.estimator for e in found.estimates] == ["matched noise"]
    assert found.alpha_low == pytest.approx(0.3 * 0.5 / 0.4)
    assert found.alpha_high == pytest.approx(0.3 * 0.5 / 0.2)
    assert network(0.3, [0.051, 0.05, 0.05]).matched_beta() is None


def test_the_surrogate_is_an_upper_limit_where_it_reaches():
    found = advise(1.0, surrogate=parzen([0.02, 0.02, 0.02, 0.02, 0.02, 0.2, 0.3, 0.3, 0.3, 0.3, 0.3]))
    assert found.alpha == found.alpha_high == found.limit == pytest.approx(0.4)
    assert found.same_cost.value == pytest.approx(0.28)
    assert found.same_cost.estimator == "Parzen rule"


@pytest.mark.parametrize(("risks", "words"), [([0.4, 0.6], "errs on 40%"), ([0.02, 0.02], "no harm up to")])
def test_a_surrogate_that_does_not_reach_is_not_used(risks, words):
    found = advise(0.4, surrogate=parzen(risks))
    assert found.limit is None
    assert any(words in sentence for sentence in found.cannot_say)


def test_two_networks_tell_what_alpha_equal_beta_costs():
    low, high = (
        network(0.2, [0.02, 0.02, 0.5], name="low"),
        network(0.6, [0.06, 0.06, 0.06, 0.6], name="high"),
    )
    found = advise(0.4, sweeps=[high, low])
    # a tenth of alpha costs .01 of clean risk
    assert found.same_cost.value == pytest.approx((0.4 - found.alpha) * 0.1)
    assert found.same_cost.error > 0


def test_a_network_trained_without_noise_tells_what_noise_is_worth():
    found = advise(0.3, sweeps=[network(0.0, [0.02, 0.1, 0.5])])
    assert found.plain_risk.value == pytest.approx(0.5)  # the sweep stopped at .2, where all was lost
    assert "at beta 0.2; its risk without smoothing is 2.00%" in found.plain_risk.basis
    assert len(found.estimates) == 1


def test_networks_that_say_nothing_are_named_with_the_reason():
    open_ended = network(0.3, [0.05, 0.05], name="brave")
    lost = network(0.3, [0.05, 0.9], name="lost")
    found = advise(0.4, sweeps=[open_ended, lost])
    assert len(found.estimates) == 1
    assert any("brave tolerates every measured beta" in sentence for sentence in found.cannot_say)
    assert any("lost: the network" in sentence for sentence in found.cannot_say)


def test_beta_must_be_positive():
    with pytest.raises(SettingError, match="beta must be"):
        advise(0.0)
