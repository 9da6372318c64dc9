"""The interface of all executors, and what they have in common.

The caller keeps the order: it offers tasks one by one while there is room, and is called back, in its own
thread, with the result of each. A task is a module-level function with its arguments and may run more than
once (a worker was lost) or on any worker, so it must return the same whenever it is called. Large values are
shared: shipped once per node, and named by a handle wherever they are needed.
"""

from __future__ import annotations

import pickle
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, Generic, Self, TypeVar, cast
from uuid import uuid4

from sfumato.errors import SfumatoError
from sfumato.user_code import failure_line

T = TypeVar("T")
Report = Callable[[Any], None]

MOST_ATTEMPTS = 10
"""A task that has lost this many workers is not handed out again: it may be what kills them."""

# the classifiers of one network at several noises, and what was measured for them
_MOST_BUILT = 5


class WorkerError(SfumatoError):
    """A task could not be finished on any worker, or its workers are not to be trusted."""


@dataclass(frozen=True)
class Shared(Generic[T]):
    """A handle of a value that is shipped to each node once. ``key`` is like no other."""

    key: str = field(default_factory=lambda: uuid4().hex)


class Here:
    """What a task finds where it runs.

    Args:
        report: passes a value on to the task's ``on_report``.
        fetch: finds a shared value by its key.
        memory: of the process; what was costly to build is kept in it for later tasks.
    """

    def __init__(self, report: Report, fetch: Callable[[str], Any], memory: dict[Hashable, Any]) -> None:
        self.report, self._fetch, self._memory = report, fetch, memory

    def value(self, shared: Shared[T]) -> T:
        """Return the shared value, in a task that names its handle among its needs."""
        return cast(T, self._fetch(shared.key))

    def built(self, key: Hashable, build: Callable[[], T]) -> T:
        """Return what ``build`` made in this process for ``key``; the few used last are remembered."""
        found = self._memory.pop(key) if key in self._memory else build()
        self._memory[key] = found
        while len(self._memory) > _MOST_BUILT:
            del self._memory[next(iter(self._memory))]
        return cast(T, found)


@dataclass(frozen=True)
class Done:
    """The result of a task.

    Attributes:
        value: what the function returned.
        node: where it ran.
        seconds: how long it ran there.
    """

    value: Any
    node: str
    seconds: float


@dataclass(frozen=True, eq=False)
class Task:
    """A piece of work.

    Attributes:
        name: for messages.
        function: of a module, called as ``function(here, *arguments)``.
        arguments: small; large values as ``Shared``.
        then: called with the result.
        on_report: called with what the function passes to ``here.report``, sooner or later, or never if
            the worker is lost.
        needs: the handles that the function asks for their values.
        cpus: threads of arithmetic that it uses.
    """

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    then: Callable[[Done], None]
    on_report: Report = lambda value: None
    needs: tuple[Shared[Any], ...] = ()
    cpus: int = 1


def sendable(error: BaseException) -> Exception:
    """Return the error, or a ``SentError`` in its place if it cannot be pickled."""
    try:
        if isinstance(sent := pickle.loads(pickle.dumps(error)), Exception):  # noqa: S301  # made here
            str(sent)
            return sent
    except Exception:  # an exception class of anyone's may do anything
        pass
    return SentError(failure_line(error))


class SentError(Exception):
    """Stands for an exception of a worker's that cannot be sent; the message names its type."""


def failure(task: Task, node: str, error: Exception, trace: str) -> Exception:
    """Return what the driver raises for an ``error`` of a task; errors of Sfumato stay as they are."""
    if not isinstance(error, SfumatoError):
        said = str(error) if isinstance(error, SentError) else failure_line(error)
        error = WorkerError(f"{task.name}: failed on {node} with {said}")
    error.add_note(f"on {node}:\n{trace}")
    return error


class Executor(ABC):
    """Runs tasks.

    Attributes:
        in_process: whether tasks run in the caller's own process.
        cpus_per_worker: threads of arithmetic for a task that leaves the choice; None to leave them alone.
        gpus_per_worker: the share of a GPU that each task gets; 0 for none.
    """

    in_process = False
    cpus_per_worker: int | None = 1
    gpus_per_worker: float = 0.0

    @property
    @abstractmethod
    def slots(self) -> int:
        """How many tasks can run at a time."""

    @property
    @abstractmethod
    def in_flight(self) -> int:
        """How many tasks were submitted and have not come back."""

    @property
    def room(self) -> bool:
        """Whether another task should be submitted: some wait behind those that run, never many."""
        return self.in_flight < 2 * max(1, self.slots)

    @abstractmethod
    def share(self, name: str, value: T) -> Shared[T]:
        """Return a handle of ``value``, called ``name`` in messages.

        Raises:
            ModelError: it cannot be shipped; the attribute that prevents it is named.
            WriteError: the disk that workers read it from is full.
        """

    @abstractmethod
    def release(self, shared: Shared[Any]) -> None:
        """Forget a shared value that no task will need any more."""

    @abstractmethod
    def submit(self, task: Task) -> None:
        """Submit a task."""

    @abstractmethod
    def wait(self) -> None:
        """Wait until something has come back, or for a moment; tell the tasks' owners.

        Raises:
            WorkerError: a task that lost too many workers, or a worker of other versions.
            Exception: what the task raised, where the task is at fault.
        """

    @abstractmethod
    def drop(self) -> None:
        """Give up all tasks that have not come back."""

    @abstractmethod
    def close(self) -> None:
        """Give back what is held; tasks that have not come back are given up."""

    def run(self, next_task: Callable[[], Task | None]) -> None:
        """Run tasks until none is left.

        ``next_task`` returns the next one, None if there is none before others have come back.

        Raises:
            WorkerError, Exception: as ``wait``; all other tasks are given up.
        """
        try:
            while True:
                while self.room and (task := next_task()) is not None:
                    self.submit(task)
                if not self.in_flight:
                    return
                self.wait()
        except BaseException:
            self.drop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()
