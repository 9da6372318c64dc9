"""Running a part of a study in its folder, so that the study's own record stays what it was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sfumato.datasets import Dataset
from sfumato.execution.local import InProcess
from sfumato.studies.design import Design
from sfumato.studies.results import StudyResults
from sfumato.studies.run import Watch, run_alone
from sfumato.studies.store import FILE, Current, Store


def current_record(folder: Path) -> Current | None:
    """Return what the last run in the folder measured; None if there was none."""
    if not (folder / FILE).is_file():
        return None
    with Store(folder / FILE, read_only=True) as store:
        return store.current()


def run_part(
    part: Design, whole: Design, data: Dataset, folder: Path, *, device: str, watch: Watch
) -> StudyResults:
    """Compute what the folder lacks of ``part`` and return the part's results.

    The study file says ``whole`` afterwards, and what the study shows as certified is what it was. The caller
    holds the folder and has checked the data.

    Raises:
        OutputError, SettingError, DataError, ModelError, SfumatoError: as ``run_study``.
    """
    before = current_record(folder)
    try:
        with InProcess() as executor:
            return run_alone(
                part, data, folder, device=device, watch=watch, recorded=whole, executor=executor
            )
    finally:
        after = current_record(folder)
        if before is not None and after is not None and before.settings == after.settings:
            kept = replace(after, certification=before.certification, certified=before.certified)
            with Store(folder / FILE) as store:
                store.begin(kept)
