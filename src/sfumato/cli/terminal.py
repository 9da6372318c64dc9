"""The one console and the one table of the command line, and its progress bar.

Results go to standard output; progress, warnings and details to standard error. Where that is not a terminal,
nothing moves, and progress is a plain line a minute. Nothing is coloured there or with NO_COLOR. ``--quiet``
leaves results and errors only, ``--verbose`` adds details.
"""

from __future__ import annotations

import dataclasses
import json
import math
import sys
import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from sfumato.errors import DataNote
from sfumato.progress import Bar, bar_on

_PIPED_WIDTH = 200  # a file or pipe has no width to fit into

OUT = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else _PIPED_WIDTH)
ERR = Console(stderr=True, highlight=False, soft_wrap=True)


@dataclass
class Level:
    """How much is said: set once, by the options before the command."""

    quiet: bool = False
    verbose: bool = False


LEVEL = Level()


def progress_bar(description: str, total: int) -> AbstractContextManager[Bar]:
    """Show a bar on standard error while the block runs; where that is no terminal, a line a minute."""
    return bar_on(ERR, description, total, quiet=LEVEL.quiet)


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
    if not LEVEL.quiet:
        ERR.print(f"warning: {message}", markup=False)


def note(message: str) -> None:
    """Print on standard error what is worth knowing and nothing to worry about."""
    if not LEVEL.quiet:
        ERR.print(f"note: {message}", markup=False)


def note_measuring(seconds: float) -> None:
    """Say before it begins that it is measured how votes come fastest."""
    note(f"measuring what is fastest, for at most about {seconds:.0f} s")


def show_warnings_on_one_line() -> None:
    """Print what Python code warns of as the command line prints its own notes and warnings, once each."""
    shown: set[str] = set()

    def show(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
        line = " ".join(str(message).split())
        if line not in shown:
            shown.add(line)
            (note if issubclass(category, DataNote) else warn)(line)

    warnings.showwarning = show


def tell(line: str) -> None:
    """Print a line of progress where no bar can be shown, as in a log file."""
    if not (LEVEL.quiet or ERR.is_terminal):
        print(line, flush=True)


def detail(message: str) -> None:
    """Print on standard error what only ``--verbose`` wants to know."""
    if LEVEL.verbose:
        ERR.print(message, markup=False)


def print_json(value: object) -> None:
    """Print dataclasses, arrays and plain values as JSON for other programs; not-a-number becomes null."""
    print(json.dumps(_plain(value), indent=2, allow_nan=False))


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if hasattr(value, "tolist"):  # NumPy's arrays and numbers
        return _plain(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value
