"""The parts of a study, and which are still to be computed, in order of work."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from sfumato.datasets import Dataset, dataset_names, load_dataset
from sfumato.devices import choose_device
from sfumato.errors import DataError
from sfumato.studies.design import Design
from sfumato.studies.keys import Keys
from sfumato.studies.store import FILE, Member, Store


@dataclass(frozen=True)
class ToTrain:
    """A model still to be trained. ``warm_from`` is the alpha it starts from, None for random weights."""

    alpha: float
    seed: int
    epochs: int
    warm_from: float | None


@dataclass(frozen=True)
class ToDo:
    """What a run would compute now.

    Attributes:
        models: to be trained, in this order.
        images: for each cell (kind, alpha, beta, seed) how many test images are left.
        cells: how many cells the study has.
    """

    models: list[ToTrain]
    images: dict[Member, int]
    cells: int


def plan_study(design: Design, folder: Path, *, device: str = "auto") -> ToDo:
    """Return what ``run_study`` would compute; nothing is written.

    Raises:
        SettingError, DataError, ModelError: a study that cannot be run.
    """
    keys, path = Keys.of(design, study_data(design), choose_device(device)), folder / FILE
    if not path.exists():
        return what_is_left(keys, folder, None)
    with Store(path, read_only=True) as store:
        return what_is_left(keys.after(store.path_of(keys.chain)), folder, store)


def study_data(design: Design, *, run_code: bool = True) -> Dataset:
    """Return the study's data set; ``run_code`` as of ``load_dataset``.

    Raises:
        DataError, DownloadError: it cannot be had.
    """
    name, folder = design.data.name, None if design.data.data_dir is None else Path(design.data.data_dir)
    try:
        return load_dataset(name, folder, size=design.data.size, run_code=run_code)
    except DataError as error:
        if name in dataset_names() or os.path.lexists(name):
            raise
        # the study may name it as it was seen from another folder
        raise DataError(f"{error}, with {option_of_data(name)}") from error


def option_of_data(name: str) -> str:
    """Return the option that says where the data of this name are: a file or folder is no longer under it.

    >>> option_of_data("mnist"), option_of_data("shapes.npz")
    ('--data-dir', '--data')
    """
    return "--data-dir" if name in dataset_names() else "--data"


def what_is_left(keys: Keys, folder: Path, store: Store | None) -> ToDo:
    """Return what is not computed yet, as far as this is known before training."""
    models: dict[tuple[float, int], ToTrain] = {}
    images: dict[Member, int] = {}
    cells = 0

    def need(alpha: float, seed: int) -> None:
        parent = keys.path[alpha]
        if (alpha, seed) not in models and not keys.model_path(folder, alpha, seed).exists():
            if parent is not None:
                need(parent, seed)
            models[alpha, seed] = ToTrain(alpha, seed, keys.epochs(alpha, seed), parent)

    for alpha, seed in keys.models:
        weights = store.weights(keys.model(alpha, seed)) if store else None
        for member in keys.members(alpha, seed):
            cells += 1
            left = keys.images[member.kind]
            if store is not None and weights is not None:
                left = len(store.missing(keys.cell(member, weights), member.kind, left))
            if left:
                images[member] = left
                need(alpha, seed)
    return ToDo(list(models.values()), images, cells)
