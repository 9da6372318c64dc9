import multiprocessing
import os
import tempfile

import numpy as np
import pytest

import execution_tasks as tasks
from execution_tasks import run
from sfumato.errors import DataError, ModelError, SettingError
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
    with (
        Processes(1) as executor,
        pytest.raises(WorkerError, match=f"deadly: its worker process ended {MOST_ATTEMPTS} times"),
    ):
        executor.run(lambda: next(offered, None))


def test_what_cannot_be_shipped_is_refused_by_name(processes):
    with pytest.raises(ModelError, match=r"the model cannot be sent to a worker: the model\['f'\] is a"):
        processes.share("the model", {"f": lambda: 0})


def test_nothing_is_left_behind(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = set(multiprocessing.active_children())
    with Processes(1) as executor:
        executor.share("zeros", np.zeros(10))
        run(executor, [(tasks.add, 1, 1)])
        assert len(set(multiprocessing.active_children()) - before) == 1
        (folder,) = tmp_path.iterdir()
        assert len(list(folder.iterdir())) == 2, "the shared value, and the mark of the folder's owner"
    assert not list(tmp_path.iterdir())
    assert set(multiprocessing.active_children()) == before


def test_more_gpus_than_there_are_are_refused():
    with pytest.raises(SettingError, match=r"3 workers with gpus-per-worker 0.5 need 1.5 GPUs, .* has 1"):
        Processes(3, gpus_per_worker=0.5, gpus=1)


def test_what_is_built_is_remembered_for_a_few_keys():
    with Processes(1) as executor:
        done = run(executor, [(tasks.built, key) for key in (1, 1, 2, 1, 3, 4, 5, 6, 1, 2)])
    assert [each.value for each in done] == [0, 0, 1, 0, 2, 3, 4, 5, 0, 6]
