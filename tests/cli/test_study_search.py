"""``sfumato study search`` as a user meets it: its output, exit codes and files."""

import json
import re

import pytest

from sfumato.studies.store import load_results

STUDY = """
[data]
images = 150
[model]
epochs = 2
[grid]
alpha = [0.3]
beta = [0.0, 0.1, 0.9]
[votes]
n = 20
"""


def test_a_search_prints_what_it_measured_and_keeps_it_in_the_study(tmp_path, sfumato):
    file, folder = tmp_path / "small.toml", tmp_path / "study"
    file.write_text(STUDY)
    code, _, errors = sfumato("study", "run", file, "--out", folder, "--device", "cpu")
    assert code == 0, errors
    arguments = ["study", "search", folder, "--beta", "0.5", "--budget", "2", "--device", "cpu"]
    code, printed, errors = sfumato(*arguments)
    assert code == 0, errors
    cells = {key: cell for key, cell in load_results(folder).cells.items() if key[1] == 0.5}
    assert len(cells) == 3
    for (alpha, _, _), cell in cells.items():
        line = next(row.split() for row in printed.splitlines() if row.startswith(f"{alpha:g} "))
        assert line[1] == f"{cell.risk:.4f}"
        assert line[-2:] == [str(cell.errors), "before" if alpha == 0.3 else "now"]
    assert "2 models trained, 2 of the budget of 2 spent; alpha and beta in: pixels in [0, 1]" in printed
    best = re.search(r"alpha\* = ([\d.]+), within ([\d.]+) to ([\d.]+); risk there ([\d.]+)", printed)
    assert best is not None
    alpha, low, high, risk = map(float, best.groups())
    assert low < alpha < high
    assert 0 < risk < 1
    rules = {row[:12]: row.split()[-2:] for row in printed.splitlines() if "beta" in row[:12]}
    assert rules["alpha = beta"][0] == "0.5"
    assert rules["0.75 beta   "][0] == "0.375"
    assert (folder / "study.toml").read_text().count("alpha = (0.3,)") + (
        folder / "study.toml"
    ).read_text().count("alpha = [0.3]") == 1


def test_a_search_at_a_radius_prints_the_best_pair_and_the_same_as_json(tmp_path, sfumato):
    file, folder = tmp_path / "small.toml", tmp_path / "study"
    file.write_text(
        STUDY.replace("epochs = 2", "epochs = 6").replace("[0.0, 0.1, 0.9]", "[0.0, 0.03, 0.2, 0.6]")
    )
    asked = ["--radius", "0.15", "--budget", "1", "--images", "100", "--device", "cpu"]
    code, printed, errors = sfumato("study", "search", file, "--out", folder, *asked)
    assert code == 0, errors
    assert "beta 0.03 cannot certify this radius" in printed
    assert "1 model trained, 1 of the budget of 1 spent" in printed
    row = next(line.split() for line in printed.splitlines() if line.endswith("now"))
    assert row[-3] == "0.6", "trained with little noise, smoothed with much"
    code, printed_json, errors = sfumato("study", "search", folder, *asked, "--json")
    assert code == 0, errors
    found = json.loads(printed_json)
    (point,) = found["points"]
    assert (point["alpha"], point["beta"]) == (found["best"]["alpha"], found["best"]["beta"])
    assert 1 - point["lost"] / 100 == pytest.approx(found["best"]["accuracy"])
    assert row[:3] == [f"{point['alpha']:g}", f"{point['beta']:g}", f"{1 - point['lost'] / 100:.4f}"]
    assert f"alpha* = {point['alpha']:g}, beta* = {point['beta']:g}: certified accuracy" in printed


def test_a_radius_at_which_nothing_is_certified_is_said(tmp_path, sfumato):
    file = tmp_path / "small.toml"
    file.write_text(STUDY)
    asked = ["--radius", "3", "--budget", "1", "--images", "10", "--device", "cpu"]
    code, _, errors = sfumato("study", "search", file, "--out", tmp_path / "study", *asked)
    assert code == 0, errors
    assert "no pair certifies any image at radius 3; ask for a smaller one" in errors


def test_the_data_are_looked_for_where_it_is_said(tmp_path, refused):
    file = tmp_path / "mnist.toml"
    file.write_text('[data]\nname = "mnist"\nimages = 20\n[model]\nepochs = 1\n')
    words = "error: --data-dir: nowhere is not a directory; give an existing one"
    refused(["study", "search", file, "--out", "study", "--beta", "0.5", "--data-dir", "nowhere"], words)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["FILE", "--beta", "0.5"], "--out is missing"),
        (["FILE", "--beta", "0", "--out", "s"], "beta must be a positive finite number, got 0.0"),
        (
            ["FILE", "--beta", "0.5", "--budget", "0", "--out", "s"],
            "budget must be a whole number of at least 1",
        ),
        (["FILE", "--beta", "0.5", "--step", "2", "--out", "s"], "step must leave at least 3 alphas"),
        (
            ["FILE", "--beta", "0.5", "--seed", "-1", "--out", "s"],
            "seed must be a whole number of at least 0",
        ),
        (["missing.toml", "--beta", "0.5", "--out", "s"], "missing.toml: cannot be read"),
        (["FILE", "--beta", "x"], "got 'x'"),
        (["FILE"], "--beta is missing"),
        (["FILE", "--beta", "0.5", "--images", "9", "--out", "s"], "--images goes with --radius"),
        (["FILE", "--radius", "0.5"], "--out is missing"),
        (["FILE", "--radius", "-1", "--out", "s"], "radius must be a finite number of at least 0, got -1"),
        (["FILE", "--radius", "9", "--out", "s"], "none of the betas 0, 0.1, 0.9 can certify radius 9"),
        (["FILE", "--radius", "1,2", "--out", "s"], "got '1,2'"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2_and_changes_nothing(arguments, words, tmp_path, refused):
    (tmp_path / "small.toml").write_text(STUDY)
    refused(["study", "search", *("small.toml" if part == "FILE" else part for part in arguments)], words)
