"""Models on disk: one safetensors file whose header holds a JSON record of the model.

One file cannot lose its record, and nothing in it can execute. Loading rebuilds the network from the
record and refuses a file whose tensors, names, types, shapes or checksum differ from it. Where the record
says that the network was made by a factory of somebody's own, that code is imported only if the caller
names a factory: a file cannot choose what runs. Our own networks are built without memory for weights, so
that a false record cannot ask for any.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import torch
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    field_validator,
    model_validator,
)
from safetensors import safe_open
from safetensors.torch import save
from torch import nn

from sfumato.errors import ModelError
from sfumato.files import write_bytes
from sfumato.models.registry import Factory, build_model, factory_name, is_built_in, model_names
from sfumato.user_code import failure_line

WITHOUT_RECORD = (
    "has no Sfumato record, which names the network; certify, risk, advise and attack take such weights with "
    "--network package.module:name, the code that builds it"
)
"""What is said of ordinary weights where a checkpoint is needed."""
_KEY = "sfumato"
_RECORD_ON = "sfumato_record"  # the attribute of a loaded module
_SETTINGS_OF_FORMAT_1 = frozenset(
    ("method", "alpha", "draws", "epochs", "batch_size", "learning_rate", "weight_decay", "seed", "precision")
)
_LONGEST_HEADER = 100_000_000  # bytes, as the format's own readers have it
_PYTORCH = (b"PK\x03\x04", b"\x80\x02")  # archives, and pickles of versions before 1.6
_MOST_VALUES = 2**28  # of one input
_MOST_CLASSES = 2**24

_Count = Annotated[int, Field(ge=1, le=2**63 - 1)]
_NotNegative = Annotated[float, Field(ge=0)]
_Share = Annotated[float, Field(ge=0, le=1)]
_Float32 = Annotated[float, Field(ge=-3.4e38, le=3.4e38)]
_PositiveFloat32 = Annotated[float, Field(ge=1.2e-38, le=3.4e38)]
Recorded = TypeVar("Recorded", bound=BaseModel)
_Checksum = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Normalization(BaseModel):
    """How the statistics of a network's batch norms were re-estimated.

    Attributes:
        noise: identity of the noise: its name, ``beta``, and its other fields.
        images, images_sha256: how many images, and the checksum of their values (float32) as they were seen.
        augmentation: what was done to them first.
        seed: of the noise.
        source_sha256: checksum of all tensors before.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    noise: dict[str, JsonValue]
    images: _Count
    images_sha256: _Checksum
    augmentation: Literal["none", "crop-flip"] = "none"
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)]
    source_sha256: _Checksum


class ModelRecord(BaseModel):
    """The record of a checkpoint: its network and its training.

    Attributes:
        architecture: registry name or ``package.module:factory``.
        training: every setting of the training by its name, as ``TrainingSettings.values`` has them; the
            warm start is the checksum of the weights it began with.
        unit: what a noise level of 1 means.
        clean_accuracy, noisy_accuracy: on the test set, without noise and with one draw of alpha each, at
            the end of the training.
        normalization: how batch norms were re-estimated after the training; None if they were not.
        weights_sha256: checksum of all tensors, verified at loading.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    format: Annotated[int, Field(ge=2, le=2)] = 2
    architecture: Annotated[str, Field(min_length=1, max_length=1000)]
    input_shape: Annotated[tuple[_Count, ...], Field(min_length=1)]
    num_classes: Annotated[int, Field(ge=2, le=_MOST_CLASSES)]
    mean: tuple[_Float32, ...]
    std: tuple[_PositiveFloat32, ...]
    training: dict[str, JsonValue]
    unit: str
    data: str
    data_sha256: _Checksum
    class_names: tuple[str, ...]
    clean_accuracy: _Share
    noisy_accuracy: _Share
    train_seconds: _NotNegative
    device: str
    sfumato_version: str
    torch_version: str
    normalization: Normalization | None = None
    weights_sha256: Annotated[str, Field(pattern="^([0-9a-f]{64})?$")] = ""

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        if (values := math.prod(self.input_shape)) > _MOST_VALUES:
            raise ValueError(f"an input must have at most {_MOST_VALUES:,} values, got {values}")
        for name in ("mean", "std"):
            if (length := len(getattr(self, name))) not in (1, self.input_shape[0]):
                raise ValueError(f"{name} must have one value for each channel, got {length} values")
        if len(self.mean) != len(self.std):
            raise ValueError(f"mean has {len(self.mean)} values but std {len(self.std)}")
        if len(self.class_names) != self.num_classes:
            raise ValueError(f"{self.num_classes} classes have {len(self.class_names)} names")
        return self

    @property
    def alpha(self) -> float:
        """Training noise, standard deviation in ``unit``."""
        return float(self.training["alpha"])  # type: ignore[arg-type]  # validated

    @property
    def seed(self) -> int:
        """Seed of the training."""
        return int(self.training["seed"])  # type: ignore[arg-type]  # validated

    @property
    def noise(self) -> str:
        """Distribution of the training noise."""
        return str(self.training["noise"])

    @field_validator("training")
    @classmethod
    def _known_noise(cls, training: dict[str, JsonValue]) -> dict[str, JsonValue]:
        alpha, seed = training.get("alpha"), training.get("seed")
        if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not 0 <= alpha < math.inf:
            raise ValueError(f"alpha must be a finite number of at least 0, got {alpha!r}")
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63:
            raise ValueError(f"seed must be a whole number of at least 0, got {seed!r}")
        if not isinstance(training.setdefault("noise", "gaussian"), str):
            raise ValueError(f"noise must be a name, got {training['noise']!r}")
        return training


class OtherWeightsError(ModelError):
    """The weights of a file are not those that its record states."""


def weights_checksum(tensors: Mapping[str, torch.Tensor]) -> str:
    """Return the SHA-256 over names, types, shapes and bytes of all tensors, in the order of names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.view(-1).view(torch.uint8).numpy().data if tensor.numel() else b"")
    return digest.hexdigest()


def save_model(model: nn.Module, record: ModelRecord, path: Path | str) -> ModelRecord:
    """Write the model with its record, completely or not at all; return the record.

    Raises:
        OutputError: the path cannot be written.
    """
    return write_with_record(model, record, _KEY, Path(path))


def write_with_record(model: nn.Module, record: Recorded, key: str, path: Path) -> Recorded:
    """Write a module's weights with a record of them under ``key``; return it with their checksum.

    Raises:
        OutputError: the path cannot be written.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    complete = record.model_copy(update={"weights_sha256": weights_checksum(tensors)})
    write_safetensors(tensors, {key: complete.model_dump_json()}, path)
    return complete


def load_model(path: Path | str, *, factory: Factory | None = None) -> tuple[nn.Module, ModelRecord]:
    """Return the network in evaluation mode, on the CPU, and its record.

    A network of a built-in architecture needs no factory. If the record names a factory, that name is not
    imported: name the factory yourself with ``factory``, as ``package.module:name`` or the function itself.
    It may differ from the record's (a module that has moved) if its tensors have the same names, types and
    shapes. Only you know whether it computes the same.

    Raises:
        ModelError: no such file, not one of Sfumato's, contents that do not match the record, a factory that
            is missing, fails or does not fit, or one for a network that needs none.
    """
    path = Path(path)
    tensors, metadata = read_safetensors(path)
    record = _record(metadata, path)
    model = _rebuilt(record, factory, path)
    if wrong := tensor_difference(tensors, model.state_dict()):
        raise ModelError(f"{path}: does not fit {factory_name(factory or record.architecture)}: {wrong}")
    require_checksum(tensors, record.weights_sha256, path)
    try:
        # one of our own takes the tensors as they are; in others they may be tied
        model.load_state_dict(tensors, assign=is_built_in(record.architecture))
    except Exception as error:  # a module of the user's own may refuse its state in any way
        raise ModelError(f"{path}: its weights do not fit the model ({failure_line(error)})") from error
    setattr(model, _RECORD_ON, record)  # so that data of another unit or other classes are noticed
    return model.eval(), record


def record_on(model: object) -> ModelRecord | None:
    """Return the record of a module that ``load_model`` returned; None of any other."""
    found = getattr(model, _RECORD_ON, None)
    return found if isinstance(found, ModelRecord) else None


def verify_checkpoint(path: Path) -> ModelRecord:
    """Return the record after comparing the tensors with its checksum; no network is made.

    Raises:
        ModelError: no such file, not a file of Sfumato, or tensors that differ from the record.
    """
    tensors, metadata = read_safetensors(path)
    record = _record(metadata, path)
    require_checksum(tensors, record.weights_sha256, path)
    return record


def read_record(path: Path) -> ModelRecord:
    """Return the record of a checkpoint, without reading or verifying its tensors.

    Raises:
        ModelError: no such file, or not a file of Sfumato.
    """
    with _opened(path) as file:
        return _record(file.metadata() or {}, path)


def require_checksum(tensors: Mapping[str, torch.Tensor], recorded: str, path: Path) -> None:
    """Refuse weights whose checksum is not the recorded one.

    Raises:
        OtherWeightsError: it is another one.
    """
    if (found := weights_checksum(tensors)) != recorded:
        raise OtherWeightsError(f"{path}: weights have checksum {found} but the record says {recorded}")


def _rebuilt(record: ModelRecord, factory: Factory | None, path: Path) -> nn.Module:
    """Return a network of the record's sizes; one of our own has no memory for its weights yet."""
    name, sizes = record.architecture, (record.input_shape, record.num_classes, record.mean, record.std)
    if is_built_in(name):
        if factory is not None:
            raise ModelError(f"{path}: is a {name}, which is built in and needs no factory; leave it out")
        with torch.device("meta"):
            return build_model(name, *sizes)
    if factory is not None:
        return build_model(factory, *sizes)
    if ":" not in name:
        accepted = ", ".join(model_names())
        raise ModelError(f"{path}: architecture {name!r} is not known; accepted are {accepted}")
    raise ModelError(
        f"{path}: was built by {name!r}, whose code a file alone cannot run; name the code that builds the "
        f"network with --model-factory package.module:name (in Python factory=...)"
    )


def _record(metadata: Mapping[str, str], path: Path) -> ModelRecord:
    if _KEY not in metadata:
        raise ModelError(f"{path}: {WITHOUT_RECORD}")
    try:
        present = _in_present_format(_strict_json(metadata[_KEY]))
        return ModelRecord.model_validate_json(json.dumps(present), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "record"
        given = repr(first["input"]) if first["loc"] else ""
        raise ModelError(
            f"{path}: record not understood at {field[:80]!r}: {first['msg']}"
            + (f", got {given[:80]}" if given else "")
        ) from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: record not understood ({failure_line(error)})") from error


def _in_present_format(values: Any) -> Any:
    """Return a record of format 1, which had each setting of a training as a field, as one of format 2."""
    if not isinstance(values, dict) or type(values.get("format")) is not int or values["format"] != 1:
        return values
    training = {name: values[name] for name in _SETTINGS_OF_FORMAT_1 if name in values}
    training |= {name: values.get(name) for name in ("architecture", "mean", "std")}
    training["warm_start"] = values.get("warm_start_sha256")
    rest = {n: v for n, v in values.items() if n not in _SETTINGS_OF_FORMAT_1 | {"warm_start_sha256"}}
    return {**rest, "format": 2, "training": training}


def _strict_json(text: str | bytes) -> Any:
    """Return the value of the JSON text; a key that stands twice, NaN and infinity are refused."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise ValueError(f"the key {key!r} stands twice")
            found[key] = value
        return found

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not a number of JSON")

    return json.loads(text, object_pairs_hook=unique, parse_constant=refuse)


def tensor_difference(found: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]) -> str | None:
    """Return the first tensor that differs in name, type or shape; None if all agree.

    >>> tensor_difference({"bias": torch.zeros(2)}, {"bias": torch.zeros(3)})
    "'bias' is float32 (2,), expected float32 (3,)"
    """
    kinds = [
        {
            name: f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
            for name, value in part.items()
        }
        for part in (found, expected)
    ]
    for name in sorted(set(found) | set(expected)):
        is_, should = (kind.get(name, "missing") for kind in kinds)
        if is_ != should:
            return f"{name!r} is {is_}, expected {should.replace('missing', 'none')}"
    return None


def read_safetensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Return the tensors, copied into memory, and the header's metadata.

    Raises:
        ModelError: no such file, or not a whole safetensors file.
    """
    with _opened(path) as file:
        # the file's own are views of it: they would change with it
        return {name: file.get_tensor(name).clone() for name in file.keys()}, file.metadata() or {}  # noqa: SIM118


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a safetensors file, its header checked for keys that stand twice, which its readers let pass."""
    if not os.path.isfile(path):  # noqa: PTH113  # unlike Path.is_file it takes any name
        raise ModelError(f"{path}: no such file; give an existing .safetensors")
    try:
        if is_pytorch_file(path):
            raise ModelError(f"{path}: {WITHOUT_RECORD}")
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            if size > min(_LONGEST_HEADER, path.stat().st_size):
                if path.suffix != ".safetensors":
                    raise ModelError(
                        f"{path}: is neither a PyTorch nor a safetensors file; give a file of weights"
                    )
                raise ValueError(f"a header of {size} bytes")
            _strict_json(file.read(size))
        with safe_open(path, framework="pt") as opened:
            yield opened
    except ModelError:
        raise
    except Exception as error:  # the reader of the format answers a damaged file in many ways
        raise ModelError(f"{path}: not a whole safetensors file ({failure_line(error)})") from error


def is_pytorch_file(path: Path) -> bool:
    """Return whether the file begins as ``torch.save`` writes it; false for one that cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(4).startswith(_PYTORCH)
    except (OSError, ValueError):
        return False


def has_record(path: Path, key: str = _KEY) -> bool:
    """Return whether a file has a record under ``key``, by default a checkpoint's; no tensor is read.

    Ordinary weights of PyTorch or safetensors have none.

    Raises:
        ModelError: no such file, or neither of the two formats.
    """
    if is_pytorch_file(path):
        return False
    with _opened(path) as file:
        return key in (file.metadata() or {})


def write_safetensors(tensors: dict[str, torch.Tensor], metadata: dict[str, str], path: Path) -> None:
    """Write a safetensors file so that at any moment either the old or the new one is there, whole.

    Raises:
        OutputError: the path cannot be written.
    """
    memory = Counter(tensor.untyped_storage().data_ptr() for tensor in tensors.values())
    # the format keeps no two tensors that share memory, as tied weights do
    apart = {
        name: tensor.clone() if memory[tensor.untyped_storage().data_ptr()] > 1 else tensor
        for name, tensor in tensors.items()
    }
    write_bytes(path, save(apart, metadata=metadata))
