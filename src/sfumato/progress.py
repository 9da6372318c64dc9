"""The one progress bar: a moving one on terminals and in notebooks, elsewhere a plain line a minute.

Functions that take long take ``progress=``: True draws on standard error, False is silent, and None draws in
notebooks only. One bar is drawn at a time in a process: what a job with a bar does inside stays silent.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

_LINE_SECONDS = 60.0
_NOTEBOOK_WIDTH = 100
_drawing = threading.Lock()
_inside = ContextVar("_inside", default=False)


class Bar:
    """A running progress bar; where nothing moves, a plain line a minute."""

    def __init__(
        self, progress: Progress, description: str, total: int | None, tell: Callable[[str], None] | None
    ) -> None:
        self._progress, self._print = progress, tell
        self._task = progress.add_task(description, total=total, note="")
        self._begin(description, total)

    def _begin(self, description: str, total: int | None) -> None:
        self.done, self._note, self._told = 0, "", monotonic()
        self._description, self._total, self._began = description, total, self._told

    def advance(self, steps: int = 1, note: str | None = None) -> None:
        """Move on by ``steps``; ``note`` replaces the text behind the bar."""
        self.done += steps
        self._note = self._note if note is None else note
        self._progress.update(self._task, advance=steps, note=self._note)
        if monotonic() - self._told >= _LINE_SECONDS:
            self.tell()

    def restart(self, description: str, total: int | None) -> None:
        """Begin a new stage on the same line."""
        self._progress.reset(self._task, description=description, total=total, note="")
        self._begin(description, total)

    def tell(self) -> None:
        """Say in a plain line how far it is, where no bar moves."""
        self._told = monotonic()
        if self._print is None:
            return
        spent, of, left = self._told - self._began, "", ""
        if self._total is not None:
            of = f" of {self._total:,}"
            if 0 < self.done < self._total:
                left = f", about {spent / self.done * (self._total - self.done) / 60:.0f} min left"
        behind = f"; {self._note}" if self._note else ""
        self._print(f"{self._description}: {self.done:,}{of} after {spent / 60:.0f} min{left}{behind}")


@contextmanager
def bar_on(console: Console, description: str, total: int | None, *, quiet: bool) -> Iterator[Bar]:
    """Show a bar on the console while the block runs; where that is no terminal, a line a minute.

    It is silent if ``quiet``, and so is every other one inside of it.
    """
    outside = not _inside.get()
    inside = _inside.set(True)
    drawn = outside and not quiet and _drawing.acquire(blocking=False)
    try:
        with _bar(console, description, total, drawn=drawn) as bar:
            yield bar
    finally:
        _inside.reset(inside)
        if drawn:
            _drawing.release()


@contextmanager
def shown_progress(progress: bool | None, description: str, total: int | None) -> Iterator[Bar]:
    """Show a bar on standard error while the block runs, if ``progress`` asks for it; None: in notebooks.

    ``total`` is None where it is not known. Where standard error is no terminal, a plain line is printed
    every minute and at the end.

    >>> with shown_progress(None, "certifying", 10) as bar:  # silent in scripts
    ...     bar.advance(10)
    """
    notebook = in_notebook()
    console = Console(
        stderr=True,
        highlight=False,
        soft_wrap=True,
        # text, not a widget, which would need ipywidgets
        force_jupyter=False,
        force_terminal=True if notebook else None,
        width=_NOTEBOOK_WIDTH if notebook else None,
    )
    if progress is None and not notebook:  # what is inside may be asked to draw
        with _bar(console, description, total, drawn=False) as bar:
            yield bar
    else:
        with bar_on(console, description, total, quiet=progress is False) as bar:
            yield bar
            bar.tell()


@contextmanager
def _bar(console: Console, description: str, total: int | None, *, drawn: bool) -> Iterator[Bar]:
    moves = drawn and console.is_terminal
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        console=console,
        transient=True,
        disable=not moves,
    )

    def tell(line: str) -> None:
        console.print(line, markup=False)

    with progress:
        yield Bar(progress, description, total, tell if drawn and not moves else None)


def in_notebook() -> bool:
    """Return whether this process is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return hasattr(shell, "kernel")
