"""Training a denoiser, to stand before a classifier that was never trained for noise (Salman et al. 2020)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import torch
from jaxtyping import Float, Int
from pydantic import Field, PrivateAttr
from torch import nn
from torch.nn import functional

from sfumato.datasets import Dataset, Split
from sfumato.devices import choose_device, device_name
from sfumato.errors import ModelError, OutputError, SettingError, SfumatoError
from sfumato.files import locked, require_writable
from sfumato.models.classifier import Classifier
from sfumato.models.denoiser import DenoiserRecord, ResidualDenoiser, save_denoiser
from sfumato.noise import Noise, Span, Stream, Use
from sfumato.settings import CheckedSettings, Count, Seed
from sfumato.training.course import MONITORED, Course, on_device, watched_batches
from sfumato.training.methods.base import Method
from sfumato.training.settings import TrainingSettings
from sfumato.training.state import state_path
from sfumato.user_code import told_in_one_line
from sfumato.version import __version__


class DenoiserSettings(CheckedSettings):
    """All settings that determine a denoiser, besides the data and the classifier.

    >>> DenoiserSettings(alpha=0.25, loss="stability", mse_epochs=5).depth
    6

    Raises:
        SettingError: a value outside its range.
    """

    alpha: float = Field(gt=0, description="noise to remove (standard deviation, input units)")
    loss: Literal["mse", "stability"] = Field(
        default="mse",
        description="mse: distance to the clean image; stability: cross-entropy of the classifier on the "
        "denoised image, with its class of the clean image as the target",
    )
    mse_epochs: int = Field(default=0, ge=0, description="with stability, first epochs that use mse")
    depth: int = Field(default=6, ge=2, le=100, description="convolutions of the denoiser")
    width: int = Field(default=32, ge=1, le=4096, description="channels of each convolution")
    epochs: Count | None = Field(
        default=None,
        description="passes over the training set (default: enough for 1,500 steps, at least 10)",
    )
    batch_size: Count = Field(default=128, description="images per step")
    learning_rate: float = Field(
        default=2e-3, gt=0, description="peak learning rate (one cycle)", json_schema_extra={"flag": "--lr"}
    )
    seed: Seed = Field(default=0, description="determines all randomness")

    def training(self, classifier: Classifier | None) -> TrainingSettings:
        """Return the settings of the training, with the loss as its method."""
        return TrainingSettings(
            alpha=self.alpha,
            method=MeanSquaredError() if classifier is None else Stability.of(classifier, self.mse_epochs),
            architecture=f"residual denoiser of {self.depth} convolutions and {self.width} channels",
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            seed=self.seed,
            precision="float32",
        )


class MeanSquaredError(Method):
    """The mean over all values of (D(x + noise) - x)^2 (Salman et al. 2020, eq. 3, there a sum)."""

    name: ClassVar[str] = "mse"

    def loss(
        self,
        model: nn.Module,
        x: Float[torch.Tensor, "batch *shape"],
        y: Int[torch.Tensor, " batch"],
        noise: Noise,
        stream: Stream,
    ) -> Float[torch.Tensor, ""]:
        """Return the loss of the batch; ``model`` is the denoiser."""
        return functional.mse_loss(model(noise.add(x, stream)), x)

    @property
    def passes(self) -> tuple[int, int]:
        """Forward and backward passes through the denoiser for each training image and step."""
        return 1, 1


class Stability(MeanSquaredError):
    """Cross-entropy of F(D(x + noise)) with the class that F gives to x (Salman et al. 2020, eq. 4).

    F is the classifier, which is frozen. Labels are not used.
    """

    name: ClassVar[str] = "stability"

    classifier: str
    mse_epochs: int
    _network: nn.Module = PrivateAttr()
    _first: bool = PrivateAttr(default=False)

    @staticmethod
    def of(classifier: Classifier, mse_epochs: int) -> Stability:
        """Return the loss for a copy of this classifier.

        Raises:
            ModelError: a black box.
        """
        if not isinstance(classifier.model, nn.Module):
            raise ModelError(
                f"{classifier.name}: the loss stability needs gradients, which a black box does not give; "
                "use the loss mse, or a network of your own that answers alike (a surrogate)"
            )
        method = Stability(classifier=classifier.checksum(), mse_epochs=mse_epochs)
        method._network = copy.deepcopy(classifier.model).eval().requires_grad_(False)
        return method

    def at_epoch(self, epoch: int) -> Self:
        """Return the loss of this epoch: the mean squared error at first."""
        method = self.model_copy()
        method._first = epoch < self.mse_epochs
        return method

    def loss(
        self,
        model: nn.Module,
        x: Float[torch.Tensor, "batch *shape"],
        y: Int[torch.Tensor, " batch"],
        noise: Noise,
        stream: Stream,
    ) -> Float[torch.Tensor, ""]:
        """Return the loss of the batch; ``model`` is the denoiser."""
        if self._first:
            return super().loss(model, x, y, noise, stream)
        network = self._network.to(x.device)
        with torch.no_grad():
            seen = network(x).argmax(1)
        return functional.cross_entropy(network(model(noise.add(x, stream))).float(), seen)


@dataclass(frozen=True)
class DenoiserReport:
    """The results of one epoch; ``mse`` is per value, on up to 1,000 test images."""

    epoch: int
    epochs: int
    loss: float
    mse: float


def train_denoiser(
    data: Dataset,
    settings: DenoiserSettings,
    output: Path | str,
    *,
    classifier: Callable[[torch.Tensor], torch.Tensor] | Classifier | None = None,
    device: str = "auto",
    on_epoch: Callable[[DenoiserReport], None] = lambda report: None,
    on_warning: Callable[[str], None] = lambda line: None,
) -> DenoiserRecord:
    """Train a denoiser for images with noise alpha, write it to ``output`` and return its record.

    The loss ``stability`` needs the classifier that the denoiser is for; ``mse`` needs none, so it serves a
    black box. Interrupted trainings continue, and batches are taken in parts where memory does not hold them,
    as of ``train``. The result goes in front of a classifier with ``denoised``.

    Raises:
        SettingError: a loss without the classifier that it needs, or with one that it does not use.
        ModelError: data that are no images, or a black box where gradients are needed.
        OutputError: as of ``train``.
        SfumatoError: the training diverged, or memory does not hold a single image.
    """
    if (settings.loss == "stability") != (classifier is not None):
        raise SettingError(
            "the loss stability needs the classifier that the denoiser is for; give one, or use mse"
            if classifier is None
            else "the loss mse uses no classifier; leave it out, or use the loss stability"
        )
    if settings.loss == "mse" and settings.mse_epochs:
        raise SettingError(f"mse_epochs is for the loss stability, got {settings.mse_epochs} with mse")
    if len(data.input_shape) != 3:
        raise ModelError(
            f"a denoiser is for images (channels, height, width), got input shape {data.input_shape}"
        )
    training = settings.training(None if classifier is None else Classifier.of(classifier))
    output = Path(output)
    require_writable(output)
    if output.exists():
        raise OutputError(f"{output}: exists already; choose another output or remove it")
    with locked(output), told_in_one_line("the denoiser, in training, failed", lost=SfumatoError):
        for found in _trained(data, settings, training, output, choose_device(device), on_warning):
            if isinstance(found, DenoiserRecord):
                return found
            on_epoch(found)
    raise AssertionError("a training ends with its record")


def _trained(
    data: Dataset,
    settings: DenoiserSettings,
    training: TrainingSettings,
    output: Path,
    device: torch.device,
    on_warning: Callable[[str], None],
) -> Iterator[DenoiserReport | DenoiserRecord]:
    training, data_sha, unfinished = training.settled(data, device), data.checksum(), state_path(output)
    with torch.random.fork_rng(devices=[]):  # not keyed noise: initial weights
        torch.manual_seed(settings.seed)
        model = ResidualDenoiser(data.input_shape[0], settings.depth, settings.width).to(device)
    x, y = on_device(device, data.train.x), torch.from_numpy(data.train.y).to(device)
    identity = training.identity(data_sha256=data_sha, device=device.type, warm_start=None)
    course = Course(model, x, y, training, identity, unfinished, on_warning)

    def error(limit: int) -> float:
        return _mean_squared_error(model, data.test, training, device, limit, course.progress.most)

    for epoch, loss in course:
        yield DenoiserReport(epoch, training.epochs_for(len(x)), loss, error(MONITORED))
    method: dict[str, Any] = training.method.identity()
    record = DenoiserRecord(
        input_shape=data.input_shape,
        depth=settings.depth,
        width=settings.width,
        training=settings.model_dump(mode="json")
        | {"epochs": training.epochs, "augmentation": training.augmentation}
        | {"classifier": method.get("classifier"), "images_per_part": course.progress.most},
        unit=data.unit,
        data=data.name,
        data_sha256=data_sha,
        mse=error(len(data.test)),
        train_seconds=round(course.progress.seconds, 3),
        device=device_name(device),
        sfumato_version=__version__,
        torch_version=str(torch.__version__),
    )
    saved = save_denoiser(model, record, output)
    unfinished.unlink(missing_ok=True)
    yield saved


@torch.inference_mode()
def _mean_squared_error(
    model: nn.Module,
    split: Split,
    training: TrainingSettings,
    device: torch.device,
    limit: int,
    most: int | None,
) -> float:
    model.eval()
    noise, stream = training.distribution(), Stream(Use.EVALUATION, training.seed, Span(0))
    total, count = 0.0, min(limit, len(split))
    for x, _ in watched_batches(split, device, limit, most):
        total += float((model(noise.add(x, stream)) - x).double().square().flatten(1).mean(1).sum())
    return total / count
