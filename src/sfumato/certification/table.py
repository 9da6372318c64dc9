"""The table of certificates, written and read.

It is the tab-separated table that the tools of the field read and write (Cohen et al. 2019):
one row per example, ``idx label predict radius correct time``, predict -1 for an abstention. Ours has
further columns behind these six: what was spent and found, and on what the guarantee rests.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from sfumato.certification.certificate import Certificate, written_radius
from sfumato.certification.table_cells import LARGEST_RADIUS, duration, real, whole, written_duration
from sfumato.errors import DataError
from sfumato.plans import ABSTAIN

HEADER = ("idx", "label", "predict", "radius", "correct", "time")
OURS = ("votes", "stopped_by", "p_lower", "p_upper", "confidence", "plan")


def written_row(found: Certificate) -> str:
    """Return the line of the table, without its end.

    Raises:
        DataError: a certificate with ``seconds`` that are negative or not finite.
    """
    shown, time = f"{written_radius(found.radius):.6f}", written_duration(found.seconds)
    cells: tuple[object, ...] = (found.idx, found.label, found.predict, shown, int(found.correct), time)
    if found.votes is not None:
        cells += (found.votes, found.stopped_by, found.p_lower, found.p_upper, found.confidence, found.plan)
    return "\t".join(str(cell) for cell in cells)


def written_table(certificates: Iterable[Certificate]) -> str:
    """Return the whole table, header first; without our columns where a certificate lacks them.

    Raises:
        DataError: as ``written_row``.
    """
    rows = list(certificates)
    header = HEADER if any(row.votes is None for row in rows) else HEADER + OURS
    return "".join(line + "\n" for line in ("\t".join(header), *map(written_row, rows)))


def parse_row(line: str, where: str, *, ours: bool = False, most: int | None = None) -> Certificate:
    """Return the certificate of one line; what is behind our or the common columns is ignored.

    ``most`` is how many columns the table has, if that is known.

    Raises:
        DataError: a line that has too few or too many columns, or no numbers of their range in them.
    """
    cells = _cells(line)
    needed = len(HEADER) + (len(OURS) if ours else 0)
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
        votes = whole("votes", cells[6])
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
    )


def _cells(line: str) -> list[str]:
    """Return the cells of a line without the blanks around them."""
    return [cell.strip(" \r\n") for cell in line.split("\t")]


def read_certificates(path: Path | str, on_note: Callable[[str], None] = warnings.warn) -> list[Certificate]:
    """Return the certificates in a table written by Sfumato or by another tool of the field.

    Tables that went through other programs are read all the same: with a byte-order mark, blanks around
    cells, empty lines, ends of lines of other systems, or the header of every run that was appended. Of
    several rows about one image the first one counts, and ``on_note`` is told.

    Raises:
        DataError: a missing file, another header, or a damaged line.
    """
    lines = _lines(Path(path))
    ours, most = False, 0
    found: dict[int, Certificate] = {}
    repeated: list[int] = []
    for number, line in enumerate(lines, 1):
        names = tuple(_cells(line))
        if not any(names):
            continue
        if names[: len(HEADER)] == HEADER:
            ours, most = names[: len(HEADER + OURS)] == HEADER + OURS, len(names)
            continue
        if not most:
            break
        row = parse_row(line, f"{path}:{number}", ours=ours, most=most)
        if row.idx in found:
            repeated.append(number)
        else:
            found[row.idx] = row
    if not most:
        raise DataError(f"{path}: its first line must begin with {' '.join(HEADER)}, separated by tabs")
    if repeated:
        more = f" and {len(repeated) - 1} others" if len(repeated) > 1 else ""
        on_note(
            f"{path}:{repeated[0]}{more}: about an image that an earlier row is about; the first row of each "
            "image counts"
        )
    return list(found.values())


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
