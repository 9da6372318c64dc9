"""A training that was finished before: its model is the answer, if all that determines it is the same."""

from __future__ import annotations

from pathlib import Path

from sfumato.datasets import Dataset
from sfumato.errors import ModelError, OutputError
from sfumato.models import ModelRecord
from sfumato.models.checkpoint import verify_checkpoint
from sfumato.training.settings import TrainingSettings, named

_SHOWN = 3


def finished_model(
    output: Path,
    settings: TrainingSettings,
    data: Dataset,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    warm_start: str | None,
) -> ModelRecord:
    """Return the record of the model at ``output``, made by a training of these settled settings.

    ``mean`` and ``std`` are the network's, ``warm_start`` names the weights that it starts from. The weights
    are compared with their checksum.

    Raises:
        OutputError: no model of Sfumato, a damaged one, or one of other settings or data: says which differ.
    """
    try:
        record = verify_checkpoint(output)
    except ModelError as error:
        raise OutputError(f"{error}; choose another output or remove it") from error
    asked = named(settings.replace(mean=mean, std=std).values())
    asked |= {"warm_start": warm_start, "data_sha256": data.checksum()}
    found = {**named(record.training), "data_sha256": record.data_sha256}
    wrong = [
        f"{name} {_told(found.get(name))} there, {_told(value)} asked for"
        for name, value in asked.items()
        if found.get(name) != value
    ]
    if wrong:
        more = f", and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise OutputError(
            f"{output}: exists already, of other settings: {'; '.join(wrong[:_SHOWN])}{more}; choose another "
            "output or remove it"
        )
    return record


def _told(value: object) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 20 else f"{text[:12]}..."
