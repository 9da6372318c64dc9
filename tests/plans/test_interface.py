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
    Vote,
    parse_plan,
    votes_saved,
)

PLANS = [
    Fixed(100, 1000),
    FixedTwoClass(100, 1000),
    Decide(0.25),
    Curve((0.25, 0.5)),
    Precision(0.05),
    Predict(),
    Vote(100),
]
every_plan = pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.name)


def start(plan, images=2, classes=3):
    return plan.start(images, classes, noise=Gaussian(0.5), confidence=0.999)


@every_plan
def test_more_votes_than_demanded_are_refused(plan):
    run = start(plan)
    wanted = int(run.demand()[0])
    with pytest.raises(SettingError, match=r"image 1 has \d+ votes, more than"):
        run.update(np.array([[0, 0, 0], [wanted, 1, 0]]))


@every_plan
@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (np.zeros((2, 2), dtype=int), "shape"),
        (np.zeros((3, 3), dtype=int), "shape"),
        (np.zeros(3, dtype=int), "shape"),
        (np.zeros((2, 3)), "whole numbers"),
        (np.array([[-1, 0, 0], [0, 0, 0]]), "at least 0"),
    ],
)
def test_counts_that_are_no_votes_are_refused(plan, counts, message):
    with pytest.raises(SettingError, match=message):
        start(plan).update(counts)


@every_plan
def test_votes_after_the_end_are_refused(plan):
    run = start(plan)
    simulate(run, np.tile([0.99, 0.01, 0.0], (2, 1)), np.random.default_rng(0))
    with pytest.raises(SettingError, match="none are demanded"):
        run.update(np.zeros((2, 3), dtype=int))


@pytest.mark.parametrize("plan", PLANS[2:], ids=lambda plan: plan.name)
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


@every_plan
def test_conclusions_before_the_end_are_refused(plan):
    with pytest.raises(SettingError, match="still demand votes"):
        start(plan).decisions()


@every_plan
def test_a_refused_update_leaves_the_run_as_it_was(plan):
    run = start(plan)
    before = run.demand().tolist()
    with pytest.raises(SettingError):
        run.update(np.full((2, 3), 10**9))
    assert run.demand().tolist() == before


@every_plan
@pytest.mark.parametrize("labels", [np.array([0]), np.array([0, 3]), np.array([-1, 0]), np.array([0.0, 1.0])])
def test_labels_that_are_no_classes_are_refused(plan, labels):
    with pytest.raises(SettingError, match="labels"):
        plan.start(2, 3, noise=Gaussian(0.5), confidence=0.999, labels=labels)


@every_plan
def test_a_single_class_is_refused(plan):
    with pytest.raises(SettingError, match="classes"):
        plan.start(1, 1, noise=Gaussian(0.5), confidence=0.999)


@pytest.mark.parametrize("plan", [p for p in PLANS if not isinstance(p, Vote)], ids=lambda plan: plan.name)
@pytest.mark.parametrize("confidence", [0.0, 1.0, -1.0, float("nan")])
def test_a_confidence_that_is_none_is_refused(plan, confidence):
    with pytest.raises(SettingError, match="confidence"):
        plan.start(1, 2, noise=Gaussian(0.5), confidence=confidence)


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
