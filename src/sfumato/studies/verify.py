"""Verify a study: its results file, its models, its settings, and a random few of its rows drawn again.

Every stored row is under a seal (``sealed``), every cell under a key that is a hash of all that determines
its rows (``keys``). So a changed model, seed, plan or data set shows as a key that no longer fits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from sfumato.certification.smoothed_classifier import SmoothedClassifier
from sfumato.certification.verify import AtHand, Verification, check_derived, redraw
from sfumato.datasets import Dataset, load_dataset
from sfumato.devices import choose_device
from sfumato.errors import DataError, SfumatoError
from sfumato.models.checkpoint import verify_checkpoint
from sfumato.models.classifier import Classifier, load_classifier
from sfumato.noise import Gaussian
from sfumato.smoothing.base_classifier import BaseClassifier
from sfumato.smoothing.batch_norms import normalize_at, some_images
from sfumato.smoothing.risk import vote_on
from sfumato.studies.design import Design, read_design
from sfumato.studies.keys import Keys
from sfumato.studies.run import STUDY_FILE
from sfumato.studies.store import FILE, Current, Member, Store
from sfumato.studies.todo import option_of_data


def verify_study(folder: Path, at_hand: AtHand | None = None) -> Verification:
    """Return what holds and what does not hold of the study in ``folder``.

    Raises:
        DataError: no results there.
        SettingError: a study file that cannot be read.
    """
    at_hand, found = at_hand or AtHand(), Verification()
    if not (folder / FILE).is_file():
        raise DataError(f"{folder}: holds no {FILE}; give a folder written by sfumato study run")
    design = read_design(folder / STUDY_FILE)
    try:
        store = Store(folder / FILE, read_only=True)
    except DataError as error:
        found.differ("checksum", [str(error)])
        return found
    with store:
        current = store.current()
        if current is None:
            raise DataError(f"{folder / FILE}: holds no results yet; run the study first")
        sound = _check_rows(store, current, design, found)
        keys = _keys(design, folder, store, current, at_hand, found)
        _check_models(store, folder, keys, found)
        if keys is not None and not found.differences:
            _check_cells(store, keys, current, found)
        if keys is not None and not found.differences:
            _redraw(store, keys, folder, current, sound, at_hand, found)
    return found


def _members(store: Store, current: Current) -> dict[Member, int]:
    return store.members(current.settings, "risk") | store.members(current.certification, "certificates")


def _check_rows(store: Store, current: Current, design: Design, found: Verification) -> list[Member]:
    """Compare rows with their seals and certificates with their counts; return the whole cells."""
    whole, rows = [], 0
    table = design.certification
    for member, cell in _members(store, current).items():
        certified = member.kind == "certificates"
        asked = current.certified if certified else current.images
        try:
            if certified:
                certificates = store.certificates(cell, asked)
                there = [row.idx for row in certificates]
            else:
                there = [int(row[0]) for row in store.images(cell, asked)]
        except DataError as error:
            found.differ("checksum", [f"{member}: {error}"])
            continue
        rows += len(there)
        if there == list(range(asked)):
            whole.append(member)
        else:
            found.unchecked.append(f"{member}: {len(there)} of {asked} images are there; it is not finished")
        if certified and table is not None:
            of_cell = Verification()
            check_derived(
                certificates,
                table.stopping(),
                noise=Gaussian(member.beta),
                confidence=table.confidence,
                label_known=table.label_known,
                found=of_cell,
            )
            found.include(of_cell, str(member))
    found.checked.append(f"{rows} rows match their checksums")
    return whole


def _keys(
    design: Design, folder: Path, store: Store, current: Current, at_hand: AtHand, found: Verification
) -> Keys | None:
    """Return the study's names if its data are here and its settings are those of the results."""
    name = at_hand.data or design.data.name
    place = at_hand.data_dir or (None if design.data.data_dir is None else Path(design.data.data_dir))
    try:
        data = load_dataset(name, place, fetch=False, size=at_hand.size or design.data.size)
        keys = Keys.of(design, data, choose_device(at_hand.device))
        keys = keys.after(store.path_of(keys.chain))
    except SfumatoError as error:
        told = f"the data are not here ({error}); give {option_of_data(name)}"
        found.unchecked.append(f"settings, labels and votes: {told}")
        return None
    fitting = [one for one in _possible(keys, store) if one.settings == current.settings]
    if not fitting or fitting[0].certification != current.certification:
        found.differ(
            "settings",
            [f"{STUDY_FILE} or the data (checksum {keys.data_sha256[:12]}) are not those of the results"],
        )
        return None
    found.checked.append(f"settings of {STUDY_FILE} and data {data.name} are those of the results")
    return fitting[0]


def _possible(keys: Keys, store: Store) -> Iterator[Keys]:
    """Yield the names the settings can have: device and precision are chosen where a study runs."""
    model = keys.design.model
    for device in dict.fromkeys((keys.device.type, "cpu", "cuda")):
        for precision in dict.fromkeys((model.shared.precision, "float32", "bf16")):
            if precision != model.shared.precision and model.shared.precision != "auto":
                continue
            chosen = model.model_copy(update={"precision": precision})
            design = keys.design.model_copy(update={"model": chosen})
            found = replace(keys, design=design, device=torch.device(device))
            yield found.after(store.path_of(found.chain))


def _check_models(store: Store, folder: Path, keys: Keys | None, found: Verification) -> None:
    """Compare each model's file with its own checksum and with the one that its cells were voted with."""
    wrong, here = [], 0
    for path in sorted((folder / "models").glob("*.safetensors")):
        try:
            verify_checkpoint(path)
            here += 1
        except SfumatoError as error:
            wrong.append(str(error))
    models = [] if keys is None else [(keys, *model) for model in keys.models]
    for names, alpha, seed in models:
        path, weights = names.model_path(folder, alpha, seed), store.weights(names.model(alpha, seed))
        if not path.is_file():
            found.unchecked.append(f"votes of alpha {alpha:g}, seed {seed}: its model is not here")
        elif weights is not None and not wrong and verify_checkpoint(path).weights_sha256 != weights:
            wrong.append(f"{path.name}: its weights are others than those that were voted with")
    found.differ("model", wrong)
    found.checked.append(f"{here} models match their checksums")


def _check_cells(store: Store, keys: Keys, current: Current, found: Verification) -> None:
    """Compare each cell's key with what its model, data, noise, seed and plan give, and its labels."""
    numbers = {int(row[0]): str(row[1]) for row in store.held["cells"].values()}
    wrong: list[str] = []
    labels: list[str] = []
    right = 0
    asked = set(keys.models)
    for member, cell in _members(store, current).items():
        if (member.alpha, member.seed) not in asked:
            found.unchecked.append(f"{member}: is not in {STUDY_FILE} any more")
            continue
        weights = store.weights(keys.model(member.alpha, member.seed))
        if weights is None or keys.cell(member, weights) != numbers[cell]:
            wrong.append(f"{member}: its rows are of another model, seed, plan or data")
            continue
        right += 1
        for index, label in _labels(store, member, cell, current):
            if label != int(keys.data.test.y[index]):
                labels.append(
                    f"{member}: image {index} has label {label}, not {int(keys.data.test.y[index])}"
                )
    found.differ("cells", wrong)
    found.differ("labels", labels)
    found.checked.append(f"keys of {right} cells, which name model, data, noise, seed and plan")


def _labels(store: Store, member: Member, cell: int, current: Current) -> list[tuple[int, int]]:
    if member.kind == "certificates":
        return [(row.idx, row.label) for row in store.certificates(cell, current.certified)]
    return [(int(row[0]), int(row[1])) for row in store.images(cell, current.images)]


def _redraw(
    store: Store,
    keys: Keys,
    folder: Path,
    current: Current,
    whole: list[Member],
    at_hand: AtHand,
    found: Verification,
) -> None:
    """Draw a random row of a few random cells again."""
    if keys.device.type == "cuda" and not torch.cuda.is_available():
        found.unchecked.append("votes: the study ran on CUDA, whose noise this machine cannot draw")
        return
    members, cells = _members(store, current), [m for m in whole if (m.alpha, m.seed) in keys.models]
    # not keyed noise: which rows are drawn again
    generator = np.random.default_rng(at_hand.seed)
    for place in at_hand.chosen(len(cells)):
        member = cells[place]
        path = keys.model_path(folder, member.alpha, member.seed)
        if not path.is_file():
            continue
        try:
            classifier = _classifier(path, member, keys, at_hand)
        except SfumatoError as error:
            found.unchecked.append(f"votes of {member}: {error}")
            continue
        same_torch = classifier.record is not None and (
            classifier.record.torch_version == str(torch.__version__)
        )
        of_cell = Verification()
        if member.kind == "certificates":
            rows = store.certificates(members[member], current.certified)
            row = rows[int(generator.integers(len(rows)))]
            table = keys.design.certification
            assert table is not None
            redraw(
                [row],
                _smoothed(classifier, member, keys),
                keys.data,
                table.stopping(),
                table.confidence,
                table.label_known,
                same_torch,
                at_hand,
                of_cell,
            )
        else:
            stored = store.images(members[member], current.images)
            row = stored[int(generator.integers(len(stored)))]
            _redraw_risk(row.tolist(), member, classifier, keys, same_torch, of_cell)
        found.include(of_cell, str(member))


def _redraw_risk(
    row: list[int], member: Member, classifier: Classifier, keys: Keys, same_torch: bool, found: Verification
) -> None:
    """Vote again on the image of a row of risks."""
    votes, data = keys.design.votes, keys.data
    index = row[0]
    voter = (
        _smoothed(classifier, member, keys)
        if member.beta > 0
        else BaseClassifier(classifier.model, keys.device, precision=votes.precision)
    )
    (again,) = vote_on(
        voter, votes.plan(), data.test.x[[index]], data.test.y[[index]], [index], classes=data.num_classes
    ).tolist()
    found.checked.append(f"votes on image {index} drawn again from the seed")
    if again != row:
        line = f"image {index}: predicted, votes and hits are {row[2:]}, and {again[2:]} when drawn again"
        if same_torch:
            found.differ("drawn again", [line])
        else:
            found.unchecked.append(f"{line}, with another version of PyTorch")


def _smoothed(classifier: Classifier, member: Member, keys: Keys) -> SmoothedClassifier:
    votes = keys.design.votes
    return SmoothedClassifier(
        classifier,
        noise=Gaussian(member.beta),
        seed=votes.seed,
        device=str(keys.device),
        precision=votes.precision,
    )


def _classifier(path: Path, member: Member, keys: Keys, at_hand: AtHand) -> Classifier:
    data: Dataset = keys.data
    found = load_classifier(str(path), data.input_shape, data.num_classes, factory=at_hand.model_factory)
    if keys.design.votes.normalization == "trained":
        return found
    seed = keys.design.votes.seed
    images = some_images(data.train.x, seed=seed)
    return normalize_at(found, images, member.beta, seed=seed, device=str(keys.device))
