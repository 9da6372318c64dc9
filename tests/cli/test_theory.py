"""``sfumato theory`` as a user meets it: its numbers, files, exit codes and one-line errors."""

import csv
import itertools
import json
import subprocess
import sys

import pytest

from sfumato.cli.main import main

COMMANDS = ("ball", "intervals", "mixture", "field", "figure4", "phase")


def theory(capsys, monkeypatch, *arguments):
    """Run the command in this process: exit code, standard output, standard error."""
    monkeypatch.setattr(sys, "argv", ["sfumato", "theory", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        main()
    captured = capsys.readouterr()
    return stop.value.code, captured.out, captured.err


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: theory(capsys, monkeypatch, *arguments)


def rows_of(path):
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(command):
    done = subprocess.run(
        [sys.executable, "-m", "sfumato", "theory", command, "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert f"Example: sfumato theory {command}" in " ".join(done.stdout.split())


def test_the_ball_of_the_worked_example_is_lost_to_its_known_share(run, tmp_path):
    code, out, _ = run(
        "ball", "--dim", 2, "--alpha", "0,0.3", "--beta", 0.5, "--csv", "b.csv", "--figure", "b.svg"
    )
    assert code == 0
    assert "proved: augmentation cannot help" in out
    plain, augmented = rows_of(tmp_path / "b.csv")
    assert float(plain["risk"]) == pytest.approx(0.2652970662355503, rel=1e-9)
    assert float(augmented["risk"]) == pytest.approx(0.3593244328090848, rel=1e-9)
    assert (tmp_path / "b.svg").read_text().startswith("<?xml")


def test_an_empty_background_lets_an_isolated_ball_benefit(run):
    code, out, _ = run("ball", "--dim", 10, "--beta", 0.22356, "--training-level", 0.001)
    assert code == 0
    assert "0.0736" in out
    assert "cannot help" not in out


def test_two_near_intervals_are_reported_to_benefit_with_the_known_risk(run, tmp_path):
    code, out, _ = run("intervals", "--alpha", "0.38", "--csv", "i.csv", "--figure", "i.png")
    assert code == 0
    assert "proved: augmentation helps" in out
    assert "trained [-1.24586, 1.24586]" in out
    (row,) = rows_of(tmp_path / "i.csv")
    assert float(row["risk"]) == pytest.approx(0.7961715303996173, rel=1e-10)
    assert float(row["risk_without_augmentation"]) == 2.0
    assert (tmp_path / "i.png").stat().st_size > 10_000


def test_periodic_slabs_are_reported_not_to_benefit(run):
    code, out, _ = run("intervals", "--widths", "0.3", "--gaps", "0.7", "--alpha", "0,0.1", "--beta", "0.15")
    assert code == 0
    assert "0.0200178" in out  # 0.3 - 0.2799821641636732
    assert "proved: augmentation cannot help" in out


def test_the_three_gaussians_have_their_known_best_alpha_and_errors(run, tmp_path):
    code, out, _ = run(
        "mixture", "three", "--beta", 1, "--alpha", "0,1", "--csv", "m.csv", "--figure", "m.png"
    )
    assert code == 0
    for value in ("0.314124", "0.064002", "0.0318151", "0.0323358"):
        assert value in out
    assert float(rows_of(tmp_path / "m.csv")[1]["risk"]) == pytest.approx(0.06400205258135446, rel=1e-9)


@pytest.mark.parametrize(
    ("arguments", "values"),
    [
        (("ball", "--radius", 3, "--beta", 1, "--certified-radius", "0,0.5"), ("1.32014", "0.57523")),
        (("intervals", "--widths", "4", "--gaps", "9", "--beta", 1, "--radius", "0,0.5"), ("2", "0.38")),
        (("mixture", "lda", "--beta", "1,2", "--radius", "0,0.5"), ("0.199415", "0.0036216")),
    ],
    ids=lambda value: value[0],
)
def test_several_radii_give_the_best_alpha_at_each(run, tmp_path, arguments, values):
    code, out, _ = run(*arguments, "--csv", "r.csv", "--figure", "r.png")
    assert code == 0
    assert all(value in out for value in values)
    rows = rows_of(tmp_path / "r.csv")
    assert [float(row["radius"]) for row in rows[:: len(rows) // 2]] == [0.0, 0.5]
    assert (tmp_path / "r.png").stat().st_size > 10_000
    code, out, _ = run(*arguments, "--json")
    found = json.loads(out)["best"]
    assert [str(row["risk"]) for row in found] == [row["risk"] for row in rows]


def test_one_radius_gives_the_certified_risk_and_no_theorem_about_votes(run, tmp_path):
    code, out, _ = run(
        *("ball", "--radius", 3, "--alpha", "0,1.3", "--beta", "1,4", "--certified-radius", 0.5),
        *("--csv", "b.csv", "--figure", "b.png"),
    )
    assert code == 0
    assert "cannot help" not in out
    assert out.splitlines()[-1].split()[-5:-3] == ["inf", "1"]  # at beta = 4 nothing is left
    risks = [float(row["risk"]) for row in rows_of(tmp_path / "b.csv") if row["beta"] == "1.0"]
    assert risks == pytest.approx([0.64832, 0.57770], abs=5e-6)
    code, out, _ = run(
        *("intervals", "--beta", 0.3, "--alpha", "0,0.4", "--radius", 0.3, "--figure", "i.png"),
    )
    assert code == 0
    assert "class 1 is certified in [-0.94358, 0.94358], class 0 outside [-1.54358, 1.54358]" in out
    assert "proved" not in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("ball", "--certified-radius", -1),
            "certified_radius must be a finite number of at least 0, got -1",
        ),
        (("ball", "--certified-radius", 5), "certified_radius must be at most 8 beta = 2.4"),
        (("ball", "--certified-radius", 2), "radius must be smaller, got 2: naming one class everywhere"),
        (("intervals", "--radius", "-0.5"), "radius must be a finite number of at least 0, got -0.5"),
        (("intervals", "--radius", "1,2", "--beta", 1), "radius must be smaller, got 1: naming one class"),
        (("mixture", "three", "--radius", 2, "--beta", 1), "radius must be smaller, got 2: naming one class"),
        (("mixture", "lda", "--radius", "0:1.5:4"), "radius must be smaller than |mean| = 1.41421, got 1.5"),
        (("mixture", "three", "--radius", "wide"), "radius must be numbers separated by commas"),
    ],
)
def test_a_radius_that_nothing_certifies_is_one_line(run, arguments, message):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {message}")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        (("concentric", "--dim", 10, "--beta", 1, "--alpha", 1), "0.860216"),
        (("lda", "--radius", 0.5, "--alpha", 0, "--beta", 1), " 0.0036216 "),
        (("two", "--prior", 0.8, "--beta", 1, "--alpha", 0), "Bayes error"),
    ],
)
def test_every_mixture_answers(run, arguments, value):
    code, out, _ = run("mixture", *arguments)
    assert code == 0
    assert value in out


def test_the_phase_diagram_has_the_worked_example_in_it(run, tmp_path):
    code, out, _ = run(
        "phase",
        "--gaps",
        "0.5,1.0",
        "--alpha",
        "0.38",
        "--beta",
        "1.36",
        "--csv",
        "p.csv",
        "--figure",
        "p.png",
    )
    assert code == 0
    near, far = rows_of(tmp_path / "p.csv")
    assert float(near["best_benefit"]) == pytest.approx((2.0 - 0.7961715303996173) / 2.0, rel=1e-9)
    assert float(far["best_benefit"]) == 0.0
    assert "none" in out


def test_a_field_of_discs_reports_both_errors(run, tmp_path):
    code, out, _ = run(
        *(
            "field",
            "--side",
            60,
            "--cells",
            60,
            "--radius",
            10,
            "--draws",
            2,
            "--alpha",
            "0,5",
            "--beta",
            "14",
        ),
        *("--csv", "f.csv", "--figure", "f.png"),
    )
    assert code == 0
    assert "numerical error" in out
    assert len(rows_of(tmp_path / "f.csv")) == 2
    assert (tmp_path / "f.png").stat().st_size > 10_000


def test_the_published_figure_is_repeated(run, tmp_path):
    code, out, _ = run("figure4", "--sampler", "paper", "--draws", 2, "--csv", "4.csv", "--figure", "4.png")
    assert code == 0
    assert "published: of 12 curves over 2 draws, " in out
    assert len(rows_of(tmp_path / "4.csv")) == 4 * 3 * 21


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("ball", "--radius", -1), "radius must be"),
        (("ball", "--dim", 0), "dim must be"),
        (("ball", "--alpha", "0:1"), "alpha must be numbers separated by commas, or first:last:count"),
        (("ball", "--beta", "often"), "got 'often'"),
        (("ball", "--figure", "ball.gif"), "figure must end in .png, .svg, .pdf, got 'ball.gif'"),
        (("intervals", "--gaps", "1,2,3"), "gaps must be one fewer than the widths"),
        (("intervals", "--widths", "1,0"), "widths must be a positive finite number, got 0"),
        (("mixture", "many"), "mixture must be one of two, lda, three, concentric, got 'many'"),
        (("mixture", "three", "--inner", 1), "three has --separation, --scale, --prior, not --inner"),
        (("mixture", "concentric", "--dim", "2.5"), "dim must be a whole number, got 2.5"),
        (("field", "--dim", 4), "dim must be 2 or 3, got 4"),
        (("field", "--cells", 20), "cell"),
        (("figure4", "--sampler", "mine"), "sampler must be one of paper, continuum, both, got 'mine'"),
        (("figure4", "--draws", 1, "--sampler", "paper"), "draws must be a whole number of at least 2"),
        (("phase", "--gaps", "-1"), "gaps must be a finite number of at least 0, got -1"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(run, arguments, message):
    code, out, err = run(*arguments)
    assert code == 2, (out, err)
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("figure4", "--sampler", "paper", "--seed", -1), "seed of the published procedure must lie in 0.."),
        (("figure4", "--sampler", "continuum", "--seed", -1), "seed must be a whole number of at least 0"),
        (("field", "--seed", -1), "seed must be a whole number of at least 0, got -1"),
        (("mixture", "concentric", "--dim", "nan"), "dim must be a whole number, got nan"),
        (("mixture", "concentric", "--dim", "inf"), "dim must be a whole number, got inf"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_one_line(run, arguments, words):
    code, _, err = run(*arguments)
    assert code == 2
    assert words in err
    assert err.count("\n") == 1


def test_too_few_arrangements_are_not_said_to_show_no_dip(run):
    _, out, _ = run("figure4", "--sampler", "paper", "--draws", 3)
    assert "too few to call any dip significant; at least 8 draws are needed" in out


def test_two_gaussians_certified_beyond_their_distance_are_best_left_to_the_likelier_class(run):
    code, out, _ = run("mixture", "two", "--prior", 0.8, "--radius", 1.5, "--beta", 1)
    assert code == 0
    assert out.splitlines()[-1].split()[-3:] == ["inf", "0.2", "inf"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("ball", "--dim", 3, "--alpha", "0,0.3", "--beta", "0.2,0.5"),
        ("intervals", "--alpha", "0,0.38", "--beta", 1.36),
        ("mixture", "three", "--alpha", "0,1", "--beta", "0.5,1"),
        ("field", "--side", 100, "--cells", 64, "--draws", 2, "--alpha", "0,5", "--beta", 8),
    ],
    ids=lambda arguments: arguments[0],
)
def test_json_holds_the_numbers_of_the_csv_and_nothing_else(run, tmp_path, arguments):
    code, out, err = run(*arguments, "--json", "--csv", "risk.csv", "--figure", "risk.png")
    assert code == 0
    assert "risk.csv" in err
    assert "risk.png" in err
    found = json.loads(out)
    grid = itertools.product(enumerate(found["alpha"]), enumerate(found["beta"]))
    for row, ((i, alpha), (k, beta)) in zip(rows_of(tmp_path / "risk.csv"), grid, strict=True):
        assert (alpha, beta) == (float(row["alpha"]), float(row["beta"]))
        assert found["risk"][i][k] == float(row["risk"])
        assert found["risk_without_augmentation"][k] == float(row["risk_without_augmentation"])


def test_json_of_the_phase_diagram_and_of_figure4(run, tmp_path):
    _, out, _ = run("phase", "--gaps", "0.3,1.1", "--json", "--csv", "phase.csv")
    found = json.loads(out)
    benefits = [value for gap in found["best_benefit"] for value in gap]
    assert benefits == [float(row["best_benefit"]) for row in rows_of(tmp_path / "phase.csv")]
    assert found["helps_for_beta"][1] == [None, None]
    _, out, _ = run("figure4", "--sampler", "continuum", "--draws", 2, "--json")
    (study,) = json.loads(out)
    assert len(study["dips"]) == len(study["study"]["zetas"]) * len(study["study"]["betas"])


def test_json_says_an_infinite_best_alpha_with_null(run):
    _, out, _ = run("mixture", "two", "--prior", 0.9, "--radius", 2, "--alpha", 0, "--beta", 0.1, "--json")
    (found,) = json.loads(out)["best"]
    assert found["best_alpha"] is None
    # then the likelier class is named everywhere
    assert found["risk"] == pytest.approx(0.1, abs=1e-12)
