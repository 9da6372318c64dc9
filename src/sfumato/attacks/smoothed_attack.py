"""How far from an image the smoothed classifier answers wrongly: gradient attacks, confirmed by votes.

A certificate bounds the distance to a wrong answer from below, an attack from above. An image counts as
broken only where votes confirm, at a stated confidence, that the smoothed classifier answers with a wrong
class: then no certificate can rightly reach as far.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from sfumato.attacks.view import differentiable, log_shares, require_surrogate
from sfumato.errors import DataError, SettingError, require_count, require_open_unit
from sfumato.frames import columns_of, data_frame
from sfumato.models.classifier import Classifier
from sfumato.noise import Noise, Span, Stream, Use
from sfumato.plans import ABSTAIN, Predict
from sfumato.settings import CONFIDENCE
from sfumato.smoothing.configuration import Network
from sfumato.smoothing.smoothed import Smoothed
from sfumato.smoothing.units import images_in_unit
from sfumato.training.methods.adversary import pgd
from sfumato.user_code import told_in_one_line

_HALVINGS = 8
_STARTS = 1
"""The part of the stream of noise that starting points come from."""
_TESTS = 2**20
"""More than an image is tested: the tests of an image have numbers of their own, which key their votes."""


@dataclass(frozen=True)
class AttackedImage:
    """What an attack found for one image.

    Attributes:
        idx, label: the image.
        prediction: the smoothed classifier's class at the image, -1 where votes do not tell it.
        distance: the smallest L2 distance found at which its answer is confirmed to be wrong, in the unit of
            the input; 0 where the image itself is answered wrongly, infinite where nothing was found.
    """

    idx: int
    label: int
    prediction: int
    distance: float


class AttackedImages(list[AttackedImage]):
    """What an attack found, an entry per image."""

    def to_frame(self) -> Any:
        """Return a pandas data frame with one row per image.

        Raises:
            MissingPackageError: pandas is not installed.
        """
        return data_frame(columns_of(self, ("idx", "label", "prediction", "distance")), index="idx")


@dataclass(frozen=True)
class Attack:
    """Projected gradient ascent on the smoothed loss, with expectation over the noise.

    For each radius in turn, ``restarts`` attacks of ``steps`` steps of length 2 radius / ``steps`` look for a
    wrong answer on the ball: the first from the image, the others from random points within it. Each step
    draws ``draws`` noisy copies anew. The first point that votes confirm is moved back towards the image
    as far as they still do. Distances are in L2 whatever the noise: no certificate in another norm can be
    compared with them.

    Attributes:
        radii: L2 distances to attack within, increasing, in the unit of the input.
        draws, steps, restarts: as said.
        surrogate: as ``SmoothedView`` has it.
        n_max: most votes for one confirmation.
        confidence: that every answer called wrong for an image is wrong, all its tests together.

    >>> Attack(radii=(0.5, 0.25))
    Traceback (most recent call last):
    sfumato.errors.SettingError: radii must be increasing and above 0, got 0.5, 0.25
    """

    radii: tuple[float, ...]
    draws: int = 32
    steps: int = 20
    restarts: int = 2
    surrogate: str = "softmax"
    n_max: int = 10_000
    confidence: float = CONFIDENCE

    def __post_init__(self) -> None:
        """Refuse settings that cannot be run."""
        if not self.radii or list(self.radii) != sorted({r for r in self.radii if 0 < r < math.inf}):
            given = ", ".join(f"{radius:g}" for radius in self.radii) or "none"
            raise SettingError(f"radii must be increasing and above 0, got {given}")
        require_surrogate(self.surrogate)
        for name in ("draws", "steps", "restarts", "n_max"):
            require_count(name, getattr(self, name))
        require_open_unit("confidence", self.confidence)

    @property
    def passes(self) -> int:
        """Forward and backward passes for an image that is never broken."""
        return len(self.radii) * self.restarts * self.steps * self.draws

    def run(
        self,
        model: Network | Classifier,
        x: torch.Tensor | np.ndarray,
        labels: Sequence[int],
        noise: Noise,
        *,
        examples: Sequence[int] | None = None,
        seed: int = 0,
        device: str = "auto",
        on_images: Callable[[int], None] = lambda images: None,
    ) -> AttackedImages:
        """Attack the images (images, *shape) with these true labels; ``examples`` are their numbers.

        The result is the same whatever images are attacked together. ``on_images`` is told how many of them
        are done with, as they are broken or given up.

        Raises:
            ModelError: a black box, or a module without gradients or with too few classes.
            DataError: not one label for each image, or an unknown one (-1): any answer would be wrong.
            SettingError: a noise whose certificates are about images on a pixel grid.
        """
        if noise.sound:
            raise SettingError(
                f"an attack moves images off the pixel grid, and {noise.name} noise takes no others; choose "
                "gaussian"
            )
        if len(labels) != len(x):
            raise DataError(f"{len(labels)} labels for {len(x)} images; give one for each")
        truth = np.asarray(labels)
        if truth.size and truth.min() < 0:
            raise DataError(f"an attack needs the class of each image, got label {truth.min()}")
        smoothed = Smoothed(model, noise=noise, seed=seed, device=device)
        network = differentiable(smoothed.classifier).to(smoothed.device)
        smoothed.check(x, int(truth.max(initial=0)) + 1)
        x = images_in_unit(x, noise.standard_deviation, tell=False)
        tests = 1 + len(self.radii) * self.restarts + _HALVINGS
        judge = _Judge(smoothed, self, 1.0 - (1.0 - self.confidence) / tests)
        keys = np.arange(len(x)) if examples is None else np.asarray(examples)
        images, y = x.to(smoothed.device), torch.as_tensor(truth).to(smoothed.device)
        seen = judge.predictions(images, keys, 0)
        wrong = (seen != ABSTAIN) & (seen != truth)
        distance = np.where(wrong, 0.0, np.inf)
        on_images(int(wrong.sum()))
        ascent = _Ascent(network, self, noise, seed)
        for number, (radius, restart) in enumerate((r, k) for r in self.radii for k in range(self.restarts)):
            rows = np.flatnonzero(np.isinf(distance))
            if not len(rows):
                break
            name = f"{smoothed.classifier.name}: the gradient of the attack failed"
            with told_in_one_line(name):
                found = ascent.found(images[rows], y[rows], keys[rows], radius, number, restart > 0)
            broken = judge.wrong(found, y[rows], keys[rows], 1 + number)
            if broken.any():
                hit = rows[broken]
                points = found[torch.from_numpy(broken)]
                distance[hit] = judge.closest(images[hit], points, y[hit], keys[hit], tests - _HALVINGS)
            on_images(int(broken.sum()))
        on_images(int(np.isinf(distance).sum()))
        return AttackedImages(
            AttackedImage(int(key), int(label), int(prediction), float(far))
            for key, label, prediction, far in zip(keys, labels, seen, distance, strict=True)
        )


class _Ascent:
    """Looks for points within a ball where the smoothed classifier errs."""

    def __init__(self, network: torch.nn.Module, attack: Attack, noise: Noise, seed: int) -> None:
        self._network, self._attack, self._noise, self._seed = network, attack, noise, seed

    def found(
        self,
        x: Float[torch.Tensor, "images *shape"],
        y: Int[torch.Tensor, " images"],
        keys: Int[np.ndarray, " images"],
        radius: float,
        number: int,
        random: bool,
    ) -> Float[torch.Tensor, "images *shape"]:
        attack, steps = self._attack, count(number * self._attack.steps)

        def losses(inputs: torch.Tensor) -> torch.Tensor:
            drawn = self._drawn(inputs, keys, attack.draws, next(steps))
            logs = log_shares(self._network, inputs, drawn.transpose(0, 1), attack.surrogate)
            return -logs.gather(1, y[:, None])[:, 0]

        start = x
        if random:
            stream = Stream(
                Use.ATTACK, self._seed, *(Span(int(key), number, 1) for key in keys), part=_STARTS
            )
            direction = torch.empty_like(x, memory_format=torch.contiguous_format)
            stream.normal(direction)
            length = direction.flatten(1).norm(dim=1).view(-1, *[1] * (x.dim() - 1))
            start = x + direction / length * radius / 2
        return pgd(
            losses, x, epsilon=radius, steps=attack.steps, step_size=2 * radius / attack.steps, start=start
        )

    def _drawn(
        self, x: torch.Tensor, keys: Int[np.ndarray, " images"], draws: int, step: int
    ) -> Float[torch.Tensor, "images draws *shape"]:
        """Return fresh noise for each image, keyed by its number and the step."""
        drawn = torch.empty((len(x) * draws, *x.shape[1:]), dtype=x.dtype, device=x.device)
        spans = (Span(int(key), step * draws, draws) for key in keys)
        self._noise.draw(drawn, Stream(Use.ATTACK, self._seed, *spans))
        return drawn.view(len(x), draws, *x.shape[1:])


class _Judge:
    """Lets votes decide what the smoothed classifier answers."""

    def __init__(self, smoothed: Smoothed, attack: Attack, confidence: float) -> None:
        self._smoothed, self._confidence = smoothed, confidence
        self._plan = Predict(n_max=attack.n_max)

    def predictions(
        self, x: Float[torch.Tensor, "images *shape"], keys: Int[np.ndarray, " images"], test: int
    ) -> Int[np.ndarray, " images"]:
        examples = (keys + 1) * _TESTS + test
        run = self._smoothed.run(x, self._plan, confidence=self._confidence, examples=examples.tolist())
        return np.array([decision.prediction for decision in run.decisions()])

    def wrong(
        self, x: torch.Tensor, y: torch.Tensor, keys: Int[np.ndarray, " images"], test: int
    ) -> Bool[np.ndarray, " images"]:
        seen = self.predictions(x, keys, test)
        return np.asarray((seen != ABSTAIN) & (seen != y.cpu().numpy()))

    def closest(
        self,
        x: torch.Tensor,
        points: torch.Tensor,
        y: torch.Tensor,
        keys: Int[np.ndarray, " images"],
        first_test: int,
    ) -> Float[np.ndarray, " images"]:
        """Return the smallest distance of each that is confirmed as wrong, on the way to its point."""
        low, high = np.zeros(len(x)), np.ones(len(x))
        for test in range(first_test, first_test + _HALVINGS):
            middle = (low + high) / 2
            share = torch.as_tensor(middle, dtype=x.dtype, device=x.device).view(-1, *[1] * (x.dim() - 1))
            wrong = self.wrong(torch.lerp(x, points, share), y, keys, test)
            low, high = np.where(wrong, low, middle), np.where(wrong, middle, high)
        lengths = (points - x).double().flatten(1).norm(dim=1).cpu().numpy()
        return np.asarray(high * lengths)


def attacked_accuracy(images: Sequence[AttackedImage], radius: float) -> float:
    """Return the share of images for which no wrong answer was confirmed within the radius.

    Robust accuracy within ``radius`` on these images is at most this, up to the error of the confirmations.

    Raises:
        DataError: no images.
    """
    if not images:
        raise DataError("there is no attacked image; attack at least one")
    return sum(image.distance > radius for image in images) / len(images)
