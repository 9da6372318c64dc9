import numpy as np
import pytest
from scipy import stats

from sfumato.answers import race_study as race_study_module
from sfumato.answers.best_pair import Losses, best_pair
from sfumato.answers.objective import CertifiedAccuracy
from sfumato.answers.pair_search import search_pairs
from sfumato.answers.race_study import best_of_raced, race_study
from sfumato.certification.certificate import Certificate
from sfumato.certification.smoothed_classifier import SmoothedClassifier
from sfumato.datasets import load_dataset
from sfumato.errors import SettingError
from sfumato.models import load_model
from sfumato.plans import Decide
from sfumato.reporting.answer_tables import pairs_table
from sfumato.smoothing.batch_norms import normalize_at, some_images
from sfumato.studies.design import make_design
from sfumato.studies.run import run_study
from sfumato.studies.store import load_results

TABLES = {
    "data": {"name": "digits", "images": 100},
    "model": {"epochs": 6},
    "grid": {"alpha": [0.0, 0.2, 0.4], "beta": [0.0, 0.03, 0.2, 0.6]},
    "votes": {"n": 20},
}
RADIUS = 0.15
IMAGES = 100


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Return a small study, the whole grid of it certified at the radius."""
    folder = tmp_path_factory.mktemp("race") / "study"
    table = {"beta": [0.2, 0.6], "plan": f"decide({RADIUS})", "images": IMAGES, "label_known": True}
    design = make_design(TABLES, {"certification": table})
    return folder, make_design(TABLES), run_study(design, folder, device="cpu")


@pytest.fixture(scope="module")
def raced(study):
    folder, design, _ = study
    return race_study(design, folder, RADIUS, images=IMAGES, device="cpu")


def test_a_race_finds_the_best_pair_and_the_set_of_the_whole_grid(study, raced):
    whole = best_pair(study[2], CertifiedAccuracy(RADIUS), confidence=0.951)
    assert (raced.answer.alpha, raced.answer.beta) == (whole.alpha, whole.beta)
    assert raced.answer.accuracy == whole.accuracy
    assert raced.answer.members == whole.members
    assert raced.answer.gain.rule == whole.gain.rule == "best alpha = beta"
    assert raced.cannot == (0.03,), "100,000 votes that all agree certify a radius of 3.8 beta"
    assert (0.0, 0.6) in raced.dropped, "trained without noise, smoothed with much"
    assert raced.answer.among == whole.pairs
    assert raced.answer.edges == whole.edges


def test_pairs_that_dropped_out_count_as_measured_beside_the_best():
    lost = np.zeros((1, 2, 40), dtype=bool)
    lost[0, 1, :3] = True
    answer = best_of_raced(
        Losses([(0.2, 0.5), (0.6, 0.5)], [0], lost, 0),
        "certified accuracy",
        raced=[(alpha, beta) for beta in (0.25, 0.5) for alpha in (0.2, 0.4, 0.6)],
        level=0.001,
        free=True,
        confidence=0.95,
        certificate_confidence=0.999,
    )
    assert answer.edges == ("alpha* 0.2 is the smallest", "beta* 0.5 is the largest")
    assert answer.members == ((0.2, 0.5), (0.6, 0.5))
    (row,) = pairs_table({"1": answer}, "made", confidence=0.95).rows
    assert row[3] == "beta 0.5: 0.2, 0.6", "0.4 lies between and dropped out"


def made_up(held):
    """Return certificates in place of those of networks: ``held`` says which images each pair certifies."""

    def certified(design, data, folder, table, device, watch):
        return {
            pair: [Certificate(i, 1, 1, float(held[pair][i]), 0.0, votes=1) for i in range(table.images)]
            for pair in table.pairs
        }

    return certified


def test_where_no_alpha_is_a_beta_the_nearest_pairs_race_for_the_gain(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    rates = {(0.1, 0.5): 0.9, (0.3, 0.5): 0.4, (0.1, 1.0): 0.2, (0.3, 1.0): 0.1}
    held = {pair: rng.random(300) < rate for pair, rate in rates.items()}
    monkeypatch.setattr(race_study_module, "_certified", made_up(held))
    grid = {"alpha": [0.1, 0.3], "beta": [0.5, 1.0]}
    found = race_study(make_design(TABLES | {"grid": grid}), tmp_path, 1.0, images=300, device="cpu")
    assert set(found.dropped) == {(0.3, 0.5), (0.1, 1.0), (0.3, 1.0)}
    best, rule = held[0.1, 0.5], held[0.3, 0.5]
    assert (found.answer.gain.alpha, found.answer.gain.beta) == (0.3, 0.5)
    assert found.answer.gain.risk == pytest.approx(1 - rule.mean())
    assert found.answer.gain.gain == pytest.approx(best.mean() - rule.mean())
    more, less = int((best & ~rule).sum()), int((rule & ~best).sum())
    assert found.answer.gain.p_value == pytest.approx(stats.binomtest(more, more + less).pvalue, abs=1e-11)


def test_what_drops_out_costs_no_more_votes_and_the_study_shows_what_it_did(study, raced):
    folder, _, whole = study
    certificates = whole.certificates
    for (alpha, beta), images in raced.dropped.items():
        assert images < IMAGES or len(certificates[alpha, beta, 0]) == IMAGES
    spent = sum(row.votes for rows in certificates.values() for row in rows)
    assert raced.votes < spent
    shown = load_results(folder).certificates
    assert shown.keys() == certificates.keys()
    assert all(len(rows) == IMAGES for rows in shown.values())


def test_a_race_that_is_run_again_spends_no_votes(study, raced, monkeypatch):
    folder, design, _ = study
    monkeypatch.setattr("sfumato.studies.schedule.load_classifier", None)
    again = race_study(design, folder, RADIUS, images=IMAGES, device="cpu")
    assert again == raced


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"radius": 3.0},
            r"none of the betas 0, 0.03, 0.2, 0.6 can certify radius 3; it takes a beta of at least 0\.7",
        ),
        ({"radius": -1.0}, "radius must be"),
        ({"images": 0}, "images must be"),
        ({"images": 10_000}, "images must be at most the 797 test images"),
        ({"level": 0.05}, "level must be below 1 - confidence = 0.05, got 0.05"),
        ({"confidence": 1.0}, "confidence must lie"),
    ],
)
def test_a_race_that_cannot_be_run_is_one_line(study, options, words):
    folder, design, _ = study
    with pytest.raises(SettingError, match=words):
        race_study(design, folder, **{"radius": RADIUS, "device": "cpu"} | options)


def test_a_race_reads_what_is_kept_once_for_all_pairs(study, raced, monkeypatch):
    folder, design, _ = study
    runs = []
    run_part = race_study_module.run_part
    monkeypatch.setattr(
        race_study_module, "run_part", lambda *args, **options: runs.append(1) or run_part(*args, **options)
    )
    race_study(design, folder, RADIUS, images=IMAGES, device="cpu")
    assert len(runs) == 3, "after 50, 75 and 100 images, whatever the number of betas"


def test_certificates_of_a_race_have_the_confidence_of_the_study(tmp_path, monkeypatch):
    asked = []
    everywhere = made_up({(a, b): [True] * IMAGES for a in (0.0, 0.2, 0.4) for b in (0.03, 0.2, 0.6)})

    def certified(design, data, folder, table, device, watch):
        asked.append(table.confidence)
        return everywhere(design, data, folder, table, device, watch)

    monkeypatch.setattr(race_study_module, "_certified", certified)
    certification = {"beta": [0.6], "radii": [0.1], "confidence": 0.9}
    design = make_design(TABLES, {"certification": certification})
    found = race_study(design, tmp_path, 0.12, images=IMAGES, device="cpu")
    assert found.certificate_confidence == 0.9
    assert set(asked) == {0.9}
    assert found.cannot == (), "at this confidence beta 0.03 can certify the radius"
    found = race_study(make_design(TABLES), tmp_path, 0.12, images=IMAGES, device="cpu")
    assert (found.certificate_confidence, found.cannot) == (0.999, (0.03,))


def test_races_and_searches_certify_networks_whose_batch_norms_are_re_estimated(tmp_path):
    """Each beta has its own network; without re-estimating, other images are certified."""
    tables = {
        "data": {"images": 40},
        "model": {"architecture": "batch_norm_factory:network", "epochs": 3, "batch_size": 100},
        "grid": {"alpha": [0.1], "beta": [0.3, 0.6]},
        "votes": {"n": 5, "normalization": "at-beta"},
    }
    options = {"images": 40, "device": "cpu"}
    raced = race_study(make_design(tables), tmp_path, 0.05, **options)
    searched = search_pairs(make_design(tables), tmp_path, 0.05, 1, **options)
    (path,) = (tmp_path / "models").glob("alpha-0.1-*.safetensors")
    trained, _ = load_model(path, factory="batch_norm_factory:network")
    data = load_dataset("digits")
    x, labels = data.test.x[:40], data.test.y[:40]

    def held(model, beta):
        smoothed = SmoothedClassifier(model, beta, device="cpu")
        rows = smoothed.certify(x, Decide(0.05), examples=range(40), known_labels=labels)
        return sum(row.correct and row.radius >= 0.05 for row in rows)

    fitted = {
        beta: held(normalize_at(trained, some_images(data.train.x), beta, device="cpu"), beta)
        for beta in (0.3, 0.6)
    }
    assert held(trained, 0.6) != fitted[0.6]
    assert raced.answer.pairs
    for (_, beta), accuracy in zip(raced.answer.pairs, raced.answer.accuracies, strict=True):
        assert accuracy == pytest.approx(fitted[beta] / 40)
    (point,) = (point for point in searched.points if point.alpha == 0.1)
    assert 40 - point.lost == fitted[point.beta] == max(fitted.values())
