"""Which inputs the architectures for images take."""

from __future__ import annotations

from sfumato.errors import ModelError


def require_side(architecture: str, input_shape: tuple[int, ...], smallest: int) -> tuple[int, int, int]:
    """Return channels, height and width of images whose sides have at least ``smallest`` pixels.

    Raises:
        ModelError: inputs that are no images, or smaller ones.
    """
    if len(input_shape) != 3 or min(input_shape[1:]) < smallest:
        raise ModelError(
            f"{architecture} needs images of at least {smallest} x {smallest}, got input shape {input_shape}"
        )
    channels, height, width = input_shape
    return channels, height, width
