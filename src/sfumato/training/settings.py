"""All settings that determine a training, besides its data.

The options of ``sfumato train``, the ``[model]`` table of a study, the keys of its models and the record
of a checkpoint are made from these fields and those of the method.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, JsonValue, SerializeAsAny, field_validator

from sfumato.errors import SettingError
from sfumato.settings import CheckedSettings, Count, Numbers, Seed
from sfumato.training.methods.base import Method
from sfumato.training.methods.gaussian import GaussianAugmentation
from sfumato.training.methods.registry import method_class

if TYPE_CHECKING:
    import torch

    from sfumato.datasets import Dataset
    from sfumato.noise import Noise

AlphaSchedule = Literal["constant", "ramp", "uniform"]

_FEWEST_STEPS = 1500
_PER_CHANNEL: dict[str, JsonValue] = {"give": "a number for each channel, e.g. 0.5,0.5,0.5"}


class TrainingSettings(CheckedSettings):
    """All settings that determine the weights, besides the data.

    >>> TrainingSettings(alpha=0.3, method=GaussianAugmentation(draws=2)).values()["draws"]
    2

    Raises:
        SettingError: a value outside its range.
    """

    alpha: float = Field(ge=0, description="training noise (standard deviation, input units); 0 is no noise")
    noise: str = Field(default="gaussian", description="distribution of the training noise")
    alpha_schedule: AlphaSchedule = Field(
        default="constant",
        description="constant: alpha itself; ramp: alpha rises over the first half of the epochs; uniform: "
        "a level up to alpha for each image",
    )
    alpha_start: float = Field(
        default=0.0, ge=0, le=1, description="where a ramp begins, or the lowest level, as a share of alpha"
    )
    method: SerializeAsAny[Method] = Field(default=GaussianAugmentation(), description="training method")
    architecture: str = Field(
        default="mlp",
        description="mlp, cnn, lenet, fastcnn, fastcnn-group, resnet20, resnet20-group, resnet110, "
        "resnet110-group, timm:NAME, torchvision:NAME, or package.module:factory",
        json_schema_extra={"flag": "--model"},
    )
    epochs: Count | None = Field(
        default=None,
        description="passes over the training set (default: enough for 1,500 steps, at least 10)",
    )
    batch_size: Count = Field(default=128, description="images per step")
    learning_rate: float = Field(
        default=2e-3, gt=0, description="peak learning rate (one cycle)", json_schema_extra={"flag": "--lr"}
    )
    weight_decay: float = Field(default=1e-2, ge=0, description="weight decay of AdamW")
    seed: Seed = Field(default=0, description="determines all randomness")
    precision: Literal["auto", "float32", "bf16"] = Field(
        default="auto",
        description="float32, bf16 to train with bfloat16 autocast, or auto: bf16 for Sfumato's "
        "convolutional networks where it is measured to be faster",
    )
    mean: Numbers | None = Field(
        default=None,
        description="mean of each channel, subtracted from inputs (default: training set's)",
        json_schema_extra=_PER_CHANNEL,
    )
    std: Numbers | None = Field(
        default=None,
        description="deviation of each channel, divides inputs (default: training set's)",
        json_schema_extra=_PER_CHANNEL,
    )
    augmentation: Literal["crop-flip", "none"] | None = Field(
        default=None,
        description="crop-flip, to crop and mirror images at random, or none (default: crop-flip for cifar10 "
        "and image folders)",
    )
    warm_start: Path | None = Field(
        default=None,
        description="weights that training starts from: a checkpoint of train, or the state dict of a "
        "PyTorch network (torch.save or safetensors)",
        json_schema_extra={"flag": "--from"},
    )
    freeze: str | None = Field(
        default=None,
        description="parameters that keep their first values, by patterns such as 'conv1.*,bn1.*'; "
        "frozen batch norms keep their statistics",
    )

    @classmethod
    def flat(cls, values: Mapping[str, Any], *, where: str = "") -> Self:
        """Return the settings with these values, the method by its name and its fields beside the others.

        >>> TrainingSettings.flat({"alpha": 0.3, "method": "gaussian", "draws": 2}).method
        GaussianAugmentation(draws=2)

        Raises:
            SettingError: a name or a value that is not accepted.
        """
        method = method_class(values.get("method", GaussianAugmentation.name))
        own = {name: value for name, value in values.items() if name in method.model_fields}
        rest = {name: value for name, value in values.items() if name not in own and name != "method"}
        return cls.read({**rest, "method": method.read(own, where=where)}, where=where)

    @field_validator("noise")
    @classmethod
    def _known(cls, noise: str) -> str:
        from sfumato.noise import make_noise

        make_noise(noise, 1.0)
        return noise

    def distribution(self) -> Noise:
        """Return the training noise at its full level."""
        from sfumato.noise import make_noise

        return make_noise(self.noise, self.alpha)

    def noise_in(self, epoch: int, epochs: int) -> Noise:
        """Return the training noise of one of the epochs, counted from 0."""
        from sfumato.training.alpha_schedule import scheduled

        return scheduled(self.distribution(), self.alpha_schedule, self.alpha_start, epoch, epochs)

    def values(self) -> dict[str, Any]:
        """Return every setting as JSON has it, flat; ``flat`` reads it back."""
        shared = self.model_dump(mode="json", exclude={"method", "warm_start"})
        return {**shared, "method": self.method.name, **self.method.model_dump(mode="json")}

    def settled(self, data: Dataset, device: torch.device) -> Self:
        """Return the settings with epochs, augmentation and precision decided for the data and the device.

        Raises:
            SettingError: an augmentation of images where the data are none.
            DataError: no training images.
        """
        data.require_training("training")
        augmentation = self.augmentation or data.augmentation
        if augmentation != "none" and len(data.input_shape) != 3:
            raise SettingError(
                f"augmentation {augmentation} needs images (channels, height, width), got input shape "
                f"{data.input_shape}"
            )
        precision = self.precision
        if precision == "auto":
            from sfumato.devices import pays_in_bf16
            from sfumato.models.registry import convolves

            precision = "bf16" if convolves(self.architecture) and pays_in_bf16(device) else "float32"
        epochs = self.epochs_for(len(data.train))
        return self.replace(epochs=epochs, augmentation=augmentation, precision=precision)

    def identity(self, *, data_sha256: str, device: str, warm_start: str | None) -> dict[str, Any]:
        """Return all that determines the weights, of settled settings.

        Args:
            data_sha256: checksum of the data.
            device: its type; CPUs and CUDA devices draw other noise from the same key.
            warm_start: what names the weights that it starts from; the path does not matter.
        """
        from sfumato.noise import NOISE_VERSION

        return {
            **named(self.values()),
            **self.method.identity(),
            "data_sha256": data_sha256,
            "device": device,
            "warm_start": warm_start,
            "noise_version": NOISE_VERSION,
        }

    def epochs_for(self, examples: int) -> int:
        """Return the number of epochs over ``examples`` training examples."""
        if self.epochs is not None:
            return self.epochs
        return max(10, math.ceil(_FEWEST_STEPS / math.ceil(examples / self.batch_size)))


def named(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values as names are made of them.

    A name from before there was a choice of augmentation, of a schedule or of frozen parameters says nothing
    of it, and stays.
    """
    left_out = {"augmentation"} if values.get("augmentation") == "none" else set()
    if values.get("freeze") is None:
        left_out |= {"freeze"}
    if values.get("alpha_schedule") == "constant":
        left_out |= {"alpha_schedule", "alpha_start"}
    return {name: value for name, value in values.items() if name not in left_out}
