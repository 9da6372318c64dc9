"""Tasks on this machine: in the caller's own process, or in worker processes that hold their own cores."""

from __future__ import annotations

import mmap
import multiprocessing
import os
import pickle
import threading
import time
import traceback
from collections import deque
from collections.abc import Hashable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, TypeVar

from sfumato.errors import SettingError, require_count
from sfumato.execution.base import (
    MOST_ATTEMPTS,
    Done,
    Executor,
    Here,
    Shared,
    Task,
    WorkerError,
    failure,
    sendable,
)
from sfumato.execution.folder import KeptFolder
from sfumato.execution.shipping import require_shippable
from sfumato.files import writing
from sfumato.user_code import load_plugins

T = TypeVar("T")

_MOMENT = 1.0  # seconds after which a waiting caller gets a turn
_PATIENCE = 5.0  # seconds that a worker has to end by itself


class InProcess(Executor):
    """Runs each task when it is waited for, in the caller's process; nothing is copied."""

    in_process = True
    cpus_per_worker = None

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}
        self._memory: dict[Hashable, Any] = {}
        self._waiting: deque[Task] = deque()

    def __repr__(self) -> str:
        return "InProcess()"

    @property
    def slots(self) -> int:
        """One."""
        return 1

    @property
    def in_flight(self) -> int:
        """How many tasks wait."""
        return len(self._waiting)

    @property
    def room(self) -> bool:
        """Whether no task waits: a second one would gain nothing."""
        return not self._waiting

    def share(self, name: str, value: T) -> Shared[T]:
        """Return a handle of the value itself."""
        shared: Shared[T] = Shared()
        self._values[shared.key] = value
        return shared

    def release(self, shared: Shared[Any]) -> None:
        """Forget the value."""
        self._values.pop(shared.key, None)

    def submit(self, task: Task) -> None:
        """Keep the task."""
        self._waiting.append(task)

    def wait(self) -> None:
        """Run the task that waits longest; what it raises is raised."""
        task = self._waiting.popleft()
        began = time.perf_counter()
        here = Here(task.on_report, self._values.__getitem__, self._memory)
        value = task.function(here, *task.arguments)
        task.then(Done(value, "this process", time.perf_counter() - began))

    def drop(self) -> None:
        """Forget the tasks that wait."""
        self._waiting.clear()

    def close(self) -> None:
        """Forget everything."""
        self.drop()
        self._values.clear()
        self._memory.clear()


class Processes(Executor):
    """Runs tasks in ``workers`` processes of this machine, each on cores of its own where there are enough.

    Shared values are written to a temporary folder once, and their arrays mapped from there, so that
    all workers share one copy in memory. A worker that is killed is replaced and its task handed out
    again. The processes are spawned: a script that uses them needs ``if __name__ == "__main__":``.

    Raises:
        SettingError: fewer than one worker, or more GPUs in all than there are.
    """

    def __init__(self, workers: int, *, gpus_per_worker: float = 0.0, gpus: int = 0) -> None:
        require_count("workers", workers)
        # float sums: three times a third are one
        if gpus_per_worker and int(1e-6 + gpus / gpus_per_worker) < workers:
            raise SettingError(
                f"{workers} workers with gpus-per-worker {gpus_per_worker:g} need "
                f"{workers * gpus_per_worker:g} GPUs, but this machine has {gpus}"
            )
        self.gpus_per_worker = gpus_per_worker
        self._kept = KeptFolder()
        self._folder = self._kept.path
        self._waiting: deque[tuple[Task, int]] = deque()
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        self.cpus_per_worker = max(1, len(cores) // workers)
        self._workers = [
            _Worker(
                f"worker {number}",
                self._folder,
                cores[number * len(cores) // workers : (number + 1) * len(cores) // workers],
                int(number * gpus_per_worker + 1e-6) if gpus_per_worker else None,
            )
            for number in range(workers)
        ]

    def __repr__(self) -> str:
        gpus = f", {self.gpus_per_worker:g} GPUs each" if self.gpus_per_worker else ""
        return f"{len(self._workers)} worker processes of {self.cpus_per_worker} cores{gpus}"

    @property
    def slots(self) -> int:
        """The number of workers."""
        return len(self._workers)

    @property
    def in_flight(self) -> int:
        """How many tasks wait or run."""
        return len(self._waiting) + sum(worker.task is not None for worker in self._workers)

    def share(self, name: str, value: T) -> Shared[T]:
        """Write the value down for the workers."""
        shared: Shared[T] = Shared()
        parts = require_shippable(name, value, _pickled)
        path = self._folder / shared.key
        with writing(path):
            _write(parts, path)
        return shared

    def release(self, shared: Shared[Any]) -> None:
        """Remove the value; a worker that still maps it keeps it until it is done."""
        (self._folder / shared.key).unlink(missing_ok=True)

    def submit(self, task: Task) -> None:
        """Hand the task to an idle worker, or keep it."""
        self._waiting.append((task, 1))
        self._hand_out()

    def _hand_out(self) -> None:
        for worker in self._workers:
            if worker.task is None and self._waiting:
                worker.start(*self._waiting.popleft())

    def wait(self) -> None:
        """Receive messages of the workers; replace lost workers."""
        busy = {worker.pipe: worker for worker in self._workers if worker.task is not None}
        for pipe in wait(list(busy), timeout=_MOMENT):
            assert isinstance(pipe, Connection)
            worker = busy[pipe]
            task, attempt = worker.task, worker.attempt
            assert task is not None
            try:
                kind, content = pipe.recv()
            except (EOFError, OSError):
                worker.stop()
                if attempt >= MOST_ATTEMPTS:
                    raise WorkerError(
                        f"{task.name}: its worker process ended {attempt} times (the last time with "
                        f"{worker.exit_code}); finished results are kept"
                    ) from None
                self._waiting.appendleft((task, attempt + 1))
                self._hand_out()
                continue
            if kind == "report":
                task.on_report(content)
                continue
            worker.task = None
            self._hand_out()
            if kind == "raised":
                raise failure(task, worker.name, *content)
            task.then(Done(content[0], worker.name, content[1]))

    def drop(self) -> None:
        """Forget the tasks that wait, and end the workers that have one."""
        self._waiting.clear()
        for worker in self._workers:
            if worker.task is not None:
                worker.stop()

    def close(self) -> None:
        """End the workers and remove what was shared."""
        self._waiting.clear()
        for worker in self._workers:
            worker.stop()
        self._kept.remove()


class _Worker:
    """The driver's end of one worker process, which is started when it is first needed."""

    def __init__(self, name: str, folder: Path, cores: Sequence[int], gpu: int | None) -> None:
        self.name, self._folder, self._cores, self._gpu = name, folder, cores, gpu
        self.task: Task | None = None
        self.attempt = 0
        self.exit_code: int | None = None
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None

    @property
    def pipe(self) -> Connection:
        """The connection to the process."""
        assert self._pipe is not None
        return self._pipe

    def start(self, task: Task, attempt: int) -> None:
        """Send the task to the process."""
        message = require_shippable(
            task.name, (task.function, task.arguments), lambda value: pickle.dumps(value, protocol=5)
        )
        self.task, self.attempt = task, attempt
        if self._process is None:
            context = multiprocessing.get_context("spawn")
            self._pipe, theirs = context.Pipe()
            self._process = context.Process(
                target=_serve, args=(theirs, self._folder, self._cores, self._gpu), name=self.name
            )
            self._process.start()
            # the process holds the other end alone, so that its death is noticed
            theirs.close()
        # a worker that died idle is noticed when its answer is waited for
        with suppress(OSError):
            self.pipe.send_bytes(message)

    def stop(self) -> None:
        """End the process."""
        self.task = None
        if self._process is not None:
            self._process.kill()
            self._process.join(_PATIENCE)
            self.exit_code = self._process.exitcode
            self.pipe.close()
        self._process = self._pipe = None


def _serve(pipe: Connection, folder: Path, cores: Sequence[int], gpu: int | None) -> None:
    """Run the tasks that come through the pipe, until it is closed or the parent process has ended."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if cores:
        os.sched_setaffinity(0, cores)
    # threads that outnumber their cores shall not keep each other waiting by spinning
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if gpu is not None:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        os.environ["CUDA_VISIBLE_DEVICES"] = visible.split(",")[gpu] if visible else str(gpu)
    load_plugins()
    here = Here(lambda value: pipe.send(("report", value)), lambda key: _read(folder / key), {})
    while True:
        try:
            message = pipe.recv_bytes()
        except (EOFError, KeyboardInterrupt):
            return
        began = time.perf_counter()
        try:
            function, arguments = pickle.loads(message)  # noqa: S301  # from our own parent process
            value = function(here, *arguments)
            answer: tuple[str, Any] = ("done", (value, time.perf_counter() - began))
        except KeyboardInterrupt:
            return
        except BaseException as error:  # also what asks the process to end
            answer = ("raised", (sendable(error), traceback.format_exc()))
        pipe.send(answer)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _pickled(value: object) -> list[memoryview]:
    """Return the value in parts: all but its arrays, then each array."""
    buffers: list[pickle.PickleBuffer] = []
    head = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    return [memoryview(head), *(buffer.raw() for buffer in buffers)]


def _write(parts: Sequence[memoryview], path: Path) -> None:
    """Write the parts of a value, its arrays behind the rest."""
    index = pickle.dumps([len(part) for part in parts])
    with path.open("wb") as file:
        file.write(len(index).to_bytes(8, "little") + index)
        for part in parts:
            file.seek(_aligned(file.tell()))
            file.write(part)


def _read(path: Path) -> Any:
    """Return the value that was written; its arrays are read-only views of the file."""
    with path.open("rb") as file:
        content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    place = 8 + int.from_bytes(content[:8], "little")
    parts = []
    for size in pickle.loads(content[8:place]):  # noqa: S301  # written by our own parent process
        place = _aligned(place)
        parts.append(content[place : place + size])
        place += size
    return pickle.loads(parts[0], buffers=parts[1:])  # noqa: S301


def _aligned(place: int) -> int:
    """Return the next place in a file at which an array may begin."""
    return -(-place // 64) * 64
