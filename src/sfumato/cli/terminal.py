"""The one console, the one progress bar and the one table of the command line.

Results go to standard output; progress and warnings to standard error. Nothing moves and nothing is
coloured where it is not a terminal.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

_PIPED_WIDTH = 200  # a file or pipe has no width to fit into

OUT = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else _PIPED_WIDTH)
ERR = Console(stderr=True, highlight=False, soft_wrap=True)


class Bar:
    """A running progress bar."""

    def __init__(self, progress: Progress, description: str, total: int) -> None:
        self._progress = progress
        self._task = progress.add_task(description, total=total, note="")
        self.done = 0

    def advance(self, steps: int = 1, note: str | None = None) -> None:
        """Move on by ``steps``; ``note`` replaces the text behind the bar."""
        self.done += steps
        self._progress.update(self._task, advance=steps)
        if note is not None:
            self._progress.update(self._task, note=note)

    def restart(self, description: str, total: int) -> None:
        """Begin a new stage on the same line."""
        self.done = 0
        self._progress.reset(self._task, description=description, total=total, note="")


@contextmanager
def progress_bar(description: str, total: int) -> Iterator[Bar]:
    """Show a bar on standard error while the block runs; nothing where that is not a terminal."""
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=ERR,
        transient=True,
        disable=not ERR.is_terminal,
    )
    with progress:
        yield Bar(progress, description, total)


def print_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[str] = ()
) -> None:
    """Print an aligned table, numbers to the right; the first column and those named ``left`` hold words."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for position, column in enumerate(columns):
        table.add_column(column, justify="left" if position == 0 or column in left else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    OUT.print(table, markup=False)


def warn(message: str) -> None:
    """Print a one-line warning on standard error."""
    ERR.print(f"warning: {message}", markup=False)
