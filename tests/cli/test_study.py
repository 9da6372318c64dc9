"""``sfumato study init`` and ``run`` as a user meets them."""

import sqlite3

import pytest

from sfumato.studies.design import Design

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = ["--epochs", "1", "--images", "40", "--alpha", "0,0.4", "--beta", "0,0.5", "--n", "20"]


def test_a_study_is_written_run_and_grown(tmp_path, monkeypatch, sfumato):
    monkeypatch.chdir(tmp_path)
    code, out, err = sfumato("study", "init", "s.toml")
    assert code == 0, err
    assert "sfumato study run s.toml --out FOLDER" in out
    code, out, err = sfumato("study", "run", "s.toml", *SMALL, "--out", "study")
    assert code == 0, err
    assert "Risk Delta(alpha, beta) on 40 test images of digits, 20 votes each" in out
    assert "alpha 0.4 beta 0.5 seed 0: risk " in out
    assert "seeds 0; alpha and beta in: pixels in [0, 1]" in out
    assert "\x1b" not in out + err
    assert sfumato("study", "show", "study")[1] in out, "a run ends with what show prints"
    assert {path.name for path in (tmp_path / "study").iterdir()} >= {
        "study.toml",
        "models",
        "results.sqlite",
    }
    # the folder is a study of its own: its file says all that was given as options
    code, out, err = sfumato("study", "run", "study")
    assert code == 0, err
    assert "trained in" not in out
    code, out, err = sfumato("study", "run", "study", "--alpha", "0:0.4:3")
    assert out.count("trained in") == 1, err
    assert "alpha = [0.0, 0.2, 0.4]" in (tmp_path / "study" / "study.toml").read_text()


def test_a_run_without_a_file_goes_on_with_the_settings_of_its_folder(tmp_path, monkeypatch, sfumato):
    monkeypatch.chdir(tmp_path)
    assert sfumato("study", "run", *SMALL, "--out", "study")[0] == 0
    before = (tmp_path / "study" / "study.toml").read_text()
    code, out, err = sfumato("study", "run", "--out", "study")
    assert code == 0, err
    assert "study: going on with the settings of its study.toml" in " ".join((out + err).split())
    assert "trained in" not in out
    assert (tmp_path / "study" / "study.toml").read_text() == before
    assert sfumato("study", "run", "--out", "study", "--images", "30")[0] == 0
    after = (tmp_path / "study" / "study.toml").read_text()
    assert after == before.replace("images = 40", "images = 30")


def test_every_field_of_the_tables_is_an_option_and_a_dry_run_writes_nothing(tmp_path, monkeypatch, sfumato):
    monkeypatch.chdir(tmp_path)
    code, out, err = sfumato("study", "run", *SMALL, "--seeds", "0:4:3", "--out", "study", "--dry-run")
    assert code == 0, err
    assert "6 models to train (6 epochs), 12 of 12 cells to complete: 480 images to vote on" in out
    assert "about 0 h 00 min" in out
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv("COLUMNS", "300")
    printed = " ".join(sfumato("study", "run", "--help")[1].split())
    for table in ("data", "model", "grid", "votes"):
        for name, field in type(getattr(Design(), table)).model_fields.items():
            words = field.description.removesuffix(".")
            assert words[1:].partition(" (")[0] in printed, (table, name)


BAD = [
    (["init", "there.toml"], "there.toml: exists already"),
    (["run"], "--out is missing"),
    (["run", "none.toml", "--out", "x"], "none.toml: cannot be read"),
    (["run", "there.toml", "--out", "x"], "there.toml: unknown key modell; accepted are data, model, grid"),
    (["run", "--out", "x", "--alpha", "0.4,0.2"], "grid.alpha must be strictly increasing"),
    (["run", "--out", "x", "--alpha", "0.4,x"], "a count of 2 to 10000, got 'x'"),
    (["run", "--out", "x", "--seeds", "0.5"], "seeds must be whole numbers separated by commas, or first:"),
    (["run", "--out", "x", "--seeds", "0:3:3"], "got '0:3:3'"),
    (["run", "--out", "x", "--error", "0"], "votes.error must be greater than 0, got 0.0"),
    (["run", "--out", "x", "--rule", "some"], "votes.rule must be 'curtailed', 'sequential' or 'all'"),
    (["run", "--out", "x", "--data", "minst"], "'minst' is not known"),
    (["run", "--out", "x", "--model", "cnm"], "'cnm' is not known"),
    (["run", "--out", "x", "--images", "900"], "at most the 797 test images of digits, got 900"),
    (["run", "--out", "there.toml/x"], "is not a folder"),
    (["run", "--out", "newer"], "was written by a newer Sfumato"),
    (["run", "--out", "damaged"], "is damaged"),
]


@pytest.mark.parametrize(("arguments", "words"), BAD, ids=[" ".join(a) for a, _ in BAD])
def test_bad_input_is_one_line_and_exit_code_2(arguments, words, tmp_path, refused):
    (tmp_path / "there.toml").write_text("[modell]\n")
    for name in ("newer", "damaged"):
        (tmp_path / name).mkdir()
    with sqlite3.connect(tmp_path / "newer" / "results.sqlite") as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    (tmp_path / "damaged" / "results.sqlite").write_bytes(b"no database" * 99)
    refused(["study", *arguments], words)
