"""Tasks on a Ray cluster: one that runs already, or one started on this machine.

Each task carries its function and arguments as bytes, and the versions that they were made with; a
worker looks at the versions before it opens the rest. Ray hands a task out again when its worker or
its node is lost. Shared values lie in the object store, once per node.
"""

from __future__ import annotations

import logging
import os
import pickle
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from sfumato.errors import MissingPackageError, ModelError, SettingError, require_count
from sfumato.execution.base import MOST_ATTEMPTS, Done, Executor, Shared, Task, WorkerError, failure
from sfumato.execution.shipping import require_shippable
from sfumato.user_code import failure_line

try:
    import ray
    from ray import cloudpickle
    from ray._private import ray_constants
    from ray.exceptions import RayError, RayTaskError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
except ModuleNotFoundError as error:
    raise MissingPackageError(
        f"the executor ray needs the package {error.name}; install it with: pip install 'sfumato[ray]'"
    ) from error

T = TypeVar("T")

CONNECT_SECONDS = 30.0
"""A cluster that does not answer within this time counts as unreachable."""

_LOOPBACK = "127.0.0.1"
_MOMENT = 1.0  # seconds after which a waiting caller gets a turn
_LOOK_SECONDS = 5.0  # how often the cluster's nodes are counted
LEAST_WAITING = 8
"""Tasks that wait behind those that run, at least."""

_PROBE = """
import ray, sys
ray.init(address=sys.argv[1], logging_level="ERROR", log_to_driver=False)
"""


class RayExecutor(Executor):
    """Runs tasks on the cluster at ``address``, at ``RAY_ADDRESS``, or else on one started here.

    Args:
        address: ``host:port`` of a cluster's head, or ``auto`` for the one that this machine belongs to.
        workers: how many tasks run at a time; None for as many as the cluster has room for.
        gpus_per_worker: GPUs per task, also a fraction; None for one where the cluster has any and
            ``use_gpus``.
        use_gpus: whether tasks can make use of GPUs.
        versions: names of packages that must be the same everywhere, and what they are here.
        connect_seconds: time-out of connecting.
        least_waiting: tasks that wait behind those that run, at least; more for tasks of milliseconds.

    Raises:
        SettingError: an unreachable cluster, GPUs asked for where none are.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        workers: int | None = None,
        gpus_per_worker: float | None = None,
        use_gpus: bool = True,
        versions: Mapping[str, str] | None = None,
        connect_seconds: float = CONNECT_SECONDS,
        least_waiting: int = LEAST_WAITING,
    ) -> None:
        self._workers = None if workers is None else require_count("workers", workers)
        self._versions = dict(versions or {})
        self._refs: dict[str, ray.ObjectRef[Any]] = {}
        self._running: dict[ray.ObjectRef[Any], tuple[int, Task]] = {}
        self._tickets = 0
        self._least_waiting = least_waiting
        self._started_ray = not ray.is_initialized()
        if self._started_ray:
            _connect(address or os.environ.get("RAY_ADDRESS"), workers, connect_seconds)
        self._nodes: list[dict[str, float]] = []
        self._looked = -_LOOK_SECONDS
        self._wait_for_room(connect_seconds)
        most_gpus = max((node.get("GPU", 0.0) for node in self._nodes), default=0.0)
        if gpus_per_worker is None:
            gpus_per_worker = 1.0 if use_gpus and most_gpus >= 1 else 0.0
        if gpus_per_worker > most_gpus:
            self.close()
            raise SettingError(
                f"gpus-per-worker {gpus_per_worker:g}: no node of the cluster has that many; the most is "
                f"{most_gpus:g}"
            )
        self.gpus_per_worker = gpus_per_worker
        self._remote = ray.remote(_worker_function())
        # on the driver's own node, so that it lives as long as the driver
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self._reports: Any = (
            ray.remote(_Reports).options(num_cpus=0, scheduling_strategy=here, max_concurrency=1).remote()
        )
        self._heard: ray.ObjectRef[Any] | None = None
        self._asked = 0.0

    def __repr__(self) -> str:
        gpus = f", {self.gpus_per_worker:g} GPUs each" if self.gpus_per_worker else ", no GPUs"
        return f"Ray: {self.slots} tasks at a time on {len(self._nodes)} nodes{gpus}"

    def _wait_for_room(self, seconds: float) -> None:
        """Wait until a node that takes tasks has joined; what it has decides what tasks ask for."""
        deadline = time.monotonic() + seconds
        while True:
            self._looked = -_LOOK_SECONDS
            self._look()
            if any(node.get("CPU", 0.0) >= 1 for node in self._nodes):
                return
            if time.monotonic() > deadline:
                self.close()
                raise SettingError(
                    f"the Ray cluster has {len(self._nodes)} nodes, but in {seconds:g} s none of them had "
                    f"a CPU for tasks; let its workers join first"
                )
            time.sleep(0.5)

    def _look(self) -> None:
        """Count the nodes, every few seconds: some are lost, others join."""
        if time.monotonic() - self._looked >= _LOOK_SECONDS:
            self._nodes = [
                node["Resources"]
                for node in ray.nodes()  # type: ignore[no-untyped-call]
                if node["Alive"]
            ]
            self._looked = time.monotonic()

    @property
    def slots(self) -> int:
        """The number of tasks of one thread that the cluster has room for, at most the workers asked for."""
        self._look()
        room = sum(self._room_on(node) for node in self._nodes)
        return room if self._workers is None else min(room, self._workers)

    def _room_on(self, node: Mapping[str, float]) -> int:
        room = node.get("CPU", 0.0)
        if self.gpus_per_worker:
            room = min(room, node.get("GPU", 0.0) / self.gpus_per_worker)
        return int(room + 1e-6)

    @property
    def in_flight(self) -> int:
        """How many tasks were submitted and have not come back."""
        return len(self._running)

    @property
    def room(self) -> bool:
        """Whether fewer tasks are submitted than can run, and as many again."""
        if self._workers is not None:
            return len(self._running) < self._workers
        return len(self._running) < self.slots + max(self.slots, self._least_waiting)

    def share(self, name: str, value: T) -> Shared[T]:
        """Put the value into the object store."""
        shared: Shared[T] = Shared()
        try:
            self._refs[shared.key] = require_shippable(name, value, ray.put)
        except ModelError as error:
            if isinstance(reason := error.__cause__, RayError | OSError):
                raise WorkerError(f"{name}: cannot be put into Ray's object store ({reason})") from reason
            raise
        return shared

    def release(self, shared: Shared[Any]) -> None:
        """Let the object store forget the value once no task uses it."""
        self._refs.pop(shared.key, None)

    def submit(self, task: Task) -> None:
        """Hand the task to Ray."""
        payload = require_shippable(task.name, (task.function, task.arguments), cloudpickle.dumps)
        largest = max((node.get("CPU", 1.0) for node in self._nodes), default=1.0)
        self._tickets += 1
        reference = self._remote.options(
            name=task.name,
            num_cpus=min(float(task.cpus), largest),
            num_gpus=self.gpus_per_worker,
            max_retries=MOST_ATTEMPTS - 1,
        ).remote(
            self._versions,
            payload,
            {shared.key: self._refs[shared.key] for shared in task.needs},
            self._reports,
            self._tickets,
        )
        self._running[reference] = self._tickets, task

    def wait(self) -> None:
        """Hear what has come back."""
        waited = list(self._running)
        ready, _ = ray.wait(waited, num_returns=1, timeout=_MOMENT)
        if ready:
            # whatever else is there by now
            ready, _ = ray.wait(waited, num_returns=len(waited), timeout=0)
        self._hear_reports()
        for reference in ready:
            _, task = self._running.pop(reference)
            try:
                kind, node, *content = ray.get(reference)
            except RayTaskError as error:
                raise WorkerError(f"{task.name}: {failure_line(error.cause)}") from error
            except RayError as error:
                raise WorkerError(
                    f"{task.name}: lost with its worker or node, {MOST_ATTEMPTS} times "
                    f"({failure_line(error)}); finished results are kept"
                ) from error
            if kind == "refused":
                raise WorkerError(_refusal(node, *content))
            if kind == "raised":
                raise failure(task, node, *content)
            task.then(Done(content[0], node, content[1]))

    def _hear_reports(self) -> None:
        """Pass on what tasks reported since; reports are for watching and may be lost."""
        if self._heard is None:
            if time.monotonic() - self._asked < _MOMENT:
                return
            self._asked = time.monotonic()
            self._heard = self._reports.take.remote()
        if not ray.wait([self._heard], timeout=0)[0]:
            return
        heard, self._heard = self._heard, None
        with suppress(RayError):
            owners = dict(self._running.values())
            for ticket, value in ray.get(heard):
                if (owner := owners.get(ticket)) is not None:
                    owner.on_report(pickle.loads(value))  # noqa: S301  # of our own task

    def drop(self) -> None:
        """Tell Ray to give up all tasks."""
        running, self._running = list(self._running), {}
        for reference in running:
            with suppress(RayError):
                ray.cancel(reference, force=True)

    def close(self) -> None:
        """Leave the cluster, which ends this driver's tasks; end it if it was started here."""
        self._running.clear()
        self._refs.clear()
        if self._started_ray:
            ray.shutdown()


class _Reports:
    """Where tasks leave what they report until the driver takes it."""

    def __init__(self) -> None:
        self._kept: list[tuple[int, bytes]] = []

    def add(self, ticket: int, value: bytes) -> None:
        self._kept.append((ticket, value))

    def take(self) -> list[tuple[int, bytes]]:
        taken, self._kept = self._kept, []
        return taken


def _worker_function() -> Callable[..., tuple[Any, ...]]:
    """Return what runs on workers.

    Being no attribute of a module it is shipped as code, so that it runs, and can refuse, on a worker
    where this package is another version or missing. A worker reads it once, so that ``memory`` lasts.
    """
    memory: dict[Any, Any] = {}

    def run_task(
        versions: dict[str, str], payload: bytes, refs: dict[str, Any], reports: Any, ticket: int
    ) -> tuple[Any, ...]:
        import importlib
        import os
        import socket
        import time
        import traceback

        import ray

        # threads that outnumber their cores shall not keep each other waiting by spinning
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        context = ray.get_runtime_context()
        node = f"{socket.gethostname()}/{context.get_node_id()[:4]}"
        for name, wanted in versions.items():
            try:
                found = str(importlib.import_module(name).__version__)
            except ImportError:
                found = None
            if found != wanted:
                return "refused", node, name, wanted, found
        from sfumato.execution.base import Here, sendable
        from sfumato.user_code import load_plugins

        load_plugins()

        def report(value: Any) -> None:
            # as bytes: who only keeps it need not import what it is made of
            reports.add.remote(ticket, pickle.dumps(value))

        began = time.perf_counter()
        try:
            function, arguments = pickle.loads(payload)  # noqa: S301  # from the driver, as all of Ray's
            value = function(Here(report, lambda key: ray.get(refs[key]), memory), *arguments)
        except Exception as error:
            return "raised", node, sendable(error), traceback.format_exc()
        return "done", node, value, time.perf_counter() - began

    return run_task


def _refusal(node: str, name: str, wanted: str, found: str | None) -> str:
    has = f"{name} {found}" if found else f"no {name}"
    return (
        f"worker on {node} has {has}, but this process has {name} {wanted}; results could differ: "
        "install the same version everywhere"
    )


def _connect(address: str | None, workers: int | None, seconds: float) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if address is None or address == "local":
        with _loopback_only():
            ray.init(
                address="local",
                num_cpus=workers,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                _node_ip_address=_LOOPBACK,
            )
        address_of_node = ray.nodes()[0]["NodeManagerAddress"]  # type: ignore[no-untyped-call]
        if address_of_node != _LOOPBACK:
            ray.shutdown()
            raise WorkerError(
                f"Ray {ray.__version__} started its cluster on {address_of_node} and not on {_LOOPBACK}, "
                "where this machine alone can reach it; start one with ray start and give --ray-address"
            )
        return
    _require_answer(address, seconds)
    ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)


@contextmanager
def _loopback_only() -> Iterator[None]:
    """Let a cluster started meanwhile be reached from this machine alone.

    A node whose address is 127.0.0.1 listens there and nowhere else. Ray replaces that address by the
    machine's own unless clusters of several machines are ruled out, as they are by default on macOS.
    """
    before = getattr(ray_constants, "ENABLE_RAY_CLUSTER", None)
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


def _require_answer(address: str, seconds: float) -> None:
    """Refuse an address where no cluster answers; Ray itself would wait for minutes, or end the process."""
    deadline = time.monotonic() + seconds
    if address.startswith("ray://"):
        raise SettingError(
            f"ray-address {address}: Ray Client addresses are not supported; run on a machine of the "
            "cluster and give host:port of its head, or auto"
        )
    if address != "auto":
        host, _, port = address.rpartition(":")
        if not (host and port.isdigit()):
            raise SettingError(f"ray-address must be host:port or auto, got {address!r}")
        _await_port(address, host, int(port), seconds)
    try:
        probe = subprocess.run(
            [sys.executable, "-c", _PROBE, address],
            capture_output=True,
            text=True,
            timeout=max(1.0, deadline - time.monotonic()),
        )
    except subprocess.TimeoutExpired:
        raise SettingError(
            f"ray-address {address}: no Ray cluster answered within {seconds:g} s; run on a machine of "
            "the cluster (ray status says whether it is one)"
        ) from None
    if probe.returncode != 0:
        lines = probe.stderr.strip().splitlines()
        raise SettingError(f"ray-address {address}: {lines[-1].strip() if lines else 'refused'}")


def _await_port(address: str, host: str, port: int, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection((host, port), timeout=max(0.1, deadline - time.monotonic())).close()
            return
        except OSError as error:
            if time.monotonic() > deadline - 0.5:
                raise SettingError(
                    f"ray-address {address}: no cluster reached within {seconds:g} s ({error}); is it "
                    "running, and is this the address that ray start printed?"
                ) from error
            time.sleep(0.5)
