"""``sfumato study show --all`` and ``drop`` as a user meets them, after a setting was changed."""

import io
import json

import pytest

from command_line import call
from sfumato.studies.design import make_design
from sfumato.studies.run import run_study
from sfumato.studies.store import load_results

TABLES = {
    "data": {"images": 20},
    "model": {"epochs": 1},
    "grid": {"alpha": [0.1], "beta": [0.5]},
    "votes": {"n": 10},
}


@pytest.fixture
def folder(tmp_path):
    """A study that was run with 10 votes, then with 20."""
    folder = tmp_path / "study"
    for votes in (10, 20):
        run_study(make_design({**TABLES, "votes": {"n": votes}}), folder, device="cpu")
    return folder


def names(folder, capsys):
    code, printed, errors = call(capsys, "study", "show", folder, "--all", "--json")
    assert code == 0, errors
    return {one["name"]: one["present"] for one in json.loads(printed)["kept"]}


def test_rows_of_other_settings_are_listed_and_dropped_only_when_it_is_said(folder, capsys):
    kept = names(folder, capsys)
    assert sorted(kept.values()) == [False, True]
    (old,) = (name for name, present in kept.items() if not present)
    code, printed, _ = call(capsys, "study", "show", folder, "--all")
    assert code == 0
    assert old[:8] in printed
    assert "up to 20 votes" in printed
    shown = repr(load_results(folder))

    code, printed, errors = call(capsys, "study", "drop", folder, old[:8])
    assert code == 2
    assert "nothing was dropped; give --yes" in errors
    assert "To be dropped" in printed
    assert names(folder, capsys) == kept

    code, printed, errors = call(capsys, "study", "drop", folder, "--others", "--yes")
    assert code == 0, errors
    assert "20 rows dropped" in printed
    assert list(names(folder, capsys).values()) == [True]
    assert repr(load_results(folder)) == shown
    code, printed, _ = call(capsys, "study", "drop", folder, "--others")
    assert (code, "keeps no rows of other settings" in printed) == (0, True)

    (present,) = names(folder, capsys)
    for arguments, words in (
        ([present], "cannot be dropped"),
        ([], "give either the names of settings"),
        ([present, "--others"], "give either the names of settings"),
        (["beef"], "those that can be dropped: there are none"),
    ):
        code, _, errors = call(capsys, "study", "drop", folder, *arguments)
        assert (code, errors.count("\n")) == (2, 1)
        assert words in errors
    code, _, errors = call(capsys, "study", "show", folder, "--all", "--soft")
    assert (code, "leave out --soft and --radii" in errors) == (2, True)


@pytest.mark.parametrize(("answer", "left"), [("n\n", 2), ("y\n", 1)])
def test_on_a_terminal_the_answer_decides(folder, capsys, monkeypatch, answer, left):
    monkeypatch.setattr("sys.stdin", type("Terminal", (io.StringIO,), {"isatty": lambda _: True})(answer))
    code, _, errors = call(capsys, "study", "drop", folder, "--others")
    assert code == (1 if left == 2 else 0)
    assert ("nothing was dropped" in errors) == (left == 2)
    assert len(names(folder, capsys)) == left
