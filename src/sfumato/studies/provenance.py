"""Where a study's numbers come from: its settings, its models' records, and how far it has come.

Read from the study's folder alone; neither the data nor any tensor is loaded.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from sfumato.errors import ModelError
from sfumato.models.checkpoint import ModelRecord, read_record
from sfumato.studies.design import Design, read_design, render
from sfumato.studies.results import StudyResults
from sfumato.studies.run import STUDY_FILE


@dataclass(frozen=True)
class StudyProvenance:
    """What is needed to make the study again, and what it was made with.

    Attributes:
        folder: the study's.
        design: its study file.
        settings: the study file as text, comments included.
        command: the command that makes it again, where the study file lies.
        models: file name and record of each model in the folder; the record is None of a damaged file.
    """

    folder: Path
    design: Design
    settings: str
    command: str
    models: tuple[tuple[str, ModelRecord | None], ...]

    @property
    def data_sha256(self) -> tuple[str, ...]:
        """Checksums of the data that the models were trained on: one, unless settings were changed."""
        return tuple(sorted({record.data_sha256 for _, record in self.models if record}))


def study_provenance(folder: Path) -> StudyProvenance:
    """Return where the study's numbers come from.

    Raises:
        SettingError: the study file is missing or damaged.
    """
    design = read_design(folder / STUDY_FILE)
    models: list[tuple[str, ModelRecord | None]] = []
    for path in sorted((folder / "models").glob("*.safetensors")):
        try:
            models.append((path.name, read_record(path)))
        except ModelError:
            models.append((path.name, None))
    models.sort(key=lambda found: (found[1].alpha, found[1].seed) if found[1] else (float("inf"), 0))
    command = f"sfumato study run {STUDY_FILE} --out {shlex.quote(folder.name or 'study')}"
    return StudyProvenance(folder, design, render(design), command, tuple(models))


def study_progress(design: Design, results: StudyResults | None) -> tuple[int, int]:
    """Return how many of the cells that the study file asks for are finished, and how many it asks for."""
    grid, table = design.grid, design.certification
    wanted = {(alpha, beta, seed) for alpha in grid.alpha for beta in grid.beta for seed in grid.seeds}
    certified = {
        (alpha, beta, seed)
        for alpha in grid.alpha
        for beta in (table.beta if table else ())
        for seed in grid.seeds
    }
    total = len(wanted) + len(certified)
    if results is None:
        return 0, total
    return len(wanted & set(results.cells)) + len(certified & set(results.certificates)), total
