"""Where a study's results are kept: one SQLite file, one transaction per finished shard of images.

Rows are found by content: a cell's key is a hash of everything that determines its rows (weights,
test images, beta, votes, noise seed, device type, precision, chunk), so that rows of other settings are
never taken for these, and rows that are there are never computed again. What the present settings
have measured is written down in ``members``; results are read from there alone.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from jaxtyping import Int

from sfumato.errors import DataError, OutputError, SfumatoError
from sfumato.smoothing.certificate import Certificate, parse_row
from sfumato.studies.results import CellResult, StudyResults

FILE = "results.sqlite"
VERSION = 1
"""Of the tables below, kept as the file's ``user_version``."""

_BUSY_SECONDS = 30.0
_COLUMNS = "example, label, predicted, votes, first_votes, first_hits"
_TABLES = """
CREATE TABLE IF NOT EXISTS current (
    only INTEGER PRIMARY KEY CHECK (only = 0), settings TEXT NOT NULL, data TEXT NOT NULL,
    unit TEXT NOT NULL, votes INTEGER NOT NULL, images INTEGER NOT NULL,
    certification TEXT NOT NULL, certified INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS path (
    chain TEXT NOT NULL, position INTEGER NOT NULL, alpha REAL NOT NULL, parent REAL,
    PRIMARY KEY (chain, alpha)
) STRICT;
CREATE TABLE IF NOT EXISTS models (
    key TEXT PRIMARY KEY, alpha REAL NOT NULL, seed INTEGER NOT NULL, weights_sha256 TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS cells (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE IF NOT EXISTS members (
    settings TEXT NOT NULL, kind TEXT NOT NULL, alpha REAL NOT NULL, beta REAL NOT NULL,
    seed INTEGER NOT NULL, cell INTEGER NOT NULL, PRIMARY KEY (settings, kind, alpha, beta, seed)
) STRICT;
CREATE TABLE IF NOT EXISTS images (
    cell INTEGER NOT NULL, example INTEGER NOT NULL, label INTEGER NOT NULL, predicted INTEGER NOT NULL,
    votes INTEGER NOT NULL, first_votes INTEGER NOT NULL, first_hits INTEGER NOT NULL,
    PRIMARY KEY (cell, example)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS certificates (
    cell INTEGER NOT NULL, example INTEGER NOT NULL, row TEXT NOT NULL, PRIMARY KEY (cell, example)
) STRICT, WITHOUT ROWID;
"""

Rows = Int[np.ndarray, "images 6"]
"""Per image: example, label, predicted, votes, first votes, hits among these."""


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


class Store:
    """An open results file. Every method is one transaction, durable when it returns.

    Raises:
        DataError: the file is damaged, is no results file, or is of a newer version.
        OutputError: it cannot be opened or written, or another process is writing.
        SfumatoError: the disk is full; what was finished is kept.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        with self._explained():
            if not read_only:
                path.parent.mkdir(parents=True, exist_ok=True)
            mode = "ro" if read_only else "rwc"
            self._db = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode={mode}",
                uri=True,
                timeout=_BUSY_SECONDS,
                isolation_level=None,
            )
            try:
                self._check()
                if not read_only:
                    self._db.execute("PRAGMA journal_mode = WAL")
                    # a finished shard shall outlast a power cut as well
                    self._db.execute("PRAGMA synchronous = FULL")
                    self._create()
            except BaseException:
                self._db.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; what was written is in it."""
        with contextlib.suppress(sqlite3.Error):
            self._db.close()

    def _check(self) -> None:
        version = int(self._db.execute("PRAGMA user_version").fetchone()[0])
        if version > VERSION:
            raise DataError(
                f"{self.path}: was written by a newer Sfumato (results version {version}; this one reads "
                f"{VERSION}); update Sfumato or choose another folder"
            )
        found = self._db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise sqlite3.DatabaseError(" ".join(str(found).split()))
        tables = self._db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        if version == 0 and tables:
            raise DataError(f"{self.path}: is a database of something else; choose another folder")

    def _create(self) -> None:
        with self._transaction():
            for statement in _TABLES.split(";"):
                self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version = {VERSION}")

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn SQLite's errors into one line each."""
        try:
            yield
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written ({error.strerror or error})") from error
        except sqlite3.OperationalError as error:
            raise _operational(self.path, error) from error
        except sqlite3.DatabaseError as error:
            raise DataError(
                f"{self.path}: is damaged ({error}); move it away and run again: the models are kept, "
                "the votes are counted anew"
            ) from error

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._explained():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def begin(self, current: Current) -> None:
        """Make these the settings whose results are read."""
        with self._transaction():
            self._db.execute(
                "INSERT OR REPLACE INTO current VALUES (0, ?, ?, ?, ?, ?, ?, ?)", astuple(current)
            )

    def current(self) -> Current | None:
        """Return the settings whose results are read, None before any run."""
        with self._explained():
            row = self._db.execute(
                "SELECT settings, data, unit, votes, images, certification, certified FROM current"
            ).fetchone()
        return None if row is None else Current(*row)

    def path_of(self, chain: str) -> dict[float, float | None]:
        """Return which alpha each alpha's training starts from, in order of training."""
        with self._explained():
            found = self._db.execute(
                "SELECT alpha, parent FROM path WHERE chain = ? ORDER BY position", (chain,)
            ).fetchall()
        return dict(found)

    def keep_path(self, chain: str, path: Mapping[float, float | None]) -> None:
        """Write down where trainings start from; what is there already stays as it is."""
        with self._transaction():
            self._db.executemany(
                "INSERT OR IGNORE INTO path VALUES (?, ?, ?, ?)",
                [(chain, position, *edge) for position, edge in enumerate(path.items())],
            )

    def weights(self, key: str) -> str | None:
        """Return the checksum of the weights of a trained model, None if there is none of this key."""
        with self._explained():
            row = self._db.execute("SELECT weights_sha256 FROM models WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def keep_model(self, key: str, alpha: float, seed: int, weights_sha256: str) -> None:
        """Write down that a model is trained."""
        with self._transaction():
            self._db.execute(
                "INSERT OR REPLACE INTO models VALUES (?, ?, ?, ?)", (key, alpha, seed, weights_sha256)
            )

    def open_cells(self, settings: str, cells: Mapping[Member, str]) -> dict[Member, int]:
        """Return a number for each cell, by which its rows are kept, and make it part of these settings.

        ``cells`` gives each member's key, a hash of all that determines its rows.
        """
        found = {}
        with self._transaction():
            for member, key in cells.items():
                self._db.execute("INSERT OR IGNORE INTO cells (key) VALUES (?)", (key,))
                cell = int(self._db.execute("SELECT id FROM cells WHERE key = ?", (key,)).fetchone()[0])
                self._db.execute(
                    "INSERT OR REPLACE INTO members VALUES (?, ?, ?, ?, ?, ?)",
                    (settings, member.kind, member.alpha, member.beta, member.seed, cell),
                )
                found[member] = cell
        return found

    def missing(self, key: str, kind: str, images: int) -> list[int]:
        """Return which of the first ``images`` examples the cell of this key has no rows of."""
        table = _TABLE_OF[kind]
        with self._explained():
            done = self._db.execute(
                f"SELECT example FROM {table} JOIN cells ON cell = id WHERE key = ? AND example < ?",
                (key, images),
            ).fetchall()
        return sorted(set(range(images)) - {example for (example,) in done})

    def add_images(self, cell: int, rows: Rows) -> None:
        """Keep the rows of a shard; one that is there already is not counted twice."""
        with self._transaction():
            self._db.executemany(
                f"INSERT OR IGNORE INTO images (cell, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",
                [(cell, *row) for row in rows.tolist()],
            )

    def add_certificates(self, cell: int, certificates: Sequence[Certificate]) -> None:
        """Keep certificates; one that is there already is not counted twice."""
        with self._transaction():
            self._db.executemany(
                "INSERT OR IGNORE INTO certificates VALUES (?, ?, ?)",
                [(cell, certificate.idx, certificate.row()) for certificate in certificates],
            )

    def members(self, settings: str, kind: str) -> dict[Member, int]:
        """Return the cells that these settings have, complete or not."""
        with self._explained():
            found = self._db.execute(
                "SELECT kind, alpha, beta, seed, cell FROM members WHERE settings = ? AND kind = ? "
                "ORDER BY alpha, beta, seed",
                (settings, kind),
            ).fetchall()
        return {Member(*row[:4]): int(row[4]) for row in found}

    def images(self, cell: int, limit: int) -> Rows:
        """Return a cell's rows of the examples below ``limit``, examples increasing."""
        with self._explained():
            found = self._db.execute(
                f"SELECT {_COLUMNS} FROM images WHERE cell = ? AND example < ? ORDER BY example",
                (cell, limit),
            ).fetchall()
        return np.array(found, dtype=np.int64).reshape(-1, 6)

    def certificates(self, cell: int, limit: int) -> list[Certificate]:
        """Return a cell's certificates of the examples below ``limit``, examples increasing."""
        with self._explained():
            found = self._db.execute(
                "SELECT row FROM certificates WHERE cell = ? AND example < ? ORDER BY example", (cell, limit)
            ).fetchall()
        return [parse_row(row, str(self.path), ours=True) for (row,) in found]


_TABLE_OF = {"risk": "images", "certificates": "certificates"}


def _operational(path: Path, error: sqlite3.OperationalError) -> SfumatoError:
    text = str(error)
    if "full" in text or "disk I/O" in text:
        return SfumatoError(
            f"{path}: cannot be written ({text}); what was finished is kept: free some space and run again"
        )
    if "locked" in text:
        return OutputError(f"{path}: another process is writing to it; wait for it")
    return OutputError(f"{path}: cannot be opened or written ({text})")


def load_results(folder: Path) -> StudyResults:
    """Return all that the study in ``folder`` has measured under the settings of its last run.

    Complete cells only: those with all the test images of the last run. Alphas, betas and seeds
    measured under the same settings by earlier runs belong to it, whether or not the last one asked for
    them.

    Raises:
        DataError: no results there, a damaged file, or one of a newer version.
    """
    path = folder / FILE
    if not path.is_file():
        raise DataError(f"{path}: no such file; give a folder written by sfumato study run")
    with Store(path, read_only=True) as store:
        current = store.current()
        if current is None:
            raise DataError(f"{path}: holds no results yet; run the study first")
        cells = {}
        for member, cell in store.members(current.settings, "risk").items():
            rows = store.images(cell, current.images)
            if len(rows) == current.images:
                cells[member.alpha, member.beta, member.seed] = CellResult(
                    member.alpha, member.beta, member.seed, *rows.T.copy()
                )
        certificates = {
            (member.alpha, member.beta, member.seed): found
            for member, cell in store.members(current.certification, "certificates").items()
            if len(found := store.certificates(cell, current.certified)) == current.certified
        }
    return StudyResults(current.data, current.unit, current.votes, cells, certificates)
