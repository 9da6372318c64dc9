"""decide and curve: exact error over all vote sequences, and what a run concludes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special
from vote_sequences import all_sequences, run_on, simulate, weights

from sfumato.errors import SettingError
from sfumato.noise import Gaussian
from sfumato.plans import ABSTAIN, Curve, Decide
from sfumato.statistics.walk import crossing_probability

TIES = [
    (0.5, 0.5, 0.0),
    (0.4999, 0.4999, 0.0002),
    (0.59, 0.41, 0.0),
    (0.59, 0.205, 0.205),
    (1 / 3, 1 / 3, 1 / 3),
    (0.69, 0.3, 0.01),
    (0.55, 0.45, 0.0),
]


def false_rate(decisions, sequences, probabilities):
    """Return the exact probability of a certificate the class is not entitled to (beta is 1)."""
    entitled = special.ndtri(np.clip(probabilities, 1e-300, 1 - 1e-16))
    false = [d.prediction != ABSTAIN and d.radius > entitled[d.prediction] + 1e-12 for d in decisions]
    return weights(sequences, probabilities)[np.array(false)].sum()


@pytest.mark.parametrize(
    "plan",
    [
        Decide(0.0, n_max=9, chunk=1),
        Decide(0.25, n_max=9, chunk=2),
        Curve((0.0, 0.25, 0.5), n_max=9, chunk=1),
        Curve((0.1, 0.25, 0.75), n_max=9, chunk=3),
    ],
)
def test_no_class_is_falsely_certified_more_often_than_allowed_over_all_sequences(plan):
    sequences = all_sequences(9, 3)
    decisions = run_on(plan, sequences, 3, confidence=0.8)
    rates = [false_rate(decisions, sequences, p) for p in TIES]
    assert max(rates) <= 0.2
    assert max(rates) > 0.001  # the oracle does see false certificates


def test_a_known_label_is_tested_at_the_full_level_over_all_sequences():
    sequences = all_sequences(9, 3)
    for label in (0, 2):
        labels = np.full(sequences.shape[0], label)
        decisions = run_on(Curve((0.25, 0.5), n_max=9, chunk=1), sequences, 3, confidence=0.8, labels=labels)
        assert {d.prediction for d in decisions} == {ABSTAIN, label}
        rates = [false_rate(decisions, sequences, np.roll(p, label)) for p in TIES]
        assert 0.02 < max(rates) <= 0.2


def test_two_classes_stay_within_the_level_although_each_radius_has_nearly_all_of_it():
    """The leader passes its smallest false radius, or its rival the smallest of all: exact, by the walk."""
    error, grid = 0.001, (0.05, 0.25, 0.5)
    test = Curve(grid, n_max=3000).tests(Gaussian(1.0), 1 - error, label_known=False)

    def crossing(radius, p):
        return crossing_probability(test.looks, test.certify[:, radius], p, 1 - p)

    thresholds = special.ndtr(grid)
    for radius, threshold in enumerate(thresholds):
        assert 0.98 * error < crossing(radius, threshold) <= error
        lowest = thresholds[radius - 1] if radius else 0.5
        for p in np.linspace(lowest, threshold, 9):
            assert crossing(radius, p) + crossing(0, 1 - p) <= error


def test_a_grid_that_begins_near_0_shares_its_level_with_the_rivals():
    for grid in ((0.0, 0.25), (0.01, 0.25)):
        test = Curve(grid, n_max=3000).tests(Gaussian(1.0), 0.999, label_known=False)
        for radius, threshold in enumerate(special.ndtr(grid)):
            crossing = crossing_probability(test.looks, test.certify[:, radius], threshold, 1 - threshold)
            assert 0.9 < crossing / (0.001 * threshold) <= 1.0


def test_giving_up_only_ever_lowers_the_false_rate():
    """The same tests with the lower boundaries switched off: a superset of certificates."""
    sequences = all_sequences(9, 3)
    plan = Curve((0.0, 0.25), n_max=9, chunk=1)
    test = plan.tests(Gaussian(1.0), 0.8, label_known=False)
    counts = np.cumsum(np.eye(3, dtype=int)[sequences], axis=1)[:, test.looks - 1]
    passed = (counts[:, :, None, :] >= test.certify[None, :, :, None]).any(axis=1)
    for p in TIES:
        entitled = special.ndtri(np.clip(p, 1e-300, 1 - 1e-16))
        false = np.zeros(sequences.shape[0], dtype=bool)
        for c in range(3):
            for i, radius in enumerate(test.radii):
                if radius > entitled[c]:
                    false |= passed[:, : i + 1, c].all(axis=1)
        assert weights(sequences, p)[false].sum() <= 0.2


def test_boundaries_exceed_half_of_the_votes():
    for beta in (0.1, 0.5, 2.0):
        test = Curve((0.0, 0.1), n_max=5000).tests(Gaussian(beta), 0.5, label_known=True)
        assert np.all(2 * test.certify > test.looks[:, None])


@pytest.mark.parametrize(("z0", "classes"), [(0.0, 2), (0.5, 3), (1.0, 10), (2.0, 2)])
def test_the_simulated_false_rate_just_below_the_threshold_is_within_error(z0, classes):
    images, level = 20_000, 0.01
    p = special.ndtr(z0 - 1e-4)
    probabilities = np.full((images, classes), (1 - p) / (classes - 1))
    probabilities[:, 0] = p
    run = Decide(z0, n_max=3000, chunk=64).start(images, classes, noise=Gaussian(1.0), confidence=1 - level)
    decisions = simulate(run, probabilities, np.random.default_rng(5))
    rate = np.mean([d.prediction != ABSTAIN for d in decisions])
    assert 0.1 * level < rate <= level + 4 * np.sqrt(level / images)


def test_a_certificate_returns_the_radius_asked_for_and_its_bound():
    run = Decide(0.5).start(2, 3, noise=Gaussian(0.5), confidence=0.999)
    decisions = simulate(run, np.tile([0.99, 0.01, 0.0], (2, 1)), np.random.default_rng(1))
    assert [d.prediction for d in decisions] == [0, 0]
    assert decisions[0].radius == 0.5
    assert decisions[0].p_lower == pytest.approx(special.ndtr(1.0), rel=1e-12)
    assert decisions[0].p_lower + decisions[0].p_upper <= 1.0
    assert (decisions[0].confidence, decisions[0].plan) == (0.999, "decide(0.5)")
    assert decisions[0].stopped_by == "certified"


def test_votes_that_name_no_class_count_against_every_class():
    run = Decide(0.25, chunk=32).start(1, 2, noise=Gaussian(0.5), confidence=0.999)
    while run.demand().any():
        run.update(np.zeros((1, 2), dtype=int))
    assert run.decisions()[0].prediction == ABSTAIN
    some = Decide(0.25, n_max=64, chunk=32).start(1, 2, noise=Gaussian(0.5), confidence=0.999)
    while some.demand().any():
        some.update(np.array([[15, 0]]))  # all named the same class, but 17 of 32 named none
    assert some.decisions()[0].prediction == ABSTAIN


def test_a_hopeless_image_is_given_up_early_and_sooner_with_its_label_known():
    probabilities = np.tile([0.6, 0.1, 0.3], (200, 1))
    plan = Decide(0.5, chunk=8)
    unknown = plan.start(200, 3, noise=Gaussian(0.5), confidence=0.999)
    without = simulate(unknown, probabilities, np.random.default_rng(2))
    labels = np.ones(200, dtype=int)
    known = plan.start(200, 3, noise=Gaussian(0.5), confidence=0.999, labels=labels)
    with_label = simulate(known, probabilities, np.random.default_rng(2))
    assert {d.stopped_by for d in without + with_label} == {"gave up"}
    assert np.mean([d.votes for d in with_label]) < 0.5 * np.mean([d.votes for d in without]) < 200


def test_curve_returns_the_largest_radius_without_a_gap():
    radii = (0.25, 0.5, 0.75, 1.0)
    p = special.ndtr(0.6 / 0.5)
    run = Curve(radii).start(100, 2, noise=Gaussian(0.5), confidence=0.999)
    decisions = simulate(run, np.tile([p, 1 - p], (100, 1)), np.random.default_rng(3))
    assert {d.radius for d in decisions} == {0.5}


def test_radii_out_of_reach_are_never_certified():
    run = Curve((0.5, 4.0), n_max=1000).start(1, 2, noise=Gaussian(0.5), confidence=0.999)
    while (wanted := run.demand()).any():
        run.update(np.array([[wanted[0], 0]]))
    assert run.decisions()[0].radius == 0.5
    assert run.decisions()[0].votes < 100


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.3, 0.99))
def test_a_curve_answers_no_more_than_its_votes_allow(seed, p):
    """Each certified radius passed its own boundary at some scheduled look, and all below it did."""
    plan = Curve((0.0, 0.5, 1.0), n_max=2000, chunk=50)
    run = plan.start(1, 3, noise=Gaussian(1.0), confidence=0.99)
    generator, history = np.random.default_rng(seed), []
    while (wanted := run.demand()).any():
        counts = generator.multinomial(wanted[0], [p, (1 - p) * 0.7, (1 - p) * 0.3])[None]
        history.append(counts[0])
        run.update(counts)
    (decision,) = run.decisions()
    test = plan.tests(Gaussian(1.0), 0.99, label_known=False)
    totals = np.cumsum(history, axis=0)
    furthest = 0
    for c in range(3):
        passed = (totals[:, c][:, None] >= test.certify[: len(history)]).any(axis=0)
        furthest = max(furthest, int(np.argmin(np.append(passed, False))))
    assert decision.radius == (plan.radii[furthest - 1] if furthest else 0.0)
    assert decision.votes == totals[-1].sum()


def test_images_of_one_run_do_not_influence_each_other():
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.5, 0.5]])
    plan = Curve((0.25, 0.5), n_max=5000)
    votes = [np.random.default_rng(i).choice(2, p=p, size=5000) for i, p in enumerate(probabilities)]
    together = run_on(plan, np.array(votes), 2, confidence=0.99)
    alone = [run_on(plan, row[None], 2, confidence=0.99)[0] for row in votes]
    assert together == alone


def test_no_images_need_no_votes():
    run = Decide(0.5).start(0, 10, noise=Gaussian(0.5), confidence=0.999)
    assert run.demand().size == 0
    assert run.decisions() == []


def test_a_radius_far_beyond_the_noise_is_refused_in_words():
    with pytest.raises(SettingError, match=r"needs about 2e\+138 votes to certify radius 5 at beta 0.2"):
        Decide(5.0).tests(Gaussian(0.2), 0.999, label_known=False)
    with pytest.raises(SettingError, match=r"infinitely many votes"):
        Decide(50.0).start(1, 2, noise=Gaussian(0.5), confidence=0.999)
    with pytest.raises(SettingError, match=r"at least 24098\d* votes"):
        Decide(5.0, n_max=10**6).start(1, 2, noise=Gaussian(1.0), confidence=0.999)
