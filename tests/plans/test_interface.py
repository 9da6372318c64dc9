"""What every plan must refuse, and what it must record, whatever its method."""

import dataclasses

import numpy as np
import pytest
from vote_sequences import simulate

from sfumato.errors import SettingError
from sfumato.noise import Gaussian
from sfumato.plans import (
    Curve,
    Decide,
    Fixed,
    FixedTwoClass,
    Precision,
    Predict,
    TopK,
    Vote,
    parse_plan,
    votes_saved,
)
from sfumato.plans.early_vote import EarlyVote

PLANS = [
    Fixed(100, 1000),
    FixedTwoClass(100, 1000),
    TopK(2, 100, 1000),
    Decide(0.25),
    Curve((0.25, 0.5)),
    Precision(0.05),
    Predict(),
    Vote(100),
]
every_plan = pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.name)


def start(plan, images=2, classes=3, **options):
    return plan.start(images, classes, noise=Gaussian(0.5), **({"confidence": 0.999} | options))


@every_plan
def test_more_votes_than_demanded_are_refused(plan):
    run = start(plan)
    wanted = int(run.demand()[0])
    with pytest.raises(SettingError, match=r"image 1 has \d+ votes, more than"):
        run.update(np.array([[0, 0, 0], [wanted, 1, 0]]))
    assert run.demand().tolist() == [wanted] * 2, "the run is as it was"


@every_plan
def test_votes_after_the_end_are_refused(plan):
    run = start(plan)
    simulate(run, np.tile([0.99, 0.01, 0.0], (2, 1)), np.random.default_rng(0))
    with pytest.raises(SettingError, match="no more are needed"):
        run.update(np.zeros((2, 3), dtype=int))


@pytest.mark.parametrize("plan", [*PLANS, EarlyVote(100)], ids=lambda plan: plan.name)
def test_predictions_are_those_of_the_decisions(plan):
    run = start(plan, images=4)
    with pytest.raises(SettingError, match="still need votes"):
        run.predictions()
    # one image votes for no class at all, one may end in a tie
    probabilities = np.array([[0.99, 0.01, 0.0], [0.0, 0.5, 0.5], [0.0, 0.2, 0.8]])
    generator = np.random.default_rng(0)
    while (wanted := run.demand()).any():
        counts = np.zeros((4, 3), dtype=int)
        counts[:3] = generator.multinomial(wanted[:3], probabilities)
        run.update(counts)
    assert run.predictions().tolist() == [decision.prediction for decision in run.decisions()]


@pytest.mark.parametrize("plan", PLANS[3:], ids=lambda plan: plan.name)
def test_votes_for_a_finished_image_are_refused(plan):
    run = start(plan)
    # Image 0 always votes for one class, image 1 is split: they do not finish together.
    while (wanted := run.demand()).all():
        run.update(np.array([[wanted[0], 0, 0], [0, wanted[1] * 5 // 8, wanted[1] // 4]]))
    finished = int(np.argmin(wanted))
    assert wanted[1 - finished] > 0
    counts = np.zeros((2, 3), dtype=int)
    counts[finished, 0] = 1
    with pytest.raises(SettingError, match=f"image {finished} has 1 votes, more than the 0"):
        run.update(counts)


LABELS = [np.array([0]), np.array([0, 3]), np.array([-1, 0]), np.array([0.0, 1.0])]
REFUSED = [
    (lambda plan: start(plan).update(np.zeros((2, 2), dtype=int)), "shape"),
    (lambda plan: start(plan).update(np.zeros((3, 3), dtype=int)), "shape"),
    (lambda plan: start(plan).update(np.zeros(3, dtype=int)), "shape"),
    (lambda plan: start(plan).update(np.zeros((2, 3))), "whole numbers"),
    (lambda plan: start(plan).update(np.array([[-1, 0, 0], [0, 0, 0]])), "at least 0"),
    (lambda plan: start(plan).decisions(), "still need votes"),
    (lambda plan: start(plan, classes=1), "classes"),
    *((lambda plan, labels=labels: start(plan, labels=labels), "labels") for labels in LABELS),
]


@every_plan
@pytest.mark.parametrize(("act", "message"), REFUSED)
def test_what_no_plan_can_work_with_is_refused(plan, act, message):
    with pytest.raises(SettingError, match=message):
        act(plan)


@pytest.mark.parametrize("plan", [p for p in PLANS if not isinstance(p, Vote)], ids=lambda plan: plan.name)
@pytest.mark.parametrize("confidence", [0.0, 1.0, -1.0, float("nan")])
def test_a_confidence_that_is_none_is_refused(plan, confidence):
    with pytest.raises(SettingError, match="confidence"):
        start(plan, confidence=confidence)


@every_plan
def test_decisions_record_votes_plan_and_what_stopped_them(plan):
    run = start(plan, images=4)
    spent = np.zeros(4, dtype=int)
    generator = np.random.default_rng(4)
    while (wanted := run.demand()).any():
        spent += wanted
        run.update(generator.multinomial(wanted, [0.8, 0.15, 0.05]))
    decisions = run.decisions()
    assert [d.votes for d in decisions] == spent.tolist()
    assert {d.plan for d in decisions} == {plan.name}
    assert all(d.stopped_by for d in decisions)
    assert all(np.isnan(d.confidence) or d.confidence == 0.999 for d in decisions)


@every_plan
def test_a_plan_cannot_be_changed_after_it_is_made(plan):
    with pytest.raises(dataclasses.FrozenInstanceError):
        plan.n_max = 10


@every_plan
def test_every_plan_is_read_back_from_its_name(plan):
    assert parse_plan(plan.name) == plan


def test_votes_saved_is_relative_to_the_published_procedure():
    run = start(Decide(0.25))
    decisions = simulate(run, np.tile([1.0, 0.0, 0.0], (2, 1)), np.random.default_rng(0))
    assert votes_saved([d.votes for d in decisions]) == pytest.approx(100_100 / decisions[0].votes)
    with pytest.raises(SettingError, match="at least one"):
        votes_saved([])


@pytest.mark.parametrize(
    ("plan", "settings", "message"),
    [
        (Decide, (-0.1,), "radius"),
        (Decide, (float("nan"),), "radius"),
        (Decide, (0.5, 10), "first look of 32"),
        (Decide, (0.5, 100, 0), "chunk"),
        (Decide, (0.5, 100, 32, 0.0), "cost"),
        (Curve, ((),), "at least one radius"),
        (Curve, ((0.5, 0.25),), "strictly increasing, got 0.5, 0.25"),
        (Curve, ((0.5, 0.5),), "strictly increasing"),
        (Curve, ((0.25, float("inf")),), "radius"),
        (Fixed, (0, 10), "n0"),
        (Fixed, (10, 0), "n must"),
        (Fixed, (1.5, 10), "n0"),
        (FixedTwoClass, (0, 10), "n0"),
        (Precision, (0.0,), "eps"),
        (Precision, (1.0,), "eps"),
        (Precision, (0.1, 100, 128), "pilot of 128"),
        (Precision, (0.1, 100, 0), "pilot"),
        (Vote, (0,), "n must"),
        (Vote, (10, 0), "chunk"),
        (Vote, (2.5,), "n must"),
        (EarlyVote, (0,), "n must"),
        (EarlyVote, (300,), "at most 250"),
        (EarlyVote, (10, 0.0), "error"),
        (EarlyVote, (10, 1.0), "error"),
    ],
)
def test_settings_no_plan_can_be_made_of_are_refused_in_one_line(plan, settings, message):
    with pytest.raises(SettingError, match=message) as error:
        plan(*settings)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "plan",
    [
        lambda votes: Decide(1.0, n_max=votes),
        lambda votes: Predict(n_max=votes, chunk=1),
        lambda votes: Fixed(10, votes),
        lambda votes: FixedTwoClass(10, votes),
    ],
)
def test_a_confidence_out_of_reach_says_how_many_votes_would_do(plan):
    with pytest.raises(SettingError, match=r"at least (\d+) votes") as error:
        start(plan(50 if plan(50).asked_radii else 5))
    needed = int(str(error.value).split("at least ")[1].split()[0])
    with pytest.raises(SettingError, match=f"at least {needed} votes"):
        start(plan(needed - 1))
    run = start(plan(needed), 1, 2)
    while (wanted := run.demand()).any():
        run.update(np.stack([wanted, 0 * wanted], axis=1))
    assert run.decisions()[0].prediction == 0
