"""``sfumato study show``, ``best`` and ``plot`` as a user meets them: output, exit codes and files."""

import json
import re
import shutil
import sqlite3
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats

from sfumato.cli.main import main
from sfumato.studies.store import load_results

STUDY = """
[data]
images = 150
[model]
epochs = 2
[grid]
alpha = [0.1, 0.2, 0.3, 0.4, 0.5]
beta = [0.0, 0.5]
seeds = [1]
[votes]
n = 20
[certification]
beta = [0.5]
radii = [0.1, 0.3]
confidence = 0.9
images = 20
"""
PUBLISHED = "alpha,beta,errors,risk\n" + "".join(
    f"{alpha},0.5,{count},{count / 1000}\n"
    for alpha, count in zip((0.1, 0.2, 0.3, 0.4, 0.5), (90, 40, 20, 30, 50), strict=True)
)


@pytest.fixture
def study(sfumato):
    """A function that runs a command of sfumato study."""
    return lambda *arguments: sfumato("study", *arguments)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small study of real networks, with certificates at beta 0.5."""
    place = tmp_path_factory.mktemp("answers")
    (place / "s.toml").write_text(STUDY)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        arguments = ["run", str(place / "s.toml"), "--out", str(place / "study"), "--device", "cpu"]
        patch.setattr(sys, "argv", ["sfumato", "study", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
    torch.set_num_threads(threads)
    assert stop.value.code == 0
    return place / "study"


def counted(folder, beta):
    """Return alpha -> the wrong images, by another way than ours: SQL on the file."""
    with sqlite3.connect(f"file:{folder / 'results.sqlite'}?mode=ro", uri=True) as db:
        rows = db.execute(
            "SELECT alpha, example, predicted != label FROM members JOIN images USING (cell) "
            "WHERE kind = 'risk' AND beta = ? ORDER BY example",
            (beta,),
        ).fetchall()
    alphas = sorted({row[0] for row in rows})
    return {alpha: np.array([row[2] for row in rows if row[0] == alpha], bool) for alpha in alphas}


def test_show_prints_every_risk_with_its_exact_interval(folder, study):
    code, printed, errors = study("show", folder)
    assert code == 0, errors
    assert "150 test images of digits, 20 votes each, with 95 % intervals" in printed
    wrong = counted(folder, 0.5)
    fewest = min(int(missed.sum()) for missed in wrong.values())
    for alpha, missed in wrong.items():
        count = int(missed.sum())
        interval = stats.binomtest(count, 150).proportion_ci(0.95, "exact")
        line = next(row for row in printed.splitlines() if row.startswith(f"{alpha:g} "))
        star = "*" if count == fewest else ""
        assert line.endswith(f" {star}{count / 150:.4f} [{interval.low:.4f}, {interval.high:.4f}]")


def test_show_adds_the_soft_risk_and_certified_accuracy_when_asked(folder, study):
    code, plain, _ = study("show", folder)
    assert code == 0
    assert "Soft" not in plain
    assert "radius" not in plain
    code, printed, errors = study("show", folder, "--soft", "--radii", "0.1,0.3")
    assert code == 0, errors
    results = load_results(folder)
    soft = printed[printed.index("Soft risk") :]
    certified = printed[: printed.index("Risk Delta")]
    for alpha in results.alphas:
        cell = results.cells[alpha, 0.5, 1]
        share = np.mean(
            [1 - hits / votes for hits, votes in zip(cell.first_hits, cell.first_votes, strict=True)]
        )
        line = next(row for row in soft.splitlines() if row.startswith(f"{alpha:g} "))
        assert f"{share:.4f} [" in line
        rows = results.certificates[alpha, 0.5, 1]
        line = next(row for row in certified.splitlines() if row.startswith(f"α {alpha:g}, β 0.5 "))
        assert [float(value) for value in re.findall(r"([\d.]+) \[", line)] == [
            sum(row.correct and row.radius >= radius for row in rows) / 20 for radius in (0.1, 0.3)
        ]


def test_best_prints_one_line_per_beta_and_the_json_says_the_same(folder, study):
    code, printed, errors = study("best", folder, "--draws", "200")
    assert "gain: alpha* selected on one half of the images and measured on the other" in printed
    assert code == 0, errors
    code, text, _ = study("best", folder, "--draws", "200", "--json")
    assert code == 0
    found = {answer["beta"]: answer for answer in json.loads(text)["betas"]}
    for beta in (0.0, 0.5):
        wrong = counted(folder, beta)
        lowest = min(wrong, key=lambda alpha: wrong[alpha].sum())
        assert found[beta]["alpha"] == lowest
        line = next(row.split() for row in printed.splitlines() if row.startswith(f"{beta:g} "))
        assert line[1] == f"{lowest:g}"
        assert lowest in found[beta]["exact_set"]
        assert f"{wrong[lowest].mean():.4f}" in line
    gain = found[0.5]["gain"]
    assert (gain["alpha"], gain["risk"]) == (0.5, pytest.approx(wrong[0.5].mean()))
    code, text, _ = study("best", folder, "--draws", "200", "--json", "--beta", "0.5")
    assert code == 0
    assert json.loads(text)["betas"] == [found[0.5]]


def test_best_at_a_radius_is_what_the_stored_certificates_say(folder, study):
    code, printed, errors = study("best", folder, "--radius", "0.1,0.3")
    assert code == 0, errors
    code, text, _ = study("best", folder, "--radius", "0.1,0.3", "--json")
    assert code == 0
    certificates = load_results(folder).certificates
    for radius, found in zip((0.1, 0.3), json.loads(text)["best"], strict=True):
        shares = {
            alpha: sum(row.correct and row.radius >= radius for row in rows) / 20
            for (alpha, _, _), rows in certificates.items()
        }
        answer = found["answer"]
        assert (found["radius"], answer["beta"], answer["accuracy"]) == (radius, 0.5, max(shares.values()))
        assert answer["alpha"] == min(alpha for alpha in shares if shares[alpha] == max(shares.values()))
        assert answer["gain"]["risk"] == pytest.approx(1 - shares[0.5])
        line = next(row.split() for row in printed.splitlines() if row.startswith(f"{radius:g} "))
        assert line[1:3] == [f"{answer['alpha']:g}", "0.5"]


def test_a_race_keeps_its_certificates_and_json_is_all_that_it_prints(folder, study, tmp_path):
    mine = shutil.copytree(folder, tmp_path / "mine")
    command = ["race", mine, "--radius", "0.1", "--images", "10", "--device", "cpu"]
    code, printed, errors = study(*command, "--json")
    assert code == 0, errors
    (found,) = json.loads(printed)
    answer = found["answer"]
    assert (found["radius"], found["images"], answer["beta"]) == (0.1, 10, 0.5)
    assert answer["alpha"] in (0.1, 0.2, 0.3, 0.4, 0.5)
    code, printed, errors = study(*command)
    assert code == 0, errors
    line = next(row.split() for row in printed.splitlines() if row.startswith("0.1 "))
    assert line[1:3] == [f"{answer['alpha']:g}", "0.5"]
    assert f"radius 0.1: {len(found['dropped'])} of 5 pairs dropped out, {found['votes']:,} votes" in printed
    assert found["certificate_confidence"] == 0.9
    assert "each certificate holds with probability at least 0.9;" in " ".join(printed.split())


def test_a_race_in_which_nothing_is_certified_says_so(folder, study, tmp_path):
    mine = shutil.copytree(folder, tmp_path / "mine")
    code, _, errors = study("race", mine, "--radius", "1.88", "--images", "5", "--device", "cpu")
    assert code == 0, errors
    (line,) = errors.splitlines()
    assert line == "warning: radius 1.88: no pair certifies any image; ask for a smaller radius"


def table(path, radii, first=0):
    """Write the certificates of images of class 1, as other tools do; a negative radius is an abstention."""
    rows = [
        f"{first + i}\t1\t{1 if r >= 0 else -1}\t{max(r, 0)}\t{int(r >= 0)}\t1.0" for i, r in enumerate(radii)
    ]
    path.write_text("\n".join(["idx\tlabel\tpredict\tradius\tcorrect\ttime", *rows]) + "\n")
    return path


def test_best_answers_from_other_peoples_tables(tmp_path, study):
    """alpha = 1 certifies 60 of 100 images at radius 1.2, alpha = beta 20 of them."""
    same = table(tmp_path / "noise_0.50_test_sigma_0.50.tsv", [1.3] * 20 + [0.6] * 75 + [-1] * 5)
    more = table(tmp_path / "noise_1.00_test_sigma_0.50.tsv", [1.3] * 60 + [-1] * 40)
    code, printed, errors = study("best", same, f"1,0.5={more}", "--radius", "0.5,1.2")
    assert code == 0, errors
    lines = [row.split() for row in printed.splitlines()[2:4]]
    assert [row[:3] for row in lines] == [["0.5", "0.5", "0.5"], ["1.2", "1", "0.5"]]
    p_value = stats.binomtest(40, 40).pvalue
    assert lines[1][-1] == f"{p_value:.2g}"
    assert "0.6000" in lines[1]
    assert "radius 1.2: alpha* 1 is the largest measured" in errors
    code, printed, errors = study("best", same, f"1,0.5={more}", "--radius", "0.5,1.2", "--weights", "2,1")
    assert code == 0, errors
    # .95, .95 and .2 against three times .6
    assert printed.splitlines()[2].split()[:7] == ["2", "x", "0.5", "+", "1", "x", "1.2"]
    assert "0.7000 [" in printed.splitlines()[2]
    assert "hold for many images" in printed


def test_tables_that_cannot_be_compared_are_refused(tmp_path, study):
    one = table(tmp_path / "noise_0.50_test_sigma_0.50.tsv", [0.6] * 20)
    other = table(tmp_path / "noise_1.00_test_sigma_0.50.tsv", [0.6] * 20, first=5)
    unnamed = table(tmp_path / "mine.tsv", [0.6] * 20)
    for arguments, words in (
        ([one, other, "--radius", "0.5"], "were measured on different images"),
        ([one, f"0.5,0.5={unnamed}", "--radius", "0.5"], "both have alpha 0.5 and beta 0.5"),
        ([unnamed, "--radius", "0.5"], "does not state its two noises; give them as ALPHA,BETA="),
        ([one], "give --radius"),
        ([one, "--radius", "-0.5"], "radius must be a finite number of at least 0, got -0.5"),
        ([one, "--radius", "0.7"], "no measured beta certifies radius 0.7"),
        ([one, "--radius", "0.7"], "a beta of about 0.58 could"),
        ([one, "--radius", "0.5", "--beta", "0.3"], "beta must be one of those measured (0.5), got 0.3"),
        ([one, tmp_path, "--radius", "0.5"], "holds no results.sqlite"),
        ([one, "--radius", "0.5", "--weights", "1,2"], "one for each radius of --radius (1), got 2"),
        ([one, "--radius", "0.5,0.5", "--weights", "2"], "--radius has 0.5 twice"),
        ([one, "--radius", "0.5,0.5", "--weights", "2,1"], "--radius has 0.5 twice"),
        ([one, "--radius", "0.5,1", "--weights", "2"], "one for each radius of --radius (2), got 1"),
        ([one, "--radius", "0.5", "--weights", "0.5"], "weights must be whole numbers"),
        ([one, "--weights", "1"], "one for each radius of --radius (0), got 1"),
    ):
        code, printed, errors = study("best", *arguments)
        assert (code, printed, errors.count("\n")) == (2, "", 1), errors
        assert words in errors


def test_an_alpha_at_the_edge_of_the_grid_is_told(folder, study):
    code, text, _ = study("best", folder, "--draws", "50", "--json")
    assert code == 0
    _, _, errors = study("best", folder, "--draws", "50")
    told = {
        float(beta): edge
        for beta, edge in re.findall(r"warning: beta ([\d.]+): .* the (small|larg)est", errors)
    }
    expected = {
        answer["beta"]: {0.1: "small", 0.5: "larg"}[answer["alpha"]]
        for answer in json.loads(text)["betas"]
        if answer["alpha"] in (0.1, 0.5)
    }
    assert told == expected
    assert expected


def test_plot_writes_both_figures_with_published_results_beside(folder, tmp_path, study):
    (tmp_path / "p.csv").write_text(PUBLISHED)
    code, printed, errors = study(
        *("plot", folder, "--out", tmp_path / "r.png", "--best-out", tmp_path / "b.svg"),
        *("--published", tmp_path / "p.csv", "--draws", "50"),
    )
    assert code == 0, errors
    assert printed.split() == [str(tmp_path / "r.png"), str(tmp_path / "b.svg")]
    with Image.open(tmp_path / "r.png") as image:
        assert image.width > 1.5 * image.height
    assert "<svg" in (tmp_path / "b.svg").read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["show", "nowhere"], "results.sqlite: no such file; give a folder written by sfumato study run"),
        (["show", "STUDY", "--confidence", "1"], "confidence must lie strictly between 0 and 1, got 1"),
        (["show", "STUDY", "--radii", "a"], "radii must be numbers separated by commas, or first:last:count"),
        (["show", "STUDY", "--radii", "-1"], "radius must be a finite number of at least 0, got -1"),
        (["best", "STUDY", "--confidence", "nan"], "confidence must be a finite number, got nan"),
        (["best", "STUDY", "--draws", "0"], "draws must be at least 1, got 0"),
        (["best", "STUDY", "--seed", "-1"], "seed must be at least 0, got -1"),
        (["plot", "STUDY"], "--out is missing"),
        (["plot", "STUDY", "--out", "a.gif"], "a.gif: a figure's name must end in one of .png, .svg, .pdf"),
        (["plot", "STUDY", "--out", "a.png", "--published", "no.csv"], "no.csv: cannot be read"),
        (["best", "STUDY", "--radius", "0.2"], "the certificates are for radius 0.1, 0.3"),
        (
            ["best", "STUDY", "--radius", "x"],
            "radius must be numbers separated by commas, or first:last:count",
        ),
        (["best", "STUDY", "--radius", "nan"], "radius must be a finite number of at least 0, got nan"),
        (["best", "STUDY", "--radius", "0.1", "--beta", "0"], "beta must be one of those measured (0.5)"),
        (["best", "STUDY", "--beta", "0.4"], "beta must be one of those measured (0, 0.5), got 0.4"),
        (["best", "STUDY", "STUDY", "--radius", "0.1"], "give one study's folder or only certification"),
        (["best"], "Missing argument 'sources'"),
        (
            ["race", "STUDY", "--radius", "x"],
            "radius must be numbers separated by commas, or first:last:count",
        ),
        (
            ["race", "STUDY", "--radius", "0.1", "--images", "0"],
            "images must be a whole number of at least 1",
        ),
        (["race", "nowhere", "--radius", "0.1"], "cannot be read"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments, words, folder, refused):
    refused(["study", *(folder if part == "STUDY" else part for part in arguments)], words)
