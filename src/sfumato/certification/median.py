"""Certified regression: bounds of a model's real outputs wherever the input is moved to, by median smoothing.

Source: Chiang et al. 2020, Detection as Regression: Certified Object Detection with Median Smoothing. The
smoothed model returns the median of each output under the noise. A move within the radius changes the
probability of the event "output <= y" to at most w(p), which the noise says (``Noise.worst_failure``). So the
median there lies between the quantiles of 1 - w(1/2) and w(1/2) here; for Gaussian noise these are
Phi(-radius / beta) and Phi(radius / beta). Order statistics of the drawn outputs bound the two quantiles,
exactly and whatever the distribution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from sfumato.devices import choose_device
from sfumato.errors import (
    DataError,
    ModelError,
    require_count,
    require_nonnegative,
    require_open_unit,
)
from sfumato.frames import data_frame
from sfumato.noise import Noise, Span, Stream, Use
from sfumato.settings import CONFIDENCE
from sfumato.smoothing.configuration import Network
from sfumato.smoothing.full_precision import full_precision
from sfumato.smoothing.private_copy import private_copy
from sfumato.smoothing.smoothed import given_noise
from sfumato.smoothing.units import images_in_unit
from sfumato.statistics.order_ranks import lower_rank, upper_rank
from sfumato.user_code import told_in_one_line

DRAWS = 10_000


@dataclass(frozen=True)
class MedianBounds:
    """The bounds of each output of each input.

    With probability at least ``confidence`` over the noise, for each input and output by itself, the median
    of the output under the noise lies in [``lower``, ``upper``] at every point within ``radius`` of the
    input. ``median`` is that of the draws: an estimate, which carries no guarantee.

    Attributes:
        median, lower, upper: (inputs, outputs); the bounds are infinite where too few draws were made.
        radius: in the noise's norm, in the input's unit.
    """

    median: Float[np.ndarray, "inputs outputs"]
    lower: Float[np.ndarray, "inputs outputs"]
    upper: Float[np.ndarray, "inputs outputs"]
    radius: float
    confidence: float
    draws: int

    def to_frame(self) -> Any:
        """Return a pandas data frame with one row per input and output: median, lower, upper.

        Raises:
            MissingPackageError: pandas is not installed.
        """
        places = np.indices(self.median.shape).reshape(2, -1)
        values = {name: getattr(self, name).ravel() for name in ("median", "lower", "upper")}
        return data_frame(
            {"input": places[0], "output": places[1], **values, "radius": self.radius},
            index=("input", "output"),
        )


class MedianSmoothed:
    """A model with real outputs, smoothed by the median under noise.

    Args:
        model: from (batch, *shape) to (batch,) or (batch, outputs). A module is copied and put into
            evaluation mode; a callable is called as it is.
        beta: standard deviation of Gaussian noise, in the input's unit.
        noise: in place of beta, any noise that says how much probabilities change within a radius.
        seed: determines the noise, together with the number of the input.
        batch_size: noisy copies for each forward pass; changes rounding only.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    >>> double = MedianSmoothed(lambda x: 2.0 * x[:, 0], beta=0.5, device="cpu")
    >>> found = double.certify(torch.tensor([[1.0]]), radius=0.25, n=20_000)
    >>> bool(found.lower[0, 0] <= 1.5 <= 2.5 <= found.upper[0, 0]), bool(found.upper[0, 0] < 2.6)
    (True, True)

    Raises:
        SettingError: neither or both of beta and noise, or values out of range.
    """

    def __init__(
        self,
        model: Network,
        beta: float | None = None,
        *,
        noise: Noise | None = None,
        seed: int = 0,
        batch_size: int = 256,
        device: str = "auto",
    ) -> None:
        self.noise = given_noise(beta, noise)
        self.seed = require_count("seed", seed, minimum=0)
        self._batch_size = require_count("batch_size", batch_size)
        self.device = choose_device(device)
        self._model = private_copy(model, self.device)[0] if isinstance(model, nn.Module) else model

    def certify(
        self,
        x: torch.Tensor | np.ndarray,
        radius: float,
        *,
        n: int = DRAWS,
        confidence: float = CONFIDENCE,
        examples: Sequence[int] | None = None,
    ) -> MedianBounds:
        """Return the bounds of ``MedianBounds`` for each input, from ``n`` noisy copies of it.

        ``examples`` are the inputs' numbers, by which their noise is keyed (0, 1, ... if not given: the
        result is a function of the arguments). An output that is not a number counts against both bounds.

        Raises:
            SettingError: a radius below 0, no draws, a confidence outside (0, 1), a noise that does not say
                how much probabilities change.
            DataError: inputs that are not finite numbers, or not one number for each.
            ModelError: outputs of another form.
        """
        require_nonnegative("radius", radius)
        require_count("n", n)
        level = (1.0 - require_open_unit("confidence", confidence)) / 2.0
        beta, largest = self.noise.standard_deviation, self.noise.largest_deviation
        inputs = images_in_unit(x, beta, largest=largest).to(self.device)
        self.noise.check(inputs)
        keys = range(len(inputs)) if examples is None else examples
        if len(keys) != len(inputs):
            raise DataError(f"{len(keys)} example indices for {len(inputs)} inputs; give one for each")
        rise = float(self.noise.worst_failure(np.array(0.5), radius))
        ranks = lower_rank(n, 1.0 - rise, level), upper_rank(n, rise, level)
        rows = [_bounds(self._draws(one, int(key), n), *ranks) for one, key in zip(inputs, keys, strict=True)]
        median, lower, upper = np.array(rows).reshape(len(rows), 3, -1).transpose(1, 0, 2)
        return MedianBounds(median, lower, upper, radius, confidence, n)

    def _draws(self, x: torch.Tensor, key: int, n: int) -> Float[np.ndarray, "draws outputs"]:
        """Return the model's outputs for ``n`` noisy copies of one input."""
        stream, parts = Stream(Use.VOTES, self.seed, Span(key)), []
        with torch.inference_mode(), full_precision(self.device), told_in_one_line("the model failed"):
            for begin in range(0, n, self._batch_size):
                size = min(self._batch_size, n - begin)
                answer = self._model(self.noise.add(x.expand(size, *x.shape).contiguous(), stream))
                outputs = torch.as_tensor(answer)
                if outputs.dim() not in (1, 2) or len(outputs) != size or outputs.is_complex():
                    raise ModelError(
                        f"the model must return (batch,) or (batch, outputs) real numbers, got "
                        f"{tuple(outputs.shape)} for a batch of {size}"
                    )
                parts.append(outputs.reshape(size, -1).double().cpu().numpy())
        return np.concatenate(parts)


def _bounds(
    draws: Float[np.ndarray, "draws outputs"], low: int, high: int
) -> tuple[Float[np.ndarray, " outputs"], ...]:
    """Return median, lower and upper bound of each output; NaN counts as whatever is worse."""
    n = len(draws)
    lowest = np.sort(np.where(np.isnan(draws), -np.inf, draws), axis=0)
    highest = np.sort(np.where(np.isnan(draws), np.inf, draws), axis=0)
    nowhere = np.full(draws.shape[1], np.inf)
    lower = lowest[low - 1] if low else -nowhere
    upper = highest[high - 1] if high <= n else nowhere
    with np.errstate(invalid="ignore"):  # not a number where half of the draws are none
        return (lowest[(n - 1) // 2] + highest[n // 2]) / 2.0, lower, upper
