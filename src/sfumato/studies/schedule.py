"""The order of a study's work: which task is next, and what is kept when one comes back.

Only the driver runs this, and it alone writes results. With several workers models are trained as early
as possible, since everything waits for them; in one process each model's cells come right after it.
"""

from __future__ import annotations

import shlex
import uuid
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path

import torch

from sfumato.datasets import Dataset
from sfumato.errors import SfumatoError
from sfumato.execution.base import Done, Executor, Shared, Task
from sfumato.files import write_bytes
from sfumato.models.classifier import Classifier, load_classifier
from sfumato.noise import Gaussian
from sfumato.smoothing.batch_norms import (
    CHECKED_IMAGES,
    can_be_normalized,
    misfits,
    normalize_at,
    some_images,
    told_misfits,
)
from sfumato.studies.cells import Cells, OpenNetwork, Watch, is_small
from sfumato.studies.keys import Keys
from sfumato.studies.store import Member, Store
from sfumato.studies.tasks import MARK, Place, Trained, Training, train_model
from sfumato.studies.todo import what_is_left
from sfumato.training.loop import EpochReport
from sfumato.training.state import state_path
from sfumato.user_code import told_in_one_line

# A training step passes each noisy copy forward and backward, about three times a vote's work.
_STEP_WORK = 3

_Model = tuple[float, int]  # alpha, seed


class Schedule:
    """The work of one study from its present state to its end; ``run`` does it.

    ``threads`` is how many each training on a CPU computes with; None for as many as PyTorch uses now.
    """

    def __init__(
        self,
        keys: Keys,
        folder: Path,
        store: Store,
        executor: Executor,
        watch: Watch,
        threads: int | None = None,
    ) -> None:
        self.keys, self.design, self.data = keys, keys.design, keys.data
        self.folder, self.store, self.executor, self.watch = folder, store, executor, watch
        if threads is None and not executor.in_process:
            threads = torch.get_num_threads()
        self._threads = threads
        least = max(1, self.design.votes.plan().least_votes)
        passes = max(self.design.model.shared.method.passes)
        self._epoch_work = max(1, _STEP_WORK * len(self.data.train) * passes // least)
        self._left = what_is_left(keys, folder, store)
        self._to_train = deque((model.alpha, model.seed) for model in self._left.models)
        self._training: set[_Model] = set()
        self._wanted: list[_Model] = []
        self._images = sum(self._left.images.values())
        self._cells = Cells(keys, store, executor, watch, self._images)
        self._shared_data: Shared[Dataset] | None = None
        self._parents: dict[Path, Shared[bytes]] = {}
        self._place = None if executor.in_process else Place(folder.absolute(), f"{MARK}{uuid.uuid4().hex}")
        self._warned = False

    def run(self) -> None:
        """Do all that is left; cells of models trained before are counted as members first."""
        for model in self.keys.models:
            if (weights := self.store.weights(self.keys.model(*model))) is not None:
                self._members(model, weights)
            if any(member in self._left.images for member in self.keys.members(*model)):
                self._wanted.append(model)
        epochs = sum(model.epochs for model in self._left.models)
        self.watch.on_start(epochs * self._epoch_work + self._images)
        with self._place.marked() if self._place else nullcontext():
            self.executor.run(self._next_task)

    def _next_task(self) -> Task | None:
        many = self.executor.slots > 1
        if many and (task := self._next_training()) is not None:
            return task
        task = self._cells.next_task()
        while task is None and (model := self._next_model(any_order=many)) is not None:
            self._open(model)
            task = self._cells.next_task()
        if task is not None:
            return task
        return None if many else self._next_training()

    def _next_training(self) -> Task | None:
        """Return the next training whose parent is there."""
        for model in self._to_train:
            alpha, seed = model
            parent = self.keys.path[alpha]
            if parent is None or self._is_there((parent, seed)):
                self._to_train.remove(model)
                self._training.add(model)
                return self._train(model, parent)
        return None

    def _next_model(self, *, any_order: bool) -> _Model | None:
        """Return the next model whose cells can be worked on, and take it off the list."""
        for model in self._wanted if any_order else self._wanted[:1]:
            if self._is_there(model):
                self._wanted.remove(model)
                return model
        return None

    def _is_there(self, model: _Model) -> bool:
        # a worker may have written the file and not yet said so
        return model not in self._training and self._path(model).exists()

    def _path(self, model: _Model) -> Path:
        return self.keys.model_path(self.folder, *model)

    def _train(self, model: _Model, parent: float | None) -> Task:
        alpha, seed = model
        path, name = self._path(model), f"alpha {alpha:g} seed {seed}"
        warm = None if parent is None else self._path((parent, seed))
        if self._shared_data is None:
            self._shared_data = self.executor.share("the data", self.data)
        device = str(self.keys.device)
        training = Training(
            self._shared_data,
            self.keys.training(alpha, seed, warm),
            path,
            device,
            self._threads,
            self._place,
            None if warm is None or self._place is None else self._parent(warm),
        )
        epochs = self.keys.epochs(alpha, seed)
        told = 0  # a training that goes on reports its first epochs together, one begun anew repeats some

        def tell(epoch: int, note: str) -> None:
            nonlocal told
            if epoch > told:
                self.watch.on_work((epoch - told) * self._epoch_work, note)
                told = epoch

        def heard(report: EpochReport) -> None:
            tell(report.epoch, f"{name}: epoch {report.epoch} of {report.epochs}")

        def trained(done: Done) -> None:
            found: Trained = done.value
            for line in found.warnings:
                self.watch.on_warning(line)
            if found.content is not None and not path.exists():
                write_bytes(path, found.content)
            # a kill between writing the model and removing the state of its training leaves the state
            state_path(path).unlink(missing_ok=True)
            self._training.discard(model)
            if not self.executor.in_process:
                # reports may be late or lost
                tell(epochs, name)
            self.watch.on_line(
                f"{name}: trained in {found.record.train_seconds:.0f} s, accuracy "
                f"{found.record.clean_accuracy:.4f} without noise, {found.record.noisy_accuracy:.4f} with "
                "one draw of alpha"
            )

        needs = tuple(handle for handle in (training.data, training.parent) if handle is not None)
        cpus = 1 if self.keys.device.type == "cuda" else self._threads or 1
        return Task(f"training {name}", train_model, (training,), trained, heard, needs, cpus)

    def _parent(self, path: Path) -> Shared[bytes]:
        """Return the content of a model's file, shared once for all that start from it."""
        if path not in self._parents:
            self._parents[path] = self.executor.share(f"the model {path.name}", path.read_bytes())
        return self._parents[path]

    def _members(self, model: _Model, weights: str) -> dict[Member, int]:
        """Return the numbers of the model's cells, which belong to the study from now on."""
        found: dict[Member, int] = {}
        members = self.keys.members(*model)
        for kind, settings in (("risk", self.keys.settings), ("certificates", self.keys.certification)):
            cells = {member: self.keys.cell(member, weights) for member in members if member.kind == kind}
            found |= self.store.open_cells(settings, cells)
        return found

    def _open(self, model: _Model) -> None:
        """Make the cells of a trained model the next ones to be worked on."""
        path = self._path(model)
        state_path(path).unlink(missing_ok=True)
        with told_in_one_line(f"the model {path} failed", lost=SfumatoError):
            classifier = load_classifier(
                str(path),
                self.data.input_shape,
                self.data.num_classes,
                factory=self.design.model.shared.architecture,
            )
        weights = classifier.checksum()
        self.store.keep_model(self.keys.model(*model), *model, weights)
        open_ = {}
        for member, number in self._members(model, weights).items():
            images = self.keys.images[member.kind]
            if missing := self.store.missing(self.keys.cell(member, weights), member.kind, images):
                open_[member] = number, deque(missing)
        if not open_:
            return
        betas = Counter(member.beta for member in open_)
        networks: dict[float, OpenNetwork] = {}
        for smoothed, model_betas in self._as_smoothed(classifier, sorted(betas)):
            cells = sum(betas[beta] for beta in model_betas)
            shared = self.executor.share(f"the model {path.name}", smoothed.model)
            networks |= dict.fromkeys(model_betas, OpenNetwork(shared, cells, self._shares_noise(smoothed)))
        self._cells.open(open_, networks)

    def _shares_noise(self, classifier: Classifier) -> bool:
        """Return whether cells of the network are voted on together: a small one, and on a CPU."""
        return self.keys.device.type == "cpu" and is_small(classifier.model)

    def _as_smoothed(
        self, classifier: Classifier, betas: Sequence[float]
    ) -> Iterator[tuple[Classifier, Sequence[float]]]:
        """Yield each classifier that votes for the model, and at which betas.

        With the trained statistics the first model whose batch norms do not fit is warned of, with others the
        first that has none.
        """
        seed, device = self.design.votes.seed, str(self.keys.device if self.executor.in_process else "cpu")
        if self.design.votes.normalization == "at-beta":
            if not (self._warned or can_be_normalized(classifier)):
                self._warned = True
                self.watch.on_warning(
                    'the network has no batch norms, so that normalization "at-beta" changes nothing'
                )
            # read once for all betas, where they are on disk
            train = some_images(self.data.train.x, seed=seed)[:]
            for beta in betas:
                yield normalize_at(classifier, train, beta, seed=seed, device=device), [beta]
            return
        if not self._warned:
            seen = some_images(self.data.train.x, CHECKED_IMAGES, seed)[:]
            found = {
                beta: misfits(classifier, seen, Gaussian(beta), seed=seed, device=device) for beta in betas
            }
            repair = (
                'votes.normalization = "at-beta" re-estimates them, for this model and the others: '
                f"sfumato study run {shlex.quote(str(self.folder))} --normalization at-beta"
            )
            if line := told_misfits(f"models/{Path(classifier.name).name}", found, repair):
                self._warned = True
                self.watch.on_warning(line)
        yield classifier, betas
