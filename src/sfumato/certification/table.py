"""The table of certificates, written and read.

It is the tab-separated table that the tools of the field read and write (Cohen et al. 2019): one row per
example, ``idx label predict radius correct time``, predict -1 for an abstention. Our table has further
columns after these six: votes, bounds, the basis of the guarantee, and the counts of each round of votes.
Sound certificates have one more, the squared distance that they cover in steps of the pixel grid.
Tables come from many tools and through spreadsheets, so every cell is checked: a number must be written in
ASCII digits and lie in a range in which all later arithmetic is safe.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from sfumato.certification.certificate import Certificate, written_radius
from sfumato.certification.published_level import told_noises, with_level
from sfumato.errors import DataError
from sfumato.plans import ABSTAIN

HEADER = ("idx", "label", "predict", "radius", "correct", "time")
OURS = ("votes", "stopped_by", "p_lower", "p_upper", "confidence", "plan", "counts")

SOUND = (*HEADER, *OURS, "squared_steps")
"""The header of tables of sound certificates (``noise.discretised``)."""

EARLIER = HEADER + OURS[:-1]
"""The header of tables before their counts were kept."""

LARGEST_RADIUS = 1e15
"""Radii above it, in any unit, are taken for damage."""

# A row read without these two is taken for one of a published table, which always guarantees something.
_SAYING = ("plan", "confidence")
_CORRECT = {"0": False, "1": True, "0.0": False, "1.0": True, "false": False, "true": True}
_LARGEST_WHOLE = 10**15
_LARGEST_SECONDS = 1e10  # 317 years
_SHOWN = 40

_WHOLE = re.compile(r"[-+]?[0-9]{1,16}\Z")
_REAL = re.compile(r"([-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?|nan)\Z")
# timedelta writes days, pandas too; hours may be more than 24
_CLOCK = re.compile(r"(?:([0-9]+) days?,? )?([0-9]+):([0-9]+):([0-9]+(?:\.[0-9]*)?)\Z")


def written_row(found: Certificate, *, ours: bool | None = None) -> str:
    """Return the line of the table, without its end.

    ``ours`` says whether the table has our columns, by default if the certificate does. Those of a
    certificate that lacks them are empty there, its confidence excepted.

    Raises:
        DataError: a certificate with ``seconds`` that are negative or not finite.
    """
    shown, time = _shown_radius(found.radius), written_duration(found.seconds)
    cells: tuple[object, ...] = (found.idx, found.label, found.predict, shown, int(found.correct), time)
    if ours is None:
        ours = found.votes is not None
    if ours:
        votes = "" if found.votes is None else found.votes
        cells += (votes, found.stopped_by, found.p_lower, found.p_upper, found.confidence, found.plan)
        cells += (found.counts,) if found.counts or found.sound else ()
        cells += (found.squared_steps,) if found.sound else ()
    return "\t".join(str(cell) for cell in cells)


def _shown_radius(radius: float) -> str:
    """Return ``written_radius`` with six decimals, or with the further digits that a small one has."""
    kept = written_radius(radius)
    usual = f"{kept:.6f}"
    return usual if float(usual) == kept else repr(kept)


def written_table(certificates: Iterable[Certificate]) -> str:
    """Return the whole table, header first; without our columns where all certificates lack them.

    Raises:
        DataError: as ``written_row``.
    """
    rows = list(certificates)
    header: tuple[str, ...] = HEADER + OURS if any(row.counts for row in rows) else EARLIER
    if rows and all(row.votes is None for row in rows):
        header = HEADER
    elif any(row.sound for row in rows):
        header = SOUND
    lines = (written_row(row, ours=header != HEADER) for row in rows)
    return "".join(line + "\n" for line in ("\t".join(header), *lines))


def parse_row(line: str, where: str, *, ours: int = 0, most: int | None = None) -> Certificate:
    """Return the certificate of one line; further columns, unknown to Sfumato, are ignored.

    ``ours`` is how many of our own columns the table has: none, all but the counts, all, or those of sound
    certificates. ``most`` is how many columns it has, if that is known.

    Raises:
        DataError: a line that has too few or too many columns, or numbers out of range.
    """
    cells = _cells(line)
    needed = len(EARLIER if ours else HEADER)
    if len(cells) < needed:
        raise DataError(f"{where}: {len(cells)} columns, at least {needed} are needed")
    if most is not None and any(cells[most:]):
        raise DataError(f"{where}: {len(cells)} columns, at most {most} have a name in the header")
    try:
        found = Certificate(
            whole("idx", cells[0]),
            whole("label", cells[1], least=-1),
            whole("predict", cells[2], least=ABSTAIN),
            real("radius", cells[3], LARGEST_RADIUS),
            duration(cells[5]),
        )
        if not ours:
            return found
        p_lower, p_upper, confidence = (
            real(name, cell, 1.0, may_lack=True) for name, cell in zip(OURS[2:5], cells[8:11], strict=True)
        )
        if confidence in (0.0, 1.0):
            raise DataError(f"confidence must lie strictly between 0 and 1, got {confidence:g}")
        # beside rows of ours those of published tables say neither votes nor plan
        votes = None if not cells[6] and not cells[11] else whole("votes", cells[6])
        steps = cells[len(SOUND) - 1] if ours > len(OURS) and len(cells) >= len(SOUND) else ""
        squared_steps = whole("squared_steps", steps, least=-1) if steps else None
    except DataError as error:
        raise DataError(f"{where}: {error}") from error
    return replace(
        found,
        votes=votes,
        stopped_by=cells[7],
        p_lower=p_lower,
        p_upper=p_upper,
        confidence=confidence,
        plan=cells[11],
        counts=cells[12] if ours >= len(OURS) and len(cells) > 12 else "",
        squared_steps=squared_steps,
    )


def _cells(line: str) -> list[str]:
    """Return the cells of a line without the blanks around them."""
    return [cell.strip(" \r\n") for cell in line.split("\t")]


def read_rows(
    path: Path | str, on_note: Callable[[str], None] = warnings.warn, beta: float | None = None
) -> list[Certificate]:
    """Return the rows of a table: ``read_certificates`` of ``sfumato.certification.certificates``.

    Rows that state neither plan nor confidence, as of published tables, have the confidence that fits
    (``with_level``) if ``beta`` is given or the path tells it.
    """
    lines = _lines(Path(path))
    ours, most = 0, 0
    found: dict[int, Certificate] = {}
    repeated: list[int] = []
    contradicting: list[int] = []
    for number, line in enumerate(lines, 1):
        names = tuple(_cells(line))
        if not any(names):
            continue
        if names[: len(HEADER)] == HEADER:
            ours, most = _ours(names), len(names)
            if not ours and (moved := [name for name in _SAYING if name in names]):
                raise DataError(
                    f"{path}:{number}: the column {moved[0]} is not where Sfumato writes it, so the rows "
                    f"would be read without it; the columns {' '.join(EARLIER)} must be the first ones"
                )
            continue
        if not most:
            break
        row = parse_row(line, f"{path}:{number}", ours=ours, most=most)
        if _CORRECT.get(names[HEADER.index("correct")].lower()) != row.correct:
            contradicting.append(number)
        if row.idx in found:
            repeated.append(number)
        else:
            found[row.idx] = row
    if not most:
        raise DataError(f"{path}: its first line must begin with {' '.join(HEADER)}, separated by tabs")
    for lines_told, message in (
        (repeated, "a further row about an image; the first row about each image counts"),
        (contradicting, "its cell correct is not what label and predict say; label and predict count"),
    ):
        if lines_told:
            more = f" and {len(lines_told) - 1} others" if len(lines_told) > 1 else ""
            on_note(f"{path}:{lines_told[0]}{more}: {message}")
    told = told_noises("", Path(path), {})[1] if beta is None else beta
    return list(found.values()) if told is None else with_level(list(found.values()), told)


def _ours(names: tuple[str, ...]) -> int:
    """Return how many of our own columns a header names, in their places."""
    known = (SOUND, HEADER + OURS, EARLIER)
    return next((len(header) - len(HEADER) for header in known if names[: len(header)] == header), 0)


def _lines(path: Path) -> list[str]:
    """Return the lines of a text in UTF-8, whatever system wrote their ends."""
    try:
        content = None if path.is_char_device() else path.read_bytes()
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
    if content is None:
        raise DataError(f"{path}: is a device, which may have no end; give a file")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}:{number}: not text in UTF-8 (byte 0x{content[error.start]:02x}); save it as UTF-8"
        ) from error
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _excerpt(cell: str) -> str:
    """Return a cell in quotes, as much of it as fits into a message."""
    return repr(cell[:_SHOWN]) + ("..." if len(cell) > _SHOWN else "")


def whole(name: str, cell: str, least: int = 0) -> int:
    """Return the whole number in a cell, from ``least`` to 10^15.

    Raises:
        DataError: another one, or none.
    """
    if _WHOLE.match(cell) and least <= (found := int(cell)) <= _LARGEST_WHOLE:
        return found
    raise DataError(f"{name} must be a whole number from {least} to 10^15, got {_excerpt(cell)}")


def real(name: str, cell: str, largest: float, *, may_lack: bool = False) -> float:
    """Return the number in a cell, from 0 to ``largest``; also nan where it ``may_lack``.

    Raises:
        DataError: another one, or none.
    """
    if _REAL.match(cell):
        found = float(cell)
        if 0.0 <= found <= largest or (may_lack and math.isnan(found)):
            return found
    raise DataError(f"{name} must be a finite number from 0 to {largest:g}, got {_excerpt(cell)}")


def duration(cell: str) -> float:
    """Return the seconds of ``15.4``, ``0:02:31.238689``, ``28:00:00`` or ``1 day, 4:00:00``.

    >>> duration("0:00:04.123"), duration("28:00:00") == duration("1 day, 4:00:00")
    (4.123, True)

    Raises:
        DataError: anything else, or more than 10^10 seconds.
    """
    if (parts := _CLOCK.match(cell)) is not None:
        days, hours, minutes, seconds = (float(part or 0) for part in parts.groups())
        found = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
        if found <= _LARGEST_SECONDS:
            return found
    elif _REAL.match(cell) and 0.0 <= float(cell) <= _LARGEST_SECONDS:
        return float(cell)
    raise DataError(
        f"time must be from 0 to {_LARGEST_SECONDS:g} seconds, as 15.4 or 0:00:15.4, got {_excerpt(cell)}"
    )


def written_duration(seconds: float) -> str:
    """Return hours, minutes and seconds, to a millisecond; hours go on beyond 24.

    >>> written_duration(75.25), written_duration(59.9999), written_duration(100_800.25)
    ('0:01:15.250000', '0:01:00', '28:00:00.250000')

    Raises:
        DataError: seconds that are negative, not finite or more than 10^10.
    """
    if not 0.0 <= seconds <= _LARGEST_SECONDS:
        raise DataError(f"seconds must be a number from 0 to {_LARGEST_SECONDS:g}, got {seconds}")
    # whole milliseconds, so that no part is rounded to 60
    whole_seconds, milliseconds = divmod(round(seconds * 1000), 1000)
    minutes, shown = divmod(whole_seconds, 60)
    fraction = f".{milliseconds:03}000" if milliseconds else ""
    return f"{minutes // 60}:{minutes % 60:02}:{shown:02}{fraction}"
