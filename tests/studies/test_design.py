import tomllib

import pytest

from sfumato.errors import SettingError
from sfumato.plans import Curve, Vote
from sfumato.plans.early_vote import EarlyVote
from sfumato.studies.design import Design, extend_path, make_design, read_design, render, write_design

FULL = {
    "data": {"name": "mnist", "data_dir": 'a "quoted" \\ folder', "images": 2000},
    "model": {"architecture": "cnn", "epochs": 5, "warm_start": "nearest", "precision": "bf16"},
    "grid": {"alpha": [0, 0.2, 0.35], "beta": [0.5], "seeds": [1, 4]},
    "votes": {"n": 64, "rule": "sequential", "error": 0.0005, "seed": 3},
    "certification": {"beta": [0.5], "radii": [0.25, 0.5], "images": 20, "confidence": 0.99},
}


def test_a_study_file_that_was_written_is_read_back_as_the_same_study(tmp_path):
    for design in (Design(), make_design(FULL)):
        write_design(design, tmp_path / "study.toml")
        assert read_design(tmp_path / "study.toml") == design


def test_the_file_explains_every_setting():
    text = render(make_design(FULL))
    for line in text.splitlines():
        if " = " in line or line.endswith(" ="):
            assert "  # " in line, line
    assert tomllib.loads(text)["model"]["warm_start"] == "nearest"
    assert "# [certification]" in render(Design())
    uncommented = render(Design()).replace("# [certification]", "[certification]")
    example = uncommented.split("[certification]")[1].replace("\n# ", "\n")
    assert set(tomllib.loads(example)) >= {"beta", "radii", "confidence", "images"}


def test_changes_take_the_place_of_what_the_file_says(tmp_path):
    write_design(make_design(FULL), tmp_path / "study.toml")
    design = read_design(tmp_path / "study.toml", {"grid": {"alpha": (0.1,)}, "votes": {"n": 7}})
    assert design.grid.alpha == (0.1,)
    assert design.grid.beta == (0.5,)
    assert (design.votes.n, design.votes.rule) == (7, "sequential")


def test_the_rules_have_their_plans():
    assert make_design({}).votes.plan() == Vote(100)
    assert make_design(FULL).votes.plan() == EarlyVote(64, 0.0005)
    certification = make_design(FULL).certification
    assert certification.stopping() == Curve((0.25, 0.5))


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        (
            {"model": {"epoch": 3}},
            "unknown key model.epoch; accepted are method, warm_start, warm_epochs, noise, alpha_schedule",
        ),
        ({"modell": {}}, "unknown key modell; accepted are data, model, grid, votes, certification"),
        (
            {"grid": {"alpha": [0.4, 0.2]}},
            "grid.alpha must be strictly increasing, each value once, got [0.4",
        ),
        ({"grid": {"alpha": [0.2, 0.2]}}, "each value once, got [0.2, 0.2]"),
        ({"grid": {"alpha": []}}, "grid.alpha must hold at least one value, got []"),
        ({"grid": {"beta": [-0.1, 0.2]}}, "grid.beta must be at least 0, got -0.1"),
        ({"grid": {"beta": [float("inf")]}}, "grid.beta must be a finite number, got inf"),
        ({"grid": {"alpha": ["0.1"]}}, "grid.alpha must be a valid number, got '0.1'"),
        ({"grid": {"alpha": 0.3}}, "grid.alpha must be a list, got 0.3"),
        ({"grid": {"seeds": [0.5]}}, "grid.seeds must be a valid integer"),
        ({"grid": {"seeds": [-1]}}, "grid.seeds must be at least 0, got -1"),
        ({"model": {"epochs": 0}}, "model.epochs must be at least 1, got 0"),
        ({"model": {"warm_start": "far"}}, "model.warm_start must be 'none' or 'nearest', got 'far'"),
        ({"votes": {"rule": "some"}}, "votes.rule must be 'curtailed', 'sequential' or 'all', got 'some'"),
        ({"votes": {"n": 0}}, "votes.n must be at least 1, got 0"),
        ({"votes": {"n": True}}, "votes.n must be a valid integer, got True"),
        ({"votes": {"rule": "sequential", "n": 5000}}, 'at most 250 with the rule "sequential", got 5000'),
        ({"certification": {"radii": [0.5]}}, "certification.beta is missing"),
        ({"certification": {"beta": [0.5]}}, "certification needs either radii or plan, and not both"),
        ({"certification": {"beta": [0.5], "plan": "curves(1)"}}, "plan must be one of"),
        (
            {"certification": {"beta": [0.0], "radii": [1.0]}},
            "certification.beta must be greater than 0, got 0.0",
        ),
        ({"data": 3}, "data must be a table"),
    ],
)
def test_a_mistake_is_one_line_with_key_value_and_what_is_accepted(tables, words):
    with pytest.raises(SettingError) as caught:
        make_design(tables, where="study.toml: ")
    message = str(caught.value)
    assert message.startswith("study.toml: ")
    assert words in message
    assert "\n" not in message


def test_a_file_that_is_missing_or_no_toml_is_refused(tmp_path):
    with pytest.raises(SettingError, match=r"/dev/zero: cannot be read .a device may have no end"):
        read_design("/dev/zero")
    with pytest.raises(SettingError, match=r"none.toml: cannot be read"):
        read_design(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("[grid\nalpha = 3")
    with pytest.raises(SettingError, match=r"bad.toml: is not TOML"):
        read_design(tmp_path / "bad.toml")


@pytest.mark.parametrize("text", ["[grid]\nalpha = " + "7" * 5000, "x = " + "[" * 5000])
def test_a_number_too_long_or_nesting_too_deep_is_one_line(text, tmp_path):
    (tmp_path / "bad.toml").write_text(text)
    with pytest.raises(SettingError, match=r"bad.toml: is not TOML"):
        read_design(tmp_path / "bad.toml")


def test_a_warm_started_path_goes_from_each_alpha_to_the_next():
    assert extend_path({}, [0.4, 0.0, 0.1]) == {0.0: None, 0.1: 0.0, 0.4: 0.1}


def test_an_alpha_added_later_starts_from_its_nearest_neighbour_and_changes_no_other():
    first = extend_path({}, [0.0, 0.2, 0.4])
    grown = extend_path(first, [0.0, 0.1, 0.35, 0.4, 0.6])
    assert {alpha: grown[alpha] for alpha in first} == first
    assert (grown[0.1], grown[0.35], grown[0.6]) == (0.0, 0.4, 0.4)
    assert list(grown) == [0.0, 0.2, 0.4, 0.1, 0.35, 0.6]
