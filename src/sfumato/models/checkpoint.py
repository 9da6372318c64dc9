"""Models on disk: one safetensors file whose header carries a JSON record of what it is.

One file cannot lose its record, and nothing in it can execute. Loading rebuilds the network from the
record and refuses a file whose tensors, names, shapes or checksum differ from it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from sfumato.errors import ModelError
from sfumato.files import write_bytes
from sfumato.models.registry import build_model

_KEY = "sfumato"


class ModelRecord(BaseModel):
    """What a checkpoint says of itself.

    Attributes:
        architecture: registry name or ``package.module:factory``.
        alpha: training noise, standard deviation in ``unit``.
        unit: what a noise level of 1 means.
        clean_accuracy, noisy_accuracy: on the test set, without noise and with one draw of alpha each.
        weights_sha256: checksum of all tensors, verified at loading.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    architecture: str
    input_shape: tuple[int, ...]
    num_classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    method: str
    alpha: float
    unit: str
    draws: int
    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    seed: int
    precision: str
    warm_start_sha256: str | None
    data: str
    data_sha256: str
    class_names: tuple[str, ...]
    clean_accuracy: float
    noisy_accuracy: float
    train_seconds: float
    device: str
    sfumato_version: str
    torch_version: str
    weights_sha256: str = ""


def weights_checksum(tensors: Mapping[str, torch.Tensor]) -> str:
    """Return the SHA-256 over names, types, shapes and bytes of all tensors, in the order of names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.view(-1).view(torch.uint8).numpy().data if tensor.numel() else b"")
    return digest.hexdigest()


def save_model(model: nn.Module, record: ModelRecord, path: Path) -> ModelRecord:
    """Write the model with its record, in one step that leaves no half file; return the record.

    Raises:
        OutputError: the path cannot be written.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    complete = record.model_copy(update={"weights_sha256": weights_checksum(tensors)})
    write_safetensors(tensors, {_KEY: complete.model_dump_json()}, path)
    return complete


def load_model(path: Path) -> tuple[nn.Module, ModelRecord]:
    """Return the network in evaluation mode, on the CPU, and its record.

    Raises:
        ModelError: no such file, not one of Sfumato's, or contents that do not match the record.
    """
    tensors, metadata = read_safetensors(path)
    record = _record(metadata, path)
    model = build_model(record.architecture, record.input_shape, record.num_classes, record.mean, record.std)
    _check_shapes(tensors, model.state_dict(), path, record.architecture)
    found = weights_checksum(tensors)
    if found != record.weights_sha256:
        raise ModelError(f"{path}: weights have checksum {found} but the record says {record.weights_sha256}")
    model.load_state_dict(tensors)
    return model.eval(), record


def read_record(path: Path) -> ModelRecord:
    """Return what a checkpoint says of itself, without reading or verifying its tensors.

    Raises:
        ModelError: no such file, or not one of Sfumato's.
    """
    if not path.is_file():
        raise ModelError(f"{path}: no such file; give an existing .safetensors")
    try:
        with safe_open(path, framework="pt") as file:
            return _record(file.metadata() or {}, path)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: not a whole safetensors file ({error})") from error


def _record(metadata: Mapping[str, str], path: Path) -> ModelRecord:
    if _KEY not in metadata:
        raise ModelError(f"{path}: carries no Sfumato record; give a file written by sfumato train")
    try:
        return ModelRecord.model_validate_json(metadata[_KEY])
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise ModelError(f"{path}: record not understood at {field!r}: {first['msg']}") from error


def _check_shapes(
    found: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor], path: Path, architecture: str
) -> None:
    if missing := sorted(set(expected) - set(found)):
        raise ModelError(f"{path}: lacks the tensor {missing[0]!r} that {architecture} has")
    if extra := sorted(set(found) - set(expected)):
        raise ModelError(f"{path}: holds the tensor {extra[0]!r} that {architecture} has not")
    for name, tensor in expected.items():
        if tensor.shape != found[name].shape:
            raise ModelError(
                f"{path}: tensor {name!r} has shape {tuple(found[name].shape)} but {architecture} has "
                f"{tuple(tensor.shape)}"
            )


def read_safetensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Return the tensors and the header's metadata.

    Raises:
        ModelError: no such file, or not a whole safetensors file.
    """
    if not path.is_file():
        raise ModelError(f"{path}: no such file; give an existing .safetensors")
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: not a whole safetensors file ({error})") from error


def write_safetensors(tensors: dict[str, torch.Tensor], metadata: dict[str, str], path: Path) -> None:
    """Write a safetensors file so that at any moment either the old or the new one is there, whole.

    Raises:
        OutputError: the path cannot be written.
    """
    write_bytes(path, save(tensors, metadata=metadata))
