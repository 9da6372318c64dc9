"""Networks of timm and torchvision by their names there: ``timm:resnet50``, ``torchvision:resnet50``.

They have random weights, and nothing is downloaded. Both libraries are optional.
"""

from __future__ import annotations

import difflib
import importlib
import re
from collections.abc import Callable, Sequence
from typing import Any

from sfumato.errors import MissingPackageError, ModelError
from sfumato.user_code import failure_line

_NAME = re.compile("[A-Za-z0-9_.]+")  # no hub: and no path, from where timm would fetch


def is_of_zoo(architecture: str) -> bool:
    """Return whether the name is one of timm's or torchvision's.

    >>> is_of_zoo("timm:resnet18"), is_of_zoo("mymodule:build")
    (True, False)
    """
    return architecture.partition(":")[0] in _BUILDERS


def zoo_builder(architecture: str) -> Callable[[tuple[int, ...], int], object]:
    """Return what builds the network for an input shape (channels, height, width) and a number of classes.

    Raises:
        ModelError: a name that the library does not have, or a library that cannot be imported.
        MissingPackageError: the library is not installed.
    """
    library, _, name = architecture.partition(":")
    try:
        module = importlib.import_module(library)
    except ModuleNotFoundError as error:
        if error.name == library:
            raise MissingPackageError(f"{architecture} needs {library}: pip install {library}") from None
        raise _broken(architecture, library, error) from error
    except Exception as error:  # a build that does not fit this torch raises almost anything
        raise _broken(architecture, library, error) from error

    def build(input_shape: tuple[int, ...], num_classes: int) -> object:
        if len(input_shape) != 3:
            raise ModelError(
                f"{architecture} needs images (channels, height, width), got input shape {input_shape}"
            )
        return _BUILDERS[library](module, name, input_shape, num_classes)

    return build


def _of_timm(timm: Any, name: str, input_shape: tuple[int, ...], num_classes: int) -> object:
    known = timm.list_models()
    _require_known("timm", name, name.partition(".")[0], known)
    channels, height, width = input_shape
    settings: dict[str, Any] = {"num_classes": num_classes, "in_chans": channels}
    if getattr(timm.get_pretrained_cfg(name, allow_unregistered=True), "fixed_input_size", False):
        settings["img_size"] = (height, width)
    return timm.create_model(name, pretrained=False, **settings)


def _of_torchvision(torchvision: Any, name: str, input_shape: tuple[int, ...], num_classes: int) -> object:
    models = torchvision.models
    _require_known("torchvision", name, name, models.list_models(module=models))
    if input_shape[0] != 3:
        raise ModelError(f"torchvision:{name} is for images of 3 channels, the data have {input_shape[0]}")
    return models.get_model(name, weights=None, num_classes=num_classes)


_BUILDERS: dict[str, Callable[[Any, str, tuple[int, ...], int], object]] = {
    "timm": _of_timm,
    "torchvision": _of_torchvision,
}


def _require_known(library: str, name: str, plain: str, known: Sequence[str]) -> None:
    if _NAME.fullmatch(name) and plain in known:
        return
    near = difflib.get_close_matches(plain, known, 3)
    hint = f"; near are {', '.join(near)}" if near else ""
    raise ModelError(f"{library} has no network for image classes called {name!r}{hint}")


def _broken(architecture: str, library: str, error: Exception) -> ModelError:
    return ModelError(
        f"{architecture}: {library} cannot be imported ({failure_line(error)}); install the torchvision that "
        "belongs to your torch"
    )
