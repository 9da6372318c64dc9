"""One run per output, whatever its path is called and however the run before it ended."""

import os
import signal
import subprocess
import sys

import pytest

from sfumato import files
from sfumato.errors import MissingPackageError, OutputError
from sfumato.files import locked


@pytest.fixture
def holder(tmp_path):
    """A process that holds ``tmp_path / "out"``."""
    code = (
        "import sys; from pathlib import Path; from sfumato.files import locked\n"
        f"with locked(Path({str(tmp_path / 'out')!r})): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


@pytest.mark.parametrize("spelling", ["out", "sub/../out", "link/out"])
def test_an_output_that_is_held_is_refused_under_every_spelling(spelling, holder, tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "link").symlink_to(tmp_path)
    with (
        pytest.raises(OutputError, match=rf"out: another run \(process {holder.pid}\) holds it") as caught,
        locked(tmp_path / spelling),
    ):
        pass
    assert caught.value.exit_code == 2


def test_a_killed_run_blocks_nobody_and_nothing_stays_behind(holder, tmp_path):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert [path.name for path in tmp_path.iterdir()] == [".out.lock"]
    with locked(tmp_path / "out"), locked(tmp_path / "other"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_two_threads_or_calls_of_one_process_do_not_share_an_output(tmp_path):
    with locked(tmp_path / "out"):
        with pytest.raises(OutputError, match=f"process {os.getpid()}"), locked(tmp_path / "out"):
            pass
        assert (tmp_path / ".out.lock").exists(), "the refused one has not taken the lock away"


def test_a_link_in_the_place_of_the_lock_is_not_followed(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / ".out.lock").symlink_to(victim)
    with pytest.raises(OutputError, match="out: cannot be locked"), locked(tmp_path / "out"):
        pass
    assert victim.read_text() == "precious"


def test_a_lock_whose_file_was_replaced_meanwhile_is_taken_anew(tmp_path, monkeypatch):
    """Who held it has removed its file after it was opened here: what was locked is no lock any more."""
    real, opened = os.open, []

    def open_and_lose_the_first(place, *how):
        opened.append(real(place, *how))
        if len(opened) == 1:
            place.unlink()
        return opened[-1]

    monkeypatch.setattr(files.os, "open", open_and_lose_the_first)
    with locked(tmp_path / "out"):
        assert len(opened) == 2
        with pytest.raises(OutputError, match="holds it"), locked(tmp_path / "out"):
            pass


def test_windows_is_told_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "fcntl", None)
    with pytest.raises(MissingPackageError, match=r"Windows is not supported.*WSL"), locked(tmp_path / "out"):
        pass
