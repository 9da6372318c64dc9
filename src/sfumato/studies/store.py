"""Where a study's results are kept: one SQLite file, one transaction per finished shard of images.

Rows are found by content: a cell's key is a hash of everything that determines its rows (weights,
test images, beta, votes, noise seed, device type, precision, chunk), so that rows of other settings are
never taken for these, and rows that are there are never computed again. What the present settings
have measured is written down in ``members``; results are read from there alone.
"""

from __future__ import annotations

import contextlib
import math
import shutil
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from pathlib import Path

import numpy as np

from sfumato.certification.certificate import Certificate
from sfumato.certification.table import OURS, parse_row
from sfumato.errors import DataError, NoResultsYetError
from sfumato.files import writing
from sfumato.smoothing.risk import Rows
from sfumato.studies.results import CellResult, StudyResults
from sfumato.studies.schema import LARGE, SMALL
from sfumato.studies.sealed import DamagedPart, Row, SealedFile

FILE = "results.sqlite"


@dataclass(frozen=True)
class Current:
    """What the last run measured: a name for its settings, and what a reader of its results needs.

    Attributes:
        settings: hash of all settings but the grid, the seeds and the numbers of images.
        data, unit: name of the data set, and what a noise level of 1 means.
        votes: noisy copies per image of which the prediction is the majority.
        images: test images per cell.
        certification: hash of the settings and those of certification; empty for none.
        certified: test images per certified cell.
    """

    settings: str
    data: str
    unit: str
    votes: int
    images: int
    certification: str = ""
    certified: int = 0


@dataclass(frozen=True)
class Member:
    """The place of a cell in a study: ``kind`` is risk or certificates."""

    kind: str
    alpha: float
    beta: float
    seed: int

    def __str__(self) -> str:
        return f"{self.kind} at alpha {self.alpha:g}, beta {self.beta:g}, seed {self.seed}"


class Store(SealedFile):
    """An open results file. Every method that writes is one transaction, durable when it returns."""

    def begin(self, current: Current) -> None:
        """Make these the settings whose results are read."""
        with self.transaction():
            self.put("current", [(0, *astuple(current))])

    def current(self) -> Current | None:
        """Return the settings whose results are read, None before any run."""
        row = self.held["current"].get((0,))
        return None if row is None else Current(*row[1:])

    def path_of(self, chain: str) -> dict[float, float | None]:
        """Return which alpha each alpha's training starts from, in order of training."""
        rows = sorted(row[1:] for row in self.held["path"].values() if row[0] == chain)
        return {alpha: parent for _, alpha, parent in rows}

    def keep_path(self, chain: str, path: Mapping[float, float | None]) -> None:
        """Store where trainings start from; existing entries are kept."""
        known = self.path_of(chain)
        rows = [
            (chain, position, float(alpha), None if parent is None else float(parent))
            for position, (alpha, parent) in enumerate(path.items())
            if alpha not in known
        ]
        with self.transaction():
            self.put("path", rows)

    def proposals(self, search: str) -> list[float]:
        """Return the alphas that the search has proposed, in order."""
        rows = sorted(row[1:] for row in self.held["proposals"].values() if row[0] == search)
        return [alpha for _, alpha in rows]

    def keep_proposal(self, search: str, alpha: float) -> None:
        """Store that the search proposes alpha next."""
        with self.transaction():
            self.put("proposals", [(search, len(self.proposals(search)), float(alpha))])

    def weights(self, key: str) -> str | None:
        """Return the checksum of the weights of a trained model, None if there is none of this key."""
        row = self.held["models"].get((key,))
        return None if row is None else str(row[3])

    def keep_model(self, key: str, alpha: float, seed: int, weights_sha256: str) -> None:
        """Store that a model is trained."""
        with self.transaction():
            self.put("models", [(key, float(alpha), seed, weights_sha256)])

    def open_cells(self, settings: str, cells: Mapping[Member, str]) -> dict[Member, int]:
        """Return a number for each cell, by which its rows are kept, and make it part of these settings.

        ``cells`` gives each member's key, a hash of all that determines its rows.
        """
        numbers = self._numbers()
        free = max(numbers.values(), default=0) + 1
        new = [key for key in dict.fromkeys(cells.values()) if key not in numbers]
        numbers |= {key: free + place for place, key in enumerate(new)}
        found = {member: numbers[key] for member, key in cells.items()}
        members = [
            (settings, m.kind, float(m.alpha), float(m.beta), m.seed, cell) for m, cell in found.items()
        ]
        with self.transaction():
            self.put("cells", [(numbers[key], key) for key in new])
            self.put("members", members)
        return found

    def _numbers(self) -> dict[str, int]:
        return {key: cell for cell, key in self.held["cells"].values()}

    def missing(self, key: str, kind: str, images: int) -> list[int]:
        """Return which of the first ``images`` examples the cell of this key has no sound rows of."""
        cell = self._numbers().get(key)
        done: set[int] = set()
        if cell is not None:
            with contextlib.suppress(DamagedPart):
                done = {row[1] for row in self.read(_TABLE_OF[kind], cell)}
        return sorted(set(range(images)) - done)

    def add_images(self, cell: int, rows: Rows) -> None:
        """Keep the rows of a shard; one that is there already is not counted twice."""
        with self.transaction():
            self.add("images", cell, [(cell, *row) for row in rows.tolist()])

    def add_certificates(self, cell: int, certificates: Sequence[Certificate]) -> None:
        """Keep certificates; one that is there already is not counted twice."""
        with self.transaction():
            self.add("certificates", cell, [_row(cell, found) for found in certificates])

    def present_row(self, cell: int, example: int, text: str) -> Row:
        """Return the row of a certificate that was kept as a line of a table."""
        return _row(cell, parse_row(text, str(self.path), ours=len(OURS) - 1))

    def members(self, settings: str, kind: str) -> dict[Member, int]:
        """Return the cells that these settings have, complete or not."""
        rows = sorted(row for row in self.held["members"].values() if row[:2] == (settings, kind))
        return {Member(*row[1:5]): int(row[5]) for row in rows}

    def every_member(self) -> dict[tuple[str, Member], int]:
        """Return the cells of all settings that anything is kept of, complete or not."""
        rows = sorted(self.held["members"].values())
        return {(str(row[0]), Member(*row[1:5])): int(row[5]) for row in rows}

    def rows_kept(self, kind: str, cell: int) -> int:
        """Return how many images a cell has rows of."""
        return self.count(_TABLE_OF[kind], cell)

    def forget(self, settings: Collection[str]) -> None:
        """Remove the cells of these settings, but for those that other settings have too."""
        members = self.every_member()
        dropped = {place: cell for place, cell in members.items() if place[0] in settings}
        staying = {cell for place, cell in members.items() if place not in dropped}
        with self.transaction():
            for (name, member), cell in dropped.items():
                self.drop_row("members", (name, *astuple(member)))
                if cell not in staying and (cell,) in self.held["cells"]:
                    self.drop_rows(_TABLE_OF[member.kind], cell)
                    self.drop_row("cells", (cell,))

    def images(self, cell: int, limit: int) -> Rows:
        """Return a cell's rows of the examples below ``limit``, examples increasing.

        Raises:
            DamagedPart: the cell's rows do not match their checksum.
        """
        rows = [row[1:] for row in self.read("images", cell) if row[1] < limit]
        return np.array(rows, dtype=np.int64).reshape(-1, 6)

    def certificates(self, cell: int, limit: int) -> list[Certificate]:
        """Return a cell's certificates of the examples below ``limit``, examples increasing.

        Raises:
            DamagedPart: the cell's certificates do not match their checksum.
        """
        return [_certificate(row) for row in self.read("certificates", cell) if row[1] < limit]


# in the order of the columns; a study's noise is Gaussian, whose certificates have no squared steps
_CERTIFICATE_FIELDS = ("idx", *LARGE["certificates"].split(", ")[2:])
_NUMBERS = ("p_lower", "p_upper", "confidence")


def _row(cell: int, found: Certificate) -> Row:
    """Return the row of a certificate; SQLite has no NaN."""
    values = asdict(found) | {"radius": float(found.radius), "seconds": float(found.seconds)}
    values |= {name: None if math.isnan(values[name]) else float(values[name]) for name in _NUMBERS}
    return (cell, *(values[name] for name in _CERTIFICATE_FIELDS))


def _certificate(row: Row) -> Certificate:
    values = dict(zip(_CERTIFICATE_FIELDS, row[1:], strict=True))
    values |= {name: math.nan for name in _NUMBERS if values[name] is None}
    return Certificate(**values)


_TABLE_OF = {"risk": "images", "certificates": "certificates"}


def mend(path: Path) -> list[str]:
    """Rewrite a damaged results file with all that is sound in it; return what was lost.

    What is lost is computed again by the next run. The damaged file is kept beside, as ``NAME.damaged``.
    The caller must hold the study's folder.

    Raises:
        DataError: too little is sound, or what models start from or a search has proposed is lost.
        OutputError, SfumatoError: the mended file cannot be written.
    """
    for left in path.parent.glob(f".{path.name}.*.mended*"):
        # of a run that was killed
        left.unlink(missing_ok=True)
    if not path.exists():
        return []
    mended = path.with_name(f".{path.name}.{uuid.uuid4().hex}.mended")
    try:
        with Store(path, read_only=True, tolerant=True) as old:
            sound = []
            lost = list(old.damage)
            names = {row[5]: str(Member(*row[1:5])) for row in old.held["members"].values()}
            for (cell,) in old.held["cells"]:
                for name in LARGE:
                    try:
                        old.read(name, cell)
                    except DamagedPart:
                        lost.append(names.get(cell, f"cell {cell}"))
                    else:
                        sound.append((name, cell))
            if not lost:
                return []
            if old.version < 3 or any(f"a row of {name}" in lost for name in ("path", "proposals")):
                raise DataError(f"{lost[0]} does not match its checksum")
            with Store(mended) as new:
                with new.transaction():
                    for name in SMALL:
                        new.put(name, list(old.held[name].values()))
                for name, cell in sound:
                    with new.transaction():
                        new.add(name, cell, old.read(name, cell))
        _put_in_place(mended, path)
    except DataError as error:
        raise DataError(
            f"{path}: is damaged beyond repair ({error}); move it away and run again: the models are kept, "
            f"the votes are counted again"
        ) from error
    finally:
        mended.unlink(missing_ok=True)
    return lost


def _put_in_place(mended: Path, path: Path) -> None:
    """Replace the file by the mended one; killed in between, the damaged one is there and mended again."""
    with writing(path):
        for log in ("", "-wal"):
            if (file := path.with_name(path.name + log)).exists():
                shutil.copyfile(file, path.with_name(f"{path.name}.damaged{log}"))
        for log in ("-wal", "-shm"):
            # the log of the damaged file must not be taken for one of the mended
            path.with_name(path.name + log).unlink(missing_ok=True)
        mended.replace(path)


def opened(folder: Path, *, read_only: bool) -> Store:
    """Return the open results of the study in ``folder``.

    Raises:
        DataError: no results there, a damaged file, or one of a newer version.
    """
    path = folder / FILE
    if not path.is_file():
        raise DataError(f"{path}: no such file; give a folder written by sfumato study run")
    return Store(path, read_only=read_only)


def load_results(folder: Path | str) -> StudyResults:
    """Return all that the study in ``folder`` has measured under the settings of its last run.

    Complete cells only: those with all the test images of the last run. Alphas, betas and seeds
    measured under the same settings by earlier runs belong to it, whether or not the last one asked for
    them.

    Raises:
        DataError: no results there, a damaged file, or one of a newer version.
    """
    with opened(Path(folder), read_only=True) as store:
        current = store.current()
        if current is None:
            raise NoResultsYetError(f"{store.path}: holds no results yet; run the study first")
        cells = {}
        for member, cell in store.members(current.settings, "risk").items():
            with _naming(member):
                rows = store.images(cell, current.images)
            if len(rows) == current.images:
                cells[member.alpha, member.beta, member.seed] = CellResult(
                    member.alpha, member.beta, member.seed, *rows.T.copy()
                )
        certificates = {}
        for member, cell in store.members(current.certification, "certificates").items():
            with _naming(member):
                found = store.certificates(cell, current.certified)
            if len(found) == current.certified:
                certificates[member.alpha, member.beta, member.seed] = found
    return StudyResults(current.data, current.unit, current.votes, cells, certificates)


@contextlib.contextmanager
def _naming(member: Member) -> Iterator[None]:
    """Say of a damaged cell which one it is."""
    try:
        yield
    except DamagedPart as error:
        raise DamagedPart(f"{error}; damaged: {member}") from error
