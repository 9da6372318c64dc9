"""``--model-timeout``: a model that hangs ends the command, with a line that says so."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_SHOW_CURSOR = "\x1b[?25h"  # a bar that is not closed leaves it hidden


@contextmanager
def model_timeout(seconds: float | None, kept: Callable[[], str]) -> Iterator[None]:
    """While the block runs, end the process with exit code 1 if one call of the model takes longer.

    Without ``seconds`` nothing is watched. ``kept`` says then what of the work is not lost.

    Raises:
        SettingError: seconds that are no positive finite number.
    """
    from sfumato.smoothing.hanging import hanging_ends

    if seconds is None:
        yield
        return

    def end() -> None:
        # no buffer and no lock, which the hanging thread may hold
        start = f"{_SHOW_CURSOR}\n" if os.isatty(sys.stderr.fileno()) else ""
        line = f"error: the model did not answer within {seconds:g} seconds (--model-timeout); {kept()}\n"
        os.write(sys.stderr.fileno(), (start + line).encode())
        os._exit(1)

    with hanging_ends(seconds, end):
        yield
