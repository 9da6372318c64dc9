"""A training method: a loss, its settings, and its cost.

A method is one file beside this one and one line in the registry. Its fields are its hyperparameters,
under the names of its paper; the command line, the study file, the record of a checkpoint and the keys of
a study are made from them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from sfumato.settings import CheckedSettings

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float, Int
    from torch import nn

    from sfumato.noise import Noise, Stream


class Method(CheckedSettings, ABC):
    """A method to train a base classifier with noise.

    Attributes:
        name: as it is written on the command line and in files.
    """

    name: ClassVar[str]

    @abstractmethod
    def loss(
        self,
        model: nn.Module,
        x: Float[torch.Tensor, "batch *shape"],
        y: Int[torch.Tensor, " batch"],
        noise: Noise,
        stream: Stream,
    ) -> Float[torch.Tensor, ""]:
        """Return the loss of one batch; all its noise is drawn from ``stream``."""

    @property
    @abstractmethod
    def passes(self) -> tuple[int, int]:
        """Forward and backward passes for each training image and step."""
