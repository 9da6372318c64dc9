import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

import execution_tasks as tasks
from execution_tasks import run
from processes import alive
from sfumato.errors import DataError, ModelError, OutputError, SettingError
from sfumato.execution.base import MOST_ATTEMPTS, Task, WorkerError
from sfumato.execution.local import InProcess, Processes


@pytest.fixture(scope="module")
def processes():
    with Processes(2) as executor:
        yield executor


@pytest.fixture(params=["in process", "processes"])
def executor(request):
    if request.param == "in process":
        return InProcess()
    return request.getfixturevalue("processes")


def test_every_task_comes_back_once(executor):
    done = run(executor, [(tasks.add, number, 1) for number in range(50)])
    assert [each.value for each in done] == list(range(1, 51))
    assert executor.in_flight == 0


def test_shared_values_are_found_by_their_handles(executor):
    values = np.arange(1000, dtype=np.float64)
    shared = executor.share("numbers", values)
    done = run(executor, [(tasks.total, shared, extra) for extra in range(3)], needs=(shared,))
    assert [each.value for each in done] == [values.sum() + extra for extra in range(3)]
    executor.release(shared)
    with pytest.raises((KeyError, WorkerError)):
        run(executor, [(tasks.total, shared, 0)], needs=(shared,))


def test_what_a_task_raises_is_raised_and_the_executor_goes_on(executor):
    with pytest.raises(DataError, match="no good"):
        run(executor, [(tasks.fail, "no good"), (tasks.add, 1, 1)])
    assert executor.in_flight == 0
    assert run(executor, [(tasks.add, 1, 2)])[0].value == 3


def test_an_error_that_is_not_ours_is_told_in_one_line(processes):
    with pytest.raises(WorkerError, match=r"task 0: failed on worker \d with TypeError: unsupported operand"):
        run(processes, [(tasks.add, 1, "a")])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((tasks.leave, 3), r"failed on worker \d with SystemExit: 3"),
        ((tasks.fail_unsendably,), r"failed on worker \d with Unsendable: its message cannot be read"),
    ],
)
def test_whatever_a_task_raises_is_one_line_and_its_worker_lives(processes, arguments, words):
    with pytest.raises(WorkerError, match=words) as caught:
        run(processes, [arguments])
    assert "\n" not in str(caught.value)
    assert run(processes, [(tasks.add, 1, 2)])[0].value == 3


def test_reports_arrive_in_order_before_the_result(executor):
    heard = []
    offered = iter([Task("steps", tasks.steps, (4,), lambda done: heard.append("done"), heard.append)])
    executor.run(lambda: next(offered, None))
    assert heard == [0, 1, 2, 3, "done"]


def test_tasks_may_follow_from_results(executor):
    found, offered = [], []

    def then(done):
        found.append(done.value)
        if done.value < 5:
            offered.append(Task("next", tasks.add, (done.value, 1), then))

    offered.append(Task("first", tasks.add, (0, 1), then))
    executor.run(lambda: offered.pop() if offered else None)
    assert found == [1, 2, 3, 4, 5]


def test_no_more_tasks_are_drawn_than_are_needed_to_keep_the_workers_busy(executor):
    drawn, most = iter(range(100)), 0

    def next_task():
        nonlocal most
        most = max(most, executor.in_flight)
        number = next(drawn, None)
        return None if number is None else Task("n", tasks.add, (number, 0), lambda done: None)

    executor.run(next_task)
    assert most < 2 * executor.slots


def test_worker_processes_hold_cores_of_their_own_and_share_one_copy_of_arrays(processes):
    shared = processes.share("zeros", np.zeros(10))
    cores = {done.node: done.value for done in run(processes, [(tasks.cores,)] * 8)}
    if len(os.sched_getaffinity(0)) >= 2:
        assert set(cores) == {"worker 0", "worker 1"}
        assert not set(cores["worker 0"]) & set(cores["worker 1"])
    done = run(processes, [(tasks.where, shared)] * 4, needs=(shared,))
    assert os.getpid() not in {each.value[0] for each in done}
    assert not any(each.value[1] for each in done), "mapped, not copied"


def test_a_killed_worker_is_replaced_and_its_task_done_again(processes, tmp_path):
    done = run(processes, [(tasks.die_once, tmp_path / "flag"), *[(tasks.add, n, n) for n in range(5)]])
    assert isinstance(done[0].value, int)
    assert [each.value for each in done[1:]] == [0, 2, 4, 6, 8]


def test_a_task_that_kills_every_worker_is_given_up():
    offered = iter([Task("deadly", tasks.die, (), lambda done: None)])
    with Processes(1) as executor, pytest.raises(WorkerError, match=f"deadly: {MOST_ATTEMPTS} worker proc"):
        executor.run(lambda: next(offered, None))


def test_what_cannot_be_shipped_is_refused_by_name(processes):
    with pytest.raises(ModelError, match=r"the model cannot be shipped to a worker: the model\['f'\] is a"):
        processes.share("the model", {"f": lambda: 0})


def test_nothing_is_left_behind():
    with Processes(1) as executor:
        executor.share("zeros", np.zeros(10))
        run(executor, [(tasks.add, 1, 1)])
        folder, process = executor._folder, executor._workers[0]._process
        assert list(folder.iterdir())
    assert not folder.exists()
    assert not process.is_alive()


def test_more_gpus_than_there_are_are_refused():
    with pytest.raises(SettingError, match=r"3 workers with gpus-per-worker 0.5 need 1.5 GPUs, .* has 1"):
        Processes(3, gpus_per_worker=0.5, gpus=1)


def test_what_is_built_is_remembered_for_a_few_keys():
    with Processes(1) as executor:
        done = run(executor, [(tasks.built, key) for key in (1, 1, 2, 1, 3, 4, 5, 1, 2)])
    assert [each.value for each in done] == [0, 0, 1, 0, 2, 3, 4, 0, 5]


DRIVER = """
import sys, threading
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
        print(executor._workers[0]._process.pid, flush=True)
        executor.wait()
    print(executor._kept._keeper.pid, flush=True)
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
        os.kill(int(process.stdout.readline()), signal.SIGKILL)
        process.kill()
    assert len(list(temporary.iterdir())) == 1
    precious.mkdir()
    (precious / "owned").touch()
    (temporary / "sfumato-workers-link").symlink_to(precious)
    with driver(tmp_path, "idle") as process, driver(tmp_path, "idle") as other:
        process.stdout.readline()
        other.stdout.readline()
        # those of the two that run, and the link
        assert len(list(temporary.iterdir())) == 3
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
