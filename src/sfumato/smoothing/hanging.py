"""End the process when a model hangs.

A forward pass is somebody else's code and runs in this process. Python cannot stop it, and what it holds (a
device, a lock, a connection) is in an unknown state: all that helps is to end the process. Rows of a table
that were finished are in their file by then, as after a kill. A thread watches each call of the model; code
that never lets Python's other threads run, as some compiled extensions, keeps it from watching.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sfumato.errors import require_positive

_STEPS = 20  # looks within the time allowed
_SHORTEST, _LONGEST = 0.01, 0.5


class _Watch:
    """Counts how long each thread has been in one call of the model."""

    def __init__(self, seconds: float, on_hang: Callable[[], None]) -> None:
        self._seconds, self._on_hang = seconds, on_hang
        self._step = min(_LONGEST, max(_SHORTEST, seconds / _STEPS))
        self._waited: dict[int, float] = {}
        self._lock = threading.Lock()
        self._over = threading.Event()
        threading.Thread(target=self._look, name="model watch", daemon=True).start()

    def begin(self) -> None:
        """Note that this thread calls the model."""
        with self._lock:
            self._waited[threading.get_ident()] = 0.0

    def end(self) -> None:
        """Note that the model has answered this thread."""
        with self._lock:
            self._waited.pop(threading.get_ident(), None)

    def close(self) -> None:
        """Watch no longer."""
        self._over.set()

    def _look(self) -> None:
        # own steps are counted, no clock: a process that was stopped for a while is no model that hangs
        while not self._over.wait(self._step):
            with self._lock:
                for thread in self._waited:
                    self._waited[thread] += self._step
                longest = max(self._waited.values(), default=0.0)
            if longest > self._seconds:
                self._on_hang()
                return


_watch: _Watch | None = None


@contextmanager
def hanging_ends(seconds: float, on_hang: Callable[[], None]) -> Iterator[None]:
    """While the block runs, call ``on_hang`` once if a single call of a model takes longer than ``seconds``.

    ``on_hang`` runs in a thread of its own and should end the process. Models called in other processes are
    not watched.

    Raises:
        SettingError: seconds that are no positive finite number.
    """
    global _watch
    before, _watch = _watch, _Watch(require_positive("model_timeout", seconds), on_hang)
    try:
        yield
    finally:
        _watch.close()
        _watch = before


@contextmanager
def model_called() -> Iterator[None]:
    """Mark the block as one call of the model, which a watch may end; it costs a microsecond without one."""
    watch = _watch
    if watch is None:
        yield
        return
    watch.begin()
    try:
        yield
    finally:
        watch.end()
