"""The cells of a study at work: which images are voted on next, and what is kept when they come back."""

from __future__ import annotations

import time
import uuid
import warnings
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import torch

from sfumato.certification.certificate import Certificate
from sfumato.certification.shipped import Counted, ImageShelf, Recipe, certify, first_size
from sfumato.datasets.on_demand import pick
from sfumato.execution.base import Done, Executor, Shared, Task
from sfumato.execution.pace import Pace
from sfumato.noise import Gaussian
from sfumato.smoothing.configuration import Network
from sfumato.smoothing.risk import LARGEST_SHARD, SHARD
from sfumato.studies.keys import Keys
from sfumato.studies.results import CellResult
from sfumato.studies.store import Member, Store
from sfumato.studies.tasks import vote

# Cells of one task: more of them share little more, and each takes the memory of a network and a batch. The
# time of a large network is not noise, and on a device noise takes little and memory is short.
_TOGETHER = 4
_LARGEST_SHARED = 4_000_000  # numbers of weights


@dataclass(frozen=True)
class Watch:
    """Functions that a run calls to report what it does; each is optional.

    Attributes:
        on_start: the whole work, in test images voted on (epochs are worth as many as take as long).
        on_work: how much of it was just done, and on what.
        on_line: a finished model or cell, in one line.
        on_warning: something the user should know; by default a Python warning.
    """

    on_start: Callable[[int], None] = lambda work: None
    on_work: Callable[[int, str], None] = lambda work, note: None
    on_line: Callable[[str], None] = lambda line: None
    on_warning: Callable[[str], None] = warnings.warn


@dataclass
class OpenNetwork:
    """A trained model that workers vote with.

    Attributes:
        cells: how many are not complete.
        shares_noise: whether noise is much of the time of its votes, so that cells share it.
    """

    shared: Shared[Network]
    cells: int
    shares_noise: bool


def is_small(network: Network) -> bool:
    """Return whether a copy of the network for each of several cells takes little memory."""
    if not isinstance(network, torch.nn.Module):
        return True
    return sum(weight.numel() for weight in network.parameters()) <= _LARGEST_SHARED


@dataclass(eq=False)
class _Cell:
    """A cell at work.

    Attributes:
        number: by which the store keeps its rows.
        waiting: examples still to be handed out.
        pending: how many that were handed out are to come back.
        kept: certified examples that came back before their task was done.
        began: seconds, by a clock of its own; 0 before the first task.
    """

    member: Member
    number: int
    network: OpenNetwork
    waiting: deque[int]
    recipe: Recipe
    pending: int = 0
    invalid: int = 0
    kept: set[int] = field(default_factory=set)
    began: float = 0.0

    def __str__(self) -> str:
        return f"{_place([self])} seed {self.member.seed}"


def _place(cells: Sequence[_Cell]) -> str:
    """Return the alpha and the betas of cells of one model."""
    betas = ", ".join(f"{cell.member.beta:g}" for cell in cells)
    return f"alpha {cells[0].member.alpha:g} beta {betas}"


class Cells:
    """Cells whose model is there, in order of work; only the driver has them, and it alone writes results.

    ``left`` images of all cells are still to be voted on, those of cells without a model among them.
    """

    def __init__(self, keys: Keys, store: Store, executor: Executor, watch: Watch, left: int) -> None:
        self.keys, self.design, self.data = keys, keys.design, keys.data
        self.store, self.executor, self.watch = store, executor, watch
        self._open: deque[_Cell] = deque()
        self._left = left
        self._shelf = ImageShelf(executor, pick(self.data.test.x, slice(max(keys.images.values()))))
        self._pace = Pace(lambda: executor.slots)
        self._job = uuid.uuid4().hex

    def open(
        self, numbers: Mapping[Member, tuple[int, deque[int]]], networks: Mapping[float, OpenNetwork]
    ) -> None:
        """Add cells: for each its number in the store and the images it waits for; and networks by beta."""
        for member, (number, waiting) in numbers.items():
            network = networks[member.beta]
            recipe = self._recipe(network.shared, member.beta)
            self._open.append(_Cell(member, number, network, waiting, recipe))

    def next_task(self) -> Task | None:
        """Return the next task, None where no open cell waits for images."""
        return self._next_images(self._open[0]) if self._open else None

    def _recipe(self, network: Shared[Network], beta: float) -> Recipe:
        votes, grid = self.design.votes, self.design.grid
        cells = len(grid.alpha) * len(grid.beta) * len(grid.seeds)
        return Recipe(
            network,
            Gaussian(beta),
            votes.seed,
            str(self.keys.device),
            votes.precision,
            self.data.input_shape,
            votes.plan().least_votes * self.keys.images["risk"] * cells // max(1, self.executor.slots),
            self._job,
        )

    def _next_images(self, cell: _Cell) -> Task:
        """Return the next task of the cell's images, and the cell off the list with its last one."""
        cells = self._together(cell)
        size = self._size(cell, len(cells))
        examples = tuple(cell.waiting[i] for i in range(size))
        for one in cells:
            one.began = one.began or time.perf_counter()
            for _ in range(size):
                one.waiting.popleft()
            one.pending += size
            if not one.waiting:
                self._open.remove(one)
        self._left -= size * len(cells)
        voting, table = self._shelf.voting(cell.recipe, examples, self.data.test.y), self.design.certification
        if table is None or cell.member.kind == "risk":
            recipes = tuple(one.recipe for one in cells)
            then = partial(self._voted, cells)
            networks = tuple(one.network.shared for one in cells[1:])
            name = f"{_place(cells)} seed {cell.member.seed}"
            return voting.task(name, vote, (recipes, self.design.votes), then, networks=networks)
        options = table.stopping(), table.confidence, table.label_known
        return voting.task(
            *(f"{cell}: certifying", certify, options, partial(self._certified, cell)),
            on_report=partial(self._keep_certificates, cell),
        )

    def _together(self, cell: _Cell) -> list[_Cell]:
        """Return the cells that are voted on in one task: those of one model at several betas share noise."""
        found = [cell]
        if cell.member.kind == "risk" and cell.member.beta > 0 and cell.network.shares_noise:
            alike = replace(cell.member, beta=0.0)
            found += [
                one
                for one in self._open
                if one is not cell
                and one.member.beta > 0
                and replace(one.member, beta=0.0) == alike
                and one.waiting == cell.waiting
            ]
        return found[:_TOGETHER]

    def _size(self, cell: _Cell, cells: int) -> int:
        """Return how many images the next task of so many cells gets; it decides nothing but the speed.

        The pace is that of an image in one cell.
        """
        left, table, kind = len(cell.waiting), self.design.certification, self._kind(cell, cells)
        certified = table is not None and cell.member.kind == "certificates"
        if self.executor.in_process:
            # certificates are kept group by group as they come
            if certified:
                return left
            return min(left, max(1, self._pace.short(kind, SHARD, LARGEST_SHARD) // cells))
        first = first_size(table.stopping()) if table is not None and certified else SHARD
        return min(left, max(1, self._pace.size(kind, first * cells, self._left) // cells))

    def _kind(self, cell: _Cell, cells: int) -> tuple[str, bool, int]:
        """Tasks of one kind take about as long per image."""
        return cell.member.kind, cell.member.beta > 0, cells

    def _voted(self, cells: list[_Cell], done: Done) -> None:
        each: list[Counted] = done.value
        self._learn(cells, each, done)
        for cell, found in zip(cells, each, strict=True):
            cell.invalid += found.invalid
            self.store.add_images(cell.number, found.rows)
        work = sum(found.images for found in each)
        self.watch.on_work(work, f"{_place(cells)}: {self._pace.note()}")
        for cell, found in zip(cells, each, strict=True):
            self._came_back(cell, found)

    def _certified(self, cell: _Cell, done: Done) -> None:
        found: Counted = done.value
        self._learn([cell], [found], done)
        cell.invalid += found.invalid
        self._keep_certificates(cell, found.rows)
        self._came_back(cell, found)

    def _learn(self, cells: list[_Cell], found: list[Counted], done: Done) -> None:
        images, votes = sum(one.images for one in found), sum(one.votes for one in found)
        self._pace.add(self._kind(cells[0], len(cells)), images, votes, done)

    def _came_back(self, cell: _Cell, found: Counted) -> None:
        cell.pending -= found.images
        if not cell.pending and not cell.waiting:
            self._completed(cell)

    def _keep_certificates(self, cell: _Cell, certificates: Sequence[Certificate]) -> None:
        """Keep certificates of a task that are not kept yet."""
        new = [certificate for certificate in certificates if certificate.idx not in cell.kept]
        if new:
            cell.kept |= {certificate.idx for certificate in new}
            self.store.add_certificates(cell.number, new)
            self.watch.on_work(len(new), f"{_place([cell])}: certifying, {self._pace.note()}")

    def _completed(self, cell: _Cell) -> None:
        """Say so, and forget the network after its last cell."""
        seconds, images = f"{time.perf_counter() - cell.began:.1f} s", self.keys.images[cell.member.kind]
        if cell.member.kind == "certificates":
            self.watch.on_line(f"{cell}: {images} images certified, {seconds}")
        else:
            rows = self.store.images(cell.number, images).T.copy()
            found = CellResult(cell.member.alpha, cell.member.beta, cell.member.seed, *rows)
            self.watch.on_line(
                f"{cell}: risk {found.risk:.4f} ({found.errors} of {images}), "
                f"{found.votes.mean():.1f} votes per image, {seconds}"
            )
        if cell.invalid:
            self.watch.on_warning(f"{cell}: {cell.invalid} votes were NaN; they count for no class")
        cell.network.cells -= 1
        if not cell.network.cells:
            self.executor.release(cell.network.shared)
