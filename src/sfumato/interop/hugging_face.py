"""Image classifiers of Hugging Face's ``transformers``, with the mean and std of their image processor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from sfumato.errors import ModelError
from sfumato.interop.answers import Followed
from sfumato.models.checkpoint import weights_checksum
from sfumato.models.classifier import Classifier
from sfumato.models.normalize import Normalize
from sfumato.models.outputs import understood

_PIXELS = 255.0


def from_hugging_face(model: nn.Module, processor: Any) -> Classifier:
    """Return an image classifier of ``transformers`` for pixels in [0, 1], behind its processor's values.

    The processor's scale, mean and std become the first layer, behind the noise. It does nothing else here:
    images must have the size that the model takes, resized before the noise. The checksum of the weights,
    mean and std included, identifies it.

    Args:
        model: as ``AutoModelForImageClassification`` loads it: from a batch to an answer with ``logits``.
        processor: its image processor, or a dictionary of the processor's settings; None if the model takes
            pixels in [0, 1] as they are.

    Raises:
        ModelError: not a module, or a processor without the settings that it says it uses.
    """
    if not isinstance(model, nn.Module):
        raise ModelError(
            f"model must be an image classifier of transformers, a module, got {type(model).__name__}"
        )
    mean, std = _mean_and_std(processor)
    config = getattr(model, "config", None)
    name = getattr(config, "name_or_path", "") or type(model).__name__
    layers = nn.Sequential(Normalize(mean, std), Followed(model, understood)).train(model.training)
    return Classifier(name, layers, weights_sha256=weights_checksum(layers.state_dict()))


def _mean_and_std(processor: Any) -> tuple[Sequence[float], Sequence[float]]:
    """Return mean and std, for pixels in [0, 1], of all that the processor does to values.

    It multiplies bytes by its factor, then subtracts its mean and divides by its std.
    """
    if processor is None:
        return [0.0], [1.0]

    if not isinstance(processor, Mapping) and not hasattr(processor, "to_dict"):
        raise ModelError(
            f"processor must be an image processor of transformers, its settings or None, got "
            f"{type(processor).__name__}"
        )
    settings = processor if isinstance(processor, Mapping) else processor.to_dict()

    def setting(name: str, default: Any = None) -> Any:
        found = settings.get(name)
        return default if found is None else found

    if setting("rescale_offset", False):
        raise ModelError(
            "a processor with rescale_offset is not supported; put its arithmetic into the model"
        )
    factor = float(setting("rescale_factor", 1 / _PIXELS)) if setting("do_rescale", True) else 1.0
    scale = factor * _PIXELS
    if not setting("do_normalize", True):
        return [0.0], [1.0 / scale]
    mean, std = setting("image_mean"), setting("image_std")
    if mean is None or std is None:
        raise ModelError(f"the processor has image_mean {mean} and image_std {std}; both are needed")
    channels = [[value] if isinstance(value, int | float) else list(value) for value in (mean, std)]
    return [value / scale for value in channels[0]], [value / scale for value in channels[1]]
