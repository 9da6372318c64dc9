"""The course of a training: epoch after epoch, seeded, saved after each.

Every epoch draws its order and its noise from streams keyed by (seed, epoch), so that a training
that was killed and started again ends with the same weights as one that was not.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sfumato.datasets import Split
from sfumato.datasets.on_demand import Examples, OnDemand
from sfumato.errors import SfumatoError
from sfumato.noise import Span, Stream, Use
from sfumato.training.augmentation import batches_of
from sfumato.training.gradients import Gradients
from sfumato.training.layout import lay_out, lay_out_moments
from sfumato.training.settings import TrainingSettings
from sfumato.training.start import training_mode
from sfumato.training.state import Progress, restore_state, save_state

MONITORED = 1000
"""Test images that are looked at after each epoch."""

_BATCH = 500
_VALUES = 2**22  # fewer large images at once: a network needs many times their memory
_CHECKED = 20  # steps between two looks at the losses: each waits for the device


class Diverged(SfumatoError):
    """The loss or the weights are no longer finite (a failure)."""


class Course:
    """A training from its last saved epoch on; iterating over it trains, and yields (epochs done, mean loss).

    AdamW with a one-cycle learning rate.

    Args:
        model: on its device, its frozen parameters without gradients.
        x: training examples (examples, *shape), on the device or read on demand.
        y: their classes, on the device.
        settings: settled.
        identity: all that determines the weights; a saved state of another identity is refused.
        unfinished: where the state is saved after every epoch.
        on_warning: is told of a damaged state, and of batches that memory does not hold.

    Attributes:
        progress: epochs done, seconds spent, and the size of the parts that batches are taken in.

    Raises:
        OutputError: the saved state cannot be continued.
        Diverged: loss or weights are no longer finite; the state of the last epoch before stays.
    """

    def __init__(
        self,
        model: nn.Module,
        x: torch.Tensor | OnDemand,
        y: torch.Tensor,
        settings: TrainingSettings,
        identity: dict[str, Any],
        unfinished: Path,
        on_warning: Callable[[str], None],
    ) -> None:
        self._model, self._x, self._y, self._settings = model, x, y, settings
        self._identity, self._unfinished = identity, unfinished
        lay_out(model, torch.as_tensor(x[:2]).to(y.device))
        self._optimizer = torch.optim.AdamW(
            [parameter for parameter in model.parameters() if parameter.requires_grad],
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
            fused=True,
        )
        self.progress = restore_state(unfinished, model, self._optimizer, identity, on_warning)
        self._gradients = Gradients(self.progress.most, on_warning)
        lay_out_moments(self._optimizer)

    def __iter__(self) -> Iterator[tuple[int, float]]:
        """Train the epochs that are left, and save the state after each."""
        epochs = self._settings.epochs_for(len(self._x))
        for epoch in range(self.progress.epochs_done, epochs):
            started = time.perf_counter()
            try:
                loss = train_epoch(
                    self._model,
                    self._optimizer,
                    self._x,
                    self._y,
                    self._settings,
                    epoch,
                    epochs,
                    self._gradients,
                )
            except Diverged as error:
                raise Diverged(f"{error}{self._kept(epoch)}") from error
            seconds = self.progress.seconds + time.perf_counter() - started
            self.progress = Progress(epoch + 1, seconds, self._gradients.most)
            save_state(self._unfinished, self._model, self._optimizer, self._identity, self.progress)
            yield epoch + 1, loss

    def _kept(self, epoch: int) -> str:
        return f"; {self._unfinished} keeps the state after epoch {epoch}, to start from" if epoch else ""


def on_device(device: torch.device, x: Examples) -> torch.Tensor | OnDemand:
    """Return the examples on the device; those that are read on demand go there batch by batch."""
    return x if isinstance(x, OnDemand) else torch.from_numpy(x).to(device)


def watched_batches(
    split: Split, device: torch.device, limit: int, most: int | None
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield images and labels of the first ``limit`` test images, to watch a training by.

    ``most`` is how many images the training takes at once, where memory does not hold its batches.
    """
    count = min(limit, len(split))
    size = min(_BATCH, most or _BATCH, max(1, _VALUES // math.prod(split.x.shape[1:])))
    for start in range(0, count, size):
        part = slice(start, min(start + size, count))
        yield torch.from_numpy(split.x[part]).to(device), torch.from_numpy(split.y[part]).to(device)


def train_epoch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    x: torch.Tensor | OnDemand,
    y: torch.Tensor,
    settings: TrainingSettings,
    epoch: int,
    epochs: int,
    gradients: Gradients,
) -> float:
    """Run one epoch, counted from 0, and return its mean loss.

    Raises:
        Diverged: the loss of a step or a weight is not finite.
        SfumatoError: memory does not hold a single image.
    """
    training_mode(model, settings.freeze)
    order = Stream(Use.SHUFFLING, settings.seed, Span(epoch)).permutation(len(x))
    noise, method = settings.noise_in(epoch, epochs), settings.method.at_epoch(epoch)
    stream = Stream(Use.TRAINING_NOISE, settings.seed, Span(epoch))
    batches = torch.split(order, settings.batch_size)
    steps = epochs * len(batches)
    seen = batches_of(x, batches, y.device, settings.augmentation or "none", settings.seed, epoch)
    losses = torch.zeros(len(batches), device=y.device)
    for index, (rows, images) in enumerate(seen):
        step = epoch * len(batches) + index
        for group in optimizer.param_groups:
            group["lr"] = _one_cycle(settings.learning_rate, step, steps)

        def loss_of(
            part: torch.Tensor,
            noises: Stream,
            images: torch.Tensor = images,
            labels: torch.Tensor = y[rows],
        ) -> torch.Tensor:
            with torch.autocast(y.device.type, dtype=torch.bfloat16, enabled=settings.precision == "bf16"):
                return method.loss(model, images[part], labels[part], noise, noises)

        places = torch.arange(len(rows), device=y.device)
        losses[index], stream = gradients.take(model, places, loss_of, stream)
        optimizer.step()
        if index % _CHECKED == _CHECKED - 1 or index == len(batches) - 1:
            _require_finite(losses, steps, epoch, settings)
    # a loss says nothing of the step after it
    if not all(bool(value.isfinite().all()) for value in model.parameters()):
        raise _diverged(
            "weights are no longer finite", (epoch + 1) * len(batches) - 1, steps, epoch, settings
        )
    return float(losses.double().mean())


def _require_finite(losses: torch.Tensor, steps: int, epoch: int, settings: TrainingSettings) -> None:
    bad = (~losses.isfinite()).nonzero()
    if len(bad):
        first = int(bad[0])
        step = epoch * len(losses) + first
        raise _diverged(f"loss is {float(losses[first])}", step, steps, epoch, settings)


def _diverged(what: str, step: int, steps: int, epoch: int, settings: TrainingSettings) -> Diverged:
    """Return the error; ``step`` and ``epoch`` are counted from 0."""
    peak = settings.learning_rate
    precise = ", or precision float32 in place of bf16" if settings.precision == "bf16" else ""
    return Diverged(
        f"the training of {settings.architecture} with alpha {settings.alpha:g} diverged: its {what} at step "
        f"{step + 1} of {steps} (epoch {epoch + 1}), where the learning rate is "
        f"{_one_cycle(peak, step, steps):.3g}; try a peak learning rate (--lr) below {peak:g}{precise}"
    )


def _one_cycle(peak: float, step: int, steps: int) -> float:
    """Return the learning rate of a step: linear rise over the first 30 %, then cosine to zero.

    A function of the step alone, so that a resumed training needs no schedule state.
    """
    position = (step + 1) / steps
    rise = 0.3
    if position < rise:
        return peak * (0.04 + 0.96 * position / rise)
    return peak * 0.5 * (1 + math.cos(math.pi * (position - rise) / (1 - rise)))
