import pytest

from sfumato.answers import race_study as race_study_module
from sfumato.answers.best_pair import best_pair
from sfumato.answers.objective import CertifiedAccuracy
from sfumato.answers.race_study import race_study
from sfumato.errors import SettingError
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
