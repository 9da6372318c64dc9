"""The interface of noises: a noise says how it is drawn, and which radius a probability certifies under it.

Probabilities of error q = 1 - p are handed over instead of p: near p = 1 the information is in q. A noise
knows nothing of votes: that q is bounded with some confidence is the business of ``plans``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from jaxtyping import Float

from sfumato.errors import SettingError, require_nonnegative
from sfumato.noise.keyed import Stream

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Noise(ABC):
    """Independent noise on each coordinate of the input.

    A subclass is a frozen dataclass too, where it adds fields. For every noise the first one is the standard
    deviation, so that levels of different noises can be compared; the usual parameter of each noise follows
    from it.

    Attributes:
        standard_deviation: of each coordinate, in the unit of the input; ``alpha`` of a training, ``beta``
            of a smoothed classifier.
        name: what the command line and files call the noise.
        norm: norm of its radii, ``L1`` or ``L2``.
    """

    standard_deviation: float
    name: ClassVar[str]
    norm: ClassVar[str]

    def __post_init__(self) -> None:
        """Refuse a negative or infinite standard deviation."""
        deviation = require_nonnegative("standard_deviation", self.standard_deviation)
        object.__setattr__(self, "standard_deviation", deviation)

    @abstractmethod
    def draw(self, out: torch.Tensor, stream: Stream) -> None:
        """Fill the contiguous ``out`` (rows, *shape) with the stream's next rows."""

    @abstractmethod
    def radius(self, q_upper: float, rival_upper: float | None = None) -> float:
        """Return the certified radius in ``norm``, in the unit of the input; 0 where nothing is certified.

        If at x a class has probability at least 1 - ``q_upper`` under the noise, and every other class at
        most ``rival_upper`` (``q_upper`` where it is not given), then that class is the most probable one
        at every point closer to x than the radius.
        """

    @abstractmethod
    def failure_at(self, radius: float) -> float:
        """Return the largest q with ``self.radius(q) >= radius``: the inverse of ``radius``.

        A class is certified at ``radius`` where its probability is above p0 = 1 - q. The result is 1/2 at
        radius 0 and falls from there; it is 0 where no probability certifies the radius.
        """

    def worst_failure(self, q: Float[np.ndarray, " *many"], radius: float) -> Float[np.ndarray, " *many"]:
        """Return the largest probability of failure at any point within ``radius``, where it is q at x.

        For any event: what ``radius`` says of one class and a rival follows from it. q itself at radius 0.

        Raises:
            SettingError: a noise that does not say it.
        """
        raise SettingError(f"{self.name} noise does not say how much probabilities change within a radius")

    def check(self, images: torch.Tensor) -> None:  # noqa: B027  # most noises take every image
        """Refuse images (images, *shape) that no certificate is about; none, if not overridden.

        Raises:
            DataError: such an image.
        """

    def settle(self, noisy: torch.Tensor) -> None:  # noqa: B027  # nothing is to be done for most noises
        """Make sums of images and draws what the certificate is about, in place; as they are by default."""

    def squared_steps(self, radius: float) -> int | None:
        """Return the largest squared distance that ``radius`` covers, in steps of the pixel grid.

        None for a noise whose certificates are about real numbers: only a whole number is free of rounding.
        """
        return None

    @property
    def distance(self) -> tuple[object, ...]:
        """How radii measure a move, the norm first: radii of two noises can be compared if it is the same."""
        return (self.norm,)

    @property
    def unit_ball(self) -> tuple[object, ...]:
        """What a radius of 1 covers: one noise's radius can stand for another's if it is the same."""
        return (*self.distance, self.squared_steps(1.0))

    @property
    def largest_deviation(self) -> float:
        """The largest standard deviation of any coordinate."""
        return self.standard_deviation

    def forecaster(self) -> Noise:
        """Return a noise that certifies nearly the same and is fast to ask: to plan votes, not to certify."""
        return self

    @property
    def sound(self) -> bool:
        """Whether its certificates are about whole numbers, which no rounding makes false."""
        return self.squared_steps(0.0) is not None

    def __str__(self) -> str:
        """Return the distribution in a few words, the standard deviation among them."""
        return f"{self.name} noise, standard deviation {self.standard_deviation:g}"

    def add(self, inputs: torch.Tensor, stream: Stream) -> torch.Tensor:
        """Return ``inputs`` (rows, *shape) plus one fresh draw; without noise ``inputs`` itself."""
        if self.standard_deviation == 0:
            return inputs
        noisy = inputs.new_empty(inputs.shape)
        self.draw(noisy, stream)
        noisy.add_(inputs)
        self.settle(noisy)
        return noisy

    def identity(self) -> dict[str, Any]:
        """Return what determines the noise, as settings of a run hold it: name, beta, other fields."""
        fields = asdict(self)
        return {"noise": self.name, "beta": fields.pop("standard_deviation"), **fields}
