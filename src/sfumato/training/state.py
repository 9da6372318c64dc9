"""The state of an unfinished training, saved after every epoch so that a kill costs one epoch at most.

A safetensors file beside the model to be: weights, AdamW moments, and a JSON record of the settings
that must be the same for the training to go on, all under one checksum. No pickle is involved.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sfumato.errors import ModelError, OutputError
from sfumato.models.checkpoint import (
    read_safetensors,
    tensor_difference,
    weights_checksum,
    write_safetensors,
)
from sfumato.noise.keyed import require_same_noise

_KEY = "sfumato_training"
_CHECKSUM = "sha256"
_FORMAT = 2
_NETWORK = "model/"
"""Begins the names of the network's tensors."""


@dataclass(frozen=True)
class Progress:
    """How far a training has come.

    Attributes:
        epochs_done: whole epochs.
        seconds: spent on them.
        most: images in one part of a batch, where memory does not hold whole batches.
    """

    epochs_done: int = 0
    seconds: float = 0.0
    most: int | None = None


def state_path(output: Path) -> Path:
    """Return where the state of the training of ``output`` is kept."""
    return output.with_name(f"{output.name}.unfinished")


def save_state(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    settings: dict[str, Any],
    progress: Progress,
) -> None:
    """Write the state."""
    # copies, since weights that the model shares among its layers cannot be written as they are
    tensors = {f"{_NETWORK}{name}": _copied(value) for name, value in model.state_dict().items()}
    for index, moments in optimizer.state_dict()["state"].items():
        for name, value in moments.items():
            tensors[f"optimizer/{index}/{name}"] = _copied(value)
    record = json.dumps({"format": _FORMAT, "settings": settings, **asdict(progress)})
    write_safetensors(tensors, {_KEY: record, _CHECKSUM: state_checksum(tensors, record)}, path)


def _copied(value: torch.Tensor) -> torch.Tensor:
    return value.detach().to("cpu", copy=True).contiguous()


def state_checksum(tensors: Mapping[str, torch.Tensor], record: str) -> str:
    """Return the SHA-256 over all that a state says."""
    return hashlib.sha256(f"{weights_checksum(tensors)}\n{record}".encode()).hexdigest()


def restore_state(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    settings: dict[str, Any],
    on_warning: Callable[[str], None],
) -> Progress:
    """Load the state into model and optimizer, if there is one, and return how far it has come.

    A damaged state is renamed, ``on_warning`` is called, and the training starts again.

    Raises:
        OutputError: the state belongs to a training with other settings, of another network, or of
            another version of Sfumato; or it cannot be read.
    """
    if not path.exists():
        return Progress()
    try:
        tensors, record = read_state(path)
    except ModelError as error:
        aside = path.with_name(f"{path.name}.damaged")
        path.replace(aside)
        on_warning(f"{error}; the training starts again, and the damaged state is kept as {aside.name}")
        return Progress()
    found, wanted = record["settings"], json.loads(json.dumps(settings))
    require_same_noise(found, path)
    # the method first: settings that only one of two methods has say less
    for name in sorted(set(wanted) | set(found), key=lambda name: (name != "method", name)):
        if wanted.get(name) != found.get(name):
            raise OutputError(
                f"{path}: belongs to an unfinished training with {name} {found.get(name)}, not "
                f"{wanted.get(name)}; remove it or choose another output"
            )
    weights = network_weights(tensors)
    if wrong := tensor_difference(weights, model.state_dict()):
        # as where the code of a factory was changed
        raise OutputError(
            f"{path}: belongs to an unfinished training of another network ({wrong}); remove it or choose "
            "another output"
        )
    model.load_state_dict(weights)
    moments: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("optimizer/"):
            _, index, name = key.split("/")
            moments.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})
    return Progress(int(record["epochs_done"]), float(record["seconds"]), record.get("most"))


def network_weights(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the network's tensors of a state by their own names; tensors from elsewhere as they are."""
    found = {k.removeprefix(_NETWORK): v for k, v in tensors.items() if k.startswith(_NETWORK)}
    return found or dict(tensors)


def read_state(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Return the tensors and the record, verified.

    Raises:
        ModelError: the file is damaged.
        OutputError: it is of another version, or cannot be read.
    """
    try:
        path.read_bytes()
    except OSError as error:
        raise OutputError(f"{path}: cannot be read ({error.strerror or error})") from error
    tensors, metadata = read_safetensors(path)
    text, checksum = metadata.get(_KEY), metadata.get(_CHECKSUM)
    if text is None or (checksum is not None and checksum != state_checksum(tensors, text)):
        raise ModelError(f"{path}: is damaged (its content does not match its checksum)")
    record: dict[str, Any] = json.loads(text) if checksum else {"format": "without checksum"}
    if record["format"] != _FORMAT:
        raise OutputError(
            f"{path}: was written by another version of Sfumato (format {record['format']}; this one reads "
            f"{_FORMAT}); finish the training with that version, or remove the file to start again"
        )
    return tensors, record
