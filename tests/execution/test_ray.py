"""The executor on a real Ray cluster of several raylets on this machine."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import execution_tasks as tasks
from execution_tasks import run
from processes import descendants, listening, title
from ray_cluster import SOURCES, one_more, unplug, workers_of
from sfumato.errors import DataError, ModelError, SettingError
from sfumato.execution.base import Task, WorkerError

pytestmark = pytest.mark.slow


@pytest.fixture
def executor(ray_executor):
    return ray_executor


def test_every_task_comes_back_once_from_both_nodes(executor, tmp_path):
    assert executor.slots == 2
    done = run(executor, [(tasks.add, number, 1) for number in range(60)])
    assert [each.value for each in done] == list(range(1, 61))
    opener = threading.Timer(3.0, (tmp_path / "flag").touch)
    opener.start()
    together = run(executor, [(tasks.wait_for, tmp_path / "flag", 60)] * 2)
    assert len({each.node for each in together}) == 2, "each node was given one of two tasks that wait"


def test_shared_values_are_views_of_the_nodes_object_store(executor):
    values = np.arange(1_000_000, dtype=np.float64)
    shared = executor.share("numbers", values)
    assert [d.value for d in run(executor, [(tasks.total, shared, n) for n in range(4)], (shared,))] == [
        values.sum() + n for n in range(4)
    ]
    for done in run(executor, [(tasks.where, shared)] * 4, (shared,)):
        assert done.value[0] != os.getpid()
        assert not done.value[1]


def test_errors_and_reports_come_to_the_driver(executor, tmp_path):
    with pytest.raises(DataError, match="no good") as raised:
        run(executor, [(tasks.fail, "no good"), (tasks.add, 1, 1)])
    assert "execution_tasks.py" in raised.value.__notes__[0], "where it was raised is told"
    assert executor.in_flight == 0
    heard = []

    def hear(step):
        heard.append(step)
        if step == 5:
            (tmp_path / "flag").touch()

    then = lambda done: heard.append("done")  # noqa: E731
    offered = iter([Task("task", tasks.report_until, (tmp_path / "flag", 100), then, hear)])
    executor.run(lambda: next(offered, None))
    assert heard[-1] == "done"
    # the last ones may come too late, none twice and none in disorder
    assert heard[:-1] == list(range(len(heard) - 1))
    assert len(heard) > 5


def test_a_killed_worker_costs_its_task_a_second_attempt(executor, tmp_path):
    done = run(executor, [(tasks.die_once, tmp_path / "flag"), *[(tasks.add, n, n) for n in range(5)]])
    assert (tmp_path / "flag").exists()
    assert isinstance(done[0].value, int)
    assert [each.value for each in done[1:]] == [0, 2, 4, 6, 8]


def test_what_cannot_be_shipped_is_refused_by_name(executor):
    with pytest.raises(ModelError, match=r"the model\['lock'\] is a lock"):
        executor.share("the model", {"lock": threading.Lock()})


def test_a_worker_of_another_version_is_refused_with_both_named(cluster):
    import torch

    from sfumato.execution.ray import RayExecutor

    versions = {"sfumato": "99.1", "torch": str(torch.__version__)}
    with (
        RayExecutor(versions=versions) as executor,
        pytest.raises(WorkerError, match=r"worker on \S+ has sfumato \S+, but this process has sfumato 99.1"),
    ):
        run(executor, [(tasks.add, 1, 1)])
    with (
        RayExecutor(versions={"no_such_package": "1"}) as executor,
        pytest.raises(WorkerError, match="has no no_such_package, but this process has no_such_package 1"),
    ):
        run(executor, [(tasks.add, 1, 1)])


def test_more_gpus_than_a_node_has_are_refused(cluster):
    from sfumato.execution.ray import RayExecutor

    with pytest.raises(SettingError, match=r"gpus-per-worker 0.5: no node .* has that many; the most is 0"):
        RayExecutor(gpus_per_worker=0.5)


def test_a_lost_node_costs_its_tasks_a_second_attempt(cluster, tmp_path):
    from sfumato.execution.ray import RayExecutor

    flag, lost = tmp_path / "flag", one_more(cluster)
    seen = []

    def unplug_when_busy():
        while not seen:
            time.sleep(0.05)
            seen.extend(workers_of(lost))
        unplug(cluster, lost)
        flag.touch()

    killer = threading.Thread(target=unplug_when_busy)
    with RayExecutor() as executor:
        assert executor.slots == 3
        killer.start()
        done = run(executor, [(tasks.wait_for, flag, 60)] * 3 + [(tasks.add, n, 0) for n in range(10)])
        killer.join()
    assert [each.value for each in done[3:]] == list(range(10))
    assert not {each.value for each in done[:3]} & set(seen), "what was lost was done again elsewhere"
    assert len({each.node for each in done}) == 2


ALONE = """
import sys
sys.path[:0] = [sys.argv[1]]
import execution_tasks as tasks
from sfumato.execution.choose import open_executor
with open_executor("ray", workers=1, device="cpu") as executor:
    print([done.value for done in tasks.run(executor, [(tasks.add, 1, 1)])], flush=True)
    sys.stdin.read()
"""


def test_a_cluster_started_here_listens_on_loopback_alone():
    with subprocess.Popen(
        [sys.executable, "-c", ALONE, str(Path(tasks.__file__).parent)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": SOURCES},
    ) as driver:
        assert driver.stdout.readline() == "[2]\n"
        heard = {title(number): listening(number) for number in [driver.pid, *descendants(driver.pid)]}
        driver.stdin.close()
    assert driver.returncode == 0
    # 127.0.0.1, and the same as IPv6 writes it
    loopback = {"0100007F", "0000000000000000FFFF00000100007F"}
    assert {name: found - loopback for name, found in heard.items() if found - loopback} == {}
    for server in ("gcs_server", "raylet"):
        assert any(found for name, found in heard.items() if server in name.split(" ")[0]), heard
