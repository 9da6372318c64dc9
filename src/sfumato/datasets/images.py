"""One image file becomes float32 pixels in [0, 1], scaled by the depth that its format states, or is refused.

With a size it is resized so that its shorter side has that length, and cropped to the middle, both as
torchvision's ``Resize`` and ``CenterCrop`` do. Pillow reads the file. What it hands over without a known
white (32-bit integers, floating point numbers, signed values) or without a known conversion (LAB) is refused.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32

from sfumato.datasets.reading import damage_is_a_data_error
from sfumato.datasets.units import pixels_from_bytes
from sfumato.errors import DataError

if TYPE_CHECKING:
    from PIL import Image, ImageFile

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"})

# only these: whatever its suffix, a file is never handed to a format that starts another program
_FORMATS = ("PNG", "JPEG", "BMP", "DIB", "GIF", "TIFF", "WEBP", "PPM")
_GREY = frozenset({"1", "L", "LA"})
_COLOUR = frozenset({"P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"})
_ALPHA = frozenset({"LA", "PA", "RGBA"})
_DEEP_GREY = frozenset({"I;16", "I;16L", "I;16B", "I;16N"})
_DEEPEST = 65535
_ORIENTATION, _PHOTOMETRIC, _SAMPLE_FORMAT = 274, 262, 339  # tags of TIFF and Exif
_WHITE_IS_ZERO, _UNSIGNED = 0, 1
_PNG_ORIENTATION = (b"eXIf", b"Raw profile type", b"XML:com.adobe.xmp")  # what may hold it

Pixels = Float32[np.ndarray, "channels height width"]

ALPHA = "have an alpha channel, which is dropped"
TURNED = "are turned as their Exif orientation says"
EIGHT_OF_SIXTEEN = "hold colours of 16 bits, of which Pillow reads the upper 8"
FIRST_FRAME = "hold a photograph and previews; the photograph is taken"
CMYK = "are CMYK, converted to RGB without a colour profile"


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Make oversized images an error, not a warning, and keep Pillow's other warnings to itself."""
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


@dataclass(frozen=True)
class Header:
    """What a file says of its image, before its pixels are unpacked.

    Attributes:
        shape: (channels, height, width), turned as Exif says; grey has one channel, everything else three.
        remarks: on the image, as ends of sentences.
    """

    shape: tuple[int, int, int]
    remarks: frozenset[str]


def read_header(content: bytes, file: Path) -> Header:
    """Return what the content of a file says of its image. Call it inside ``quiet_pillow``.

    Raises:
        DataError: no image, several frames, pixels without a known white.
    """
    with _opened(content, file) as (image, raw_mode):
        marked = image.format != "PNG" or any(mark in content for mark in _PNG_ORIENTATION)
        remarks = _remarks(image, raw_mode, may_be_turned=marked)
        if TURNED in remarks and image.format == "TIFF":
            image.load()  # turns it
        height, width = image.height, image.width
        if image.format != "TIFF" and _orientation(image, marked) in range(5, 9):
            height, width = width, height
        return Header((_channels(image, raw_mode, file), height, width), frozenset(remarks))


def pixels_of(content: bytes, file: Path, size: int | None = None) -> Pixels:
    """Return the pixels in the content of a file.

    Grey images have one channel, all others three. With ``size`` they are squares of this side.

    Raises:
        DataError: no image, damaged, several frames, pixels without a known white.
    """
    from PIL import ImageOps

    with _opened(content, file) as (opened, raw_mode):
        image: Image.Image = opened
        turned = TURNED in _remarks(image, raw_mode)
        image.load()
        if turned and image.format != "TIFF":  # a TIFF is turned by Pillow
            image = ImageOps.exif_transpose(image)
        pixels = _pixels(image, raw_mode, file, size)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


@contextmanager
def _opened(content: bytes, file: Path) -> Iterator[tuple[ImageFile.ImageFile, str]]:
    """Give the image and its raw mode, which Pillow forgets as soon as the pixels are read."""
    # not by its name: Pillow would map the file into memory, and garbles a TIFF that is to be turned
    with damage_is_a_data_error(file, "image"), _identified(io.BytesIO(content), file) as image:
        raw_mode = _raw_mode(image)
        _require_unsigned(image, file)
        _require_one_frame(image, file)
        yield image, raw_mode


def _remarks(image: Image.Image, raw_mode: str, *, may_be_turned: bool = True) -> set[str]:
    remarks = {FIRST_FRAME} if image.format == "MPO" else set()
    if _orientation(image, may_be_turned) in range(2, 9):
        remarks.add(TURNED)
    if image.mode in _ALPHA or "transparency" in image.info:
        remarks.add(ALPHA)
    if image.mode == "CMYK":
        remarks.add(CMYK)
    if ";16" in raw_mode and image.mode not in _DEEP_GREY | {"I"} and image.format != "BMP":
        remarks.add(EIGHT_OF_SIXTEEN)
    return remarks


def _identified(content: io.BytesIO, file: Path) -> ImageFile.ImageFile:
    from PIL import Image, UnidentifiedImageError

    try:
        return Image.open(content, formats=_FORMATS)
    except UnidentifiedImageError as error:
        raise DataError(f"{file}: not a readable image (accepted are {', '.join(_FORMATS)})") from error


def _require_one_frame(image: Image.Image, file: Path) -> None:
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # a camera's file: the photograph, then previews of it
        raise DataError(f"{file}: holds {frames} frames or pages; an image has one")


def _orientation(image: Image.Image, may_be_turned: bool = True) -> object:
    """Return the Exif orientation, None where the Exif data are damaged: the pixels are not.

    Pillow unpacks a whole PNG to look for it; ``may_be_turned`` is whether it is worth that.
    """
    if not may_be_turned:
        return None
    try:
        return image.getexif().get(_ORIENTATION)
    except Exception:  # a damaged directory raises almost anything
        return None


def _raw_mode(image: Image.Image) -> str:
    """Return how the pixels are stored; Pillow's ``mode`` says only what they become."""
    tiles = getattr(image, "tile", None)
    arguments = tiles[0][3] if tiles else ""
    if isinstance(arguments, tuple | list) and len(arguments) > 1 and image.format == "PPM":
        mode, largest = arguments[:2]
        return f"{mode};16" if isinstance(largest, int) and largest > 255 else str(mode)
    return str(arguments[0] if isinstance(arguments, tuple | list) and arguments else arguments)


def _require_unsigned(image: Image.Image, file: Path) -> None:
    tags = getattr(image, "tag_v2", None)
    kinds = tags.get(_SAMPLE_FORMAT, (_UNSIGNED,)) if tags is not None else (_UNSIGNED,)
    if any(kind != _UNSIGNED for kind in (kinds if isinstance(kinds, tuple) else (kinds,))):
        raise DataError(
            f"{file}: holds signed or floating point pixels, whose white is not known; save it with 8 or 16 "
            "bits, or put the numbers into an .npz"
        )


def _channels(image: Image.Image, raw_mode: str, file: Path) -> int:
    if _is_deep(image):
        tags = getattr(image, "tag_v2", {})
        if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
            raise DataError(f"{file}: is a grey TIFF of 16 bits with white as 0; save it with black as 0")
        return 1
    if image.mode in _GREY or raw_mode.startswith("LA;16"):
        return 1
    if image.mode in _COLOUR:
        return 3
    raise DataError(
        f"{file}: pixels of Pillow's mode {image.mode} have no known white or conversion; save it as grey of "
        "8 or 16 bits or as RGB, or put the numbers into an .npz"
    )


def _is_deep(image: Image.Image) -> bool:
    """Return whether it is grey of more than 8 bits."""
    return image.mode in _DEEP_GREY or (image.mode == "I" and image.format in ("PNG", "PPM"))


def _pixels(image: Image.Image, raw_mode: str, file: Path, size: int | None) -> np.ndarray:
    """Return float32 (height, width) of a grey image, else (height, width, 3), in [0, 1]."""
    from PIL import Image as images

    channels = _channels(image, raw_mode, file)
    if _is_deep(image):
        white = 4095 if raw_mode.startswith("I;12") else _DEEPEST
        pixels = np.asarray(image).astype(np.float32) / np.float32(white)
        return pixels if size is None else np.asarray(_fitted(images.fromarray(pixels), size))
    plain = image.convert("L" if channels == 1 else "RGB")
    return pixels_from_bytes(np.asarray(plain if size is None else _fitted(plain, size)))


def pixels_in(image: Image.Image, name: str) -> np.ndarray:
    """Return the pixels of an open image as it stores them: bytes, or float32 in [0, 1] if deep grey.

    Raises:
        DataError: pixels without a known white.
    """
    channels = _channels(image, "", Path(name))
    if _is_deep(image):
        return _pixels(image, "", Path(name), None)
    return np.asarray(image.convert("L" if channels == 1 else "RGB"))


def _fitted(image: Image.Image, size: int) -> Image.Image:
    """Return the image with a shorter side of ``size``, cropped to a square, rounded as torchvision does."""
    from PIL import Image as images

    short, long = sorted(image.size)
    if short != size:
        scaled = int(size * long / short)
        sides = (size, scaled) if image.width <= image.height else (scaled, size)
        image = image.resize(sides, images.Resampling.BILINEAR)
    left, top = (round((side - size) / 2) for side in image.size)
    return image.crop((left, top, left + size, top + size))
