"""From an architecture's name to a network with its normalisation. A new one is a line in ``_BUILDERS``."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import nn

from sfumato.errors import ModelError, SfumatoError, in_words
from sfumato.models.cnn import build_cnn
from sfumato.models.mlp import build_mlp
from sfumato.models.normalize import Normalize
from sfumato.models.resnet import build_resnet20, build_resnet110

Builder = Callable[[tuple[int, ...], int], nn.Module]

_BUILDERS: dict[str, Builder] = {
    "mlp": build_mlp,
    "cnn": build_cnn,
    "resnet20": build_resnet20,
    "resnet110": build_resnet110,
}


def model_names() -> tuple[str, ...]:
    """Return the names of the built-in architectures."""
    return tuple(_BUILDERS)


def build_model(
    architecture: str,
    input_shape: tuple[int, ...],
    num_classes: int,
    mean: Sequence[float],
    std: Sequence[float],
    seed: int = 0,
) -> nn.Module:
    """Return a freshly initialised network behind its normalisation layer.

    ``architecture`` is a built-in name or ``package.module:factory``, where ``factory(input_shape,
    num_classes)`` returns a ``torch.nn.Module`` from a batch to (batch, classes) logits. ``mean`` and
    ``std`` are per channel, in the input's unit. Global random state is left as it was.

    >>> model = build_model("mlp", (1, 8, 8), 10, mean=[0.3], std=[0.4])
    >>> model(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 10])

    Raises:
        ModelError: unknown name, or a factory that cannot be imported or returns no module.
    """
    body = build_body(architecture, input_shape, num_classes, seed)
    if not isinstance(body, nn.Module):
        raise ModelError(
            f"{architecture}: the factory must return a torch.nn.Module, got {type(body).__name__}"
        )
    return nn.Sequential(normalisation(mean, std, input_shape), body)


def build_body(architecture: str, input_shape: tuple[int, ...], num_classes: int, seed: int = 0) -> object:
    """Return what the architecture's builder or the factory makes, whatever it is.

    Raises:
        ModelError: unknown name, or a factory that cannot be imported or fails.
    """
    builder = _BUILDERS[architecture] if architecture in _BUILDERS else _import_factory(architecture)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            return builder(input_shape, num_classes)
        except SfumatoError:
            raise
        except Exception as error:  # the user's factory may raise anything
            raise ModelError(
                f"{architecture}: the factory failed for input shape {input_shape} and {num_classes} "
                f"classes ({in_words(error)})"
            ) from error


def normalisation(mean: Sequence[float], std: Sequence[float], input_shape: tuple[int, ...]) -> Normalize:
    """Return the layer that subtracts ``mean`` and divides by ``std``, per channel.

    Raises:
        ModelError: not one value for each channel.
    """
    if len(mean) not in (1, input_shape[0]):
        raise ModelError(f"mean has {len(mean)} values, but the input has {input_shape[0]} channels")
    return Normalize(mean, std)


def _import_factory(reference: str) -> Builder:
    module_name, colon, attribute = reference.partition(":")
    if not colon or not module_name or not attribute:
        raise ModelError(
            f"model {reference!r} is not known; accepted are {', '.join(_BUILDERS)} or package.module:factory"
        )
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        factory: Builder = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise ModelError(f"model {reference!r} cannot be imported ({error})") from error
    return factory
