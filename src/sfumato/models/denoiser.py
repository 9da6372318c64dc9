"""A small convolutional denoiser, and its file: safetensors with a JSON record, as a classifier's."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError
from torch import nn

from sfumato.errors import ModelError
from sfumato.models.checkpoint import (
    has_record,
    read_safetensors,
    require_checksum,
    tensor_difference,
    write_with_record,
)

_KEY = "sfumato_denoiser"
_MOST_WIDE = 4096
_Count = Annotated[int, Field(ge=1, le=_MOST_WIDE)]


class ResidualDenoiser(nn.Module):
    """Returns the input less a prediction of its noise, as DnCNN does (Zhang et al. 2017).

    ``depth`` convolutions 3 x 3 of ``width`` channels, ReLU between. DnCNN's batch norms are left out, whose
    statistics would be those of one noise level.

    >>> ResidualDenoiser(channels=3, depth=4, width=16)(torch.zeros(2, 3, 8, 8)).shape
    torch.Size([2, 3, 8, 8])
    """

    def __init__(self, channels: int, depth: int, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
        for _ in range(depth - 2):
            layers += [nn.Conv2d(width, width, 3, padding=1), nn.ReLU()]
        self.noise = nn.Sequential(*layers, nn.Conv2d(width, channels, 3, padding=1))

    def forward(self, x: Float[torch.Tensor, "batch channels height width"]) -> torch.Tensor:
        """Return the denoised images, shaped as ``x``."""
        noise: torch.Tensor = self.noise(x)
        return x - noise


class DenoiserRecord(BaseModel):
    """The record of a denoiser's file.

    Attributes:
        input_shape: (channels, height, width) of the images.
        depth, width: of the ``ResidualDenoiser``.
        training: every setting of the training by its name; of a classifier its checksum.
        unit: what a noise level of 1 means.
        mse: mean squared error per value on the test images, with one draw of alpha each.
        weights_sha256: checksum of all tensors, verified at loading.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    format: Annotated[int, Field(ge=1, le=1)] = 1
    input_shape: Annotated[tuple[_Count, ...], Field(min_length=3, max_length=3)]
    depth: Annotated[int, Field(ge=2, le=_MOST_WIDE)]
    width: _Count
    training: dict[str, JsonValue]
    unit: str
    data: str
    data_sha256: str
    mse: Annotated[float, Field(ge=0)]
    train_seconds: Annotated[float, Field(ge=0)]
    device: str
    sfumato_version: str
    torch_version: str
    weights_sha256: str = ""


def save_denoiser(model: ResidualDenoiser, record: DenoiserRecord, path: Path) -> DenoiserRecord:
    """Write the denoiser with its record, completely or not at all; return the record.

    Raises:
        OutputError: the path cannot be written.
    """
    return write_with_record(model, record, _KEY, path)


def is_denoiser(path: Path) -> bool:
    """Return whether the file is a denoiser of Sfumato."""
    try:
        return has_record(path, _KEY)
    except ModelError:
        return False


def load_denoiser(path: Path | str) -> tuple[ResidualDenoiser, DenoiserRecord]:
    """Return the denoiser in evaluation mode, on the CPU, and its record.

    Raises:
        ModelError: no such file, no denoiser of Sfumato, or contents that do not match the record.
    """
    path = Path(path)
    tensors, metadata = read_safetensors(path)
    if _KEY not in metadata:
        raise ModelError(f"{path}: is no denoiser; give a file written by sfumato train-denoiser")
    try:
        record = DenoiserRecord.model_validate_json(metadata[_KEY])
    except ValidationError as error:
        raise ModelError(f"{path}: record not understood ({error.errors()[0]['msg']})") from error
    with torch.device("meta"):
        model = ResidualDenoiser(record.input_shape[0], record.depth, record.width)
    if wrong := tensor_difference(tensors, model.state_dict()):
        raise ModelError(f"{path}: does not fit its record: {wrong}")
    require_checksum(tensors, record.weights_sha256, path)
    model.load_state_dict(tensors, assign=True)
    return model.eval(), record
