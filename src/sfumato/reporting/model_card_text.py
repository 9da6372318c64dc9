"""A model card as Markdown. Text from files is escaped: it shows as it is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from sfumato.certification.accuracy import NO_GUARANTEE
from sfumato.reporting.certified_sets import accuracy_among
from sfumato.reporting.tables import Table, as_markdown, markdown_text

if TYPE_CHECKING:
    from pydantic import JsonValue

    from sfumato.models.checkpoint import ModelRecord
    from sfumato.reporting.model_card import CardCertificates, ModelCard

_TAGS = ("sfumato", "randomized-smoothing", "certified-robustness", "image-classification")
_NAMED_ELSEWHERE = ("architecture", "mean", "std")


def card_markdown(card: ModelCard) -> str:
    """Return the card as Markdown, with front matter for the Hugging Face Hub.

    The license is left out: nothing says it.
    """
    record = card.record
    tags = _TAGS if len(record.input_shape) == 3 else _TAGS[:-1]
    front = ["---", "library_name: sfumato", "tags:", *(f"- {tag}" for tag in tags)]
    front += ["metrics:", "- accuracy", "---"]
    parts = [
        "\n".join(front),
        f"# Model card of {markdown_text(card.name)}",
        "## Model details",
        _list(_details(record)),
        "## Intended use",
        card.intended_use,
        "## Factors",
        "Certified accuracy depends on the smoothing noise beta and on the radius. Both are given with each "
        "number. Single classes and groups of images were not measured apart.",
        "## Metrics",
        _metrics(card),
        "## Evaluation data",
        _evaluation_data(card),
        "## Training data",
        _list(_training_data(record)),
        "### Training",
        as_markdown(_settings(record)).rstrip(),
        _cost(card),
        "## Quantitative analyses",
        _accuracies(record),
        *(as_markdown(_certified(one)).rstrip() for one in card.certified),
        *([] if card.certified else ["Certified accuracy was not measured yet."]),
        "## Ethical considerations",
        "None were examined. In the copy that you publish, say here where the data come from.",
        "## Caveats and recommendations",
        "\n".join(f"- {markdown_text(line)}" for line in card.not_claimed),
    ]
    return "\n\n".join(parts) + "\n"


def _list(lines: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f"- **{name}:** {markdown_text(text)}" for name, text in lines)


def _numbers(values: Iterable[float]) -> str:
    return ", ".join(f"{value:.6g}" for value in values)


def _details(record: ModelRecord) -> list[tuple[str, str]]:
    details = [
        ("Network", record.architecture),
        ("Input", f"shape ({', '.join(map(str, record.input_shape))}); unit: {record.unit}"),
        ("Normalisation", f"(input - mean) / std, mean {_numbers(record.mean)}; std {_numbers(record.std)}"),
        ("Classes", f"{record.num_classes}: {', '.join(record.class_names)}"),
        ("Fingerprint", f"SHA-256 of the weights {record.weights_sha256}"),
        ("Made with", f"Sfumato {record.sfumato_version}, PyTorch {record.torch_version}"),
    ]
    if how := record.normalization:
        noise = ", ".join(f"{name} {value}" for name, value in how.noise.items())
        details.append(
            (
                "Batch norms",
                f"statistics of {how.images:,} training images under the noise {noise}, of the network with "
                f"weights {how.source_sha256}; test accuracies below are of that network",
            )
        )
    return details


def _training_data(record: ModelRecord) -> list[tuple[str, str]]:
    return [("Data", record.data), ("SHA-256 of the data", record.data_sha256)]


def _settings(record: ModelRecord) -> Table:
    rows = [(name, _value(value)) for name, value in record.training.items() if name not in _NAMED_ELSEWHERE]
    return Table.of(f"Every setting; alpha is in {record.unit}", ["setting", "value"], rows)


def _value(value: JsonValue) -> str:
    if isinstance(value, list):
        return ", ".join(map(_value, value))
    return "none" if value is None else str(value)


def _cost(card: ModelCard) -> str:
    record = card.record
    passes = "" if card.passes is None else "; passes per image and epoch: {} forward, {} backward"
    told = f"{record.train_seconds:,.0f} seconds on {record.device}{passes.format(*card.passes or ())}"
    return _list([("Cost", told)])


def _accuracies(record: ModelRecord) -> str:
    return (
        f"Test accuracy of the network alone: {record.clean_accuracy:.4f} without noise, "
        f"{record.noisy_accuracy:.4f} with one draw of the training noise for each image."
    )


def _metrics(card: ModelCard) -> str:
    told = "Accuracy: the share of test images that are classified correctly."
    if not card.certified:
        return told
    told = (
        f"{told} Certified accuracy at a radius: the share of test images whose prediction is correct and "
        "certified at this radius or a larger one. In brackets stands an interval for the population: its "
        "lower end bounds robust accuracy and covers the error of the certificates."
    )
    if all(one.among == 1 for one in card.certified):
        return told
    return (
        f"{told} Top-k certified accuracy: the share whose label is certified to stay among the k most "
        "probable classes. Its interval bounds how often that is so, and not robust accuracy."
    )


def _evaluation_data(card: ModelCard) -> str:
    lines = [f"The test images of {card.record.data}."]
    lines += [f"{one.images:,} test images of {one.data} for {one.source}." for one in card.certified]
    return "\n".join(f"- {markdown_text(line)}" for line in dict.fromkeys(lines))


def _certified(one: CardCertificates) -> Table:
    votes = "" if one.votes is None else f"{one.votes:,.0f} votes per image, "
    scales = f", scales {', '.join(f'{scale:g}' for scale in one.scales)}" if one.scales else ""
    code = "" if one.factory is None else f", computed by {one.factory}"
    sure = f"confidence {one.confidence:g} of each certificate" if one.confidence else NO_GUARANTEE
    name = accuracy_among(one.among)
    return Table.of(
        f"{name.capitalize()} under {one.noise} noise, beta = {one.beta:g} ({one.unit}){scales}, "
        f"on {one.images:,} test images of {one.data}: plan {one.plan}, {sure}, "
        f"{100 * one.interval_confidence:g} % intervals; {votes}{one.seconds:,.0f} seconds, "
        f"{one.precision}, batch norms {one.batch_norms}{code}; from {one.source}",
        [f"{one.norm} radius", name],
        [
            (f"{point.radius:g}", f"{point.accuracy:.4f} [{point.low:.4f}, {point.high:.4f}]")
            for point in one.accuracy
        ],
    )
