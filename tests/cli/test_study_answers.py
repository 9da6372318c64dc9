"""``sfumato study show``, ``best`` and ``plot`` as a user meets them: output, exit codes and files."""

import json
import re
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


def sfumato(capsys, *arguments):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["sfumato", "study", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
    printed = capsys.readouterr()
    return stop.value.code, printed.out, printed.err


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


def test_show_prints_every_risk_with_its_exact_interval(folder, capsys):
    code, printed, errors = sfumato(capsys, "show", folder)
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


def test_show_adds_the_soft_risk_and_certified_accuracy_when_asked(folder, capsys):
    code, plain, _ = sfumato(capsys, "show", folder)
    assert code == 0
    assert "Soft" not in plain
    assert "radius" not in plain
    code, printed, errors = sfumato(capsys, "show", folder, "--soft", "--radii", "0,0.1")
    assert code == 0, errors
    results = load_results(folder)
    soft = printed[printed.index("Soft risk") : printed.index("Certified")]
    certified = printed[printed.index("Certified") :]
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
            sum(row.correct and row.radius >= radius for row in rows) / 20 for radius in (0.0, 0.1)
        ]


def test_best_prints_one_line_per_beta_and_the_json_says_the_same(folder, capsys):
    code, printed, errors = sfumato(capsys, "best", folder, "--draws", "200")
    assert code == 0, errors
    code, text, _ = sfumato(capsys, "best", folder, "--draws", "200", "--json")
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
    wrong, gain = counted(folder, 0.5), found[0.5]["against"][0]
    assert gain["alpha"] == 0.5
    lowest = found[0.5]["alpha"]
    more, less = (wrong[0.5] & ~wrong[lowest]).sum(), (wrong[lowest] & ~wrong[0.5]).sum()
    exact = stats.binomtest(int(more), int(more + less), 0.5).pvalue
    assert gain["difference"] == pytest.approx((more - less) / 150)
    assert gain["p_value"] == pytest.approx(min(1.0, 4 * exact))


def test_an_alpha_at_the_edge_of_the_grid_is_told(folder, capsys):
    code, text, _ = sfumato(capsys, "best", folder, "--draws", "50", "--json")
    assert code == 0
    _, _, errors = sfumato(capsys, "best", folder, "--draws", "50")
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


def test_plot_writes_both_figures_with_published_results_beside(folder, tmp_path, capsys):
    (tmp_path / "p.csv").write_text(PUBLISHED)
    code, printed, errors = sfumato(
        capsys,
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
        (["best", "STUDY", "--confidence", "nan"], "confidence must lie strictly between 0 and 1, got nan"),
        (["best", "STUDY", "--draws", "0"], "draws must be a whole number of at least 1, got 0"),
        (["best", "STUDY", "--seed", "-1"], "seed must be a whole number of at least 0, got -1"),
        (["plot", "STUDY"], "--out is missing"),
        (["plot", "STUDY", "--out", "a.gif"], "a.gif: a figure's name must end in one of .png, .svg, .pdf"),
        (["plot", "STUDY", "--out", "a.png", "--published", "no.csv"], "no.csv: cannot be read"),
        (["best"], "Missing argument 'folder'"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments, words, folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    arguments = [folder if part == "STUDY" else part for part in arguments]
    code, printed, errors = sfumato(capsys, *arguments)
    assert code == 2, errors
    assert errors.startswith("error: ")
    assert words in errors
    assert errors.count("\n") == 1
    assert printed == ""
    assert not list(tmp_path.iterdir())
