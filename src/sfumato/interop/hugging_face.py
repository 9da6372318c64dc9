"""Image classifiers of Hugging Face's ``transformers``, with the mean and std of their image processor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from sfumato.errors import ModelError
from sfumato.interop.answers import Followed
from sfumato.models.checkpoint import weights_checksum
from sfumato.models.classifier import Classifier
from sfumato.models.normalize import Normalize
from sfumato.models.outputs import understood

_PIXELS = 255.0
_UNIT = "pixels in [0, 1]"  # as data sets name it
_UNNAMED = "LABEL_"  # how a configuration numbers classes that nobody has named
_BEFORE_THE_NOISE = frozenset({"do_resize", "do_center_crop", "do_pad", "do_convert_rgb"})
"""Steps that make the image that is smoothed, so that they are the user's."""
_TAKEN_OVER = frozenset({"do_rescale", "do_normalize", "do_flip_channel_order"})


def from_hugging_face(model: nn.Module, processor: Any) -> Classifier:
    """Return an image classifier of ``transformers`` for pixels in [0, 1], behind its processor's values.

    The processor's scale, mean and std, and its order of channels, become the first layers, behind the noise.
    It does nothing else here: images must have the size that the model takes, resized before the noise. The
    checksum of the weights, mean and std included, identifies it. The names in ``config.id2label`` are
    those of its classes: a warning says where data have others, or another order.

    Args:
        model: as ``AutoModelForImageClassification`` loads it: from a batch to an answer with ``logits``.
        processor: its image processor, or a dictionary of the processor's settings; None if the model takes
            pixels in [0, 1] as they are.

    Raises:
        ModelError: not a module, a processor with a step of another kind, or without the settings that it
            says it uses.
    """
    if not isinstance(model, nn.Module):
        raise ModelError(
            f"model must be an image classifier of transformers, a module, got {type(model).__name__}"
        )
    settings = _settings_of(processor)
    mean, std = ([0.0], [1.0]) if settings is None else _mean_and_std(settings)
    front: list[nn.Module] = [Normalize(mean, std)]
    if settings is not None and settings.get("do_flip_channel_order"):
        front.append(_Reversed())
    config = getattr(model, "config", None)
    name = getattr(config, "name_or_path", "") or type(model).__name__
    layers = nn.Sequential(*front, Followed(model, understood)).train(model.training)
    return Classifier(
        name,
        layers,
        weights_sha256=weights_checksum(layers.state_dict()),
        class_names=_class_names(config),
        unit=_UNIT,
    )


def _class_names(config: Any) -> tuple[str, ...]:
    """Return the names of the classes in the order of the outputs; none where the configuration has none."""
    named = getattr(config, "id2label", None)
    if not isinstance(named, Mapping) or set(named) != set(range(len(named))):
        return ()
    names = tuple(str(named[place]) for place in range(len(named)))
    return () if all(name.startswith(_UNNAMED) for name in names) else names


class _Reversed(nn.Module):
    """Red, green and blue as blue, green and red."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flip(1)


def _settings_of(processor: Any) -> Mapping[str, Any] | None:
    """Return what a processor is set to, None without one; refuse steps that no layer here does."""
    if processor is None:
        return None
    if not isinstance(processor, Mapping) and not hasattr(processor, "to_dict"):
        raise ModelError(
            f"processor must be an image processor of transformers, its settings or None, got "
            f"{type(processor).__name__}"
        )
    settings: Mapping[str, Any] = processor if isinstance(processor, Mapping) else processor.to_dict()
    for name, value in settings.items():
        other = name.startswith("do_") and name not in _BEFORE_THE_NOISE | _TAKEN_OVER
        if value and (other or name == "rescale_offset"):
            raise ModelError(
                f"a processor with {name} is not supported; put its arithmetic into the model, and give a "
                f"processor with {name} False"
            )
    if settings.get("do_flip_channel_order") and settings.get("do_normalize"):
        raise ModelError(
            "a processor with both do_flip_channel_order and do_normalize is not supported, as the order of "
            "these steps differs between processors; set one of them to False and put it into the model"
        )
    return settings


def _mean_and_std(settings: Mapping[str, Any]) -> tuple[Sequence[float], Sequence[float]]:
    """Return mean and std, for pixels in [0, 1], of all that a processor does to values.

    It multiplies bytes by its factor, then subtracts its mean and divides by its std. With ``include_top``,
    as of EfficientNet, it divides by its std once more.
    """

    def setting(name: str, default: Any = None) -> Any:
        found = settings.get(name)
        return default if found is None else found

    factor = float(setting("rescale_factor", 1 / _PIXELS)) if setting("do_rescale", True) else 1.0
    scale = factor * _PIXELS
    # MobileViT's processor has a mean and a std but no do_normalize, and does not use them
    normalised = setting("do_normalize", "do_flip_channel_order" not in settings)
    divisions = bool(normalised) + bool(setting("include_top", False))
    if not divisions:
        return [0.0], [1.0 / scale]
    mean, std = setting("image_mean") if normalised else 0.0, setting("image_std")
    if mean is None or std is None:
        raise ModelError(f"the processor has image_mean {mean} and image_std {std}; both are needed")
    means, stds = ([value] if isinstance(value, int | float) else list(value) for value in (mean, std))
    if not normalised:
        means = [0.0] * len(stds)
    return [value / scale for value in means], [value**divisions / scale for value in stds]
