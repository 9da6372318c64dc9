"""May a network be computed in several threads at once? Found out by letting two of them interfere.

One thread computes; before each of its operations, after each line of the user's own code and after each
of its writes to an object, another one computes its whole forward pass on other inputs. What the two
share and write to, such as a cache in a global or a random generator that is seeded in ``forward``, then
changes the first one's logits in every run and not only by chance. Each thread has a copy of the network
of its own, so that what a network keeps in itself is not shared.
"""

from __future__ import annotations

import dis
import random  # not keyed noise: the generator of others is watched
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, Self

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from sfumato.smoothing.fixed_function import RELATIVE, apart, scale_of

Forward = Callable[[torch.Tensor], torch.Tensor]

_LONGEST_WAIT = 2.0
_MOST_SECONDS = 0.5
_WRITES = {dis.opmap[name] for name in ("STORE_ATTR", "STORE_SUBSCR", "STORE_GLOBAL", "STORE_DEREF")}
_NOT_THE_USERS = (str(Path(torch.__file__).parent), str(Path(__file__).parent))


def interference(first: Forward, second: Forward, x: torch.Tensor, other: torch.Tensor) -> str | None:
    """Return why the two networks, copies of one, must not be computed at once; None if they may."""
    expected = first(x)
    with _Watched():
        first(x)  # what PyTorch imports on the way shall not be interrupted
    if _moves_global_generators(lambda: first(x)):
        return "it uses a global random generator"
    interrupted = _Interrupted(lambda: second(other))
    try:
        with interrupted:
            found = first(x)
    except (
        Exception,
        SystemExit,
    ) as error:  # of the user's forward pass, from whatever the other one left behind
        return f"{type(error).__name__} when two threads compute"
    finally:
        interrupted.close()
    if interrupted.reason is None and apart(found, expected) > RELATIVE * scale_of(expected):
        return "its logits change when another thread computes as well (state shared between calls)"
    return interrupted.reason


class _Watched(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Every operation passes through here, as it is."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return func(*args, **(kwargs or {}))


class _Interrupted(_Watched):
    """Lets another thread run ``other`` before every operation of the calling one."""

    def __init__(self, other: Callable[[], Any]) -> None:
        super().__init__()
        self.reason: str | None = None
        self._other = other
        self._deadline = time.monotonic() + _MOST_SECONDS
        self._busy = False
        self._waiting: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Begin to interrupt the calling thread."""
        super().__enter__()  # type: ignore[no-untyped-call]
        self._traced_before = sys.gettrace()
        sys.settrace(self._trace)
        return self

    def __exit__(self, *exception: Any) -> None:
        """Leave the calling thread alone."""
        sys.settrace(self._traced_before)
        super().__exit__(*exception)  # type: ignore[no-untyped-call]

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if torch.Tag.nondeterministic_seeded in func.tags:
            self.reason = "it uses a random generator"
        self._interrupt()
        return super().__torch_dispatch__(func, types, args, kwargs)

    def _trace(self, frame: FrameType, event: str, _: Any) -> Any:
        """Interrupt before every line, and after every write, of a function that is the user's."""
        if frame.f_code.co_filename.startswith(_NOT_THE_USERS):
            return None
        if self.reason is not None or time.monotonic() > self._deadline:
            sys.settrace(None)  # tracing on would slow down all that is still to come
            return None
        frame.f_trace_opcodes = True
        code = frame.f_code.co_code
        if event == "line" or (event == "opcode" and _written_before(code, frame.f_lasti)):
            self._interrupt()
        return self._trace

    def _interrupt(self) -> None:
        if self.reason is None and not self._busy and time.monotonic() < self._deadline:
            self._busy = True  # what starts a thread is traced as well
            thread = threading.Thread(target=self._run, daemon=True)
            thread.start()
            thread.join(_LONGEST_WAIT)
            if thread.is_alive():
                self.reason, self._waiting = "a forward pass waits for another one to end (a lock)", thread
            self._busy = False

    def _run(self) -> None:
        try:
            with torch.inference_mode():
                self._other()
        except BaseException as error:  # nothing else sees it
            self.reason = f"{type(error).__name__} when two threads compute"

    def close(self) -> None:
        """Wait for a thread that had to wait."""
        if self._waiting is not None:
            self._waiting.join(_LONGEST_WAIT)


def _written_before(code: bytes, place: int) -> bool:
    """Return whether the instruction before this place writes to an object; it is followed by its caches."""
    place -= 2
    while place >= 0 and code[place] == dis.opmap["CACHE"]:
        place -= 2
    return place >= 0 and code[place] in _WRITES


def _moves_global_generators(call: Callable[[], Any]) -> bool:
    """Return whether the call changes Python's or NumPy's generator, which are left as they were."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - the global one is meant
    try:
        # not keyed noise: a state that the call cannot have set itself, put back below
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
