"""Running a command in this process, for tests."""

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
