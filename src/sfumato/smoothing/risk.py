"""The risk Delta(alpha, beta) of Pal & Sulam 2023: how often the smoothed prediction is not the label."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int

from sfumato.datasets import Split
from sfumato.devices import choose_device
from sfumato.errors import require_count, require_nonnegative
from sfumato.smoothing.answers import require_classes
from sfumato.smoothing.base_classifier import BaseClassifier
from sfumato.smoothing.configuration import Configuration, Network, require_precision
from sfumato.smoothing.smoothed import DEFAULT_VOTES, Smoothed
from sfumato.statistics.binomial import two_sided_interval

_VOTES_PER_CALL = 50_000


@dataclass(frozen=True)
class Risk:
    """Share of examples whose smoothed prediction differs from the label.

    Attributes:
        beta: smoothing noise in the input's unit.
        errors, examples: counts.
        votes: noisy copies per example.
    """

    beta: float
    errors: int
    examples: int
    votes: int

    @property
    def value(self) -> float:
        """The estimate Delta."""
        return self.errors / self.examples

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Return the exact two-sided interval for the risk on the population of examples."""
        return two_sided_interval(self.errors, self.examples, confidence)


def measure_risk(
    model: Network,
    split: Split,
    beta: float,
    *,
    n: int = DEFAULT_VOTES,
    seed: int = 0,
    batch_size: int | None = None,
    device: str = "auto",
    precision: str = "float32",
    configuration: Configuration | None = None,
    classes: int | None = None,
    on_progress: Callable[[int], None] = lambda examples: None,
) -> Risk:
    """Return the risk of the majority of ``n`` votes at noise ``beta`` over all of ``split``.

    beta = 0 is the base classifier itself, one vote without noise. With the ``precision`` bf16 the
    bfloat16 network is what is measured. ``configuration`` is how votes are computed, as ``tuning`` measures
    it, in place of ``batch_size`` and ``precision``. ``classes`` is how many the data has, if more than the
    labels of ``split`` show. ``on_progress`` is called with the number of examples just finished.

    Raises:
        ModelError: a model that does not fit the images, or has fewer outputs than the data has classes.
    """
    require_nonnegative("beta", beta)
    require_count("n", n)
    classes = classes or int(split.y.max()) + 1
    predict = (
        _smoothed_predictor(
            Smoothed(
                model,
                beta,
                seed=seed,
                batch_size=batch_size,
                device=device,
                precision=precision,
                configuration=configuration,
            ),
            n,
            classes,
        )
        if beta > 0
        else _plain_predictor(
            BaseClassifier(
                model,
                choose_device(device),
                precision=configuration.precision if configuration else require_precision(precision),
            ),
            classes,
        )
    )
    errors = 0
    together = max(1, _VOTES_PER_CALL // n)
    for start in range(0, len(split), together):
        stop = min(start + together, len(split))
        predicted = predict(torch.from_numpy(split.x[start:stop]), range(start, stop))
        errors += int((predicted != split.y[start:stop]).sum())
        on_progress(stop - start)
    return Risk(beta, errors, len(split), n if beta > 0 else 1)


_Predictor = Callable[[torch.Tensor, range], Int[np.ndarray, " images"]]


def _smoothed_predictor(smoothed: Smoothed, n: int, classes: int) -> _Predictor:
    def predict(x: torch.Tensor, examples: range) -> Int[np.ndarray, " images"]:
        smoothed.check(x[:1], classes)
        return smoothed.predict(x, n, examples=examples)

    return predict


def _plain_predictor(base: BaseClassifier, classes: int) -> _Predictor:
    def predict(x: torch.Tensor, examples: range) -> Int[np.ndarray, " images"]:
        require_classes(base.prepare(x.to(base.device)), classes)
        found: np.ndarray = base.classes(x.to(base.device)).cpu().numpy()
        return found

    return predict
