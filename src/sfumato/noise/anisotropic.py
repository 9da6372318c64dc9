"""Gaussian noise with a scale of its own for each feature, which certifies ellipsoids.

With scales s, the noise of feature i is N(0, (beta s_i)^2). Measured in units of its scales, x / s, the
noise is N(0, beta^2 I): all that holds of isotropic noise holds of x / s (Cohen et al. 2019, Theorem 1,
through the linear map; as in Eiras et al. 2022, ANCER). So a radius R certifies the ellipsoid of all moves d
with sum_i (d_i / s_i)^2 < R^2, whose half axes are R s_i, in the units of the features. The scales are the
same for every input: choosing them by the input would need a proof that they are the same at every moved
input.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from sfumato.errors import SettingError, require_positive
from sfumato.frames import numbers_in_order
from sfumato.noise.gaussian import Gaussian
from sfumato.noise.keyed import Stream

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class AnisotropicGaussian(Gaussian):
    """N(0, (standard_deviation * scale)^2) on each feature, which certifies radii in units of the scales.

    Attributes:
        scales: one positive number for each feature of the flattened input, or for each channel (the first
            axis of an input), in the features' own units; or a single one for all.

    >>> noise = AnisotropicGaussian(0.5, (10.0, 0.1))  # say, years and metres
    >>> round(noise.radius(0.1586552539), 6), noise.half_axes(0.5)
    (0.5, (5.0, 0.05))

    Raises:
        SettingError: a standard deviation below 0, no scales, scales by name, or one that is not positive and
            finite.
    """

    scales: tuple[float, ...] = ()
    name: ClassVar[str] = "anisotropic"
    norm: ClassVar[str] = "L2 in scales"

    def __post_init__(self) -> None:
        """Refuse no scales, and scales of 0, below, or infinite."""
        super().__post_init__()
        # noise is added to arrays, whose features have no names
        given = numbers_in_order("scales", self.scales)
        try:
            scales = [float(scale) for scale in given]
        except (TypeError, ValueError) as error:
            raise SettingError(f"scales must be a sequence of positive numbers, got {given!r:.80}") from error
        if not scales:
            raise SettingError("scales must name a scale for each feature or channel, got none")
        object.__setattr__(self, "scales", tuple(require_positive("each scale", scale) for scale in scales))

    def half_axes(self, radius: float) -> tuple[float, ...]:
        """Return the half axes of the ellipsoid that a radius certifies, in the features' units."""
        return tuple(radius * scale for scale in self.scales)

    @property
    def distance(self) -> tuple[object, ...]:
        """How radii measure a move: in units of these scales."""
        return (self.norm, self.scales)

    @property
    def largest_deviation(self) -> float:
        """The largest standard deviation of any coordinate."""
        return self.standard_deviation * max(self.scales)

    def draw(self, out: torch.Tensor, stream: Stream) -> None:
        """Fill the contiguous ``out`` (rows, *shape): drawn and scaled in float64, rounded once.

        Raises:
            SettingError: not one scale for each feature or channel.
        """
        import torch

        exact = torch.empty(out.shape, dtype=torch.float64, device=out.device)
        stream.normal(exact, self.standard_deviation)
        out.copy_(exact.mul_(self._of(tuple(out.shape[1:]), out.device)))

    def _of(self, shape: tuple[int, ...], device: torch.device) -> torch.Tensor:
        """Return the scales in a form that multiplies (rows, *shape)."""
        import torch

        scales = torch.tensor(self.scales, dtype=torch.float64, device=device)
        features = 1
        for size in shape:
            features *= size
        if len(scales) == 1 or len(scales) == features:
            return scales.reshape(shape) if len(scales) == features else scales
        if shape and len(scales) == shape[0]:
            return scales.reshape(-1, *(1,) * (len(shape) - 1))
        raise SettingError(
            f"scales must be one for each of {features} features or {shape[0] if shape else 0} channels, got "
            f"{len(scales)}"
        )

    def identity(self) -> dict[str, Any]:
        """Return what determines the noise; the scales as JSON has them."""
        return {**super().identity(), "scales": list(self.scales)}

    def __str__(self) -> str:
        """Return the distribution in a few words."""
        shown = ", ".join(f"{scale:g}" for scale in self.scales[:4]) + (
            ", ..." if len(self.scales) > 4 else ""
        )
        return f"Gaussian noise of standard deviation {self.standard_deviation:g} times scales ({shown})"
