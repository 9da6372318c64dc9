"""Verify a table of certificates: what it says is derived again, and a random few of its rows drawn again.

Three kinds of evidence, from weak to strong. Checksums find what was changed by accident. Deriving each
certificate from its counts finds a radius, bound or plan that does not follow from the votes. Drawing rows
again from the seed, with the model and the data, finds votes that were never cast: if a share f of the rows
is wrong, k random rows miss all of them with probability (1 - f)^k. Who can rewrite the table, its settings
and the model together is found by nothing else.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sfumato.certification.certificate import Certificate
from sfumato.certification.file import (
    changed_since_sealed,
    checksum_of_examples,
    read_settings,
    settings_path,
)
from sfumato.certification.recorded_answers import answers, difference
from sfumato.certification.recorded_model import AnotherModelError, Load, NotAtHandError, recorded_model
from sfumato.certification.rederive import not_derived, not_redrawn
from sfumato.certification.smoothed_classifier import SmoothedClassifier
from sfumato.certification.table import read_rows
from sfumato.certification.verified_claims import check_clean_accuracy, check_record
from sfumato.datasets import Dataset, load_dataset
from sfumato.errors import DataError, SfumatoError
from sfumato.models.classifier import Classifier, load_classifier
from sfumato.noise import NOISE_VERSION, Gaussian, Noise, noise_of
from sfumato.plans import Plan, parse_plan
from sfumato.version import __version__

_SHOWN = 5  # differences of one kind that are listed
_DEVICES = ("cpu", "cuda")
_OF_MODEL = "alpha, clean_accuracy and votes"
_NO_SETTINGS = (SfumatoError, KeyError, TypeError, ValueError, OverflowError)


@dataclass
class Verification:
    """What was found: what was compared, what differs, and what could not be compared."""

    checked: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)

    def differ(self, kind: str, found: Sequence[str]) -> None:
        """Add differences of one kind; of many the first few."""
        self.differences += [f"{kind}: {line}" for line in found[:_SHOWN]]
        if len(found) > _SHOWN:
            self.differences.append(f"{kind}: {len(found) - _SHOWN} more of this kind")

    def include(self, other: Verification, name: str) -> None:
        """Add what was found about a part."""
        self.checked += [f"{name}: {line}" for line in other.checked]
        self.differences += [f"{name}: {line}" for line in other.differences]
        self.unchecked += [f"{name}: {line}" for line in other.unchecked]


@dataclass(frozen=True)
class AtHand:
    """Where the verifier finds what was certified, and how much of it is drawn again.

    Attributes:
        model: checkpoint or ``package.module:factory`` in place of the one that the settings name, or the
            classifier itself, such as ``from_onnx(path)`` or ``ensemble([...])``. A factory is imported
            only if it is named here.
        model_factory: builds the network of ordinary weights, or of a checkpoint whose record names a
            factory.
        data, data_dir, size: data set in place of the one that the settings name, where to look for it, and
            the size of the images of a folder.
        redraw: how many rows are drawn again.
        seed: chooses them; None for other ones each time.
        device: where votes are drawn again.
        mean, std: of the channels, in place of those that the settings name.
        fingerprint: what the model is, by its owner's word.
        load: from the name of a model to the classifier, for more kinds than ``load_classifier`` knows.
    """

    model: str | Classifier | None = None
    model_factory: str | None = None
    data: str | None = None
    data_dir: Path | None = None
    redraw: int = 3
    seed: int | None = None
    device: str = "auto"
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    fingerprint: str | None = None
    load: Load | None = None
    size: int | None = None
    on_start: Callable[[int], None] = lambda rows: None
    on_step: Callable[[], None] = lambda: None

    def chosen(self, count: int) -> list[int]:
        """Return the places of the rows that are drawn again, increasing."""
        # not keyed noise: which rows are drawn again, to be foreseen by nobody
        generator = np.random.default_rng(secrets.randbits(63) if self.seed is None else self.seed)
        return sorted(generator.choice(count, size=min(self.redraw, count), replace=False).tolist())


def verify_table(path: Path, at_hand: AtHand | None = None) -> Verification:
    """Return what holds and what does not hold of a table written by ``sfumato certify``.

    Raises:
        DataError: the table or its settings cannot be read, or it is another tool's.
    """
    at_hand, found = at_hand or AtHand(), Verification()
    record = settings_path(path)
    if path.is_file() and not record.is_file():
        raise DataError(f"{path}: no settings beside it ({record.name}); they are needed to derive its rows")
    notes: list[str] = []
    rows = read_rows(path, notes.append)
    settings = read_settings(record)
    found.differ("rows", [note.removeprefix(f"{path}:") for note in notes])
    _check_seal(path, settings, found)
    _check_rows_present(rows, settings, found)
    try:
        plan, noise = parse_plan(str(settings.get("plan"))), noise_of(settings)
        confidence = float(settings["confidence"])
        device = str(settings.get("device", "cpu"))
        if device not in _DEVICES or not isinstance(settings.get("seed", 0), int):
            raise DataError(f"device {device}, seed {settings.get('seed')}")
    except _NO_SETTINGS as error:
        found.differ("settings", [f"no run can have them ({error})"])
        return found
    _check_norm(settings, noise, found)
    known = bool(settings.get("label_known"))
    check_derived(rows, plan, noise=noise, confidence=confidence, label_known=known, found=found)
    data = _data(settings, rows, at_hand, found)
    classifier = None if data is None else _classifier(settings, data, noise, at_hand, found)
    if data is not None and classifier is not None and not found.differences:
        try:
            check_clean_accuracy(rows, settings, data, classifier, noise, found)
            _redraw(rows, settings, data, classifier, plan, noise, at_hand, found)
        except SfumatoError as error:  # a service that does not answer, say
            found.unchecked.append(f"{_OF_MODEL}: {error}")
    return found


def _check_seal(path: Path, settings: dict[str, Any], found: Verification) -> None:
    seal, content = settings.get("seal", {}), path.read_bytes()
    if (changed := changed_since_sealed(settings, content)) is not None:
        found.differ("checksum", [f"the {changed} was changed after the run"])
    elif seal.get("bytes") == len(content):
        found.checked.append("table and settings match their checksums")
    else:
        found.unchecked.append(
            "the table has no checksum: its run was not finished, or was of a version before"
        )


def _check_rows_present(rows: Sequence[Certificate], settings: dict[str, Any], found: Verification) -> None:
    asked = settings.get("examples", {})
    count, first, last = (asked.get(name) for name in ("count", "first", "last"))
    if not (isinstance(count, int) and isinstance(first, int) and isinstance(last, int) and count > 0):
        found.differ("settings", ["they do not say of which images the run is"])
        return
    there = [row.idx for row in rows]
    if len(there) != count:
        have = set(there)
        lacking = next((index for index in _expected(count, first, last) if index not in have), None)
        example = "" if lacking is None else f", the first of them image {lacking}"
        found.differ("rows", [f"there are {len(there)} of {count} images{example}"])
    elif (there[0], there[-1]) != (first, last) or sorted(there) != there:
        found.differ("rows", [f"they are not of images {first} to {last} in order"])
    elif asked.get("checksum", checksum_of_examples(there)) != checksum_of_examples(there):
        found.differ("rows", ["they are of other images than the run was about"])
    else:
        found.checked.append(f"a row for each of the {count} images")


def _check_norm(settings: dict[str, Any], noise: Noise, found: Verification) -> None:
    """Compare what the settings say of the radii with what the noise certifies."""
    norm, sound = settings.get("norm", Gaussian.norm), bool(settings.get("sound"))
    if norm != noise.norm:
        found.differ("settings", [f"norm is {norm}, but {noise.name} noise certifies {noise.norm} radii"])
    if sound != noise.sound:
        found.differ("settings", [f"sound is {sound}, but of {noise.name} noise it is {noise.sound}"])
    if norm == noise.norm and sound == noise.sound:
        found.checked.append(f"radii are in {norm}, as {noise.name} noise certifies them")


def _expected(count: int, first: int, last: int) -> Sequence[int]:
    """Return the images of a run over every n-th one; none of another choice, which is not recorded."""
    step, rest = divmod(last - first, max(1, count - 1))
    return range(first, last + 1, step) if step > 0 and rest == 0 else ()


def check_derived(
    rows: Sequence[Certificate],
    plan: Plan,
    *,
    noise: Noise,
    confidence: float,
    label_known: bool,
    found: Verification,
) -> None:
    """Derive every certificate again from its counts, and add what does not follow."""
    wrong: list[str] = []
    for row in rows:
        reason = not_derived(row, plan, noise=noise, confidence=confidence, label_known=label_known)
        if reason is not None:
            wrong.append(f"image {row.idx}: {reason}")
    found.differ("derived", wrong)
    bare = sum(not row.counts for row in rows)
    if len(rows) > bare:
        found.checked.append(f"{len(rows) - bare} certificates derived from their counts by {plan.name}")
    if bare:
        found.unchecked.append(
            f"{bare} rows have no counts (of a version before); their radii are compared with their bounds"
        )


def _data(
    settings: dict[str, Any], rows: Sequence[Certificate], at_hand: AtHand, found: Verification
) -> Dataset | None:
    """Return the data if they are here and are those of the run; nothing is downloaded."""
    name = at_hand.data or str(settings.get("data", ""))
    try:
        data = load_dataset(name, at_hand.data_dir, fetch=False, size=at_hand.size)
    except SfumatoError as error:
        found.unchecked.append(
            f"unit, labels, model and votes: the data are not here ({error}); give --data or --data-dir"
        )
        return None
    if data.checksum() != settings.get("data_sha256"):
        found.differ("data", [f"{name} here is other data than the run's (checksum {data.checksum()[:12]})"])
        return None
    found.checked.append(f"data {data.name}: checksum, unit and the labels of all rows")
    if (unit := settings.get("unit", data.unit)) != data.unit:
        found.differ("settings", [f"unit is {unit}, but that of the data is {data.unit}"])
    wrong = [
        f"image {row.idx}: label is {row.label}, but the data say {_label(data, row.idx)}"
        for row in rows
        if row.label != _label(data, row.idx)
    ]
    found.differ("labels", wrong)
    return data


def _label(data: Dataset, index: int) -> int | str:
    return int(data.test.y[index]) if index < len(data.test) else "nothing of this image"


def _classifier(
    settings: dict[str, Any], data: Dataset, noise: Noise, at_hand: AtHand, found: Verification
) -> Classifier | None:
    """Return the classifier if it is here and is the one of the run."""
    named = at_hand.model
    try:
        classifier = recorded_model(
            settings,
            data,
            noise,
            at_hand.load or partial(_loaded, at_hand),
            named=named.name if isinstance(named, Classifier) else named,
            factory=at_hand.model_factory,
            mean=at_hand.mean,
            std=at_hand.std,
            fingerprint=at_hand.fingerprint,
        )
    except NotAtHandError as error:
        found.unchecked.append(f"{_OF_MODEL}: {error}")
        return None
    except AnotherModelError as error:
        found.differ("model", [str(error)])
        return None
    except _NO_SETTINGS as error:
        found.differ("settings", [f"no run can have them ({error})"])
        return None
    if isinstance(classifier.model, torch.nn.Module):
        found.checked.append(f"model {classifier.name}: checksum of its weights")
    elif classifier.fingerprint is not None and classifier.fingerprint == settings.get("fingerprint"):
        found.checked.append(f"model {classifier.name}: its fingerprint")
    check_record(settings, classifier, found)
    return classifier


def _loaded(
    at_hand: AtHand, name: str, data: Dataset, mean: Sequence[float] | None, std: Sequence[float] | None
) -> Classifier:
    if isinstance(at_hand.model, Classifier):
        return at_hand.model
    return load_classifier(
        name,
        data.input_shape,
        data.num_classes,
        mean,
        std,
        factory=at_hand.model_factory,
        fingerprint=at_hand.fingerprint,
    )


def _redraw(
    rows: Sequence[Certificate],
    settings: dict[str, Any],
    data: Dataset,
    classifier: Classifier,
    plan: Plan,
    noise: Noise,
    at_hand: AtHand,
    found: Verification,
) -> None:
    """Draw a random few of the rows again, if this version and machine draw the same noise."""
    device = str(settings.get("device", "cpu"))
    if settings.get("noise_version") != NOISE_VERSION:
        found.unchecked.append("votes: the run was of a version that draws other noise")
        return
    if device == "cuda" and not torch.cuda.is_available():
        found.unchecked.append("votes: the run was on CUDA, whose noise this machine cannot draw")
        return
    chosen_device = device if at_hand.device == "auto" else at_hand.device
    if torch.device(chosen_device).type != device:
        found.unchecked.append(f"votes: the run was on {device}, whose noise {chosen_device} does not draw")
        return
    smoothed = SmoothedClassifier(
        classifier,
        noise=noise,
        seed=int(settings.get("seed", 0)),
        device=chosen_device,
        precision=str(settings.get("precision", "float32")),
    )
    if settings.get("answers") is not None:
        told = difference(settings["answers"], answers(smoothed, data.test.x))
        if told is not None:
            found.differ("model", [told])
            return
        found.checked.append("the model's answers to fixed inputs")
    known = bool(settings.get("label_known"))
    chosen = [rows[place] for place in at_hand.chosen(len(rows))]
    same_torch = settings.get("torch_version") == str(torch.__version__)
    redraw(chosen, smoothed, data, plan, float(settings["confidence"]), known, same_torch, at_hand, found)
    for package, here in (("sfumato", __version__), ("torch", str(torch.__version__))):
        if (then := settings.get(f"{package}_version")) != here:
            found.unchecked.append(f"{package} {then} wrote the table; {here} verified it")


def redraw(
    chosen: Sequence[Certificate],
    smoothed: SmoothedClassifier,
    data: Dataset,
    plan: Plan,
    confidence: float,
    label_known: bool,
    same_torch: bool,
    at_hand: AtHand,
    found: Verification,
) -> None:
    """Draw these certificates again and add what differs.

    With another version of PyTorch a few votes may be others; then they are named as unchecked.
    """
    at_hand.on_start(len(chosen))
    wrong: list[str] = []
    for row in chosen:
        place = [row.idx]
        (again,) = smoothed.certify(
            data.test.x[place],
            plan,
            confidence=confidence,
            examples=place,
            labels=data.test.y[place],
            known_labels=data.test.y[place] if label_known else None,
        )
        told = not_redrawn(row, again)
        at_hand.on_step()
        if told is None:
            continue
        if told[1] or same_torch:
            wrong.append(f"image {row.idx}: {told[0]}")
        else:
            found.unchecked.append(f"image {row.idx}: {told[0]}, with another version of PyTorch")
    found.differ("drawn again", wrong)
    if chosen:
        shown = ", ".join(str(row.idx) for row in chosen)
        found.checked.append(f"votes of images {shown} drawn again from the seed")
