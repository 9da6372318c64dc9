"""From an architecture's name to a network with its normalisation. A new one is a line in ``_BUILDERS``."""

from __future__ import annotations

import copy
import inspect
import itertools
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import nn

from sfumato.errors import ModelError, SfumatoError
from sfumato.models.cnn import build_cnn
from sfumato.models.fastcnn import build_fastcnn
from sfumato.models.lenet import build_lenet
from sfumato.models.mlp import build_mlp
from sfumato.models.normalize import Normalize
from sfumato.models.resnet import build_resnet
from sfumato.models.zoo import is_of_zoo, zoo_builder
from sfumato.user_code import import_named, told_in_one_line

Builder = Callable[[tuple[int, ...], int], nn.Module]
Factory = str | Callable[[tuple[int, ...], int], object]
"""A registry name, ``timm:NAME``, ``torchvision:NAME`` or ``package.module:name``, or the function itself,
from (input_shape, num_classes)."""

_BUILDERS: dict[str, Builder] = {
    "mlp": build_mlp,
    "cnn": build_cnn,
    "lenet": build_lenet,
    "fastcnn": build_fastcnn,
    "fastcnn-group": partial(build_fastcnn, norm="group"),
    "resnet20": partial(build_resnet, depth=20),
    "resnet20-group": partial(build_resnet, depth=20, norm="group"),
    "resnet110": partial(build_resnet, depth=110),
    "resnet110-group": partial(build_resnet, depth=110, norm="group"),
}


def model_names() -> tuple[str, ...]:
    """Return the names of the built-in architectures."""
    return tuple(_BUILDERS)


def is_built_in(architecture: str) -> bool:
    """Return whether the name is one of ours, so that building it runs no code of anybody else's."""
    return architecture in _BUILDERS


def convolves(architecture: str) -> bool:
    """Return whether the name is one of our convolutional networks."""
    return is_built_in(architecture) and architecture != "mlp"


def build_model(
    architecture: Factory,
    input_shape: tuple[int, ...],
    num_classes: int,
    mean: Sequence[float],
    std: Sequence[float],
    seed: int = 0,
) -> nn.Module:
    """Return a freshly initialised network behind its normalisation layer.

    ``architecture`` is a built-in name, ``timm:NAME`` or ``torchvision:NAME`` of these libraries (with random
    weights), or ``package.module:factory`` or that factory itself, where
    ``factory(input_shape, num_classes)`` returns a ``torch.nn.Module`` from a batch to (batch, classes)
    logits. ``mean`` and ``std`` are per channel, in the input's unit. Global random state is left as it was.

    >>> model = build_model("mlp", (1, 8, 8), 10, mean=[0.3], std=[0.4])
    >>> model(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 10])

    Raises:
        ModelError: unknown name, a factory that cannot be imported or fails, or that returns no module whose
            state is tensors.
    """
    body = build_body(architecture, input_shape, num_classes, seed)
    name = factory_name(architecture)
    if not isinstance(body, nn.Module):
        raise ModelError(f"{name}: the factory must return a torch.nn.Module, got {type(body).__name__}")
    with told_in_one_line(f"{name}: the module does not say what its weights are", lost=SfumatoError):
        state = body.state_dict()
    if others := [key for key, value in state.items() if not isinstance(value, torch.Tensor)]:
        raise ModelError(f"{name}: its state {others[0]!r} must be a tensor to be kept in a file")
    return nn.Sequential(normalisation(mean, std, input_shape), body)


def build_body(
    architecture: Factory, input_shape: tuple[int, ...], num_classes: int, seed: int = 0
) -> object:
    """Return what the architecture's builder or the factory makes, whatever it is.

    A name may also be that of a module, ready to use: then it is a copy of that. The sizes that a lazy module
    leaves open are filled in by one forward pass of zeros. What can be called without arguments, and not with
    (input_shape, num_classes), such as a class without any, is called without.

    Raises:
        ModelError: unknown name, or a factory that cannot be imported, takes other arguments or fails.
    """
    name = factory_name(architecture)
    given = f"for input shape {input_shape} and {num_classes} classes"
    # not keyed noise: initial weights, from PyTorch's own generator on the CPU, which no noise comes from
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        builder = _builder(architecture)
        if isinstance(builder, nn.Module):
            with told_in_one_line(f"{name}: the module cannot be copied"):
                body: object = copy.deepcopy(builder)
        else:
            values = _arguments(name, builder, input_shape, num_classes)
            # a class has names of its own for what it takes
            hint = f"; {_how_to_write(name, builder)}" if values and inspect.isclass(builder) else ""
            with told_in_one_line(f"{name}: the factory failed {given}{hint}"):
                body = builder(*values)
        if isinstance(body, nn.Module) and _open_sizes(body):
            with told_in_one_line(f"{name}: the lazy module does not accept a batch of zeros {given}"):
                _fill_in_sizes(body, input_shape)
            if still := _open_sizes(body):
                raise ModelError(f"{name}: the lazy module leaves the size of {still[0]!r} open {given}")
    return body


def factory_name(architecture: Factory) -> str:
    """Return how the architecture is called in messages.

    >>> factory_name("mlp"), factory_name(build_mlp)
    ('mlp', 'sfumato.models.mlp:build_mlp')
    """
    if isinstance(architecture, str):
        return architecture
    name = getattr(architecture, "__qualname__", type(architecture).__qualname__)
    return f"{getattr(architecture, '__module__', '?')}:{name}"


def normalisation(mean: Sequence[float], std: Sequence[float], input_shape: tuple[int, ...]) -> Normalize:
    """Return the layer that subtracts ``mean`` and divides by ``std``, per channel.

    Raises:
        ModelError: not one value for each channel.
    """
    if len(mean) not in (1, input_shape[0]):
        raise ModelError(f"mean has {len(mean)} values, but the input has {input_shape[0]} channels")
    return Normalize(mean, std)


def _builder(architecture: Factory) -> Callable[..., object]:
    if not isinstance(architecture, str):
        return architecture
    if architecture in _BUILDERS:
        return _BUILDERS[architecture]
    if ":" not in architecture:
        raise ModelError(
            f"model {architecture!r} is not known; accepted are {', '.join(_BUILDERS)}, timm:NAME, "
            "torchvision:NAME or package.module:factory"
        )
    if is_of_zoo(architecture):
        return zoo_builder(architecture)
    return import_named(architecture)


def _arguments(
    name: str, builder: Callable[..., object], input_shape: tuple[int, ...], num_classes: int
) -> tuple[object, ...]:
    """Return what a builder is called with: nothing, where it takes nothing.

    Raises:
        ModelError: it takes other arguments.
    """
    usual: tuple[object, ...] = (input_shape, num_classes)
    accepted = [values for values in (usual, ()) if _takes(builder, values)]
    if not accepted:
        raise ModelError(f"{name}: {_how_to_write(name, builder)}")
    return accepted[0]


def _takes(builder: Callable[..., object], values: tuple[object, ...]) -> bool:
    if inspect.isclass(builder) and builder.__init__ is nn.Module.__init__:
        return not values  # its signature says that it takes anything
    try:
        inspect.signature(builder).bind(*values)
    except TypeError:
        return False
    except ValueError:  # what is written in C may not say what it takes
        return bool(values)
    return True


def _how_to_write(name: str, builder: Callable[..., object]) -> str:
    module, _, own = name.rpartition(":")
    try:
        takes = str(inspect.signature(builder))
    except (TypeError, ValueError):
        takes = "(...)"
    return (
        f"a factory is called with (input_shape, num_classes), and {own} takes {takes}: write "
        f"'def build(input_shape, num_classes): return {own}(...)' and name {module}:build"
    )


def _open_sizes(module: nn.Module) -> list[str]:
    """Return the names of a lazy module's tensors that have no size yet."""
    tensors = itertools.chain(module.named_parameters(), module.named_buffers())
    return [name for name, tensor in tensors if nn.parameter.is_lazy(tensor)]


@torch.no_grad()
def _fill_in_sizes(module: nn.Module, input_shape: tuple[int, ...]) -> None:
    """Let the module see two zero inputs, in evaluation mode, and return to the mode that it was in."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    module(torch.zeros(2, *input_shape))
    for part, training in modes:
        part.training = training
