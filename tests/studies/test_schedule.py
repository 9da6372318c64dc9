"""A study on workers: its rows are those of one process to the last bit, whatever happens on the way."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import nullcontext

import pytest
import torch

from processes import kill, title
from ray_cluster import SOURCES, one_more, unplug, workers_of
from sfumato.errors import ModelError
from sfumato.execution.local import Processes
from sfumato.studies.design import make_design
from sfumato.studies.run import Watch, run_study
from sfumato.studies.store import FILE, Store
from study_rows import rows_of

pytestmark = pytest.mark.usefixtures("one_thread")

TABLES = {
    "data": {"images": 600},
    "model": {"epochs": 6, "warm_start": "nearest", "warm_epochs": 4, "batch_size": 100},
    "grid": {"alpha": [0, 0.4], "beta": [0, 0.3], "seeds": [0, 1]},
    "votes": {"n": 60},
    "certification": {"beta": [0.3], "radii": [0.1], "images": 6},
}


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """The rows that one process gives."""
    folder = tmp_path_factory.mktemp("one") / "study"
    run_study(make_design(TABLES), folder, device="cpu")
    rows = rows_of(folder)
    assert len(rows[0]) == 8 * 600
    assert len(rows[4]) == 4 * 6
    return rows


class Ledger:
    """Counts the work of a run, and does something once when enough is done."""

    def __init__(self, when=lambda work, note: False, act=lambda: None):
        self.announced, self.done, self.when, self.act, self.acted = 0, 0, when, act, False

    def start(self, work):
        self.announced = work

    def work(self, work, note):
        self.done += work
        if not self.acted and self.when(self.done, note):
            self.acted = True
            self.act()

    @property
    def watch(self):
        return Watch(on_start=self.start, on_work=self.work)


def run(folder, executor, ledger, tables=TABLES):
    run_study(make_design(tables), folder, device="cpu", executor=executor, watch=ledger.watch)


@pytest.mark.slow
def test_worker_processes_give_the_rows_of_one_process_and_survive_kills(expected, tmp_path):
    with Processes(2) as executor:

        def kill_workers():
            for worker in multiprocessing.active_children():
                kill(worker.pid)

        ledger = Ledger(lambda done, note: "beta" in note, kill_workers)
        run(tmp_path, executor, ledger)
    assert ledger.acted
    assert ledger.done == ledger.announced
    assert rows_of(tmp_path) == expected


@pytest.mark.slow
def test_threads_of_a_training_are_the_drivers_whatever_a_worker_has(tmp_path):
    """Two threads round otherwise than one; the worker has one core."""
    tables = {"model": {"epochs": 2}, "grid": {"alpha": [0.4], "beta": [0]}}
    torch.set_num_threads(2)
    try:
        run(tmp_path / "one", None, Ledger(), tables)
        with Processes(2) as executor:
            run(tmp_path / "two", executor, Ledger(), tables)
    finally:
        torch.set_num_threads(1)
    assert rows_of(tmp_path / "two") == rows_of(tmp_path / "one")


@pytest.mark.slow
def test_a_cluster_gives_the_rows_of_one_process_though_workers_are_killed(
    expected, cluster, ray_executor, tmp_path
):
    """A worker dies in the first training, another one while it votes."""
    killed = []

    def kill_workers():
        for node in cluster.worker_nodes:
            for process in workers_of(node):
                kill(process)
                killed.append(process)

    trainer = threading.Thread(target=_when, args=(lambda: _training(cluster), kill_workers))
    trainer.start()
    ledger = Ledger(lambda done, note: "beta 0.3" in note, kill_workers)
    run(tmp_path, ray_executor, ledger)
    trainer.join()
    assert ledger.acted
    assert killed
    assert ledger.done == ledger.announced
    assert rows_of(tmp_path) == expected
    assert not list(tmp_path.glob(".driver-*"))
    assert not list(tmp_path.glob("models/*.unfinished"))


def _training(cluster):
    return any(
        title(process).startswith("ray::training")
        for node in cluster.worker_nodes
        for process in workers_of(node)
    )


def _when(condition, act, seconds=60):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            act()
            return
        time.sleep(0.02)


@pytest.mark.slow
def test_models_are_sent_back_where_no_folder_is_shared(expected, tmp_path, monkeypatch):
    """Workers that do not see the driver's mark train in a folder of their own."""
    from sfumato.studies.tasks import Place

    monkeypatch.setattr(Place, "marked", lambda self: nullcontext())
    with Processes(2) as executor:
        run(tmp_path, executor, Ledger())
    assert rows_of(tmp_path) == expected


@pytest.mark.slow
def test_a_node_lost_in_mid_run_changes_no_row(expected, cluster, tmp_path):
    from sfumato.execution.ray import RayExecutor

    lost = one_more(cluster)
    ledger = Ledger(lambda done, note: "beta" in note and workers_of(lost), lambda: unplug(cluster, lost))
    with RayExecutor() as executor:
        run(tmp_path, executor, ledger)
    assert ledger.acted
    assert ledger.done == ledger.announced
    assert rows_of(tmp_path) == expected


DRIVER = """
import json, sys, torch
from pathlib import Path
torch.set_num_threads(1)
from sfumato.execution.choose import open_executor
from sfumato.studies.design import make_design
from sfumato.studies.run import Watch, run_study

with open_executor("ray", ray_address=sys.argv[3], device="cpu") as executor:
    run_study(make_design(json.loads(sys.argv[2])), Path(sys.argv[1]), device="cpu", executor=executor,
              watch=Watch(on_work=lambda work, note: print(note, flush=True)))
"""


@pytest.mark.slow
def test_a_killed_driver_is_started_again_and_ends_with_the_same_rows(
    expected, cluster, ray_executor, tmp_path
):
    """One is killed while it trains or votes, and what it left to its workers does no harm."""
    with subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(tmp_path), json.dumps(TABLES), cluster.address],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": SOURCES},
    ) as driver:
        next(line for line in driver.stdout if "beta" in line)
        driver.send_signal(signal.SIGKILL)
    assert driver.returncode == -signal.SIGKILL
    before = len(rows_of(tmp_path)[0])
    assert 0 < before < len(expected[0])
    run(tmp_path, ray_executor, Ledger())
    assert rows_of(tmp_path) == expected


def test_a_network_that_cannot_be_shipped_is_refused_by_its_attribute(tmp_path, monkeypatch):
    (tmp_path / "guarded.py").write_text(
        "import threading, torch\n"
        "class Guarded(torch.nn.Module):\n"
        "    def __init__(self, shape, classes):\n"
        "        super().__init__()\n"
        "        self.flat, self.layer = torch.nn.Flatten(), torch.nn.Linear(64, classes)\n"
        "        self.layer.guard = threading.Lock()\n"
        "    def forward(self, x):\n"
        "        return self.layer(self.flat(x))\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    tables = {"model": {"architecture": "guarded:Guarded", "epochs": 1}, "grid": {"alpha": [0], "beta": [0]}}
    with Processes(1) as executor, pytest.raises(ModelError, match=r"\.layer\.guard is a lock"):
        run(tmp_path / "study", executor, Ledger(), tables)
    with Store(tmp_path / "study" / FILE, read_only=True) as store:
        assert store.current() is not None, "what was done is kept"
    assert list((tmp_path / "study" / "models").glob("*.safetensors"))
