"""A training method: a loss, its settings, and its cost.

A method is one file beside this one and one line in the registry. Its fields are its hyperparameters,
under the names of its paper; the command line, the study file, the record of a checkpoint and the keys of
a study are made from them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Self

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
        """Return the loss of one batch; all its noise is drawn from ``stream``.

        It is a mean over the images, and each image takes the same number of rows of the stream: then a batch
        that memory does not hold can be taken in parts.
        """

    @property
    @abstractmethod
    def passes(self) -> tuple[int, int]:
        """Forward and backward passes for each training image and step."""

    def at_epoch(self, epoch: int) -> Self:
        """Return the method as it is in this epoch, counted from 0: another one during a warm-up."""
        return self

    def identity(self) -> dict[str, Any]:
        """Return all of the method that determines the weights."""
        return self.model_dump(mode="json")


def noise_copies(
    x: Float[torch.Tensor, "batch *shape"], draws: int, noise: Noise, stream: Stream
) -> Float[torch.Tensor, "draws batch *shape"]:
    """Return ``draws`` draws of the noise for each image; one row of the stream holds all of an image's."""
    import torch

    drawn = torch.empty((len(x), draws, *x.shape[1:]), dtype=x.dtype, device=x.device)
    noise.draw(drawn, stream)
    return drawn.transpose(0, 1)


def logits_of_copies(
    model: nn.Module,
    x: Float[torch.Tensor, "batch *shape"],
    noises: Float[torch.Tensor, "draws batch *shape"],
) -> Float[torch.Tensor, "draws batch classes"]:
    """Return the logits of each image with each of its draws, in float32."""
    logits: torch.Tensor = model((x + noises).flatten(0, 1)).float()
    return logits.view(*noises.shape[:2], -1)
