"""What a study consists of and what of it is still to be computed: the only order of work there is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sfumato.datasets import Dataset, load_dataset
from sfumato.devices import choose_device
from sfumato.errors import SettingError
from sfumato.studies.design import Design
from sfumato.studies.keys import Keys
from sfumato.studies.store import FILE, Member, Store


@dataclass(frozen=True)
class ToTrain:
    """A model that is not there yet. ``warm_from`` is the alpha it starts from, None for random weights."""

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
    data = study_data(design)
    keys, path = Keys.of(design, data, choose_device(device)), folder / FILE
    if not path.exists():
        return what_is_left(design, data, folder, None, keys)
    with Store(path, read_only=True) as store:
        return what_is_left(design, data, folder, store, keys.after(store.path_of(keys.chain)))


def study_data(design: Design) -> Dataset:
    """Return the study's data set.

    Raises:
        DataError, DownloadError: it cannot be had.
    """
    folder = design.data.data_dir
    return load_dataset(design.data.name, None if folder is None else Path(folder))


def image_count(design: Design, data: Dataset) -> int:
    """Return how many test images each cell has.

    Raises:
        SettingError: more are asked for than there are.
    """
    return _at_most("data.images", design.data.images or len(data.test), data)


def certified_count(design: Design, data: Dataset) -> int:
    """Return how many test images each certified cell has, 0 where nothing is certified.

    Raises:
        SettingError: more are asked for than there are.
    """
    if design.certification is None:
        return 0
    return _at_most("certification.images", design.certification.images, data)


def _at_most(name: str, wanted: int, data: Dataset) -> int:
    if wanted > len(data.test):
        raise SettingError(
            f"{name} must be at most the {len(data.test)} test images of {data.name}, got {wanted}"
        )
    return wanted


def members_of(design: Design, alpha: float, seed: int) -> list[Member]:
    """Return the cells of one model."""
    risks = [Member("risk", alpha, beta, seed) for beta in design.grid.beta]
    certified = design.certification.beta if design.certification else ()
    return risks + [Member("certificates", alpha, beta, seed) for beta in certified]


def images_of(member: Member, design: Design, data: Dataset) -> int:
    """Return how many test images the cell has."""
    return image_count(design, data) if member.kind == "risk" else certified_count(design, data)


def what_is_left(design: Design, data: Dataset, folder: Path, store: Store | None, keys: Keys) -> ToDo:
    """Return what is not computed yet, as far as it can be known before training."""
    models: dict[tuple[float, int], ToTrain] = {}
    images: dict[Member, int] = {}

    def need(alpha: float, seed: int) -> None:
        parent = keys.path[alpha]
        if (alpha, seed) not in models and not keys.model_path(folder, alpha, seed).exists():
            if parent is not None:
                need(parent, seed)
            models[alpha, seed] = ToTrain(alpha, seed, keys.epochs(alpha, seed), parent)

    cells = 0
    for seed in design.grid.seeds:
        for alpha in (a for a in keys.path if a in design.grid.alpha):
            weights = store.weights(keys.model(alpha, seed)) if store else None
            open_images = {}
            for member in members_of(design, alpha, seed):
                cells += 1
                wanted = images_of(member, design, data)
                if store is not None and weights is not None:
                    wanted = len(store.missing(keys.cell(member, weights), member.kind, wanted))
                if wanted:
                    open_images[member] = wanted
            if open_images:
                need(alpha, seed)
            images |= open_images
    return ToDo(list(models.values()), images, cells)
