"""The card of a model: what it is, how it was trained, what was measured, and what is not claimed.

It is kept beside the checkpoint, as JSON for programs and as Markdown for readers, under the headings of
Mitchell et al. 2019, "Model Cards for Model Reporting", with the front matter of the Hugging Face Hub.
Everything in it comes from the checkpoint's record and from certificates of this network.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from sfumato.certification.accuracy import certified_accuracy
from sfumato.certification.certificate import lowest_confidence
from sfumato.errors import DataError, ModelError, SettingError
from sfumato.files import write_text
from sfumato.models.checkpoint import ModelRecord, read_record
from sfumato.reporting.certified_sets import most_among, outcomes, usual_radii
from sfumato.reporting.model_card_text import card_markdown
from sfumato.reporting.sources import CertifiedSet, StudySource, study_sets
from sfumato.settings import Settings
from sfumato.studies.store import load_results
from sfumato.training.methods.registry import method_class

_INTERVALS = 0.95
_SHOWN = 12  # hexadecimal digits of a checksum in a message

INTENDED_USE = (
    "The base classifier of a smoothed classifier: its majority vote over noisy copies of an input is the "
    "prediction, and a certificate bounds how far the input may be changed. Inputs are of the kind and in "
    "the unit named here."
)
NOT_CLAIMED = (
    "A certificate is about the smoothed classifier with the noise named beside it. Nothing is certified for "
    "this network alone or with another noise.",
    "A radius is in the norm and the unit named beside it. Nothing is claimed for other norms, nor for "
    "changes that are not small in this norm, such as another camera or a rotation.",
    "Accuracies were measured on the test images named. Intervals hold for images drawn in the same way, at "
    "each radius by itself, and not for other data.",
    "A certificate is wrong with a probability of at most 1 minus its confidence.",
    "Groups of people, fairness and privacy were not examined.",
)

_Share = Annotated[float, Field(ge=0, le=1)]


class CardPoint(Settings):
    """Certified accuracy at a radius, with bounds for the population."""

    radius: float = Field(ge=0)
    accuracy: _Share
    low: _Share
    high: _Share


class CardCertificates(Settings):
    """What one run has certified of the network.

    Attributes:
        source: name of the file or folder that holds the certificates.
        noise, beta: distribution of the smoothing noise, and its standard deviation in the unit.
        scales: of the features or channels, in which radii are measured; empty of noises without.
        norm, unit: of the radii.
        data, images: the test images.
        plan: the stopping plans of the certificates.
        among: among how many of the most probable classes the label is certified to stay; 1 of all plans but
            ``top_k``.
        confidence: of each certificate; 0 where nothing is guaranteed.
        interval_confidence: of the bounds of accuracy, at each radius by itself.
        precision: in which the network computed.
        batch_norms: whether their statistics were those of the checkpoint.
        factory: name of the code that computed, where it is not the record's.
        votes: noisy copies per image, mean; None where the certificates do not say.
        seconds: spent on all certificates.
        accuracy: at some radii, increasing.
    """

    source: str
    noise: str
    beta: float = Field(ge=0)
    scales: tuple[float, ...] = ()
    norm: str
    unit: str
    data: str
    images: int = Field(ge=1)
    plan: str
    among: int = Field(1, ge=1)
    confidence: float = Field(ge=0, lt=1)
    interval_confidence: float = Field(gt=0, lt=1)
    precision: str
    batch_norms: str
    factory: str | None
    votes: float | None = Field(ge=0)
    seconds: float = Field(ge=0)
    accuracy: tuple[CardPoint, ...]


class ModelCard(Settings):
    """The card of one checkpoint.

    Attributes:
        format: version of this record.
        name: of the checkpoint's file.
        record: that of the checkpoint.
        passes: forward and backward passes for each training image and epoch; None where the training
            method is not known here.
        certified: what was certified, by noise; empty where nothing was.
        intended_use, not_claimed: sentences.
    """

    format: Literal[1] = 1
    name: str
    record: ModelRecord
    passes: tuple[int, int] | None
    certified: tuple[CardCertificates, ...]
    intended_use: str = INTENDED_USE
    not_claimed: tuple[str, ...] = NOT_CLAIMED


def card_paths(model: Path) -> tuple[Path, Path]:
    """Return where the card of a checkpoint is kept, as JSON and as Markdown.

    >>> [path.name for path in card_paths(Path("mnist-0.4.safetensors"))]
    ['mnist-0.4.card.json', 'mnist-0.4.card.md']
    """
    stem = model.name.removesuffix(".safetensors")
    return model.with_name(f"{stem}.card.json"), model.with_name(f"{stem}.card.md")


def model_card(name: str, record: ModelRecord, sets: Iterable[CertifiedSet] = ()) -> ModelCard:
    """Return the card of the network of this record; ``sets`` are certificates of it."""
    found = [_certificates(record, one) for one in sets]
    found.sort(key=lambda one: (one.noise, one.beta, one.source))
    return ModelCard(name=name, record=record, passes=_passes(record), certified=tuple(found))


def write_card(
    model: Path, sets: Sequence[CertifiedSet] = (), *, to: tuple[Path, Path] | None = None
) -> None:
    """Write the card of a checkpoint, beside it or to the paths ``to``; one that is there is replaced.

    Certificates of other networks in a study's folder are left out.

    Raises:
        ModelError: no such checkpoint.
        DataError: a table is of another network or does not say of which, or a folder holds none of this one.
        SettingError: settings beside a table that are none.
        OutputError: the card cannot be written.
    """
    record = read_record(model)
    own = [one for one in sets if _is_of(record, one)]
    for one in sets:
        if one.origin.is_dir():
            if all(mine.origin != one.origin for mine in own):
                raise DataError(f"{one.origin}: holds no certificates that are known to be of {model}")
        elif not _is_of(record, one):
            raise DataError(f"{one.origin}: {_mismatch(one, record)}; give tables of certificates of {model}")
    card = model_card(_text(model.name), record, own)
    as_json, as_markdown = to or card_paths(model)
    write_text(as_json, card.model_dump_json(indent=2) + "\n")
    write_text(as_markdown, card_markdown(card))


def write_study_cards(folder: Path) -> None:
    """Write the card of each network of a study, with what the study has certified of it.

    Raises:
        DataError: no results there, or damaged ones.
        OutputError: a card cannot be written.
    """
    sets = study_sets(StudySource(folder.name, folder, load_results(folder)))
    for path in sorted((folder / "models").glob("*.safetensors")):
        try:
            record = read_record(path)
        except ModelError:  # a run says which of its own are damaged; others may lie there too
            continue
        write_card(path, [one for one in sets if _is_of(record, one)])


def _is_of(record: ModelRecord, found: CertifiedSet) -> bool:
    """Return whether the checkpoint of the record was certified, or what normalisation made of it."""
    source = (found.normalized or {}).get("source_sha256")
    return record.weights_sha256 in (_weights(found), source)


def _weights(found: CertifiedSet) -> Any:
    return (found.settings or {}).get("weights_sha256")


def _mismatch(found: CertifiedSet, record: ModelRecord) -> str:
    if (weights := _weights(found)) is None:
        return "does not say of which network it is"
    return f"is of a network with weights {str(weights)[:_SHOWN]}, not {record.weights_sha256[:_SHOWN]}"


def _batch_norms(record: ModelRecord, found: CertifiedSet) -> str:
    """Return where the statistics of the batch norms come from."""
    if _weights(found) == record.weights_sha256:
        return "as in the checkpoint"
    noise = (found.normalized or {}).get("noise")
    told = noise if isinstance(noise, dict) else {}
    return f"re-estimated under {told.get('noise')} noise, beta = {told.get('beta')}"


def _certificates(record: ModelRecord, found: CertifiedSet) -> CardCertificates:
    rows, settings = found.certificates, found.settings or {}
    points = certified_accuracy(rows, usual_radii([found]), confidence=_INTERVALS)
    told = {
        "source": _text(found.origin.name),
        "noise": settings.get("noise", "gaussian"),
        "beta": settings.get("beta"),
        "scales": tuple(settings.get("scales", ())),
        "norm": found.norm,
        "unit": found.unit,
        "data": settings.get("data"),
        "images": len(rows),
        "plan": ", ".join(sorted({row.plan for row in rows if row.plan})),
        "among": most_among(rows),
        "confidence": lowest_confidence(rows),
        "interval_confidence": _INTERVALS,
        "precision": settings.get("precision", "float32"),
        "batch_norms": _batch_norms(record, found),
        "factory": settings.get("factory"),
        "votes": outcomes(found).votes,
        "seconds": round(sum(row.seconds for row in rows), 3),
        "accuracy": tuple(
            CardPoint(radius=point.radius, accuracy=point.share, low=point.low, high=point.high)
            for point in points
        ),
    }
    return CardCertificates.read(told, where=f"{found.origin}: ")


def _passes(record: ModelRecord) -> tuple[int, int] | None:
    try:
        method = method_class(str(record.training.get("method", "gaussian")))
        own = {name: value for name, value in record.training.items() if name in method.model_fields}
        return method.read(own).passes
    except SettingError:  # a method of a plug-in that is not loaded, or with other settings by now
        return None


def _text(name: str) -> str:
    """Return a file's name, which may hold bytes that are no text, as text."""
    return os.fsencode(name).decode(errors="replace")
