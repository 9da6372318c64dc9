"""May a network be computed in several threads at once? Found out by letting two of them interfere.

One thread computes; after each of its operations another one computes its whole forward pass on other
inputs. What the two share and write to, such as a cache in a global or a random generator that is seeded
in ``forward``, then changes the first one's logits in every run and not only by chance. Each thread has
a copy of the network of its own, so that what a network keeps in itself is not shared.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from sfumato.smoothing.fixed_function import RELATIVE, apart, scale_of

Forward = Callable[[torch.Tensor], torch.Tensor]

_LONGEST_WAIT = 2.0
_MOST_SECONDS = 0.5


def interference(first: Forward, second: Forward, x: torch.Tensor, other: torch.Tensor) -> str | None:
    """Return why the two networks, copies of one, must not be computed at once; None if they may."""
    expected = first(x)
    if _moves_global_generators(lambda: first(x)):
        return "it uses a global random generator"
    interrupted = _Interrupted(lambda: second(other))
    try:
        with interrupted:
            found = first(x)
    except Exception as error:  # of the user's forward pass, from whatever the other one left behind
        return f"{type(error).__name__} when two threads compute"
    finally:
        interrupted.close()
    if interrupted.reason is None and apart(found, expected) > RELATIVE * scale_of(expected):
        return "its logits change when another thread computes as well (state shared between calls)"
    return interrupted.reason


class _Interrupted(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Lets another thread run ``other`` before every operation of the calling one."""

    def __init__(self, other: Callable[[], Any]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.reason: str | None = None
        self._other = other
        self._deadline = time.monotonic() + _MOST_SECONDS
        self._waiting: threading.Thread | None = None

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if torch.Tag.nondeterministic_seeded in func.tags:
            self.reason = "it uses a random generator"
        if self.reason is None and time.monotonic() < self._deadline:
            thread = threading.Thread(target=self._run, daemon=True)
            thread.start()
            thread.join(_LONGEST_WAIT)
            if thread.is_alive():
                self.reason, self._waiting = "a forward pass waits for another one to end (a lock)", thread
        return func(*args, **(kwargs or {}))

    def _run(self) -> None:
        try:
            with torch.inference_mode():
                self._other()
        except Exception as error:
            self.reason = f"{type(error).__name__} when two threads compute"

    def close(self) -> None:
        """Wait for a thread that had to wait."""
        if self._waiting is not None:
            self._waiting.join(_LONGEST_WAIT)


def _moves_global_generators(call: Callable[[], Any]) -> bool:
    """Return whether the call changes Python's or NumPy's generator, which are left as they were."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - the global one is meant
    try:
        # a state that the call cannot have set itself
        random.seed("before the call")
        np.random.seed(20240229)  # noqa: NPY002
        before = _states()
        call()
        return _states() != before
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002


def _states() -> tuple[Any, ...]:
    return random.getstate(), repr(np.random.get_state(legacy=False)["state"]["key"].tolist())  # noqa: NPY002
