"""Running a study: train one model per (alpha, seed), vote on the test images at every beta, keep it all.

One folder holds ``study.toml``, ``models/*.safetensors`` and ``results.sqlite``. What is there already
is not computed again: models are named by a hash of all that determines their weights, cells are
found by theirs (see ``store``). All models see the same noise for the same test image at the same
beta, so that differences between alphas are paired.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import torch

from sfumato.devices import choose_device
from sfumato.errors import OutputError
from sfumato.execution.base import Executor
from sfumato.execution.local import InProcess
from sfumato.files import require_writable
from sfumato.models import build_model
from sfumato.smoothing.answers import require_classes
from sfumato.smoothing.base_classifier import BaseClassifier
from sfumato.smoothing.shipped import computing_device
from sfumato.studies.design import Design, write_design
from sfumato.studies.keys import Keys
from sfumato.studies.results import StudyResults
from sfumato.studies.schedule import Schedule
from sfumato.studies.store import FILE, Current, Store, load_results
from sfumato.studies.todo import certified_count, image_count, study_data, what_is_left
from sfumato.studies.watch import Watch

__all__ = ["STUDY_FILE", "Watch", "run_study"]

STUDY_FILE = "study.toml"
_LOCK_FILE = ".lock"


def run_study(
    design: Design,
    folder: Path,
    *,
    device: str = "auto",
    watch: Watch | None = None,
    recorded: Design | None = None,
    executor: Executor | None = None,
    threads: int | None = None,
) -> StudyResults:
    """Compute what the study lacks in ``folder`` and return its results.

    The study file says ``recorded`` afterwards, ``design`` if that is not given: a caller that computes a
    part of a study leaves the file to the whole.

    Trainings and votes are handed to ``executor``, and run one after the other in this process if none is
    given. The rows are the same to the last bit whatever the executor, its number of workers, the order
    in which they finish, and what is lost on the way. ``threads`` is how many threads each training on a
    CPU computes with, PyTorch's present number if not given: other numbers give weights that differ by
    rounding. Where workers have GPUs to themselves, ``device`` is decided by the executor.

    Killed at any moment it loses at most an epoch and the images in flight, and the same call goes on.
    In one process the order is: all alphas of the first seed, each with its betas, then the next seed.

    Raises:
        OutputError: the folder cannot be written, or another process is at work in it.
        SettingError, DataError, ModelError: a study that cannot be run.
        WorkerError: workers of other versions, or a task that lost worker after worker.
        SfumatoError: the disk is full; what was finished is kept.
    """
    with contextlib.ExitStack() as held:
        executor = executor or held.enter_context(InProcess())
        # where workers compute, this machine may have no such device
        chosen = (
            choose_device(device) if executor.in_process else torch.device(computing_device("cpu", executor))
        )
        watch = watch or Watch()
        require_writable(folder / "models" / "any")
        data = study_data(design)
        # an architecture that cannot be built is refused before anything is written
        built = build_model(
            design.model.architecture, data.input_shape, data.num_classes, data.channel_mean, data.channel_std
        )
        # and so is one that does not fit the data
        base = BaseClassifier(built.eval(), torch.device("cpu"))
        require_classes(base.probe(torch.from_numpy(data.test.x[:1]), batch_size=1), data.num_classes)
        images, certified = image_count(design, data), certified_count(design, data)
        held.enter_context(_locked(folder))
        store = held.enter_context(Store(folder / FILE))
        keys = Keys.of(design, data, chosen)
        keys = keys.after(store.path_of(keys.chain))
        left = what_is_left(design, data, folder, store, keys)
        write_design(recorded or design, folder / STUDY_FILE)
        store.keep_path(keys.chain, keys.path)
        store.begin(
            Current(
                keys.settings,
                data.name,
                data.unit,
                design.votes.n,
                images,
                keys.certification,
                certified,
            )
        )
        Schedule(design, data, folder, store, keys, executor, watch, left, str(chosen), threads).run()
    return load_results(folder)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder for this process alone; the lock ends with the process, however it ends.

    Raises:
        OutputError: another process holds it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / _LOCK_FILE).open("a+", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror or error})") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise OutputError(
                f"{folder}: process {file.read().strip() or '?'} is running a study here; wait for it or "
                "choose another folder"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
