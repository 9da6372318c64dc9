"""What the settings of a table claim of the model, against the model that is here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sfumato.certification.certificate import Certificate
from sfumato.certification.smoothed_classifier import SmoothedClassifier
from sfumato.certification.without_noise import accuracy_without_noise, stated_accuracy
from sfumato.datasets import Dataset
from sfumato.models.classifier import Classifier
from sfumato.noise import Noise

if TYPE_CHECKING:
    from sfumato.certification.verify import Verification


def check_record(settings: dict[str, Any], classifier: Classifier, found: Verification) -> None:
    """Compare what the settings say of the training with the record of the model that is here."""
    record = classifier.record
    # settings that say of which images the accuracy is are compared with what is measured on these
    names = ("alpha",) if "clean_of" in settings else ("alpha", "clean_accuracy")
    said = {name: settings[name] for name in names if name in settings}
    if record is None:
        if claimed := [name for name, value in said.items() if value is not None]:
            found.unchecked.append(f"{' and '.join(claimed)}: the model here has no record of its training")
        return
    wrong = [
        f"{name} is {value}, but the record of {classifier.name} says {getattr(record, name)}"
        for name, value in said.items()
        if value != getattr(record, name)
    ]
    found.differ("settings", wrong)
    if said and not wrong:
        found.checked.append(f"{' and '.join(said)}: as in the model's record")


def check_clean_accuracy(
    rows: Sequence[Certificate],
    settings: dict[str, Any],
    data: Dataset,
    classifier: Classifier,
    noise: Noise,
    found: Verification,
) -> None:
    """Compare the accuracy without noise with that of the model here; other rows would have another."""
    if "clean_of" not in settings or found.differences:
        return
    precision = str(settings.get("precision", "float32"))
    smoothed = SmoothedClassifier(classifier, noise=noise, device="cpu", precision=precision)
    examples = [row.idx for row in rows]
    stated = stated_accuracy(classifier, data, examples, accuracy_without_noise(smoothed, data, examples))
    here = (stated.share, stated.of) if stated else (None, None)
    said = (settings.get("clean_accuracy"), settings["clean_of"])
    if said == here:
        found.checked.append("clean_accuracy" + (f": that of {stated.of}" if stated else ": none is stated"))
        return
    found.differ(
        "settings", [f"clean_accuracy is {said[0]} (of {said[1]}), but here {here[0]} (of {here[1]})"]
    )
