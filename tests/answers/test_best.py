"""The answers of studies whose truth is known, and of one of real networks."""

import numpy as np
import pytest
import torch
from scipy import stats

from sfumato.answers.best import answer_study, risk_points
from sfumato.certification.smoothed_classifier import SmoothedClassifier
from sfumato.datasets import Split
from sfumato.errors import DataError, SettingError
from sfumato.models.classifier import load_classifier
from sfumato.studies.results import CellResult, StudyResults
from sfumato.training.loop import train
from sfumato.training.settings import TrainingSettings

ALPHAS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
TRUE_RISKS = (0.30, 0.20, 0.13, 0.10, 0.11, 0.14, 0.19)  # best at 0.3, where beta = 0.5


def cell(alpha, beta, seed, wrong, hits=None, first=50):
    """Return a cell that errs on ``wrong``; labels are 1, errors predict 0."""
    images = len(wrong)
    ones = np.ones(images, dtype=np.int64)
    return CellResult(
        alpha,
        beta,
        seed,
        np.arange(images),
        ones,
        np.where(wrong, 0, 1),
        100 * ones,
        first * ones,
        np.where(wrong, 10, 40) if hits is None else hits,
    )


def results(cells, certificates=None):
    return StudyResults(
        "made", "pixels in [0, 1]", 100, {(c.alpha, c.beta, c.seed): c for c in cells}, certificates or {}
    )


def made(rng, risks=TRUE_RISKS, alphas=ALPHAS, beta=0.5, seeds=(0,), images=600, own=0.4):
    """Return a study whose images' difficulty is common to all networks; each alpha has its true risk."""
    difficulty = rng.random(images)
    cells = []
    for alpha, risk in zip(alphas, risks, strict=True):
        for seed in seeds:
            score = np.where(rng.random(images) < own, rng.random(images), difficulty)
            cells.append(cell(alpha, beta, seed, score < risk))
    return results(cells)


@pytest.fixture(scope="module")
def answer():
    return answer_study(made(np.random.default_rng(0)), draws=400).betas[0]


def test_risks_have_clopper_and_pearsons_intervals(answer):
    study = made(np.random.default_rng(0))
    for point in answer.points:
        wrong = study.cells[point.alpha, 0.5, 0].wrong
        exact = stats.binomtest(int(wrong.sum()), 600).proportion_ci(0.95, "exact")
        assert point.risk == wrong.mean()
        assert (point.errors, point.trials) == (wrong.sum(), 600)
        assert (point.low, point.high) == pytest.approx((exact.low, exact.high), abs=1e-9)
    assert answer.points == risk_points(study)[0.5]


def test_alpha_star_is_the_lowest_and_in_the_set(answer):
    risks = [point.risk for point in answer.points]
    assert answer.alpha == ALPHAS[int(np.argmin(risks))]
    assert answer.alpha in answer.exact_set
    assert answer.best.risk == min(risks)
    assert not {0.0, 0.1} & {*answer.exact_set}
    assert answer.curve is not None
    assert answer.curve.alpha_low <= answer.curve.alpha <= answer.curve.alpha_high


def test_the_gain_is_over_the_measured_alpha_nearest_to_beta(answer):
    assert (answer.gain.rule, answer.gain.alpha) == ("alpha = beta", 0.5)
    assert answer.gain.risk == answer.points[5].risk
    assert answer.gain.low < answer.gain.gain < answer.gain.high


def test_alpha_star_gains_nothing_over_itself():
    risks = (0.4, 0.3, 0.3, 0.2, 0.2, 0.05, 0.2)
    gain = answer_study(made(np.random.default_rng(1), risks), draws=50).betas[0].gain
    assert (gain.alpha, gain.gain, gain.low, gain.high, gain.p_value) == (0.5, 0.0, 0.0, 0.0, 1.0)
    assert gain.selected == gain.against == ((0.5, 0.5), (0.5, 0.5))


def test_the_soft_risk_is_of_the_first_votes():
    rng = np.random.default_rng(3)
    wrong = rng.random(400) < 0.1
    hits = {0.2: rng.binomial(50, 0.7, 400), 0.5: rng.binomial(50, 0.8, 400)}
    study = results([cell(alpha, 0.5, 0, wrong, hits[alpha]) for alpha in hits])
    found = answer_study(study, draws=200).betas[0]
    for point in found.points:
        shares = 1 - hits[point.alpha] / 50
        assert point.soft == pytest.approx(shares.mean())
        half = stats.norm.ppf(0.975) * shares.std() / 20
        assert (point.soft_low, point.soft_high) == pytest.approx((point.soft - half, point.soft + half))
    assert found.exact_set == (0.2, 0.5)  # the votes are the same


@pytest.mark.parametrize(
    ("risks", "edge"),
    [
        ((0.3, 0.2, 0.1), True),
        ((0.3, 0.1, 0.2), False),
        ((0.1, 0.2, 0.3), True),
    ],
)
def test_an_alpha_at_the_edge_of_the_grid_is_told(risks, edge):
    study = made(np.random.default_rng(4), risks, (0.1, 0.2, 0.3))
    assert answer_study(study, draws=50).betas[0].at_edge is edge


def test_alpha_zero_is_no_edge_as_nothing_lies_beyond():
    study = made(np.random.default_rng(5), (0.1, 0.2, 0.3), (0.0, 0.2, 0.3))
    found = answer_study(study, draws=50).betas[0]
    assert found.alpha == 0.0
    assert not found.at_edge


def test_an_unfinished_study_compares_what_is_complete_and_counts_what_is_left_out():
    study = made(np.random.default_rng(6), seeds=(0, 1))
    del study.cells[0.6, 0.5, 1]
    found = answer_study(study, draws=50).betas[0]
    assert (found.alphas, found.seeds, found.left_out) == (ALPHAS[:-1], (0, 1), 1)
    for alpha in ALPHAS[1:]:
        study.cells.pop((alpha, 0.5, 1), None)
    found = answer_study(study, draws=50).betas[0]
    assert (found.alphas, found.seeds, found.left_out) == (ALPHAS, (0,), 1)


def test_seeds_are_averaged_and_betas_answered_apart():
    rng = np.random.default_rng(7)
    study = made(rng, seeds=(0, 1), images=200)
    study.cells.update(made(rng, beta=0.2, images=200).cells)
    low, high = answer_study(study, draws=50).betas
    assert (low.beta, low.seeds, high.beta, high.seeds) == (0.2, (0,), 0.5, (0, 1))
    both = [study.cells[0.3, 0.5, seed].wrong.mean() for seed in (0, 1)]
    assert high.points[3].risk == pytest.approx(np.mean(both))
    assert high.points[3].trials == 400


def test_few_alphas_have_no_curve():
    study = made(np.random.default_rng(8), (0.2, 0.1), (0.1, 0.2))
    assert answer_study(study, draws=50).betas[0].curve is None


def test_bad_input_is_named():
    study = made(np.random.default_rng(10))
    with pytest.raises(DataError, match="no finished cell"):
        answer_study(results([]))
    with pytest.raises(DataError, match="no finished cell"):
        risk_points(results([]))
    with pytest.raises(SettingError, match="confidence must lie"):
        answer_study(study, confidence=1.0)
    with pytest.raises(SettingError, match="draws must be"):
        answer_study(study, draws=0)
    with pytest.raises(SettingError, match=r"beta must be one of those measured \(0.5\), got 0.4"):
        answer_study(study, beta=0.4)
    other = cell(0.9, 0.5, 0, np.zeros(10, bool))
    study.cells[0.9, 0.5, 0] = other
    with pytest.raises(DataError, match=r"cells .* were measured on different images"):
        answer_study(study)


def test_real_networks_answer_with_the_risks_of_their_votes(digits, tmp_path):
    split, beta = Split(digits.test.x[:200], digits.test.y[:200]), 0.5
    cells = []
    for alpha in (0.0, 0.5):
        path = tmp_path / f"{alpha}.safetensors"
        train(digits, TrainingSettings(alpha=alpha, epochs=15), path, device="cpu")
        model = load_classifier(str(path), digits.input_shape, digits.num_classes, None, None).model
        smoothed = SmoothedClassifier(model, beta, seed=0, device="cpu")
        counts = smoothed.votes(torch.as_tensor(split.x), 50, examples=range(200))
        labels = np.asarray(split.y)
        cells.append(
            CellResult(
                alpha,
                beta,
                0,
                np.arange(200),
                labels,
                counts.argmax(axis=1),
                np.full(200, 50),
                np.full(200, 50),
                counts[np.arange(200), labels],
            )
        )
    found = answer_study(results(cells), draws=100).betas[0]
    soft = [1 - c.first_hits.sum() / (50 * 200) for c in cells]
    assert [point.risk for point in found.points] == [c.errors / 200 for c in cells]
    assert [point.soft for point in found.points] == pytest.approx(soft)
    assert found.points[1].soft < found.points[0].soft  # training with the noise that is met
