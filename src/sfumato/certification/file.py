"""The table of a certification run; rows of different runs are never in one file.

Beside ``NAME.tsv`` stands ``NAME.tsv.json``, the run's settings. A run is continued only if they are
identical, with two exceptions: there may be more images than before, and the model's answers to fixed inputs
may differ by rounding. The settings end with a seal: checksums of themselves and of the finished table, by
which a later change of either is noticed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, TypeGuard

from sfumato.certification.certificate import Certificate
from sfumato.certification.recorded_answers import difference
from sfumato.certification.table import EARLIER, HEADER, LARGEST_RADIUS, OURS, SOUND, parse_row, written_row
from sfumato.errors import DataError, OutputError, WriteError
from sfumato.files import require_in_place, require_writable, try_lock, write_text, writing
from sfumato.noise.keyed import require_same_noise

_HEADER = "\t".join(HEADER + OURS) + "\n"
_SOUND = "\t".join(SOUND) + "\n"
_EARLIER = "\t".join(EARLIER) + "\n"
# The rows themselves tell of which images they are; names are compared where there is nothing better.
_OF_EXAMPLES = ("examples", "clean_accuracy", "clean_of")
_NOT_COMPARED = (*_OF_EXAMPLES, "data", "answers")
# They are in front of the model, and the checksum of its weights depends on them.
_IN_THE_WEIGHTS = ("mean", "std")
# What settings that do not name their noise mean.
_BEFORE_OTHER_NOISES = {"noise": "gaussian", "norm": "L2"}
_KINDS: dict[str, tuple[type, ...]] = {
    "model": (str,),
    "data": (str,),
    "unit": (str,),
    "plan": (str,),
    "noise": (str,),
    "norm": (str,),
    "beta": (int, float),
    "confidence": (int, float),
    "examples": (dict,),
    "seal": (dict,),
}


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST_RADIUS


# What figures and tables show of the settings. NaN lies in no range; JSON of Python may hold it.
_RANGES: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    ("beta", lambda found: _is_number(found) and found > 0, "a positive finite number"),
    ("confidence", lambda found: 0 < found < 1, "strictly between 0 and 1"),
    ("alpha", lambda found: _is_number(found) and found >= 0, "a finite number of at least 0"),
    ("clean_accuracy", lambda found: _is_number(found) and 0 <= found <= 1, "a number from 0 to 1"),
)


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
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{record}: cannot be read ({error})") from error
    if not isinstance(found, dict):
        raise DataError(f"{record}: must hold a JSON object, the settings of the run")
    for name, kinds in _KINDS.items():
        if name in found and (not isinstance(found[name], kinds) or isinstance(found[name], bool)):
            wanted = " or ".join(kind.__name__ for kind in kinds)
            raise DataError(f"{record}: {name} must be of type {wanted}, got {str(found[name])[:40]!r}")
    for name, count in found.get("examples", {}).items():
        if not isinstance(count, int):
            raise DataError(f"{record}: examples {name} must be of type int, got {str(count)[:40]!r}")
    return found


def settings_beside(output: Path) -> dict[str, Any] | None:
    """Return the settings beside a table, None where there are none; what no run can have is refused.

    Raises:
        DataError: as ``read_settings``; a beta, alpha, confidence or clean accuracy that is out of range.
    """
    record = settings_path(output)
    if not os.path.isfile(record):  # noqa: PTH113 (Path's own raises where a name is too long)
        return None
    found = read_settings(record)
    for name, accepted, wanted in _RANGES:
        if found.get(name) is not None and not accepted(found[name]):
            raise DataError(f"{record}: {name} must be {wanted}, got {str(found[name])[:40]!r}")
    return found


def checksum_of_settings(settings: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the settings of a run, its seal left out."""
    kept = {name: value for name, value in settings.items() if name != "seal"}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def checksum_of_examples(examples: Iterable[int]) -> int:
    """Return a number that tells one list of images from another, below 2^60."""
    written = ",".join(str(int(index)) for index in examples)
    return int(hashlib.sha256(written.encode()).hexdigest()[:15], 16)


def changed_since_sealed(settings: Mapping[str, Any], content: bytes) -> str | None:
    """Return what of a run was changed after it was written: its settings or its table; None if nothing was.

    ``content`` is the table's. Rows behind the sealed ones, of a run that was killed, are not looked at.
    """
    seal = settings.get("seal", {})
    if not isinstance(seal.get("bytes", 0), int):
        return "seal"
    if "settings_sha256" in seal and seal["settings_sha256"] != checksum_of_settings(settings):
        return "record of settings"
    if "bytes" in seal:
        found = hashlib.sha256(content[: seal["bytes"]]).hexdigest()
        if len(content) < seal["bytes"] or found != seal.get("table_sha256"):
            return "table"
    return None


def note_of_change(output: Path, settings: Mapping[str, Any], on_note: Callable[[str], None]) -> None:
    """Say if the table ``output`` and the ``settings`` beside it are not as one run has written them."""
    if (changed := changed_since_sealed(settings, output.read_bytes())) is not None:
        on_note(
            f"{output}: its {changed} was changed after the run, so {settings_path(output).name} may not be "
            "about these certificates; sfumato verify says what differs"
        )


def _write_settings(record: Path, settings: Mapping[str, Any], table: Mapping[str, Any]) -> None:
    """Write the settings with their seal, ``table`` being its part about the table."""
    seal = {**table, "settings_sha256": checksum_of_settings(settings)}
    write_text(record, json.dumps({**settings, "seal": seal}, indent=2) + "\n")


def finished_rows(output: Path, settings: dict[str, Any], examples: Sequence[int]) -> list[Certificate]:
    """Return the rows of the run with these settings that ``output`` holds; nothing is written.

    Raises:
        OutputError: it is another run's, another process is writing it, or it cannot be written.
        DataError: a row that cannot be read.
    """
    require_writable(output)
    require_writable(settings_path(output))
    if output.exists():
        if not output.is_file():
            raise OutputError(f"{output}: is not a regular file, as a table must be; choose another output")
        with writing(output), output.open("rb") as table:
            _lock(table, output)
    return _read(output, settings, examples)[0]


class GrowingTable:
    """The table of a run, kept open for writing; ``rows`` are the rows that it has so far."""

    def __init__(self, path: Path, file: BinaryIO, rows: list[Certificate], size: int, header: str) -> None:
        self._path, self._file, self._size, self._header = path, file, size, header
        self.rows = rows

    def append(self, found: Sequence[Certificate]) -> None:
        """Write the rows, whole or not at all.

        Raises:
            WriteError: the disk is full, or the table is no longer what this process has written.
        """
        written = [replace(row, counts="") for row in found] if self._header == _EARLIER else found
        self._write("".join(written_row(row) + "\n" for row in written).encode())
        self.rows += found

    def begin(self) -> None:
        """Cut off half a last line; write the header where there is none."""
        with writing(self._path):
            self._file.truncate(self._size)
        if not self._size:
            self._write(self._header.encode())

    def finish(self) -> None:
        """Wait until all rows are on the disk, and check that the table still exists."""
        with writing(self._path):
            os.fsync(self._file.fileno())
        self._require_there()
        record = settings_path(self._path)
        found, content = read_settings(record), self._path.read_bytes()
        sealed = {"bytes": len(content), "table_sha256": hashlib.sha256(content).hexdigest()}
        if found.get("seal", {}).get("table_sha256") != sealed["table_sha256"]:
            _write_settings(record, found, sealed)

    def _write(self, content: bytes) -> None:
        with writing(self._path):
            try:
                left = memoryview(content)
                while left:
                    left = left[self._file.write(left) :]
            except BaseException:
                # no reader shall meet half a row
                with contextlib.suppress(OSError):
                    self._file.truncate(self._size)
                raise
        self._size += len(content)
        self._require_there()

    def _require_there(self) -> None:
        """Refuse to go on with a table that nobody could read afterwards."""
        with writing(self._path):
            held = os.fstat(self._file.fileno())
        require_in_place(self._path, held)
        if held.st_size != self._size:
            raise WriteError(f"{self._path}: was changed by another program while it was written")
        if not settings_path(self._path).exists():
            raise WriteError(f"{settings_path(self._path)}: was removed while the table was written")


@contextlib.contextmanager
def continued(output: Path, settings: dict[str, Any], examples: Sequence[int]) -> Iterator[GrowingTable]:
    """Hold ``output`` for this process alone; yield it with its finished rows.

    A last line without its end was being written when a run was killed; it is cut off. The lock ends with
    the process, however it ends.

    Raises:
        OutputError: as ``finished_rows``.
        WriteError: the disk is full, or the table was removed, replaced or changed meanwhile.
        DataError: a row that cannot be read.
    """
    finished_rows(output, settings, examples)
    with contextlib.ExitStack() as held:
        with writing(output):
            output.parent.mkdir(parents=True, exist_ok=True)
            file = held.enter_context(output.open("ab", buffering=0))
        _lock(file, output)
        rows, size = _read(output, settings, examples)
        record = settings_path(output)
        found = read_settings(record) if record.exists() else {}
        if found.get("examples") != settings["examples"]:
            # of a record that is there, the names stay
            merged = {**settings, **found, **{n: settings[n] for n in _OF_EXAMPLES if n in settings}}
            of_table = {n: v for n, v in found.get("seal", {}).items() if n != "settings_sha256"}
            _write_settings(record, {n: v for n, v in merged.items() if n != "seal"}, of_table)
        with output.open("rb") as begun:
            first_line = begun.readline().decode(errors="replace")
        header = first_line if size else _header_of(settings)
        table = GrowingTable(output, file, rows, size, header)
        table.begin()
        yield table
        table.finish()


def _header_of(settings: Mapping[str, Any]) -> str:
    """Return the first line of a new table of a run with these settings."""
    return _SOUND if settings.get("sound") else _HEADER


def _lock(file: BinaryIO, output: Path) -> None:
    with writing(output):
        held = try_lock(file)
    if not held:
        raise OutputError(f"{output}: another process is writing it; wait for it or choose another output")


def _read(output: Path, settings: dict[str, Any], examples: Sequence[int]) -> tuple[list[Certificate], int]:
    """Return the rows of this run and the bytes of the whole lines."""
    record = settings_path(output)
    with writing(output):
        content = output.read_bytes() if output.exists() else b""
    if content and not record.exists():
        raise OutputError(f"{output}: exists, but no run with these settings wrote it; choose another output")
    if record.exists():
        _require_same_run(output, record, settings)
        if (changed := changed_since_sealed(read_settings(record), content)) is not None:
            raise OutputError(f"{output}: its {changed} was changed after the run; choose another output")
    whole = content[: content.rfind(b"\n") + 1]
    if not whole:
        return [], 0
    lines = whole.decode("utf-8", errors="replace").removesuffix("\n").split("\n")
    expected = _header_of(settings)
    if lines[0] + "\n" not in (expected, *(() if expected == _SOUND else (_EARLIER,))):
        raise OutputError(
            f"{output}: its first line is not the header {expected.strip()}; choose another output"
        )
    columns = lines[0].count("\t") + 1
    rows = [
        parse_row(line, f"{output}:{number}", ours=columns - len(HEADER), most=columns)
        for number, line in enumerate(lines[1:], 2)
    ]
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
        found = {**_BEFORE_OTHER_NOISES, **read_settings(record)}
    except DataError as error:
        raise OutputError(f"{error}; choose another output") from error
    require_same_noise(found, output)
    for name, value in settings.items():
        # a checkpoint may have another path by now: its weights are compared
        renamed = name == "model" and settings["alpha"] is not None
        # settings of a version before do not have them
        same = name in _IN_THE_WEIGHTS and found.get("weights_sha256") == settings["weights_sha256"]
        if name not in _NOT_COMPARED and not renamed and not same and found.get(name) != value:
            raise OutputError(
                f"{output}: belongs to another run, with {name} {found.get(name)} instead of {value}; "
                "choose another output"
            )
    if (reason := difference(found.get("answers"), settings["answers"])) is not None:
        raise OutputError(
            f"{output}: belongs to a run of another model with this name ({reason}); choose another output"
        )
