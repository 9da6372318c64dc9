"""The smoothed classifier: predict and certify by votes of a base classifier under Gaussian noise.

Source: Cohen, Rosenfeld & Kolter 2019. g(x) is the class that the base classifier returns most often
for x + N(0, beta^2 I). Noise is added to what the caller calls the input; anything after it,
normalisation included, is part of the base classifier.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Int

from sfumato.devices import choose_device
from sfumato.errors import DataError, require_count, require_open_unit, require_positive
from sfumato.noise import Gaussian
from sfumato.smoothing.answers import require_classes
from sfumato.smoothing.base_classifier import BaseClassifier
from sfumato.smoothing.configuration import (
    Classifier,
    Configuration,
    require_precision,
    usual_configuration,
)
from sfumato.smoothing.units import images_in_unit
from sfumato.smoothing.voting import Profile, VoteCounter
from sfumato.statistics.binomial import sign_test_p_value
from sfumato.statistics.plans import ABSTAIN, Decision, Fixed, Plan

DEFAULT_CONFIDENCE = 0.999
DEFAULT_VOTES = 100


class SmoothedClassifier:
    """A base classifier smoothed by N(0, beta^2 I).

    Args:
        model: from a batch (batch, *shape) to logits (batch, classes); a module is put in eval mode.
        beta: smoothing noise, standard deviation in the input's unit.
        seed: with the example's index it determines all noise.
        batch_size: noisy copies per forward pass, chosen by the model's kind if not given; has no
            influence on any result.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        precision: ``float32`` or ``bf16``; in bf16 the bfloat16 network is what is smoothed and certified.
        configuration: how votes are computed, as ``tuning`` measures it; in place of the two before it.

    >>> model = torch.nn.Linear(2, 2, bias=False)
    >>> _ = model.weight.data.copy_(torch.tensor([[0.0, 0.0], [1.0, 0.0]]))
    >>> smoothed = SmoothedClassifier(model, beta=0.5, device="cpu")
    >>> smoothed.predict(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), n=100)
    array([1, 0])
    >>> smoothed.certify(torch.tensor([[1.0, 0.0]]), plan=Fixed(n0=100, n=1000))[0].prediction
    1
    """

    def __init__(
        self,
        model: Classifier,
        beta: float,
        *,
        seed: int = 0,
        batch_size: int | None = None,
        device: str = "auto",
        precision: str = "float32",
        configuration: Configuration | None = None,
    ) -> None:
        self.beta = require_positive("beta", beta)
        self.seed = require_count("seed", seed, minimum=0)
        self.device = choose_device(device)
        if configuration is None:
            if batch_size is not None:
                require_count("batch_size", batch_size)
            configuration = usual_configuration(
                model, self.device, batch_size=batch_size, precision=require_precision(precision)
            )
        self.configuration = configuration
        self._base = BaseClassifier(
            model,
            self.device,
            precision=configuration.precision,
            channels_last=configuration.channels_last,
            compiled_batch=configuration.batch_size if configuration.compiled else 0,
        )
        self._counter: VoteCounter | None = None
        self._shape: tuple[int, ...] | None = None
        self._num_classes = 0

    def __repr__(self) -> str:
        return (
            f"SmoothedClassifier(beta={self.beta}, seed={self.seed}, device={str(self.device)!r}, "
            f"configuration={self.configuration})"
        )

    def check(self, x: torch.Tensor | np.ndarray, classes: int = 2) -> None:
        """Refuse images or a model that cannot be smoothed, before any vote is counted.

        ``classes`` is how many the data has.

        Raises:
            DataError: images that are not finite numbers or of another shape than before.
            ModelError: a model that does not fit the images, or has fewer outputs than the data has classes.
        """
        self._prepare(x, None)
        require_classes(self._num_classes, classes)

    def votes(
        self,
        x: torch.Tensor | np.ndarray,
        n: int,
        *,
        examples: Sequence[int] | None = None,
        first: int = 0,
    ) -> Int[np.ndarray, "images classes"]:
        """Return how often each class was voted for among ``n`` noisy copies of each image.

        ``x`` is (images, *shape) in the input's unit; ``examples`` are the images' indices in their
        data set, by which their noise is keyed (0, 1, ... if not given); ``first`` is the number of
        votes to pass over. A row sums to less than ``n`` where the model returned NaN under noise.

        Raises:
            SettingError: n below 1.
            DataError: images that are not finite numbers or of another shape than before.
            ModelError: a model that does not fit the images.
        """
        require_count("n", n)
        require_count("first", first, minimum=0)
        images, keys = self._prepare(x, examples)
        each = np.full(len(images), n, dtype=np.int64)
        return self._count(images, keys, np.full(len(images), first, dtype=np.int64), each)

    def predict(
        self,
        x: torch.Tensor | np.ndarray,
        n: int = DEFAULT_VOTES,
        *,
        confidence: float | None = None,
        examples: Sequence[int] | None = None,
    ) -> Int[np.ndarray, " images"]:
        """Return the majority class of ``n`` votes for each image.

        Without ``confidence`` it is the plain majority (Pal & Sulam 2023), the smaller index in a tie.
        With it, the majority is returned only if the two-sided binomial test of the two top classes
        rejects a tie at level 1 - confidence, else -1 (abstain): with probability at least
        ``confidence`` over the noise the result is either -1 or the smoothed classifier's class
        (Hung & Fithian 2019; Cohen et al. 2019, PREDICT).
        """
        if confidence is not None:
            require_open_unit("confidence", confidence)
        counts = self.votes(x, n, examples=examples)
        if confidence is None:
            # an image whose every vote was NaN has no majority
            return np.where(counts.any(axis=1), counts.argmax(axis=1), ABSTAIN)
        return np.array([verified_majority(row, confidence) for row in counts])

    def certify(
        self,
        x: torch.Tensor | np.ndarray,
        plan: Plan | None = None,
        *,
        confidence: float = DEFAULT_CONFIDENCE,
        examples: Sequence[int] | None = None,
        labels: Int[np.ndarray, " images"] | None = None,
    ) -> list[Decision]:
        """Return a certificate for each image, under ``plan`` (``Fixed()``: n0 = 100, n = 100,000).

        With probability at least ``confidence`` over the noise, for each image that is not abstained
        on, the smoothed classifier returns the predicted class everywhere within the radius. The
        statement holds per image, not for all images together.
        """
        require_open_unit("confidence", confidence)
        images, keys = self._prepare(x, examples)
        run = (plan or Fixed()).start(
            len(images), self._num_classes, beta=self.beta, confidence=confidence, labels=labels
        )
        spent = np.zeros(len(images), dtype=np.int64)
        while (wanted := run.demand()).any():
            run.update(self._count(images, keys, spent, wanted))
            spent += wanted
        return run.decisions()

    @property
    def profile(self) -> Profile:
        """Where the time of all votes so far went."""
        return self._counter.profile if self._counter else Profile()

    def _count(
        self,
        images: torch.Tensor,
        keys: Int[np.ndarray, " images"],
        first: Int[np.ndarray, " images"],
        wanted: Int[np.ndarray, " images"],
    ) -> Int[np.ndarray, "images classes"]:
        if self._counter is None:
            self._counter = VoteCounter(
                self._base, Gaussian(self.beta), self._num_classes, self.configuration, seed=self.seed
            )
        return self._counter.count(images, keys, first, wanted)

    def _prepare(
        self, x: torch.Tensor | np.ndarray, examples: Sequence[int] | None
    ) -> tuple[torch.Tensor, Int[np.ndarray, " images"]]:
        """Return the images on the device and the keys of their noise, checked."""
        images = images_in_unit(x, self.beta, tell=self._shape is None).to(self.device)
        shape = tuple(images.shape[1:])
        if self._shape not in (None, shape):
            raise DataError(f"images have shape {shape}, but the first ones had {self._shape}")
        classes = self._base.prepare(images, self.beta, self.configuration.batch_size)
        if classes != self._num_classes:
            self._num_classes, self._counter = classes, None
        self._shape = shape
        keys = np.arange(len(images)) if examples is None else np.asarray(examples, dtype=np.int64)
        if len(keys) != len(images):
            raise DataError(f"{len(keys)} example indices for {len(images)} images; give one for each")
        return images, keys


def verified_majority(counts: Int[np.ndarray, " classes"], confidence: float) -> int:
    """Return the top class of the counts, or -1 where it is not certainly ahead of the second.

    >>> verified_majority(np.array([60, 40]), 0.999), verified_majority(np.array([90, 10]), 0.999)
    (-1, 0)
    """
    second, first = np.argsort(counts, kind="stable")[-2:]
    winner = int(np.argmax(counts))
    p_value = sign_test_p_value(int(counts[first]), int(counts[second]))
    return winner if p_value <= 1.0 - confidence else ABSTAIN
