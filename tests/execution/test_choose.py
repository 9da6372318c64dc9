import socket
import sys
import time

import pytest

from sfumato.errors import MissingPackageError, SettingError
from sfumato.execution.choose import open_executor
from sfumato.execution.local import InProcess, Processes


def test_one_process_is_the_default():
    assert isinstance(open_executor(), InProcess)
    with open_executor(workers=3, device="cpu") as executor:
        assert isinstance(executor, Processes)
        assert executor.slots == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "dask"}, "executor must be one of local, ray, got 'dask'"),
        ({"workers": 0}, "workers must be a whole number of at least 1, got 0"),
        ({"gpus_per_worker": -1, "workers": 2}, "gpus-per-worker must be a positive finite number, got -1"),
        (
            {"gpus_per_worker": 1, "workers": 2, "device": "cpu"},
            "gpus-per-worker 1 and device cpu contradict",
        ),
        ({"gpus_per_worker": 1}, "gpus-per-worker needs workers"),
        ({"ray_address": "auto"}, "ray-address auto is for the executor ray; add --executor ray"),
        ({"workers": 2, "device": "cuda:1"}, "device must be auto, cpu or cuda where workers get their GPUs"),
        ({"kind": "ray", "ray_address": "ray://head:1"}, "Ray Client addresses are not supported"),
        ({"kind": "ray", "ray_address": "head"}, "ray-address must be host:port or auto, got 'head'"),
    ],
)
def test_what_does_not_go_together_is_refused(options, message):
    with pytest.raises(SettingError, match=message):
        open_executor(**options)


def test_ray_missing_is_said_with_its_install_line(monkeypatch):
    monkeypatch.delitem(sys.modules, "sfumato.execution.ray", raising=False)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(
        MissingPackageError, match=r"needs the package ray; install it with: pip install 'sfumato\[ray\]'"
    ):
        open_executor("ray")
    monkeypatch.delitem(sys.modules, "sfumato.execution.ray", raising=False)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_cluster_that_is_not_there_is_given_up_after_the_time_out():
    from sfumato.execution.ray import RayExecutor

    address = f"127.0.0.1:{free_port()}"
    began = time.monotonic()
    with pytest.raises(
        SettingError, match=rf"ray-address {address}: no cluster reached within 1 s \(.*refused"
    ):
        RayExecutor(address, connect_seconds=1)
    assert time.monotonic() - began < 5


def test_a_server_that_is_no_cluster_is_given_up_after_the_time_out(monkeypatch):
    from sfumato.execution.ray import RayExecutor

    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        address = f"127.0.0.1:{deaf.getsockname()[1]}"
        monkeypatch.setenv("RAY_ADDRESS", address)
        with pytest.raises(SettingError, match=f"ray-address {address}: no Ray cluster answered within 2 s"):
            RayExecutor(connect_seconds=2)
