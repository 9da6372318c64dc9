"""``sfumato study search`` as a user meets it: its output, exit codes and files."""

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
        (["FILE"], "--beta"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2_and_changes_nothing(arguments, words, tmp_path, refused):
    (tmp_path / "small.toml").write_text(STUDY)
    refused(["study", "search", *("small.toml" if part == "FILE" else part for part in arguments)], words)
