"""Whom a running study tells what it does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Watch:
    """Whom a run tells what it does; every function may be left out.

    Attributes:
        on_start: the whole work, in test images voted on (epochs are worth as many as take as long).
        on_work: how much of it was just done, and on what.
        on_line: a finished model or cell, in one line.
        on_warning: something the user should know.
    """

    on_start: Callable[[int], None] = lambda work: None
    on_work: Callable[[int, str], None] = lambda work, note: None
    on_line: Callable[[str], None] = lambda line: None
    on_warning: Callable[[str], None] = lambda line: None
