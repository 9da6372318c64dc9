"""What a report was made from, by content, so that it can be told later whether it still is that."""

from __future__ import annotations

import hashlib
from pathlib import Path

from sfumato.reporting.sources import Sources
from sfumato.studies.results import StudyResults


def source_checksums(sources: Sources) -> list[dict[str, str]]:
    """Return kind, path and SHA-256 of each table, and of the results of each study."""
    studies = [
        {"kind": "study", "path": str(one.folder), "sha256": checksum_of_results(one.results)}
        for one in sources.studies
        if one.results is not None
    ]
    tables = [
        {"kind": "table", "path": str(one.origin), "sha256": checksum_of_table(one.origin)}
        for one in sources.tables
    ]
    return studies + tables


def checksum_of_table(path: Path) -> str:
    """Return the SHA-256 of the file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def checksum_of_results(results: StudyResults) -> str:
    """Return the SHA-256 of all rows of a study's results, whatever their order in the file."""
    digest = hashlib.sha256(repr((results.data, results.unit, results.votes)).encode())
    for place, cell in sorted(results.cells.items()):
        digest.update(repr(place).encode())
        for array in (
            cell.examples,
            cell.labels,
            cell.predicted,
            cell.votes,
            cell.first_votes,
            cell.first_hits,
        ):
            digest.update(array.astype("<i8").tobytes())
    for place, rows in sorted(results.certificates.items()):
        digest.update(repr((place, rows)).encode())
    return digest.hexdigest()
