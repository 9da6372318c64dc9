"""How the tests of the command line call it: in this process, as the entry point does."""

import sys

import pytest

from sfumato.cli.main import main


def call(capsys, *arguments):
    """Return the exit code, standard output and standard error of ``sfumato ARGUMENTS``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["sfumato", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
    printed = capsys.readouterr()
    return stop.value.code, printed.out, printed.err


@pytest.fixture
def sfumato(capsys):
    """A function that runs a command and returns its exit code, standard output and standard error."""
    return lambda *arguments: call(capsys, *arguments)


@pytest.fixture
def refused(sfumato, monkeypatch, tmp_path):
    """A function that requires a command run in ``tmp_path`` to be refused in one line, changing no file."""

    def check(arguments, words):
        monkeypatch.chdir(tmp_path)
        before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        code, out, err = sfumato(*arguments)
        assert code == 2, err
        *notes, error = err.splitlines()
        assert error.startswith("error: ")
        assert words in error
        assert (out, all(line.startswith("note: ") for line in notes)) == ("", True)
        after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        assert {path: text for path, text in after.items() if "__pycache__" not in path.parts} == before

    return check
