"""The table of a certification run, kept so that rows of different runs never share a file.

Beside ``NAME.tsv`` stands ``NAME.tsv.json``, the run's settings. A run is continued only if they are the
same to the letter, except that it may be about more images than before.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from sfumato.errors import DataError, OutputError
from sfumato.files import require_writable, write_text
from sfumato.locks import try_lock
from sfumato.noise.keyed import require_same_noise
from sfumato.smoothing.certificate import HEADER, OURS, Certificate, parse_row

_HEADER = "\t".join(HEADER + OURS) + "\n"
# The rows themselves tell of which images they are; names are compared where there is nothing better.
_NOT_COMPARED = ("examples", "data")


def settings_path(output: Path) -> Path:
    """Return where the settings of the run that writes ``output`` are kept."""
    return output.with_name(f"{output.name}.json")


def read_settings(record: Path) -> dict[str, Any]:
    """Return the settings that a run has written beside its table.

    Raises:
        DataError: the file cannot be read or holds something else.
    """
    try:
        found = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{record}: cannot be read ({error})") from error
    if not isinstance(found, dict):
        raise DataError(f"{record}: must hold a JSON object, the settings of the run")
    return found


def finished_rows(output: Path, settings: dict[str, Any], examples: Sequence[int]) -> list[Certificate]:
    """Return the rows that ``output`` holds of the run with these settings; nothing is written.

    Raises:
        OutputError: it is another run's, or cannot be written.
        DataError: a row that is none.
    """
    require_writable(output)
    return _read(output, settings, examples)[0]


@contextlib.contextmanager
def continued(
    output: Path, settings: dict[str, Any], examples: Sequence[int]
) -> Iterator[tuple[list[Certificate], TextIO]]:
    """Hold ``output`` for this process alone; yield its finished rows, and the file to append to.

    A last line without its end was being written when a run was killed; it is cut off. The lock ends with
    the process, however it ends.

    Raises:
        OutputError: as ``finished_rows``; another process is writing it; the disk does not take it.
        DataError: a row that is none.
    """
    finished_rows(output, settings, examples)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with output.open("a", encoding="utf-8") as table:
            if not try_lock(table):
                raise OutputError(
                    f"{output}: another process is writing it; wait for it or choose another output"
                )
            rows, size = _read(output, settings, examples)
            record = settings_path(output)
            found = read_settings(record) if record.exists() else {}
            if found.get("examples") != settings["examples"]:
                # of a record that is there, the names stay
                write_text(
                    record,
                    json.dumps({**settings, **found, "examples": settings["examples"]}, indent=2) + "\n",
                )
            table.truncate(size)
            if not size:
                table.write(_HEADER)
                table.flush()
            yield rows, table
            os.fsync(table.fileno())
    except OSError as error:
        raise OutputError(f"{output}: cannot be written ({error.strerror or error})") from error


def _read(output: Path, settings: dict[str, Any], examples: Sequence[int]) -> tuple[list[Certificate], int]:
    """Return the rows of this run and the bytes of the whole lines."""
    record = settings_path(output)
    content = output.read_bytes() if output.exists() else b""
    if content and not record.exists():
        raise OutputError(f"{output}: exists and is not a run of these settings; choose another output")
    if record.exists():
        _require_same_run(output, record, settings)
    whole = content[: content.rfind(b"\n") + 1]
    if not whole:
        return [], 0
    lines = whole.decode("utf-8", errors="replace").splitlines()
    if lines[0] + "\n" != _HEADER:
        raise OutputError(
            f"{output}: its first line is not the header {_HEADER.strip()}; choose another output"
        )
    rows = [parse_row(line, f"{output}:{number}", ours=True) for number, line in enumerate(lines[1:], 2)]
    if len(rows) > len(examples):
        raise OutputError(
            f"{output}: holds {len(rows)} images already, more than the {len(examples)} asked for; choose "
            "another output"
        )
    for number, (row, example) in enumerate(zip(rows, examples, strict=False), 2):
        if row.idx != example:
            raise OutputError(
                f"{output}:{number}: is about image {row.idx}, where this run has image {example}; choose "
                "another output"
            )
    return rows, len(whole)


def _require_same_run(output: Path, record: Path, settings: dict[str, Any]) -> None:
    try:
        found = read_settings(record)
    except DataError as error:
        raise OutputError(f"{error}; choose another output") from error
    require_same_noise(found, output)
    for name, value in settings.items():
        # a checkpoint may have another path by now: its weights are compared
        renamed = name == "model" and settings["alpha"] is not None
        if name not in _NOT_COMPARED and not renamed and found.get(name) != value:
            raise OutputError(
                f"{output}: is another run's, with {name} {found.get(name)} and not {value}; "
                "choose another output"
            )
