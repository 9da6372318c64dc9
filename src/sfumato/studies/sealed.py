"""An SQLite file that never passes off damaged or lost rows as results.

SQLite notices damage to its own structure, but not to what is stored in it. Here every part of a table
has a seal beside it: how many rows it has, and the sum of a 64-bit mix of each row modulo 2^64. The
seals are sealed in the same way. A change of a single row always changes the sum, since the mix is
one-to-one in each value; other damage stays unnoticed with probability 2^-64. A part is one row of a
small table, or all rows of one cell of a large one. A file of an earlier version (``schema``) is read as it
would be in the present one, and brought up to it when it is next written to.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from jaxtyping import UInt64

from sfumato.errors import DataError, OutputError, SfumatoError, WriteError
from sfumato.files import require_in_place, writing
from sfumato.studies.schema import LARGE, SMALL, VERSION, statements

Row = tuple[Any, ...]

_BUSY_SECONDS = 30.0


class DamagedPart(DataError):
    """Rows that do not match their seal."""


@dataclass(frozen=True)
class Seal:
    """How many rows a part has, and the sum of their mixes modulo 2^64."""

    rows: int = 0
    digest: int = 0

    def __add__(self, other: Seal) -> Seal:
        return Seal(self.rows + other.rows, (self.digest + other.digest) % 2**64)

    def __sub__(self, other: Seal) -> Seal:
        return Seal(self.rows - other.rows, (self.digest - other.digest) % 2**64)

    def row(self, name: str, part: str) -> Row:
        """Return the row by which the seal is kept; SQLite's integers have a sign."""
        return name, part, self.rows, self.digest - 2**64 * (self.digest >= 2**63)


def sealed(rows: Sequence[Row]) -> Seal:
    """Return the seal of the rows, whatever their order.

    >>> sealed([(1, 2), (3, 4)]) == sealed([(3, 4), (1, 2)]) != sealed([(1, 2), (3, 5)])
    True
    """
    if not rows:
        return Seal()
    if all(isinstance(value, int) for value in rows[0]):
        words = np.array(rows, dtype=np.int64).view(np.uint64)
    else:
        texts = (json.dumps(row).encode() for row in rows)
        words = np.array([np.frombuffer(hashlib.sha256(text).digest(), dtype="<u8") for text in texts])
    return Seal(len(rows), int(_mixed(words).sum(dtype=np.uint64)))


def _mixed(words: UInt64[np.ndarray, "rows words"]) -> UInt64[np.ndarray, " rows"]:
    """Return one number for each row: the finaliser of SplitMix64 (Steele et al. 2014) after each word."""
    mixed = np.full(len(words), 0x9E3779B97F4A7C15, dtype=np.uint64)
    for word in words.T:
        mixed = mixed ^ word
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
        mixed = mixed ^ (mixed >> np.uint64(31))
    return mixed


class SealedFile:
    """An open file. Small tables are verified and held in memory; parts of large ones verified when read.

    One connection at a time may write. ``tolerant`` opens a damaged file as well, read only: ``damage``
    then says what does not match, and only what does is held.

    Raises:
        DataError: the file is damaged, is no results file, or is of a newer version.
        OutputError: it cannot be opened or written, or another process is writing.
        WriteError: the disk is full, or the file was removed meanwhile; what was finished is kept.
    """

    def __init__(self, path: Path, *, read_only: bool = False, tolerant: bool = False) -> None:
        self.path = path
        self._opened: os.stat_result | None = None
        self.damage: list[str] = []
        self.held: dict[str, dict[Row, Row]] = {}
        self._seals: dict[tuple[str, str], Seal] = {}
        self._total = Seal()
        with explained(path):
            if not read_only:
                path.parent.mkdir(parents=True, exist_ok=True)
            mode = "rwc"
            if read_only:
                mode = "ro&immutable=1" if _is_read_as_it_lies(path) else "ro"
            self._db = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode={mode}",
                uri=True,
                timeout=_BUSY_SECONDS,
                isolation_level=None,
            )
            try:
                if read_only:
                    # all that is read is of one moment, though another process writes
                    self._db.execute("BEGIN")
                self.version = self._checked_version()
                self._check_structure(tolerant)
                self._load(tolerant)
                if not read_only:
                    self._db.execute("PRAGMA journal_mode = WAL")
                    # a finished shard shall outlast a power cut as well
                    self._db.execute("PRAGMA synchronous = FULL")
                # version 3 only lacks the counts, which ``read`` leaves empty, and both the views
                as_it_is = read_only and (self.damage or self.version in (0, 3, 4))
                if self.version < VERSION and not as_it_is:
                    self._bring_up_to_date(read_only)
            except BaseException:
                self._db.close()
                raise
            self._opened = path.stat()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; what was written is in it."""
        with contextlib.suppress(sqlite3.Error):
            self._db.close()

    def _checked_version(self) -> int:
        version = int(self._db.execute("PRAGMA user_version").fetchone()[0])
        if version > VERSION:
            raise DataError(
                f"{self.path}: was written by a newer Sfumato (results version {version}; this one reads "
                f"{VERSION}); update Sfumato or choose another folder"
            )
        if version == 1:
            raise DataError(
                f"{self.path}: was written by an older Sfumato, without checksums; move it away and run "
                "again: the models are kept, the votes are counted again"
            )
        if version < 1 and self._db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
            raise DataError(f"{self.path}: is a database of something else; choose another folder")
        return version

    def _check_structure(self, tolerant: bool) -> None:
        """Refuse what SQLite itself finds wrong, and tables that are not ours."""
        found = {
            " ".join(sql.split())
            for (sql,) in self._db.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL")
        }
        if found != {" ".join(sql.split()) for sql in statements(self.version)}:
            raise sqlite3.DatabaseError("its tables are not as they were made")
        try:
            wrong = str(self._db.execute("PRAGMA integrity_check(1)").fetchone()[0])
        except sqlite3.DatabaseError as error:
            wrong = str(error)
        if wrong != "ok":
            if not tolerant:
                raise sqlite3.DatabaseError(" ".join(wrong.split()))
            self.damage.append("its structure")

    def _load(self, tolerant: bool = False) -> None:
        """Read the small tables and the seals; refuse what does not match, or if ``tolerant`` omit it."""
        wrong: list[str] = []
        self._seals, self.held = {}, {name: {} for name in SMALL}
        if self.version == 0:
            return
        total = None
        for name, part, rows, digest in self._readable("SELECT name, part, rows, digest FROM seals"):
            if name == "seals":
                total = Seal(rows, digest % 2**64)
            else:
                self._seals[name, part] = Seal(rows, digest % 2**64)
        self._total = sealed([seal.row(*place) for place, seal in self._seals.items()])
        # version 2 had no seal of seals before its first row
        if self._total != total and (self._seals or total or self.version > 3):
            wrong.append("a seal")
        for name, (columns, key) in SMALL.items():
            # an index is another copy, which is not read
            order = "" if name == "proposals" else " NOT INDEXED"
            for row in self._readable(f"SELECT {columns} FROM {name}{order}"):
                part = tuple(row[place] for place in key)
                if self._seals.get((name, _text(part))) == sealed([row]):
                    self.held[name][part] = row
                else:
                    wrong.append(f"a row of {name}")
            sound = {_text(part) for part in self.held[name]}
            if any(place[0] == name and place[1] not in sound for place in self._seals):
                wrong.append(f"a row of {name}")
        self.damage += dict.fromkeys(wrong)
        if wrong and not tolerant:
            raise DamagedPart(_damaged(self.path, f"{wrong[0]} does not match its checksum"))

    def _readable(self, query: str) -> Iterator[Row]:
        """Yield the rows up to the first that cannot be read, which the file's structure is blamed for."""
        try:
            yield from self._db.execute(query)
        except sqlite3.Error:
            if "its structure" not in self.damage:
                raise

    def _bring_up_to_date(self, read_only: bool) -> None:
        """Make the tables of the present version; in memory alone if ``read_only``."""
        if read_only:
            copy = sqlite3.connect(":memory:", isolation_level=None)
            self._db.backup(copy)
            self._db.close()
            self._db = copy
        former = self._former_certificates() if self.version in (2, 3) else {}
        with self.transaction():
            if self.version in (2, 3):
                self._db.execute("DROP TABLE certificates")
            for statement in statements(VERSION):
                if not self.version or statement not in statements(self.version):
                    self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version = {VERSION}")
            # the file is whole from the start, though its run may be killed before the first row
            self._write("seals", [self._total.row("seals", "")])
            for cell, rows in former.items():
                self._seal("certificates", (cell,), Seal())
                self.add("certificates", cell, rows)
        self.version = VERSION

    def _former_certificates(self) -> dict[int, list[Row]]:
        """Return the certificates of an earlier file by their cells, as rows of the present version."""
        found: dict[int, list[Row]] = {}
        columns = "cell, example, row" if self.version == 2 else self._columns("certificates")
        for row in self._db.execute(f"SELECT {columns} FROM certificates ORDER BY cell, example"):
            found.setdefault(row[0], []).append(row)
        sealed_ = {part: seal for (name, part), seal in self._seals.items() if name == "certificates"}
        if {_text((cell,)): sealed(rows) for cell, rows in found.items()} != sealed_:
            raise DamagedPart(_damaged(self.path, "certificates do not match their checksum"))
        if self.version > 2:
            return {cell: [(*row, "") for row in rows] for cell, rows in found.items()}
        return {cell: [self.present_row(*row) for row in rows] for cell, rows in found.items()}

    def present_row(self, cell: int, example: int, text: str) -> Row:
        """Return the row of a certificate that was kept as a text."""
        raise NotImplementedError

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Make all that the block writes durable when it ends, or nothing of it."""
        with explained(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            before = self._total
            try:
                yield
                if self._total != before:
                    self._write("seals", [self._total.row("seals", "")])
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                with contextlib.suppress(SfumatoError, sqlite3.Error):
                    self._load()
                raise
        if self._opened is not None:  # else it is being made
            require_in_place(self.path, self._opened)

    def put(self, name: str, rows: Iterable[Row]) -> None:
        """Keep rows of a small table in a transaction, each in place of the one with its key."""
        rows = list(rows)
        self._write(name, rows)
        for row in rows:
            part = tuple(row[place] for place in SMALL[name][1])
            self.held[name][part] = row
            self._seal(name, part, sealed([row]))

    def add(self, name: str, cell: int, rows: Sequence[Row]) -> None:
        """Keep rows of a cell in a transaction; one whose example is there already stays as it is."""
        there = {
            example for (example,) in self._db.execute(f"SELECT example FROM {name} WHERE cell = ?", (cell,))
        }
        new = {row[1]: row for row in reversed(rows) if row[1] not in there}
        if new:
            self._write(name, list(new.values()))
            before = self._seals.get((name, _text((cell,))), Seal())
            self._seal(name, (cell,), before + sealed(list(new.values())))

    def drop_row(self, name: str, part: Row) -> None:
        """Remove the row with this key from a small table, in a transaction."""
        columns, places = SMALL[name]
        keys = [columns.split(", ")[place] for place in places]
        self._db.execute(f"DELETE FROM {name} WHERE {' AND '.join(f'{key} = ?' for key in keys)}", part)
        del self.held[name][part]
        self._unseal(name, part)

    def drop_rows(self, name: str, cell: int) -> None:
        """Remove all rows of the cell from a large table, in a transaction."""
        self._db.execute(f"DELETE FROM {name} WHERE cell = ?", (cell,))
        self._unseal(name, (cell,))

    def count(self, name: str, cell: int) -> int:
        """Return how many rows of the cell a large table has, by its seal."""
        return self._seals.get((name, _text((cell,))), Seal()).rows

    def read(self, name: str, cell: int) -> list[Row]:
        """Return all rows of the cell, examples increasing.

        Raises:
            DamagedPart: they do not match their seal.
        """
        try:
            with explained(self.path):
                rows = self._rows(name, cell)
        except DataError as error:
            raise DamagedPart(str(error)) from error
        if self._seals.get((name, _text((cell,))), Seal()) != sealed(rows):
            raise DamagedPart(_damaged(self.path, f"{name} of cell {cell} do not match their checksum"))
        lacking = LARGE[name].count(",") - self._columns(name).count(",")
        return [(*row, *[""] * lacking) for row in rows] if lacking else rows

    def _rows(self, name: str, cell: int) -> list[Row]:
        return self._db.execute(
            f"SELECT {self._columns(name)} FROM {name} WHERE cell = ? ORDER BY example", (cell,)
        ).fetchall()

    def _columns(self, name: str) -> str:
        """Return the columns that the file has of a large table; up to version 3 it has no counts."""
        return LARGE[name].removesuffix(", counts") if self.version == 3 else LARGE[name]

    def _write(self, name: str, rows: Sequence[Row]) -> None:
        verb = "INSERT" if name in LARGE else "INSERT OR REPLACE"
        if rows:
            self._db.executemany(f"{verb} INTO {name} VALUES ({', '.join('?' * len(rows[0]))})", rows)

    def _seal(self, name: str, part: Row, seal: Seal) -> None:
        place = name, _text(part)
        if (before := self._seals.get(place)) is not None:
            self._total -= sealed([before.row(*place)])
        self._total += sealed([seal.row(*place)])
        self._seals[place] = seal
        self._write("seals", [seal.row(*place)])

    def _unseal(self, name: str, part: Row) -> None:
        place = name, _text(part)
        if (before := self._seals.pop(place, None)) is not None:
            self._total -= sealed([before.row(*place)])
            self._db.execute("DELETE FROM seals WHERE name = ? AND part = ?", place)


def _text(part: Row) -> str:
    return json.dumps(part)


def _damaged(path: Path, what: object) -> str:
    return f"{path}: is damaged ({what}); sfumato study run computes again what is lost, the models are kept"


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into one line each."""
    try:
        with writing(path):
            yield
    except sqlite3.Error as error:
        raise _explanation(path, error) from error


def _explanation(path: Path, error: sqlite3.Error) -> SfumatoError:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
        return WriteError(
            f"{path}: cannot be written ({error}); what was finished is kept: free some space and run again"
        )
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return OutputError(f"{path}: another process is writing to it; wait for it")
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_NOMEM):
        return OutputError(f"{path}: cannot be opened or written ({error})")
    return DataError(_damaged(path, " ".join(str(error).split())))


def _is_read_as_it_lies(path: Path) -> bool:
    """Return whether we cannot write in the folder, and all that was written is in the file itself.

    To read a file that others may write, SQLite writes beside it, which it cannot do in such a folder. Should
    the folder's owner write while we read, the checksums of what is read tell.
    """
    log = path.with_name(f"{path.name}-wal")
    return not os.access(path.parent, os.W_OK) and not (log.exists() and log.stat().st_size)
