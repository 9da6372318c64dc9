"""What a training starts from: random weights, a checkpoint, or a state dict; and what of it is frozen."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from torch import nn

from sfumato.datasets import Dataset
from sfumato.errors import ModelError, SettingError
from sfumato.models import build_model, load_model
from sfumato.models.checkpoint import has_record, read_record, weights_checksum
from sfumato.models.registry import is_built_in
from sfumato.models.state_dict import load_into, read_state_dict
from sfumato.training.gradients import is_batch_norm
from sfumato.training.settings import TrainingSettings
from sfumato.training.state import network_weights

_SHOWN = 6


@dataclass(frozen=True)
class Start:
    """A network to train.

    Attributes:
        model: behind its normalisation; frozen parameters require no gradient.
        mean, std: of the normalisation, per channel, in the input's unit.
        sha256: checksum of the weights that it was given; None for random ones.
    """

    model: nn.Module
    mean: tuple[float, ...]
    std: tuple[float, ...]
    sha256: str | None


def starting_model(data: Dataset, settings: TrainingSettings) -> Start:
    """Return the network that a training of these settings starts from.

    Raises:
        ModelError: weights that cannot be read or do not fit the network.
        SettingError: a normalisation other than the weights', or a pattern to freeze that matches nothing.
    """
    start = _loaded(data, settings) if settings.warm_start else _built(data, settings)
    if settings.warm_start:
        for name, given, found in (("mean", settings.mean, start.mean), ("std", settings.std, start.std)):
            if given is not None and not torch.allclose(torch.tensor(given), torch.tensor(found)):
                raise SettingError(
                    f"{name} must be that of {settings.warm_start}, {_told(found)}, got {_told(given)}; "
                    "leave it out"
                )
    if settings.freeze is not None:
        _freeze(start.model, settings)
    return start


def training_mode(model: nn.Module, freeze: str | None) -> None:
    """Put the model in training mode, but for frozen batch norms, which keep and use their statistics."""
    model.train()
    if freeze is None:
        return
    for name, module in _body(model).named_modules():
        if is_batch_norm(module):
            own = [key for key, _ in module.named_parameters()] or ["running_mean"]
            if all(_matches(f"{name}.{key}", freeze) for key in own):
                module.eval()


def _built(data: Dataset, settings: TrainingSettings) -> Start:
    mean, std = settings.mean or data.channel_mean, settings.std or data.channel_std
    shape, classes = data.input_shape, data.num_classes
    model = build_model(settings.architecture, shape, classes, mean, std, seed=settings.seed)
    return Start(model, mean, std, None)


def _loaded(data: Dataset, settings: TrainingSettings) -> Start:
    path = settings.warm_start
    assert path is not None
    if not has_record(path):
        return _from_elsewhere(data, settings)
    record = read_record(path)
    found = (record.architecture, record.input_shape, record.num_classes)
    wanted = (settings.architecture, data.input_shape, data.num_classes)
    if found != wanted:
        raise ModelError(
            f"{path}: is {found[0]} for input {found[1]} and {found[2]} classes, but the model to train is "
            f"{wanted[0]} for {wanted[1]} and {wanted[2]}"
        )
    named = None if is_built_in(settings.architecture) else settings.architecture
    model, record = load_model(path, factory=named)
    return Start(model, record.mean, record.std, record.weights_sha256)


def _from_elsewhere(data: Dataset, settings: TrainingSettings) -> Start:
    """Return the network with the weights of a state dict: the body's, or those of all of our network."""
    path = settings.warm_start
    assert path is not None
    start, weights = _built(data, settings), network_weights(read_state_dict(path))
    sha256 = weights_checksum(weights)
    if set(weights) != set(start.model.state_dict()):
        load_into(_body(start.model), weights, path)
        return Start(start.model, start.mean, start.std, sha256)
    load_into(start.model, weights, path)
    mean, std = (tuple(start.model.get_buffer(f"0.{name}").tolist()) for name in ("mean", "std"))
    return Start(start.model, mean, std, sha256)


def _freeze(model: nn.Module, settings: TrainingSettings) -> None:
    if settings.warm_start is None:
        raise SettingError(
            f"freeze is {settings.freeze!r}, but the training starts from random weights; give weights to "
            "start from (--from), or leave it out"
        )
    parameters = dict(_body(model).named_parameters())
    for pattern in (settings.freeze or "").split(","):
        if not any(_matches(name, pattern) for name in parameters):
            more = ", ..." if len(parameters) > _SHOWN else ""
            raise SettingError(
                f"freeze pattern {pattern!r} matches no parameter of {settings.architecture}; it has "
                f"{', '.join(list(parameters)[:_SHOWN])}{more}"
            )
    for name, parameter in parameters.items():
        if _matches(name, settings.freeze or ""):
            parameter.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in parameters.values()):
        raise SettingError(f"freeze {settings.freeze!r} leaves no parameter to train; freeze fewer")


def _told(values: tuple[float, ...]) -> str:
    return ",".join(f"{value:g}" for value in values)


def _matches(name: str, patterns: str) -> bool:
    return any(fnmatchcase(name, pattern.strip()) for pattern in patterns.split(","))


def _body(model: nn.Module) -> nn.Module:
    """Return the network behind its normalisation."""
    return model.get_submodule("1")
