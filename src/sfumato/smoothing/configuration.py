"""How votes are computed: what may change the speed of a run, and the one thing that changes its subject.

``batch_size``, ``channels_last``, ``workers`` and ``compiled`` change the speed only. ``precision`` is part
of the base classifier: in bf16 the network's weights and activations are bfloat16, and that network is what
is certified.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import nn

from sfumato.errors import SettingError, require_count
from sfumato.settings import PRECISIONS

Network = Callable[[torch.Tensor], torch.Tensor]
"""What is smoothed: from a batch (batch, *shape) to logits (batch, classes); a module or any function."""

_CONVOLUTIONAL_BATCH = 64
_DENSE_BATCH = 1024
_CUDA_BATCH = 1024
# What the inputs of one usual batch may take: a network's activations take many times as much.
_CPU_BYTES = 32 * 2**20
_CUDA_BYTES = 256 * 2**20
_LEAST_BATCH = 8
_VALUE_BYTES = 4


@dataclass(frozen=True)
class Configuration:
    """One way to compute votes.

    Attributes:
        batch_size: noisy copies per forward pass.
        channels_last: whether images are laid out with their channels innermost.
        workers: threads that each fill and classify batches of their own, with one thread of
            arithmetic each; 1 leaves the threads to PyTorch.
        precision: ``float32`` or ``bf16``.
        compiled: whether full batches go through the network compiled by ``torch.compile``; needs a C++
            compiler on the machine, and some seconds in every process.
    """

    batch_size: int
    channels_last: bool = False
    workers: int = 1
    precision: str = "float32"
    compiled: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be computed."""
        require_count("batch_size", self.batch_size)
        require_count("workers", self.workers)
        require_precision(self.precision)


def require_precision(precision: str) -> str:
    """Return ``precision`` if it is known.

    Raises:
        SettingError: if it is not.
    """
    if precision not in PRECISIONS:
        raise SettingError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    return precision


def has_convolutions(model: Network) -> bool:
    """Return whether the model is a network with convolutions over images."""
    return isinstance(model, nn.Module) and any(isinstance(m, nn.Conv2d) for m in model.modules())


def usual_configuration(
    model: Network,
    device: torch.device,
    *,
    batch_size: int | None = None,
    precision: str = "float32",
    shape: tuple[int, ...] | None = None,
) -> Configuration:
    """Return what is usually fast for this kind of model, without measuring.

    On CPUs convolutions run best on small batches with the channels innermost, and one batch per core
    beats one batch on all cores. A callable that is no module may not be safe to call from several
    threads, so it is called from one. ``shape`` of an input limits the usual batch (``fitted_batch``).

    >>> usual_configuration(nn.Conv2d(1, 1, 3), torch.device("cpu"), batch_size=32).channels_last
    True
    """
    convolutional = has_convolutions(model)
    if device.type == "cuda":
        usual, workers = _CUDA_BATCH, 1
    else:
        usual = _CONVOLUTIONAL_BATCH if convolutional else _DENSE_BATCH
        workers = torch.get_num_threads() if isinstance(model, nn.Module) else 1
    found = Configuration(batch_size or usual, convolutional, workers, precision)
    return found if shape is None or batch_size is not None else fitted_batch(found, shape, device)


def largest_usual_batch(shape: tuple[int, ...], device: torch.device) -> int:
    """Return how many inputs of ``shape`` a usual batch has at most: a power of 2, at least 8.

    >>> largest_usual_batch((3, 224, 224), torch.device("cpu"))
    32
    """
    most = (_CPU_BYTES if device.type == "cpu" else _CUDA_BYTES) // (_VALUE_BYTES * max(1, math.prod(shape)))
    return max(_LEAST_BATCH, 1 << max(0, most.bit_length() - 1))


def fitted_batch(configuration: Configuration, shape: tuple[int, ...], device: torch.device) -> Configuration:
    """Return the configuration with a batch that is not too large for inputs of ``shape``."""
    size = min(configuration.batch_size, largest_usual_batch(shape, device))
    return replace(configuration, batch_size=size)
