"""May a network be computed in several threads at once? Found out by letting two of them interfere.

One thread computes. Before each line of the user's own code, and after each of its writes and calls, another
thread computes a whole forward pass on other inputs. If both write to something they share, as a cache in a
global or a random generator that ``forward`` seeds, then the first one's logits change in every run and not
only by chance. Each thread has its own copy of the network, so what a network keeps in itself is not shared.
"""

from __future__ import annotations

import dis
import random  # not keyed noise: the generator of others is watched
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import numpy as np
import torch

from sfumato.smoothing.fixed_function import RELATIVE, apart, scale_of

Forward = Callable[[torch.Tensor], torch.Tensor]

LONGEST_WAIT = 2.0
MOST_SECONDS = 0.5
_OFTEN_ENOUGH = 3  # at one place of the code: a layer that is there a hundred times is tried in three of them
_WRITES = {"STORE_ATTR", "STORE_SUBSCR", "STORE_GLOBAL", "STORE_DEREF", "CALL", "CALL_KW", "CALL_FUNCTION_EX"}
_WRITE_CODES = {dis.opmap[name] for name in _WRITES & dis.opmap.keys()}
_NOT_THE_USERS = (str(Path(torch.__file__).parent), str(Path(__file__).parent))
_GENERATOR = "it uses a global random generator"


def interference(first: Forward, second: Forward, x: torch.Tensor, other: torch.Tensor) -> str | None:
    """Return why the two networks, copies of one, must not be computed at once; None if they may."""
    expected = first(x)
    if _moves_global_generators(lambda: first(x)):
        return _GENERATOR
    interruption = _Interruption(lambda: second(other))
    try:
        with interruption.of_this_thread():
            found = first(x)
    # of the user's forward pass, from whatever the other one left behind
    except (Exception, SystemExit) as error:
        return f"{type(error).__name__} when two threads compute"
    finally:
        interruption.close()
    if interruption.reason is None and apart(found, expected) > RELATIVE * scale_of(expected):
        return "its logits change when another thread computes as well (state shared between calls)"
    return interruption.reason


class _Interruption:
    """Lets another thread run ``other`` again and again while the calling one computes.

    Attributes:
        reason: why the two must not compute at once, as far as it has been seen.
    """

    def __init__(self, other: Callable[[], Any]) -> None:
        self.reason: str | None = None
        self._other = other
        self._busy = False
        self._tried: Counter[tuple[CodeType, int, str]] = Counter()
        self._deadline = time.monotonic() + MOST_SECONDS
        self._waiting: threading.Thread | None = None

    @contextmanager
    def of_this_thread(self) -> Iterator[None]:
        """Interrupt the user's code that the calling thread runs inside the block."""
        trace, profile = sys.gettrace(), sys.getprofile()
        sys.setprofile(self._notice_generator)
        sys.settrace(self._trace)
        try:
            yield
        finally:
            sys.settrace(trace)
            sys.setprofile(profile)

    def close(self) -> None:
        """Wait for a thread that had to wait."""
        if self._waiting is not None:
            self._waiting.join(LONGEST_WAIT)

    def _trace(self, frame: FrameType, event: str, _: Any) -> Any:
        """Interrupt the user's functions before every line, after every write or call, and at the end."""
        if frame.f_code.co_filename.startswith(_NOT_THE_USERS):
            return None
        if self.reason is not None or time.monotonic() > self._deadline:
            sys.settrace(None)  # tracing on would slow down all that is still to come
            return None
        frame.f_trace_opcodes = True
        place = frame.f_code, frame.f_lasti, event
        if event != "opcode" or _written_before(frame.f_code.co_code, frame.f_lasti):
            self._tried[place] += 1
            if self._tried[place] <= _OFTEN_ENOUGH:
                self._interrupt()
        return self._trace

    def _notice_generator(self, frame: FrameType, event: str, called: Any) -> None:
        """Notice a generator that is set and put back: forking is for one thread."""
        if event == "c_call" and getattr(called, "__self__", None) is torch.default_generator:
            self.reason = _GENERATOR

    def _interrupt(self) -> None:
        if self.reason is None and not self._busy and time.monotonic() < self._deadline:
            self._busy = True  # what starts a thread is traced as well
            thread = threading.Thread(target=self._run, daemon=True)
            thread.start()
            thread.join(LONGEST_WAIT)
            if thread.is_alive():
                self.reason, self._waiting = "a forward pass waits for another one to end (a lock)", thread
            self._busy = False

    def _run(self) -> None:
        try:
            with torch.inference_mode():
                self._other()
        except BaseException as error:  # nothing else sees it
            self.reason = f"{type(error).__name__} when two threads compute"


def _written_before(code: bytes, place: int) -> bool:
    """Return whether the instruction before this place may write to an object; its caches lie between."""
    place -= 2
    while place >= 0 and code[place] == dis.opmap.get("CACHE"):
        place -= 2
    return place >= 0 and code[place] in _WRITE_CODES


def _moves_global_generators(call: Callable[[], Any]) -> bool:
    """Return whether the call moves a generator of Python, NumPy or PyTorch; they are put back."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - the global one is meant
    state = torch.get_rng_state()
    try:
        random.seed("before the call")
        # not keyed noise: states that the call cannot have set itself, put back below
        np.random.seed(20240229)  # noqa: NPY002
        torch.default_generator.manual_seed(20240229)
        before = _states()
        call()
        return _states() != before
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        torch.set_rng_state(state)


def _states() -> tuple[Any, ...]:
    numpy = np.random.get_state(legacy=False)  # noqa: NPY002
    return random.getstate(), repr(numpy["state"]["key"].tolist()), bytes(torch.get_rng_state().numpy())
