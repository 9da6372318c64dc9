"""What is drawn and tabulated: studies, certification tables of ours and of other tools, published risks.

A source is named by its path, or as ``NAME=PATH`` to choose what figures call it.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from sfumato.answers.published import PublishedResults, load_published
from sfumato.certification.certificate import Certificate
from sfumato.certification.file import note_of_change, settings_beside
from sfumato.certification.measure import Measure
from sfumato.certification.published_level import told_noises
from sfumato.certification.table import read_rows
from sfumato.certification.without_noise import WHOLE_TEST_SET
from sfumato.errors import DataError, ModelError, NoResultsYetError, SettingError
from sfumato.models.checkpoint import ModelRecord, read_record
from sfumato.studies.design import VotesTable, read_design
from sfumato.studies.results import StudyResults
from sfumato.studies.run import STUDY_FILE
from sfumato.studies.store import FILE, load_results

_TABLE_SUFFIXES = (".tsv", ".txt", ".tab", ".csv", ".dat", ".out", ".log")


@dataclass(frozen=True)
class CertifiedSet:
    """Certificates that are drawn as one line.

    Attributes:
        name: what figures call it.
        certificates: at least one.
        unit: of its radii; empty where the table does not say.
        origin: where it was read from.
        settings: those of the run, as written beside its table; None of another tool's. Of a study's cell
            those of them that the folder tells.
    """

    name: str
    certificates: Sequence[Certificate]
    unit: str
    origin: Path
    settings: dict[str, Any] | None = None

    @property
    def measure(self) -> Measure:
        """In what the radii are measured; L2 where the table does not say, as of other tools and studies."""
        return replace(Measure.of(self.settings), unit=self.unit)

    @property
    def norm(self) -> str:
        """The norm of the radii."""
        return self.measure.norm

    @property
    def clean_accuracy(self) -> float | None:
        """Accuracy of the base network without noise; None where it, or what it is of, is not said."""
        found = (self.settings or {}).get("clean_accuracy")
        return float(found) if isinstance(found, int | float) and self.clean_of else None

    @property
    def clean_of(self) -> str:
        """Which images ``clean_accuracy`` is of; empty where it is not said."""
        return str((self.settings or {}).get("clean_of") or "")

    @property
    def normalized(self) -> dict[str, Any] | None:
        """How its batch norms were re-estimated under the smoothing noise; None if they were not."""
        found = (self.settings or {}).get("normalization")
        return found if isinstance(found, dict) else None


@dataclass(frozen=True)
class StudySource:
    """A study's folder and what it has measured so far; ``results`` is None before its first cell."""

    name: str
    folder: Path
    results: StudyResults | None


@dataclass(frozen=True)
class Sources:
    """All that was given, in the order given."""

    studies: tuple[StudySource, ...]
    tables: tuple[CertifiedSet, ...]
    published: tuple[PublishedResults, ...]

    def certified_sets(self) -> tuple[CertifiedSet, ...]:
        """Return every set of certificates: the certified cells of the studies, then the tables."""
        several = len(self.studies) > 1
        cells = [found for study in self.studies for found in study_sets(study, several=several)]
        return (*cells, *self.tables)


def study_sets(study: StudySource, *, several: bool = False) -> list[CertifiedSet]:
    """Return a study's certified cells; with ``several`` studies their names begin with its own."""
    if study.results is None:
        return []
    results, begin = study.results, f"{study.name}, " if several else ""
    seeds = len({seed for _, _, seed in results.certificates}) > 1
    records = _records(study.folder) if results.certificates else {}
    votes = _votes(study.folder)
    return [
        CertifiedSet(
            f"{begin}α {alpha:g}, β {beta:g}" + (f", seed {seed}" if seeds else ""),
            rows,
            results.unit,
            study.folder,
            {"alpha": alpha, "beta": beta, "data": results.data}
            | _network(records.get((alpha, seed)), beta, votes),
        )
        for (alpha, beta, seed), rows in sorted(
            results.certificates.items(), key=lambda cell: (cell[0][1], cell[0][0], cell[0][2])
        )
        if rows
    ]


def _records(folder: Path) -> dict[tuple[float, int], ModelRecord]:
    """Return the record of the network of each alpha and seed, where the folder has one of them."""
    found: dict[tuple[float, int], list[ModelRecord]] = {}
    for path in (folder / "models").glob("*.safetensors"):
        with contextlib.suppress(ModelError):
            record = read_record(path)
            found.setdefault((record.alpha, record.seed), []).append(record)
    return {place: records[0] for place, records in found.items() if len(records) == 1}


def _votes(folder: Path) -> VotesTable | None:
    """Return how a study votes; None where it has no study file any more."""
    with contextlib.suppress(SettingError):
        return read_design(folder / STUDY_FILE).votes
    return None


def _network(record: ModelRecord | None, beta: float, votes: VotesTable | None) -> dict[str, Any]:
    """Return what is known of a study's network, as the settings of a run of ``sfumato certify`` have it."""
    if record is None:
        return {}
    known: dict[str, Any] = {"clean_accuracy": record.clean_accuracy, "data_sha256": record.data_sha256}
    known["clean_of"] = WHOLE_TEST_SET
    if votes is None:
        return known
    known["precision"] = votes.precision
    if votes.normalization == "trained":
        return known | {"weights_sha256": record.weights_sha256}
    noise = {"noise": "gaussian", "beta": beta}
    return known | {"normalization": {"noise": noise, "source_sha256": record.weights_sha256}}


def read_sources(
    given: Sequence[str], *, unfinished: bool = False, on_note: Callable[[str], None] = warnings.warn
) -> Sources:
    """Return what the paths (or NAME=PATH) hold: study folders, certification tables, published CSV files.

    With ``unfinished`` a study that has no finished cell yet is accepted. ``on_note`` hears what is worth
    knowing about how a table was read.

    Raises:
        DataError: a path of none of these kinds, a damaged file, a table without rows.
    """
    studies: list[StudySource] = []
    tables: list[CertifiedSet] = []
    published: list[PublishedResults] = []
    for text in given:
        name, path = named_path(text)
        if os.path.isdir(path):  # noqa: PTH112 (Path's own raises where a name is too long)
            studies.append(_read_study(name or path.resolve().name, path, unfinished))
        elif path.suffix.lower() == ".csv":
            found = load_published(path)
            published.append(replace(found, name=name or found.name))
        else:
            tables.append(_read_table(name, path, on_note))
    return Sources(tuple(_distinct(studies)), tuple(_distinct(tables)), tuple(_distinct(published)))


def named_path(text: str) -> tuple[str, Path]:
    """Return (name or nothing, path) of ``NAME=PATH`` or a path, which may have an equals sign itself."""
    name, sign, path = text.partition("=")
    if sign and not os.path.exists(text):  # noqa: PTH110 (as above)
        return name.strip(), Path(path)
    return "", Path(text)


def _read_study(name: str, folder: Path, unfinished: bool) -> StudySource:
    if not (folder / FILE).is_file():
        raise DataError(
            f"{folder}: holds no {FILE}; give a folder written by sfumato study run, a certification table "
            "(.tsv), or published risks (.csv)"
        )
    try:
        results = load_results(folder)
    except NoResultsYetError:
        if not unfinished:
            raise
        return StudySource(name, folder, None)
    if not results.cells and not unfinished:
        raise DataError(f"{folder}: the study has no finished cell yet; try again later, or use --follow")
    return StudySource(name, folder, results if results.cells else None)


def _read_table(name: str, path: Path, on_note: Callable[[str], None]) -> CertifiedSet:
    settings = settings_beside(path)
    rows = read_rows(path, on_note, told_noises(name, path, settings or {})[1])
    if not rows:
        raise DataError(f"{path}: holds no certificates yet; at least 1 is needed")
    if settings:
        note_of_change(path, settings, on_note)
    if not name and settings:
        noise = str(settings.get("noise", "gaussian"))
        name = f"{settings.get('model', table_label(path))}, β {settings.get('beta', '?')}"
        name += "" if noise == "gaussian" else f" {noise}"
    unit = str(settings.get("unit", "")) if settings else ""
    return CertifiedSet(name or table_label(path), rows, unit, path, settings)


def table_label(path: Path) -> str:
    """Return what figures call a table: its name, less the suffix if that says it is a table.

    >>> table_label(Path("cohen/noise_0.25.tsv")), table_label(Path("cohen/sigma_0.25"))
    ('noise_0.25', 'sigma_0.25')
    """
    name = path.stem if path.suffix.lower() in _TABLE_SUFFIXES else path.name
    # a name may hold bytes that are no text
    return os.fsencode(name).decode(errors="replace")


_Named = TypeVar("_Named", StudySource, CertifiedSet, PublishedResults)


def _distinct(found: list[_Named]) -> list[_Named]:
    """Return the sources with names that tell them apart: the second of a name gets its number."""
    seen: Counter[str] = Counter()
    named = []
    for one in found:
        seen[one.name] += 1
        if seen[one.name] > 1:
            one = replace(one, name=f"{one.name} ({seen[one.name]})")
        named.append(one)
    return named
