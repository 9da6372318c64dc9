"""The temporary folder of worker processes is gone however its driver ends, and the workers with it."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

import execution_tasks as tasks
from processes import alive, descendants, kill
from sfumato.errors import OutputError
from sfumato.execution.local import Processes

DRIVER = """
import multiprocessing, sys
sys.path[:0] = [sys.argv[1]]
import execution_tasks as tasks
from pathlib import Path
from sfumato.execution.base import Task
from sfumato.execution.local import Processes
if __name__ == "__main__":
    executor = Processes(1)
    executor.share("zeros", bytes(1000))
    if sys.argv[2] == "busy":
        executor.submit(Task("wait", tasks.wait_for, (Path(sys.argv[3]), 60), lambda done: None))
        print(multiprocessing.active_children()[0].pid, flush=True)
        executor.wait()
    print("ready", flush=True)
    sys.stdin.read()
"""


def driver(tmp_path, *arguments):
    """Start a process with an executor; its temporary folder lies in ``tmp_path / "temporary"``."""
    script, temporary = tmp_path / "driver.py", tmp_path / "temporary"
    script.write_text(DRIVER)
    temporary.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, script, Path(tasks.__file__).parent, *arguments, tmp_path / "flag"],
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "TMPDIR": str(temporary)},
    )


def gone(folder):
    for _ in range(200):
        if not list(folder.iterdir()):
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_the_temporary_folder_is_gone_when_the_driver_was_killed_with_no_worker_started(tmp_path, ending):
    with driver(tmp_path, "idle") as process:
        process.stdout.readline()
        assert [path.name[:16] for path in (tmp_path / "temporary").iterdir()] == ["sfumato-workers-"]
        os.killpg(process.pid, ending)
    assert gone(tmp_path / "temporary")


def test_a_folder_whose_every_process_was_killed_is_removed_by_the_next_executor(tmp_path):
    temporary, precious = tmp_path / "temporary", tmp_path / "precious"
    with driver(tmp_path, "idle") as process:
        process.stdout.readline()
        for each in [*descendants(process.pid), process.pid]:
            kill(each)
    assert len(list(temporary.glob("sfumato-*"))) == 1
    precious.mkdir()
    (precious / "owned").touch()
    (temporary / "sfumato-workers-link").symlink_to(precious)
    with driver(tmp_path, "idle") as process, driver(tmp_path, "idle") as other:
        process.stdout.readline()
        other.stdout.readline()
        # those of the two that run, and the link; Python tries a folder by a file that it removes at once
        assert len(list(temporary.glob("sfumato-*"))) == 3
        for each in (process, other):
            each.kill()
    assert (precious / "owned").exists(), "a link is not followed"


def test_no_temporary_folder_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(OutputError, match=r"missing: no temporary folder can be made there \(.*\)"):
        Processes(1)


def test_a_worker_ends_with_its_parent(tmp_path):
    with driver(tmp_path, "busy") as process:
        worker = int(process.stdout.readline())
        process.kill()
    for _ in range(100):
        if not alive(worker):
            break
        time.sleep(0.1)
    else:
        pytest.fail("the worker outlived its parent")
