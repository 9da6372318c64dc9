"""Running a study: train one model per (alpha, seed), vote on the test images at every beta, keep it all.

One folder holds ``study.toml``, ``models/*.safetensors`` and ``results.sqlite``. What is there already
is not computed again: models are named by a hash of all that determines their weights, cells are
found by theirs (see ``store``). All models see the same noise for the same test image at the same
beta, so that differences between alphas are paired.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

import torch

from sfumato.certification.shipped import computing_device
from sfumato.datasets import Dataset
from sfumato.datasets.class_order import warn_of_class_order
from sfumato.devices import choose_device
from sfumato.errors import SfumatoError
from sfumato.execution.base import Executor
from sfumato.execution.local import InProcess
from sfumato.files import locked, require_writable
from sfumato.models import build_model
from sfumato.models.classifier import Classifier
from sfumato.noise.keyed import require_same_noise
from sfumato.smoothing.answers import require_classes
from sfumato.smoothing.base_classifier import BaseClassifier
from sfumato.smoothing.batch_norms import normalize_at
from sfumato.studies.cells import Watch
from sfumato.studies.design import Design, write_design
from sfumato.studies.keys import Keys, image_counts
from sfumato.studies.results import StudyResults
from sfumato.studies.schedule import Schedule
from sfumato.studies.store import FILE, Current, Store, load_results, mend
from sfumato.studies.todo import study_data
from sfumato.user_code import told_in_one_line

__all__ = ["STUDY_FILE", "Watch", "run_study"]

STUDY_FILE = "study.toml"
LOCK_FILE = ".lock"


def run_study(
    design: Design,
    folder: Path | str,
    *,
    device: str = "auto",
    watch: Watch | None = None,
    executor: Executor | None = None,
    threads: int | None = None,
    data: Dataset | None = None,
) -> StudyResults:
    """Compute what is missing in ``folder`` and return the results of the study.

    Trainings and votes are handed to ``executor``, and run one after the other in this process if none is
    given. The rows are the same to the last bit with any executor, any number of workers and any order in
    which they finish, even if workers are lost. ``threads`` is how many threads each training on a CPU
    computes with, PyTorch's present number if not given: other numbers give weights that differ by rounding.
    If workers have their own GPUs, the executor decides the device.

    ``data`` is the data of the study, where the design's name does not load them.

    A kill loses at most one epoch and the images being voted on; the same call then continues. In one process
    the order is: all alphas of the first seed, each with its betas, then the next seed.

    Raises:
        OutputError: the folder cannot be written, or another process is at work in it.
        SettingError, DataError, ModelError: a study that cannot be run.
        WorkerError: workers of other versions, or a task that lost worker after worker.
        WriteError: the disk is full; what was finished is kept.
    """
    folder = Path(folder)
    executor = executor or InProcess()
    with executor if executor.in_process else contextlib.nullcontext():
        data = checked_data(design, folder, data)
        # the fewest of all that is measured
        warn_of_class_order(data, range(min(filter(None, image_counts(design, data).values()))))
        watch = watch or Watch()
        with locked(folder, folder / LOCK_FILE):
            mend_results(folder, watch)
            return _run(design, design, data, folder, device, watch, executor, threads)


def checked_data(design: Design, folder: Path, data: Dataset | None = None) -> Dataset:
    """Return the study's data, loaded if they are not given, after refusing what could not be run.

    Nothing is written.

    Raises:
        OutputError, SettingError, DataError, ModelError: as ``run_study``.
    """
    require_writable(folder / "models" / "any")
    data = study_data(design) if data is None else data
    data.require_training("a study")
    architecture = design.model.shared.architecture
    with told_in_one_line(f"the model {architecture} failed", lost=SfumatoError):
        built = build_model(
            architecture, data.input_shape, data.num_classes, data.channel_mean, data.channel_std
        )
    base = BaseClassifier(built.eval(), torch.device("cpu"))
    require_classes(base.probe(torch.from_numpy(data.test.x[:1]), batch_size=1), data.num_classes)
    if design.votes.normalization == "at-beta":
        normalize_at(Classifier(architecture, built), data.train.x[:2], beta=0.0, device="cpu")
    image_counts(design, data)
    return data


def mend_results(folder: Path, watch: Watch) -> None:
    """Mend damaged results, and say what was lost.

    Raises:
        DataError, OutputError, SfumatoError: as ``mend``.
    """
    for lost in mend(folder / FILE):
        watch.on_warning(f"{folder / FILE}: {lost} was damaged; what it held is computed again")


def _run(
    design: Design,
    recorded: Design,
    data: Dataset,
    folder: Path,
    device: str,
    watch: Watch,
    executor: Executor,
    threads: int | None = None,
) -> StudyResults:
    """Run the study where the caller holds the folder; the study file says ``recorded`` afterwards."""
    # where workers compute, this machine may have no such device
    chosen = choose_device(device) if executor.in_process else torch.device(computing_device("cpu", executor))
    with Store(folder / FILE) as store:
        keys = Keys.of(design, data, chosen)
        if store.path_of(keys.earlier_chain):
            require_same_noise({}, folder)
        keys = keys.after(store.path_of(keys.chain))
        schedule = Schedule(keys, folder, store, executor, watch, threads)
        write_design(recorded, folder / STUDY_FILE)
        store.keep_path(keys.chain, keys.path)
        store.begin(keys.current)
        schedule.run()
    return load_results(folder)


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
            return _run(part, whole, data, folder, device, watch, executor)
    finally:
        after = current_record(folder)
        if before is not None and after is not None and before.settings == after.settings:
            kept = replace(after, certification=before.certification, certified=before.certified)
            with Store(folder / FILE) as store:
                store.begin(kept)
