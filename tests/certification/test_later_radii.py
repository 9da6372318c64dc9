"""Radii that are asked for later: from the same votes, as right as those asked for before."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from sfumato import Certificate, SmoothedClassifier, at_radii
from sfumato.errors import DataError
from sfumato.noise import Gaussian
from sfumato.plans import ABSTAIN, Curve


@pytest.fixture(scope="module")
def found():
    # on a line the hyperplane x = 0 is |x| away
    model = torch.nn.Linear(1, 2, bias=False)
    model.weight.data = torch.tensor([[0.0], [1.0]])
    smoothed = SmoothedClassifier(model, 0.5, device="cpu", batch_size=2000)
    x = torch.linspace(-1.5, 1.5, 40)[:, None]
    return x[:, 0].numpy(), smoothed.certify(x, "curve(0.25,1,n_max=5000)", examples=range(40))


def test_a_later_radius_lies_between_those_asked_for_and_is_right(found):
    x, before = found
    after = at_radii(before, [0.5, 0.75], noise=Gaussian(0.5))
    assert {one.radius for one in after} == {0.0, 0.25, 0.5, 0.75, 1.0}
    for place, old, new in zip(x, before, after, strict=True):
        assert new.radius <= abs(place)
        assert new.radius >= (old.radius if old.radius < 1.0 else 0.5)
        assert new.predict in (old.predict, ABSTAIN)
        assert (new.votes, new.counts, new.confidence) == (old.votes, old.counts, old.confidence)
        assert new.plan == "curve(0.25,0.5,0.75,1,n_max=5000)"


def test_radii_that_were_asked_for_change_nothing(found):
    _, before = found
    assert at_radii(before, [1.0], noise=Gaussian(0.5)) == list(before)


def test_a_run_that_stopped_early_is_not_said_to_have_given_all_votes(found):
    _, before = found
    early = [one for one in before if one.votes < 5000 and one.predict != ABSTAIN]
    later = at_radii(early, [0.5], noise=Gaussian(0.5))
    assert early
    assert {one.stopped_by for one in later}.isdisjoint({"all votes"})


def test_a_run_of_all_votes_gives_later_what_it_would_have_given_at_once():
    generator, noise = np.random.default_rng(4), Gaussian(0.5)
    narrow, wide = Curve((0.25,), n_max=3000, cost=1e9), Curve((0.25, 0.4, 0.6), n_max=3000, cost=1e9)
    for p in (0.75, 0.85, 0.95):
        run = narrow.start(1, 2, noise=noise, confidence=0.999)
        other = wide.start(1, 2, noise=noise, confidence=0.999)
        while run.demand().any():
            votes = int(run.demand()[0])
            hits = int(generator.binomial(votes, p))
            counts = np.array([[votes - hits, hits]])
            run.update(counts)
            if other.demand().any():
                other.update(counts)
        (row,) = (
            Certificate.of(0, 1, decision, 1.0, written)
            for decision, written in zip(run.decisions(), run.written_counts(), strict=True)
        )
        (later,) = at_radii([row], [0.4, 0.6], noise=noise)
        assert later.radius == wide.conclude(other, 0).radius


@pytest.mark.parametrize("p", [0.688, 0.77])
def test_a_later_radius_is_false_less_often_than_the_level(p):
    # p lies just below what 0.25 and 0.37 need at beta 0.5; the plan asked for 0.2 alone
    noise, level, runs = Gaussian(0.5), 0.05, 1500
    assert p < 1 - noise.failure_at(0.37)
    generator = np.random.default_rng(7)
    run = Curve((0.2,), n_max=2000, chunk=100).start(runs, 2, noise=noise, confidence=1 - level)
    while (wanted := run.demand()).any():
        hits = generator.binomial(wanted, p)
        run.update(np.column_stack([wanted - hits, hits]))
    rows = [
        Certificate.of(0, 1, decision, 1.0, counts)
        for decision, counts in zip(run.decisions(), run.written_counts(), strict=True)
    ]
    truth = 0.5 * stats.norm.ppf(p)
    false = sum(one.radius > truth for one in at_radii(rows, [0.25, 0.37], noise=noise))
    assert stats.binomtest(false, runs, level, alternative="greater").pvalue > 1e-3


def test_what_cannot_be_answered_is_said(found):
    _, before = found
    bare = [replace(one, counts="") for one in before]
    with pytest.raises(DataError, match="holds no counts"):
        at_radii(bare, [0.5], noise=Gaussian(0.5))
    with pytest.raises(DataError, match=r"image 0: its row does not follow from gaussian noise, .* 5 and"):
        at_radii(before, [2.0], noise=Gaussian(5.0))
    with pytest.raises(DataError, match="label_known=True"):
        at_radii([replace(one, label=0) for one in before[-1:]], [0.5], noise=Gaussian(0.5), label_known=True)
    with pytest.raises(DataError, match="certifies no radius"):
        at_radii([replace(before[0], plan="vote(100)")], [0.5], noise=Gaussian(0.5))
