"""The options of workers, as a user gives them."""

import sys

import pytest

from sfumato.cli.main import main
from study_rows import rows_of


def sfumato(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["sfumato", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        main()
    out, err = capsys.readouterr()
    return stop.value.code, out, err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--executor", "dask"], "executor must be one of local, ray, got 'dask'"),
        (["--workers", 0], "workers must be a whole number of at least 1, got 0"),
        (["--threads", 0], "threads must be a whole number of at least 1, got 0"),
        (["--ray-address", "auto"], "ray-address auto is for the executor ray; add --executor ray"),
        (["--executor", "ray", "--ray-address", "x"], "ray-address must be host:port or auto, got 'x'"),
    ],
)
def test_bad_options_are_refused_in_one_line(monkeypatch, capsys, tmp_path, options, message):
    code, _, err = sfumato(monkeypatch, capsys, "study", "run", "--out", tmp_path / "s", *options)
    assert code == 2
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "s").exists()


def test_certify_refuses_what_is_of_one_process(monkeypatch, capsys, tmp_path, digits_model):
    out = tmp_path / "c.tsv"
    base = ["certify", "--model", digits_model, "--beta", 0.5, "--out", out, "--workers", 1]
    code, _, err = sfumato(monkeypatch, capsys, *base, "--batch-size", 9)
    assert code == 2
    assert "batch-size 9 is for one process" in err
    code, _, err = sfumato(monkeypatch, capsys, *base, "--profile")
    assert code == 2
    assert "profile is for one process" in err
    assert not out.exists()


@pytest.mark.slow
def test_a_study_with_workers_has_the_rows_of_one_without(monkeypatch, capsys, tmp_path):
    study = [
        "study",
        "run",
        "--alpha",
        "0,0.4",
        "--beta",
        "0.3",
        "--epochs",
        2,
        "--threads",
        1,
        "--images",
        300,
    ]
    tables = []
    for name, options in (("one", []), ("two", ["--workers", 2])):
        code, out, err = sfumato(monkeypatch, capsys, *study, "--out", tmp_path / name, *options)
        assert code == 0, err
        tables.append([line for line in out.splitlines() if "(" in line and " s" not in line])
    assert rows_of(tmp_path / "two") == rows_of(tmp_path / "one")
    assert tables[0] == tables[1]
