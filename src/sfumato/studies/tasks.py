"""What a study has done by workers: training a model, and voting on some images.

Each is a function of its arguments alone, in whichever process and however often it runs. None of them
writes results; models are written where their path can be seen, beside the state of their training.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from sfumato.certification.shipped import Counted, Recipe, Voting
from sfumato.datasets import Dataset
from sfumato.devices import arithmetic_threads
from sfumato.errors import OutputError, SfumatoError
from sfumato.execution.base import Here, Shared
from sfumato.files import write_bytes
from sfumato.models import ModelRecord
from sfumato.models.checkpoint import verify_checkpoint
from sfumato.smoothing.risk import LARGEST_SHARD, Rows, vote_on, vote_on_each
from sfumato.studies.design import VotesTable
from sfumato.training.loop import train
from sfumato.training.settings import TrainingSettings
from sfumato.user_code import told_in_one_line

MARK = ".driver-"
_ABANDONED_SECONDS = 24 * 3600.0  # an unfinished training is written to after every epoch


@dataclass(frozen=True)
class Place:
    """A folder of the driver, and a file in it by which another machine knows that it sees the same one."""

    folder: Path
    mark: str

    @contextmanager
    def marked(self) -> Iterator[None]:
        """Keep the mark in the folder while the block runs, which is held by this process alone."""
        mark = self.folder / self.mark
        for stale in self.folder.glob(f"{MARK}*"):
            # of a driver that was killed
            stale.unlink(missing_ok=True)
        mark.touch()
        try:
            yield
        finally:
            mark.unlink(missing_ok=True)

    def here(self, path: Path) -> Path:
        """Return ``path`` where the folder can be seen and written, else one of this machine's own."""
        if (self.folder / self.mark).exists() and os.access(path.parent, os.W_OK):
            return path
        return _own_folder(f"sfumato{self.mark}") / path.name


def _own_folder(name: str) -> Path:
    """Return a folder among this machine's temporary files where attempts of one run find what is unfinished.

    What runs that were killed left there a day ago or earlier is removed.
    """
    place = Path(tempfile.gettempdir())
    for left in place.glob(f"sfumato{MARK}*"):
        with suppress(OSError):
            found = left.lstat()
            ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
            if ours and left.name != name and time.time() - found.st_mtime > _ABANDONED_SECONDS:
                shutil.rmtree(left)
    own = place / name
    own.mkdir(mode=0o700, exist_ok=True)
    found = own.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise OutputError(f"{own}: is not a folder of this user; remove it")
    return own


@dataclass(frozen=True)
class Training:
    """A model to be trained.

    Attributes:
        data: on which.
        settings: how; ``settings.warm_start`` says where the driver keeps what it starts from.
        path: where the driver wants the file.
        device, threads: what computes; the threads decide the last bits of the weights on a CPU.
        place: the driver's folder, None in its own process.
        parent: content of the file that it starts from.
    """

    data: Shared[Dataset]
    settings: TrainingSettings
    path: Path
    device: str
    threads: int | None
    place: Place | None = None
    parent: Shared[bytes] | None = None


@dataclass(frozen=True)
class Trained:
    """A trained model: its record, its file's content where the driver has to write it, and what was odd."""

    record: ModelRecord
    content: bytes | None
    warnings: tuple[str, ...] = ()


def train_model(here: Here, training: Training) -> Trained:
    """Train the model, going on after the last whole epoch of an earlier attempt that can be seen.

    Every ``EpochReport`` is reported.
    """
    settings, place = training.settings, training.place
    # in the driver's own process the file is written where it is wanted, and needs no sending
    path = training.path if place is None else place.here(training.path)
    if place is not None and path.exists():
        # another attempt was finished after it was given up as lost
        return Trained(verify_checkpoint(path), path.read_bytes())
    parent = path.with_name(f"{path.name}.parent")
    if training.parent is not None and path != training.path:
        write_bytes(parent, here.value(training.parent))
        settings = settings.replace(warm_start=parent)
    odd: list[str] = []
    with arithmetic_threads(training.threads), warnings.catch_warnings():
        # the shared arrays are read-only, and training writes to none of them
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        record = train(
            here.value(training.data),
            settings,
            path,
            device=training.device,
            on_epoch=here.report,
            on_warning=odd.append,
            hold=lambda path: nullcontext(),  # the study holds its folder
        )
    content = None if place is None else path.read_bytes()
    if path != training.path:
        for file in (path, parent):
            file.unlink(missing_ok=True)
        with suppress(OSError):  # others may have unfinished trainings there
            path.parent.rmdir()
    return Trained(record, content, tuple(odd))


def vote(here: Here, voting: Voting, recipes: tuple[Recipe, ...], votes: VotesTable) -> list[Counted]:
    """Return for each recipe the rows of the images; several have noise, and share its draws."""
    options = votes.plan(), voting.images(here), voting.labels, voting.examples
    with (
        arithmetic_threads(voting.threads),
        told_in_one_line("the model, in voting, failed", lost=SfumatoError),
    ):
        if recipes[0].noise.standard_deviation == 0:
            return [_counted(vote_on(recipes[0].base(here), *options, together=LARGEST_SHARD), 0)]
        smoothed = [recipe.smoothed(here) for recipe in recipes]
        before = [one.profile.invalid for one in smoothed]
        found = vote_on_each(smoothed, *options, together=LARGEST_SHARD)
        return [
            _counted(rows, one.profile.invalid - earlier)
            for rows, one, earlier in zip(found, smoothed, before, strict=True)
        ]


def _counted(rows: Rows, invalid: int) -> Counted:
    return Counted(rows, int(rows[:, 3].sum()), invalid)
