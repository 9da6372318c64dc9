"""The order of a study's work: which task is next, and what is kept when one comes back.

Only the driver runs this, and it alone writes results. With several workers models are trained as early
as possible, since everything waits for them; in one process each model's cells come right after it.
"""

from __future__ import annotations

import time
import uuid
from collections import deque
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sfumato.certification.certificate import Certificate
from sfumato.certification.shipped import Certified, ImageShelf, Recipe, Voting, certify, first_size
from sfumato.datasets import Dataset
from sfumato.errors import SfumatoError
from sfumato.execution.base import Done, Executor, Shared, Task
from sfumato.execution.pace import Pace
from sfumato.files import write_bytes
from sfumato.models.classifier import load_classifier
from sfumato.noise import Gaussian
from sfumato.smoothing.configuration import Network
from sfumato.smoothing.risk import SHARD
from sfumato.studies.design import Design
from sfumato.studies.keys import Keys
from sfumato.studies.results import CellResult
from sfumato.studies.store import Member, Store
from sfumato.studies.tasks import MARK, Place, Trained, Training, Voted, train_model, vote
from sfumato.studies.todo import ToDo, certified_count, image_count, images_of, members_of
from sfumato.studies.watch import Watch
from sfumato.training.loop import EpochReport
from sfumato.training.state import state_path
from sfumato.user_code import told_in_one_line

# A training step passes each noisy copy forward and backward, about three times a vote's work.
_STEP_WORK = 3

_Model = tuple[float, int]  # alpha, seed


@dataclass
class _Network:
    """A trained model that workers vote with, and how many of its cells are not complete."""

    shared: Shared[Network]
    cells: int


@dataclass
class _Cell:
    """A cell at work: which examples are still to be handed out, and how many are to come back."""

    member: Member
    number: int
    network: _Network
    waiting: deque[int]
    recipe: Recipe
    pending: int = 0
    invalid: int = 0
    began: float = 0.0

    @property
    def kind(self) -> tuple[str, bool]:
        """Cells of one kind take about as long per image."""
        return self.member.kind, self.member.beta > 0

    def __str__(self) -> str:
        return f"alpha {self.member.alpha:g} beta {self.member.beta:g} seed {self.member.seed}"


class Schedule:
    """The work of one study from its present state to its end; ``run`` does it."""

    def __init__(
        self,
        design: Design,
        data: Dataset,
        folder: Path,
        store: Store,
        keys: Keys,
        executor: Executor,
        watch: Watch,
        left: ToDo,
        device: str,
        threads: int | None,
    ) -> None:
        self.design, self.data, self.folder = design, data, folder
        self.store, self.keys, self.executor, self.watch = store, keys, executor, watch
        self.device = device
        self.images, self.certified = image_count(design, data), certified_count(design, data)
        if threads is None and not executor.in_process:
            threads = torch.get_num_threads()
        self._threads = threads
        least = max(1, design.votes.plan().least_votes)
        passes = max(design.model.shared.method.passes)
        self._epoch_work = max(1, _STEP_WORK * len(data.train) * passes // least)
        self._left = left
        self._to_train = deque((model.alpha, model.seed) for model in left.models)
        self._training: set[_Model] = set()
        self._wanted = [
            (alpha, seed) for seed in design.grid.seeds for alpha in keys.path if alpha in design.grid.alpha
        ]
        self._cells: deque[_Cell] = deque()
        self._unopened = sum(left.images.values())
        self._shelf = ImageShelf(executor, data.test.x[: max(self.images, self.certified)])
        self._shared_data: Shared[Dataset] | None = None
        self._parents: dict[Path, Shared[bytes]] = {}
        self._place = None if executor.in_process else Place(folder.absolute(), f"{MARK}{uuid.uuid4().hex}")
        self._pace = Pace(lambda: executor.slots)
        self._job = uuid.uuid4().hex

    def run(self) -> None:
        """Do all that is left; cells of models trained before are counted as members first."""
        open_models = []
        for alpha, seed in self._wanted:
            weights = self.store.weights(self.keys.model(alpha, seed))
            if weights is not None:
                self._members(alpha, seed, weights)
                if not self._missing(alpha, seed, weights):
                    continue
            open_models.append((alpha, seed))
        self._wanted = open_models
        work = sum(model.epochs for model in self._left.models) * self._epoch_work + self._unopened
        self.watch.on_start(work)
        with self._place.marked() if self._place else nullcontext():
            self.executor.run(self._next_task)

    def _next_task(self) -> Task | None:
        many = self.executor.slots > 1
        if many and (task := self._next_training()) is not None:
            return task
        while not self._cells and (model := self._next_model(any_order=many)) is not None:
            self._open(model)
        if self._cells:
            return self._next_images(self._cells[0])
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
        for model in self._wanted:
            if self._is_there(model):
                self._wanted.remove(model)
                return model
            if not any_order:
                break
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
        training = Training(
            self._shared_data,
            self.keys.training(alpha, seed, warm),
            path,
            self.device,
            self._threads,
            self._place,
            None if warm is None or self._place is None else self._parent(warm),
        )
        epochs = self.keys.epochs(alpha, seed)
        told = 0  # a training that goes on reports its first epochs together, one begun anew repeats some

        def tell(report: EpochReport) -> None:
            nonlocal told
            if report.epoch > told:
                note = f"{name}: epoch {report.epoch} of {report.epochs}"
                self.watch.on_work((report.epoch - told) * self._epoch_work, note)
                told = report.epoch

        def trained(done: Done) -> None:
            nonlocal told
            found: Trained = done.value
            for line in found.warnings:
                self.watch.on_warning(line)
            if found.content is not None and not path.exists():
                write_bytes(path, found.content)
            # a kill between writing the model and removing the state of its training leaves the state
            state_path(path).unlink(missing_ok=True)
            self._training.discard(model)
            if told < epochs and not self.executor.in_process:
                # reports may be late or lost
                self.watch.on_work((epochs - told) * self._epoch_work, name)
                told = epochs
            self.watch.on_line(
                f"{name}: trained in {found.record.train_seconds:.0f} s, accuracy "
                f"{found.record.clean_accuracy:.4f} without noise, {found.record.noisy_accuracy:.4f} with "
                "one draw of alpha"
            )

        needs = [handle for handle in (training.data, training.parent) if handle is not None]
        cpus = 1 if self.device.startswith("cuda") else self._threads or 1
        return Task(f"training {name}", train_model, (training,), trained, tell, tuple(needs), cpus)

    def _parent(self, path: Path) -> Shared[bytes]:
        """Return the content of a model's file, shared once for all that start from it."""
        if path not in self._parents:
            self._parents[path] = self.executor.share(f"the model {path.name}", path.read_bytes())
        return self._parents[path]

    def _members(self, alpha: float, seed: int, weights: str) -> dict[Member, int]:
        """Return the numbers of the model's cells, which belong to the study from now on."""
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

    def _open(self, model: _Model) -> None:
        """Make the cells of a trained model the next ones to be worked on."""
        alpha, seed = model
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
        self.store.keep_model(self.keys.model(alpha, seed), alpha, seed, weights)
        numbers = self._members(alpha, seed, weights)
        missing = self._missing(alpha, seed, weights)
        if not missing:
            return
        network = _Network(self.executor.share(f"the model {path.name}", classifier.model), len(missing))
        for member, examples in missing.items():
            self._cells.append(
                _Cell(member, numbers[member], network, deque(examples), self._recipe(network, member.beta))
            )

    def _recipe(self, network: _Network, beta: float) -> Recipe:
        votes, grid = self.design.votes, self.design.grid
        cells = len(grid.alpha) * len(grid.beta) * len(grid.seeds)
        return Recipe(
            network.shared,
            Gaussian(beta),
            votes.seed,
            self.device,
            votes.precision,
            self.data.input_shape,
            votes.plan().least_votes * self.images * cells // max(1, self.executor.slots),
            self._job,
        )

    def _next_images(self, cell: _Cell) -> Task:
        """Return the next task of the cell's images, and the cell off the list with its last one."""
        cell.began = cell.began or time.perf_counter()
        size = self._size(cell)
        examples = tuple(cell.waiting.popleft() for _ in range(size))
        self._unopened -= size
        if not cell.waiting:
            self._cells.popleft()
        cell.pending += size
        pieces = self._shelf.pieces(examples)
        voting = Voting(
            cell.recipe, pieces, examples, self.data.test.y[list(examples)], self.executor.cpus_per_worker
        )
        needs: tuple[Shared[Any], ...] = (cell.network.shared, *(piece.block for piece in pieces))
        cpus = self.executor.cpus_per_worker or 1
        if cell.member.kind == "risk":
            arguments: tuple[Any, ...] = (voting, self.design.votes)
            return Task(
                str(cell), vote, arguments, lambda done: self._voted(cell, done), needs=needs, cpus=cpus
            )
        table = self.design.certification
        assert table is not None
        kept: set[int] = set()
        return Task(
            f"{cell}: certifying",
            certify,
            (voting, table.stopping(), table.confidence),
            lambda done: self._certified(cell, kept, done),
            lambda certificates: self._keep(cell, kept, certificates),
            needs,
            cpus,
        )

    def _size(self, cell: _Cell) -> int:
        """Return how many images the cell's next task gets; it decides nothing but the speed."""
        left = len(cell.waiting)
        if self.executor.in_process:
            # certificates are kept group by group as they come
            return min(left, SHARD) if cell.member.kind == "risk" else left
        first = SHARD
        if cell.member.kind == "certificates" and self.design.certification is not None:
            first = first_size(self.design.certification.stopping())
        return min(left, self._pace.size(cell.kind, first, self._unopened))

    def _voted(self, cell: _Cell, done: Done) -> None:
        """Keep the rows of a task, one transaction."""
        found: Voted = done.value
        images = len(found.rows)
        self.store.add_images(cell.number, found.rows)
        cell.invalid += found.invalid
        self._pace.add(cell.kind, images, int(found.rows[:, 3].sum()), done)
        self.watch.on_work(
            images, f"alpha {cell.member.alpha:g} beta {cell.member.beta:g}: {self._pace.note()}"
        )
        self._back(cell, images)

    def _keep(self, cell: _Cell, kept: set[int], certificates: Sequence[Certificate]) -> None:
        """Keep certificates of a task that are not kept yet."""
        new = [certificate for certificate in certificates if certificate.idx not in kept]
        if not new:
            return
        kept |= {certificate.idx for certificate in new}
        self.store.add_certificates(cell.number, new)
        note = f"alpha {cell.member.alpha:g} beta {cell.member.beta:g}: certifying, {self._pace.note()}"
        self.watch.on_work(len(new), note)

    def _certified(self, cell: _Cell, kept: set[int], done: Done) -> None:
        found: Certified = done.value
        certificates = found.certificates
        cell.invalid += found.invalid
        votes = sum(certificate.votes or 0 for certificate in certificates)
        self._pace.add(cell.kind, len(certificates), votes, done)
        self._keep(cell, kept, certificates)
        self._back(cell, len(certificates))

    def _back(self, cell: _Cell, images: int) -> None:
        """Note that images have come back; say so where they complete the cell."""
        cell.pending -= images
        if cell.pending or cell.waiting:
            return
        seconds = f"{time.perf_counter() - cell.began:.1f} s"
        if cell.member.kind == "certificates":
            self.watch.on_line(f"{cell}: {self.certified} images certified, {seconds}")
        else:
            rows = self.store.images(cell.number, self.images).T.copy()
            found = CellResult(cell.member.alpha, cell.member.beta, cell.member.seed, *rows)
            self.watch.on_line(
                f"{cell}: risk {found.risk:.4f} ({found.errors} of {self.images}), "
                f"{found.votes.mean():.1f} votes per image, {seconds}"
            )
        if cell.invalid:
            self.watch.on_warning(f"{cell}: {cell.invalid} votes were NaN; they count for no class")
        cell.network.cells -= 1
        if not cell.network.cells:
            self.executor.release(cell.network.shared)
