"""A decision follows from the recorded counts, for every plan, whatever it stopped by."""

from dataclasses import asdict

import numpy as np
import pytest

from sfumato.errors import DataError
from sfumato.noise import Gaussian, Laplace
from sfumato.plans import parse_plan
from sfumato.plans.replay import read_counts, replayed

PLANS = (
    "fixed(50,500)",
    "two_class(50,500)",
    "decide(0.3)",
    "curve(0.1,0.2,0.4,n_max=5000)",
    "precision(0.2,n_max=3000)",
    "predict(n_max=2000)",
    "vote(90)",
)


def drawn(plan, noise, chances, seed, labels=None):
    """Return a finished run of multinomial votes; the last class of ``chances`` is a vote of NaN."""
    generator = np.random.default_rng(seed)
    run = plan.start(len(chances), chances.shape[1] - 1, noise=noise, confidence=0.999, labels=labels)
    while (wanted := run.demand()).any():
        counts = [generator.multinomial(n, row)[:-1] for n, row in zip(wanted, chances, strict=True)]
        run.update(np.array(counts))
    return run


@pytest.mark.parametrize("noise", [Gaussian(0.5), Laplace(0.5)], ids=["gaussian", "laplace"])
@pytest.mark.parametrize("text", PLANS)
def test_a_decision_follows_from_its_recorded_counts(text, noise):
    chances = np.random.default_rng(5).dirichlet([0.15] * 5, size=40)
    plan = parse_plan(text)
    run = drawn(plan, noise, chances, seed=1)
    found = [replayed(plan, counts, noise=noise, confidence=0.999) for counts in run.written_counts()]
    np.testing.assert_equal([asdict(one) for one in found], [asdict(one) for one in run.decisions()])


def test_what_a_known_label_changed_is_changed_again():
    chances = np.random.default_rng(6).dirichlet([0.3] * 4, size=30)
    labels, plan, noise = np.arange(30) % 3, parse_plan("curve(0.1,0.3)"), Gaussian(0.5)
    run = drawn(plan, noise, chances, seed=2, labels=labels)
    for counts, label, decision in zip(run.written_counts(), labels, run.decisions(), strict=True):
        found = replayed(plan, counts, noise=noise, confidence=0.999, label=int(label))
        np.testing.assert_equal(asdict(found), asdict(decision))


def test_written_counts_are_read_back():
    run = parse_plan("fixed(10,20)").start(2, 12, noise=Gaussian(1.0), confidence=0.9)
    first, second = np.zeros((2, 2, 12), dtype=int)
    first[0, [3, 11]], second[0, 3] = (4, 6), 20
    run.update(first)
    run.update(second)
    assert run.written_counts() == ["12|3=4 11=6|3=20", "12||"]
    np.testing.assert_array_equal(read_counts("12|3=4 11=6|3=20"), [first[0], second[0]])
    assert read_counts("12||").sum() == 0


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ("3|0=9", "would have asked for"),
        ("3|0=9|0=20|0=1", "no more are needed"),
        ("3|0=9|0=21", "more than the 20 demanded"),
        ("3|3=9|0=20", "only 3 classes"),
        ("3|0=4 0=5|0=20", "twice"),
        ("1|0=9|0=20", "of 2 to"),
        ("3|0=-1|0=20", "counts must be like"),
        ("", "counts must be like"),
        ("9999999|0=1", "of 2 to"),
    ],
)
def test_counts_that_the_plan_cannot_have_got_are_refused(counts, words):
    with pytest.raises(DataError, match=words):
        replayed(parse_plan("fixed(9,20)"), counts, noise=Gaussian(1.0), confidence=0.9)
