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
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from sfumato.datasets import Dataset
from sfumato.devices import choose_device
from sfumato.errors import OutputError
from sfumato.files import require_writable
from sfumato.models import build_model
from sfumato.models.classifier import TrainedClassifier, load_classifier
from sfumato.smoothing.base_classifier import BaseClassifier
from sfumato.smoothing.certificate import Certificate
from sfumato.smoothing.certification_run import images_together
from sfumato.smoothing.configuration import Configuration
from sfumato.smoothing.smoothed import SmoothedClassifier
from sfumato.smoothing.tuning import tuned_configuration
from sfumato.studies.design import Design, write_design
from sfumato.studies.evaluate import SHARD, classify_shard, count_shard
from sfumato.studies.keys import Keys
from sfumato.studies.results import CellResult, StudyResults
from sfumato.studies.store import FILE, Current, Member, Store, load_results
from sfumato.studies.todo import certified_count, image_count, images_of, members_of, study_data, what_is_left
from sfumato.training import EpochReport, train
from sfumato.training.state import state_path

STUDY_FILE = "study.toml"
_LOCK_FILE = ".lock"
# A training step passes each noisy copy forward and backward, about three times a vote's work.
_STEP_WORK = 3


@dataclass(frozen=True)
class Watch:
    """Whom a run tells what it does; every function may be left out.

    Attributes:
        on_start: the whole work, in test images voted on (epochs are worth as many as take as long).
        on_work: how much of it was just done, and on what.
        on_line: a finished model or cell, in one line.
        on_warning: something the user should know.
    """

    on_start: Callable[[int], None] = lambda work: None
    on_work: Callable[[int, str], None] = lambda work, note: None
    on_line: Callable[[str], None] = lambda line: None
    on_warning: Callable[[str], None] = lambda line: None


def run_study(
    design: Design,
    folder: Path,
    *,
    device: str = "auto",
    watch: Watch | None = None,
    recorded: Design | None = None,
) -> StudyResults:
    """Compute what the study lacks in ``folder`` and return its results.

    The study file says ``recorded`` afterwards, ``design`` if that is not given: a caller that computes a
    part of a study leaves the file to the whole.

    Killed at any moment it loses at most an epoch and a shard of images, and the same call goes on.
    The order is: all alphas of the first seed, each with its betas, then the next seed.

    Raises:
        OutputError: the folder cannot be written, or another process is at work in it.
        SettingError, DataError, ModelError: a study that cannot be run.
        SfumatoError: the disk is full; what was finished is kept.
    """
    with _opened(design, folder, device, watch or Watch()) as run:
        run.start(recorded or design)
        for seed in design.grid.seeds:
            for alpha in run.keys.path:
                if alpha in design.grid.alpha:
                    run.finish(alpha, seed)
    return load_results(folder)


@contextlib.contextmanager
def _opened(design: Design, folder: Path, device: str, watch: Watch) -> Iterator[_Run]:
    require_writable(folder / "models" / "any")
    data = study_data(design)
    chosen = choose_device(device)
    # an architecture that cannot be built is refused before anything is written
    build_model(
        design.model.architecture, data.input_shape, data.num_classes, data.channel_mean, data.channel_std
    )
    image_count(design, data)
    certified_count(design, data)
    with _locked(folder), Store(folder / FILE) as store:
        keys = Keys.of(design, data, chosen)
        keys = keys.after(store.path_of(keys.chain))
        yield _Run(design, data, folder, store, keys, chosen, watch)


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


class _Run:
    """One process at work in one folder."""

    def __init__(
        self,
        design: Design,
        data: Dataset,
        folder: Path,
        store: Store,
        keys: Keys,
        device: torch.device,
        watch: Watch,
    ) -> None:
        self.design, self.data, self.folder = design, data, folder
        self.store, self.keys, self.device, self.watch = store, keys, device, watch
        self.images = image_count(design, data)
        self.certified = certified_count(design, data)
        self._configuration: Configuration | None = None
        self._x: torch.Tensor | None = None
        least = max(1, design.votes.plan().least_votes)
        passes = _STEP_WORK * len(data.train) * design.model.draws
        self._epoch_work = max(1, passes // least)

    def start(self, recorded: Design) -> None:
        """Write down the study, and count as members the cells of models trained before."""
        left = what_is_left(self.design, self.data, self.folder, self.store, self.keys)
        write_design(recorded, self.folder / STUDY_FILE)
        self.store.keep_path(self.keys.chain, self.keys.path)
        self.store.begin(
            Current(
                self.keys.settings,
                self.data.name,
                self.data.unit,
                self.design.votes.n,
                self.images,
                self.keys.certification,
                self.certified,
            )
        )
        for seed in self.design.grid.seeds:
            for alpha in self.design.grid.alpha:
                if (weights := self.store.weights(self.keys.model(alpha, seed))) is not None:
                    self._open(alpha, seed, weights)
        work = sum(model.epochs for model in left.models) * self._epoch_work + sum(left.images.values())
        self.watch.on_start(work)

    def finish(self, alpha: float, seed: int) -> None:
        """Train the model if need be and complete its cells."""
        weights = self.store.weights(self.keys.model(alpha, seed))
        if weights is not None and not self._missing(alpha, seed, weights):
            return
        path = self._trained(alpha, seed)
        classifier = load_classifier(str(path), self.data.input_shape, self.data.num_classes)
        self.store.keep_model(self.keys.model(alpha, seed), alpha, seed, classifier.weights_sha256)
        cells = self._open(alpha, seed, classifier.weights_sha256)
        for member, missing in self._missing(alpha, seed, classifier.weights_sha256).items():
            if member.kind == "risk":
                self._count(classifier, member, cells[member], missing)
            else:
                self._certify(classifier, member, cells[member], missing)

    def _open(self, alpha: float, seed: int, weights: str) -> dict[Member, int]:
        keys: dict[str, dict[Member, str]] = {}
        for member in members_of(self.design, alpha, seed):
            settings = self.keys.settings if member.kind == "risk" else self.keys.certification
            keys.setdefault(settings, {})[member] = self.keys.cell(member, weights)
        found: dict[Member, int] = {}
        for settings, cells in keys.items():
            found |= self.store.open_cells(settings, cells)
        return found

    def _missing(self, alpha: float, seed: int, weights: str) -> dict[Member, list[int]]:
        """Return the examples that the model's cells lack; complete ones are left out."""
        found = {
            member: self.store.missing(
                self.keys.cell(member, weights), member.kind, images_of(member, self.design, self.data)
            )
            for member in members_of(self.design, alpha, seed)
        }
        return {member: examples for member, examples in found.items() if examples}

    def _trained(self, alpha: float, seed: int) -> Path:
        """Return the file of the model, trained if it is not there, what it starts from before it."""
        path = self.keys.model_path(self.folder, alpha, seed)
        if path.exists():
            # a kill between writing the model and removing the state of its training leaves the state
            state_path(path).unlink(missing_ok=True)
            return path
        parent = self.keys.path[alpha]
        warm = None if parent is None else self._trained(parent, seed)
        settings = self.keys.training(alpha, seed, warm)

        told = 0  # a training that goes on reports its first epochs together

        def tell(report: EpochReport) -> None:
            nonlocal told
            note = f"alpha {alpha:g} seed {seed}: epoch {report.epoch} of {report.epochs}"
            self.watch.on_work((report.epoch - told) * self._epoch_work, note)
            told = report.epoch

        record = train(self.data, settings, path, device=str(self.device), on_epoch=tell)
        self.watch.on_line(
            f"alpha {alpha:g} seed {seed}: trained in {record.train_seconds:.0f} s, accuracy "
            f"{record.clean_accuracy:.4f} without noise, {record.noisy_accuracy:.4f} with one draw of alpha"
        )
        return path

    def _images(self, examples: list[int]) -> torch.Tensor:
        """Return test images on the device; all are moved there once."""
        if self._x is None:
            self._x = torch.from_numpy(self.data.test.x[: max(self.images, self.certified)]).to(self.device)
        return self._x[torch.tensor(examples, device=self.device)]

    def _smoothed(self, classifier: TrainedClassifier, beta: float) -> SmoothedClassifier:
        votes = self.design.votes
        if self._configuration is None:
            cells = len(self.design.grid.alpha) * len(self.design.grid.beta) * len(self.design.grid.seeds)
            self._configuration = tuned_configuration(
                classifier.model,
                self.data.input_shape,
                self.device,
                votes=votes.plan().least_votes * self.images * cells,
                precision=votes.precision,
            )
        return SmoothedClassifier(
            classifier.model,
            beta,
            seed=votes.seed,
            device=str(self.device),
            configuration=self._configuration,
        )

    def _count(self, classifier: TrainedClassifier, member: Member, cell: int, missing: list[int]) -> None:
        """Vote on the images that the cell lacks, one transaction per shard."""
        began = time.perf_counter()
        smoothed = self._smoothed(classifier, member.beta) if member.beta > 0 else None
        base = BaseClassifier(classifier.model, self.device, precision=self.design.votes.precision)
        for begin in range(0, len(missing), SHARD):
            examples = missing[begin : begin + SHARD]
            x, labels = self._images(examples), self.data.test.y[examples]
            self.store.add_images(
                cell,
                classify_shard(base, x, examples, labels)
                if smoothed is None
                else count_shard(smoothed, self.design.votes, x, examples, labels),
            )
            self.watch.on_work(len(examples), f"alpha {member.alpha:g} beta {member.beta:g}")
        found = CellResult(
            member.alpha, member.beta, member.seed, *self.store.images(cell, self.images).T.copy()
        )
        self.watch.on_line(
            f"alpha {member.alpha:g} beta {member.beta:g} seed {member.seed}: risk {found.risk:.4f} "
            f"({found.errors} of {self.images}), {found.votes.mean():.1f} votes per image, "
            f"{time.perf_counter() - began:.1f} s"
        )
        if smoothed is not None and smoothed.profile.invalid:
            self.watch.on_warning(
                f"alpha {member.alpha:g} beta {member.beta:g} seed {member.seed}: "
                f"{smoothed.profile.invalid} votes were NaN; they count for no class"
            )

    def _certify(self, classifier: TrainedClassifier, member: Member, cell: int, missing: list[int]) -> None:
        """Certify the images that the cell lacks."""
        table = self.design.certification
        assert table is not None
        plan, smoothed = table.stopping(), self._smoothed(classifier, member.beta)
        together = images_together(plan, smoothed.configuration)
        began = time.perf_counter()
        for begin in range(0, len(missing), together):
            examples = missing[begin : begin + together]
            started = time.perf_counter()
            decisions = smoothed.certify(
                self._images(examples), plan, confidence=table.confidence, examples=examples
            )
            per_vote = (time.perf_counter() - started) / sum(decision.votes for decision in decisions)
            self.store.add_certificates(
                cell,
                [
                    Certificate.of(index, int(self.data.test.y[index]), decision, per_vote * decision.votes)
                    for index, decision in zip(examples, decisions, strict=True)
                ],
            )
            self.watch.on_work(len(examples), f"alpha {member.alpha:g} beta {member.beta:g}: certifying")
        self.watch.on_line(
            f"alpha {member.alpha:g} beta {member.beta:g} seed {member.seed}: {self.certified} images "
            f"certified, {time.perf_counter() - began:.1f} s"
        )
