"""``sfumato train``: its options are the settings of a training, and those of the training methods."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sfumato.cli import options
from sfumato.cli.from_settings import takes_fields
from sfumato.cli.load_data import load_data
from sfumato.cli.terminal import OUT, note, progress_bar, warn

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo


def with_methods(shared: Mapping[str, FieldInfo]) -> dict[str, FieldInfo]:
    """Return the fields with those of all methods, which are None unless given: other methods lack them."""
    from pydantic.fields import FieldInfo

    from sfumato.training.methods.registry import method_class, method_names

    fields = dict(shared)
    fields["method"] = FieldInfo(
        annotation=str, default="gaussian", description=f"training method: {', '.join(method_names())}"
    )
    meanings: dict[str, dict[str, dict[str, Any]]] = {}
    for name in method_names():
        for own, field in method_class(name).model_fields.items():
            meanings.setdefault(own, {}).setdefault(str(field.description), {})[name] = field.default
            described = described_for_methods(meanings[own])
            fields[own] = FieldInfo(annotation=field.annotation, default=None, description=described)
    return fields


def described_for_methods(meanings: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the help of an option from each of its meanings, with the defaults of the methods that share it.

    >>> described_for_methods({"copies": {"gaussian": 1, "macer": 16}})
    'copies (default: 1 for gaussian, 16 for macer)'
    >>> described_for_methods({"weight of the entropy": {"consistency": 0.5}, "weight": {"mix": 5.0}})
    'with consistency, weight of the entropy (default: 0.5); with mix, weight (default: 5)'
    """
    alone = len(meanings) == 1
    parts = []
    for text, defaults in meanings.items():
        whose = "" if alone else f"with {' and '.join(defaults)}, "
        for_one = not alone and len(defaults) == 1
        said = [
            _value(value) if for_one else f"{_value(value)} for {name}" for name, value in defaults.items()
        ]
        parts.append(f"{whose}{text} (default: {', '.join(said)})")
    return "; ".join(parts)


def _value(value: Any) -> str:
    words = {"None": "none", "True": "on", "False": "off"}
    return f"{value:g}" if isinstance(value, float) else words.get(str(value), str(value))


def _fields() -> Mapping[str, FieldInfo]:
    from sfumato.training.settings import TrainingSettings

    return with_methods(TrainingSettings.model_fields)


@takes_fields(_fields)
def command(
    data: options.Data = "digits",
    data_dir: options.DataDir = None,
    size: options.Size = None,
    out: Annotated[Path, typer.Option("--out", help="The .safetensors file to write.")] = Path(
        "model.safetensors"
    ),
    device: options.Device = "auto",
    **settings: Any,
) -> None:
    """Train a base classifier on noisy copies of the data, with fresh noise at every step.

    The state is saved after every epoch: if the command is killed, give it again to continue. A model that is
    finished with the same settings is not trained again. Beside the checkpoint stands its model card, which
    sfumato card writes anew with certified accuracy.

    Example: sfumato train --data mnist --model cnn --alpha 0.4 --out mnist-0.4.safetensors
    """
    from sfumato.reporting.model_card import write_card
    from sfumato.training.loop import EpochReport, train
    from sfumato.training.settings import TrainingSettings

    chosen = TrainingSettings.flat(settings)
    dataset = load_data(data, data_dir, size, training_for="train")
    if out.exists():
        note(f"{out} exists already; if it is of the same settings it is not trained again")
    with progress_bar("training", chosen.epochs_for(len(dataset.train))) as bar:

        def show(report: EpochReport) -> None:
            bar.advance(report.epoch - bar.done, str(report))

        record = train(dataset, chosen, out, device=device, on_epoch=show, on_warning=warn)
    write_card(out)
    OUT.print(
        f"{out}: {record.architecture} trained on {record.data} with alpha = {record.alpha:g} "
        f"({record.unit}){'' if record.noise == 'gaussian' else f', {chosen.distribution()},'} in "
        f"{record.train_seconds:.0f} s, {record.training['precision']}; test accuracy "
        f"{record.clean_accuracy:.4f} without noise, {record.noisy_accuracy:.4f} with one draw of alpha",
        markup=False,
    )
