"""What a study's results file keeps besides what the study shows: rows of other settings, and dropping them.

A setting that is changed and run again gives other rows; those of before stay, so that changing it back
costs nothing. A race or a search keeps its certificates in this way too. Nothing is dropped unless it is
named.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sfumato.errors import SettingError
from sfumato.files import locked
from sfumato.frames import columns_of, data_frame
from sfumato.studies.run import LOCK_FILE
from sfumato.studies.store import Member, Store, opened

_ALL = 2**62  # more than there are images
_SHORTEST = 4
"""Digits of a name that are enough, where they tell it from the others."""


@dataclass(frozen=True)
class KeptSettings:
    """The rows of one kind that were measured under the same settings.

    Attributes:
        name: hash of the settings, 64 hexadecimal digits.
        kind: risk, or certificates.
        alphas, betas, seeds: of the cells, increasing.
        cells: how many there are.
        images: rows of all cells together.
        plans: of the certificates; of votes, the most that an image got.
        present: whether these are the settings of the last run, whose results the study shows.
    """

    name: str
    kind: str
    alphas: tuple[float, ...]
    betas: tuple[float, ...]
    seeds: tuple[int, ...]
    cells: int
    images: int
    plans: tuple[str, ...]
    present: bool

    @property
    def short(self) -> str:
        """The first digits of the name."""
        return self.name[:8]


class Kept(tuple[KeptSettings, ...]):
    """All that a results file keeps, what the study shows first."""

    __slots__ = ()

    def to_frame(self) -> Any:
        """Return a pandas data frame with one row per name and kind.

        Raises:
            MissingPackageError: pandas is not installed.
        """
        names = ("name", "kind", "alphas", "betas", "seeds", "cells", "images", "plans", "present")
        return data_frame(columns_of(self, names), index=("name", "kind"))


def kept_settings(folder: Path) -> Kept:
    """Return the settings that the study in ``folder`` keeps rows of.

    Raises:
        DataError: no results there, a damaged file, or one of a newer version.
    """
    with opened(folder, read_only=True) as store:
        return _kept(store)


def drop_settings(folder: Path, names: Collection[str]) -> Kept:
    """Remove the rows of these settings from the study in ``folder`` for good, and return what was removed.

    A name may be given by its first digits. Rows that other settings have too stay, and so do all models:
    what was dropped can be measured again.

    Raises:
        SettingError: a name that is not kept or not of one setting, or that of the study's last run.
        DataError: as ``kept_settings``.
        OutputError: another process is at work in the folder, or the file cannot be written.
    """
    with locked(folder, folder / LOCK_FILE), opened(folder, read_only=False) as store:
        dropped = chosen(_kept(store), names)
        store.forget({found.name for found in dropped})
        return dropped


def chosen(kept: Kept, names: Collection[str]) -> Kept:
    """Return the settings of these names, which may be given by their first digits.

    Raises:
        SettingError: as ``drop_settings``.
    """
    found = {_full_name(kept, name) for name in names}
    return Kept(one for one in kept if one.name in found)


def others(kept: Kept) -> list[str]:
    """Return the names of all settings but those that the study shows."""
    return sorted({one.name for one in kept if not one.present})


def _full_name(kept: Kept, given: str) -> str:
    fitting = {one.name for one in kept if one.name.startswith(given.lower())}
    if len(given) < _SHORTEST or len(fitting) != 1:
        known = ", ".join(name[:8] for name in others(kept)) or "there are none"
        raise SettingError(
            f"settings must be named by at least {_SHORTEST} digits that only one of them begins with, "
            f"got {given!r}; those that can be dropped: {known}"
        )
    (name,) = fitting
    if any(one.present for one in kept if one.name == name):
        raise SettingError(
            f"settings {given} are those of the study's last run, which it shows; they cannot be dropped"
        )
    return name


def _kept(store: Store) -> Kept:
    groups: dict[tuple[str, str], dict[Member, int]] = {}
    for (name, member), cell in store.every_member().items():
        groups.setdefault((name, member.kind), {})[member] = cell
    current = store.current()
    shown = set() if current is None else {current.settings, current.certification}
    found = [
        KeptSettings(
            name=name,
            kind=kind,
            alphas=tuple(sorted({member.alpha for member in cells})),
            betas=tuple(sorted({member.beta for member in cells})),
            seeds=tuple(sorted({member.seed for member in cells})),
            cells=len(cells),
            images=sum(store.rows_kept(kind, cell) for cell in cells.values()),
            plans=_plans(store, kind, cells),
            present=name in shown,
        )
        for (name, kind), cells in groups.items()
    ]
    return Kept(sorted(found, key=lambda one: (not one.present, one.kind, one.name)))


def _plans(store: Store, kind: str, cells: dict[Member, int]) -> tuple[str, ...]:
    """Return how the rows came to be, as the first cell that has any says."""
    filled = [(member, cell) for member, cell in cells.items() if store.rows_kept(kind, cell)]
    noisy = [cell for member, cell in filled if kind == "certificates" or member.beta > 0]
    if not noisy:
        return ()
    if kind == "certificates":
        return tuple(sorted({row.plan for row in store.certificates(noisy[0], _ALL)}))
    return (f"up to {store.images(noisy[0], _ALL)[:, 3].max()} votes",)
