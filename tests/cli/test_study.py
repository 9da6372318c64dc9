"""``sfumato study init`` and ``run`` as a user meets them."""

import os
import sqlite3
import subprocess
import sys

import pytest
import torch

from sfumato.cli.main import main

SMALL = ["--epochs", "1", "--images", "40", "--alpha", "0,0.4", "--beta", "0,0.5", "--n", "20"]


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """These networks are too small to share out, and a busy machine makes threads wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def sfumato(*arguments, cwd):
    return subprocess.run(
        [sys.executable, "-m", "sfumato", "study", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def called(monkeypatch, capsys, *arguments):
    """Run in this process; return the exit code, standard output and standard error."""
    monkeypatch.setattr(sys, "argv", ["sfumato", "study", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    printed = capsys.readouterr()
    return stop.value.code, printed.out, printed.err


@pytest.mark.parametrize("command", ["init", "run"])
def test_help_has_an_example(command, monkeypatch, capsys):
    code, out, _ = called(monkeypatch, capsys, command, "--help")
    assert code == 0
    assert f"Example: sfumato study {command}" in " ".join(out.split())


def test_a_study_is_written_run_and_grown(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code, out, err = called(monkeypatch, capsys, "init", "s.toml")
    assert code == 0, err
    assert "sfumato study run s.toml --out FOLDER" in out
    done = sfumato("run", "s.toml", *SMALL, "--out", "study", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Risk Delta(alpha, beta) on 40 test images of digits, seeds 0" in done.stdout
    assert "alpha 0.4 beta 0.5 seed 0: risk " in done.stdout
    assert "alpha and beta in: pixels in [0, 1]" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr
    assert {path.name for path in (tmp_path / "study").iterdir()} >= {
        "study.toml",
        "models",
        "results.sqlite",
    }
    # the folder is a study of its own: its file says all that was given as options
    code, out, err = called(monkeypatch, capsys, "run", "study")
    assert code == 0, err
    assert "trained in" not in out
    code, out, err = called(monkeypatch, capsys, "run", "study", "--alpha", "0,0.2,0.4")
    assert out.count("trained in") == 1, err


def test_a_dry_run_says_what_is_left_and_writes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code, out, err = called(monkeypatch, capsys, "run", *SMALL, "--out", "study", "--dry-run")
    assert code == 0, err
    assert "2 models to train (2 epochs), 4 of 4 cells to complete: 160 images to vote on" in out
    assert "about 0 h 00 min" in out
    assert list(tmp_path.iterdir()) == []


BAD = [
    (["init", "there.toml"], "there.toml: exists already"),
    (["run"], "--out is missing"),
    (["run", "none.toml", "--out", "x"], "none.toml: cannot be read"),
    (["run", "there.toml", "--out", "x"], "there.toml: unknown key modell; accepted are data, model, grid"),
    (["run", "--out", "x", "--alpha", "0.4,0.2"], "grid.alpha must be strictly increasing"),
    (["run", "--out", "x", "--alpha", "0.4,x"], "alpha must be numbers separated by commas, got '0.4,x'"),
    (["run", "--out", "x", "--seeds", "0.5"], "seeds must be whole numbers separated by commas, got '0.5'"),
    (["run", "--out", "x", "--rule", "some"], "votes.rule must be 'curtailed', 'sequential' or 'all'"),
    (["run", "--out", "x", "--data", "minst"], "'minst' is not known"),
    (["run", "--out", "x", "--model", "cnm"], "'cnm' is not known"),
    (["run", "--out", "x", "--images", "900"], "at most the 797 test images of digits, got 900"),
    (["run", "--out", "there.toml/x"], "is not a folder"),
    (["run", "--out", "newer"], "was written by a newer Sfumato"),
    (["run", "--out", "damaged"], "is damaged"),
]


@pytest.mark.parametrize(("arguments", "words"), BAD, ids=[" ".join(a) for a, _ in BAD])
def test_bad_input_is_one_line_and_exit_code_2(arguments, words, tmp_path, monkeypatch, capsys):
    (tmp_path / "there.toml").write_text("[modell]\n")
    for name in ("newer", "damaged"):
        (tmp_path / name).mkdir()
    with sqlite3.connect(tmp_path / "newer" / "results.sqlite") as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    (tmp_path / "damaged" / "results.sqlite").write_bytes(b"no database" * 99)
    monkeypatch.chdir(tmp_path)
    code, out, err = called(monkeypatch, capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert words in err
    assert err.count("\n") == 1
    assert not (tmp_path / "x").exists()
