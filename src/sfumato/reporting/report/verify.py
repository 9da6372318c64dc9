"""Verify a report: the page itself, and the studies and tables that it was made from."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from sfumato.certification.verify import AtHand, Verification, verify_table
from sfumato.errors import DataError
from sfumato.reporting.report.page import SOURCES
from sfumato.reporting.source_checksums import checksum_of_results, checksum_of_table
from sfumato.studies.store import load_results
from sfumato.studies.verify import verify_study

_ENDING = re.compile(r"<!-- sha256 ([0-9a-f]{64}) -->\n\Z")
_MADE_FROM = re.compile(rf'<script type="application/json" id="{SOURCES}">(.*?)</script>')


def verify_report(path: Path, at_hand: AtHand | None = None) -> Verification:
    """Return what holds and what does not hold of a report and of what it was made from.

    The page is compared with its checksum. Its sources are looked for where they were, seen from the current
    folder and from the report's, compared with what they were, and verified themselves.

    Raises:
        DataError: no report of this version or a later one.
    """
    found = Verification()
    try:
        page = path.read_bytes().decode("utf-8")
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
    ending, listed = _ENDING.search(page), _MADE_FROM.search(page)
    if listed is None:
        raise DataError(
            f"{path}: does not say what it was made from; only reports of this version or later do"
        )
    if ending is None or hashlib.sha256(page[: ending.start()].encode()).hexdigest() != ending[1]:
        found.differ("checksum", ["the page was changed after it was written"])
    else:
        found.checked.append("the page matches its checksum")
    try:
        sources = [(str(one["kind"]), str(one["path"]), str(one["sha256"])) for one in json.loads(listed[1])]
    except (ValueError, TypeError, KeyError):
        found.differ("sources", ["what the report says of them cannot be read"])
        return found
    for kind, name, checksum in sources:
        _check_source(kind, name, checksum, path, at_hand or AtHand(), found)
    if not sources:
        found.unchecked.append("the report was made from no study and no table of certificates")
    return found


def _check_source(
    kind: str, name: str, checksum: str, report: Path, at_hand: AtHand, found: Verification
) -> None:
    places = [place for place in (Path(name), report.parent / name) if place.exists()]
    if not places:
        found.unchecked.append(f"{name}: is not here")
        return
    source, part = places[0], Verification()
    try:
        if kind == "study":
            now, verified = checksum_of_results(load_results(source)), verify_study(source, at_hand)
        else:
            now, verified = checksum_of_table(source), verify_table(source, at_hand)
    except DataError as error:
        part.differ("source", [str(error)])
    else:
        part = verified
        if now != checksum:
            part.differ("source", ["its rows are not those that the report was made from"])
    found.include(part, name)
