"""One image file: every depth is scaled by its own white, every mode is converted or refused.

The files of unusual depth are written by hand from the formats' specifications, not by Pillow.
"""

import contextlib
import os
import socket
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from sfumato.datasets import images
from sfumato.datasets.images import pixels_of, quiet_pillow, read_header
from sfumato.datasets.reading import read_file
from sfumato.errors import DataError

RAMP = np.linspace(0, 1, 64).reshape(8, 8)
DEEP = np.round(RAMP * 65535).astype(np.uint16)
SHALLOW = np.round(RAMP * 255).astype(np.uint8)


def read(path):
    with quiet_pillow():
        content = read_file(path)
        pixels, header = pixels_of(content, path), read_header(content, path)
    assert header.shape == pixels.shape  # what is known without unpacking is true
    return pixels, header.remarks


def png(bits, colour_type, rows):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 8, 8, bits, colour_type, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def tiff(bits, channels, photometric, sample_format, data):
    entries = [(256, 8), (257, 8), (258, bits), (259, 1), (262, photometric), (273, 500), (277, channels)]
    entries += [(278, 8), (279, len(data)), (339, sample_format)]
    tables, extra = b"", b""
    for tag, value in entries:
        many = tag in (258, 339) and channels > 1
        if many:
            offset = 8 + 2 + 12 * len(entries) + 4 + len(extra)
            extra += struct.pack(f"<{channels}H", *[value] * channels)
            tables += struct.pack("<HHII", tag, 3, channels, offset)
        else:
            tables += struct.pack("<HHII", tag, 4 if tag in (273, 279) else 3, 1, value)
    head = b"II*\0" + struct.pack("<IH", 8, len(entries)) + tables + bytes(4) + extra
    return head.ljust(500, b"\0") + data


def big(values):
    return values.astype(">u2").tobytes()


def stacked(values, channels):
    return np.stack([values] * channels, axis=-1)


GREY = {
    "png 16": (png(16, 0, [big(row) for row in DEEP]), 65535),
    "png 4": (png(4, 0, [bytes([0x01, 0x23, 0xCD, 0xEF])] * 8), None),
    "tiff 16 little": (tiff(16, 1, 1, 1, DEEP.astype("<u2").tobytes()), 65535),
    "tiff 8": (tiff(8, 1, 1, 1, SHALLOW.tobytes()), 255),
    "tiff 8, white is 0": (tiff(8, 1, 0, 1, (255 - SHALLOW).tobytes()), 255),
    "pgm 255": (b"P5 8 8 255\n" + SHALLOW.tobytes(), 255),
    "pgm 100": (b"P5 8 8 100\n" + np.round(RAMP * 100).astype(np.uint8).tobytes(), 100),
    "pgm 1000": (b"P5 8 8 1000\n" + big(np.round(RAMP * 1000)), 1000),
    "pgm 65535": (b"P5 8 8 65535\n" + big(DEEP), 65535),
    "pgm plain": (b"P2 8 8 1000\n" + b" ".join(b"%d" % v for v in np.round(RAMP * 1000).ravel()), 1000),
}


@pytest.mark.parametrize("name", GREY)
def test_grey_of_every_depth_is_scaled_by_its_white(tmp_path, name):
    content, white = GREY[name]
    (tmp_path / "i.png").write_bytes(content)
    pixels, remarks = read(tmp_path / "i.png")
    expected = np.tile(np.array([0, 1, 2, 3, 12, 13, 14, 15]) / 15, (8, 1)) if white is None else RAMP
    assert (pixels.shape, pixels.dtype, remarks) == ((1, 8, 8), np.float32, set())
    assert np.abs(pixels[0] - expected).max() <= 0.5 / (white or 255) + 1 / 255 * (white == 100) + 1e-6


def test_12_bits_in_a_tiff_have_their_own_white(tmp_path):
    values = np.arange(64) * 65
    one, two = values.reshape(-1, 2).T
    packed = np.stack([one >> 4, (one & 15) << 4 | two >> 8, two & 255], axis=1)
    (tmp_path / "i.tif").write_bytes(tiff(12, 1, 1, 1, packed.astype(np.uint8).tobytes()))
    assert np.allclose(read(tmp_path / "i.tif")[0].ravel(), values / 4095)


@pytest.mark.parametrize(
    ("content", "channels"),
    [
        (png(16, 2, [big(row) for row in stacked(DEEP, 3)]), 3),
        (png(16, 4, [big(row) for row in stacked(DEEP, 2)]), 1),
        (png(16, 6, [big(row) for row in stacked(DEEP, 4)]), 3),
        (tiff(16, 3, 2, 1, stacked(DEEP, 3).astype("<u2").tobytes()), 3),
        (b"P6 8 8 65535\n" + big(stacked(DEEP, 3)), 3),
    ],
)
def test_colours_of_16_bits_are_read_at_8_and_said_so(tmp_path, content, channels):
    (tmp_path / "i.png").write_bytes(content)
    pixels, remarks = read(tmp_path / "i.png")
    assert pixels.shape == (channels, 8, 8)
    assert np.abs(pixels - RAMP).max() < 1 / 255
    assert images.EIGHT_OF_SIXTEEN in remarks


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (tiff(16, 1, 0, 1, big(DEEP)), "white as 0"),
        (tiff(16, 1, 1, 2, big(DEEP)), "signed or floating"),
        (tiff(8, 1, 1, 2, SHALLOW.tobytes()), "signed or floating"),
        (tiff(32, 1, 1, 3, RAMP.astype("<f4").tobytes()), "signed or floating"),
        (tiff(32, 1, 1, 1, DEEP.astype("<u4").tobytes()), "no known white"),
        (b"Pf\n8 8\n-1.0\n" + RAMP.astype("<f4").tobytes(), "no known white"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n", "accepted are PNG"),
        (b"P6 99999999 99999999 255\n", "decompression bomb"),
        (b"P6 12000 12000 255\n", "decompression bomb"),
        (b"", "not a readable image"),
        (b"BM" + bytes(60), "not a readable image"),
        (b"GIF89a" + bytes([255] * 40), "not a readable image"),
        (b"II*\0" + bytes([255] * 40), "not a readable image"),
        (png(8, 0, [row.tobytes() for row in SHALLOW])[:-30], "not a readable image"),
    ],
)
def test_what_has_no_certain_pixels_is_refused_in_one_line(tmp_path, content, words):
    (tmp_path / "i.png").write_bytes(content)
    with pytest.raises(DataError, match=words) as error:
        read(tmp_path / "i.png")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("mode", "suffix", "shape", "remarks"),
    [
        ("1", "png", (1, 6, 8), set()),
        ("L", "jpg", (1, 6, 8), set()),
        ("LA", "png", (1, 6, 8), {images.ALPHA}),
        ("P", "png", (3, 6, 8), set()),
        ("RGBA", "gif", (3, 6, 8), {images.ALPHA}),
        ("RGBA", "png", (3, 6, 8), {images.ALPHA}),
        ("RGBA", "webp", (3, 6, 8), {images.ALPHA}),
        ("CMYK", "jpg", (3, 6, 8), {images.CMYK}),
        ("YCbCr", "tif", (3, 6, 8), set()),
        ("RGB", "bmp", (3, 6, 8), set()),
    ],
)
def test_every_mode_of_8_bits_has_one_channel_or_three(tmp_path, mode, suffix, shape, remarks):
    Image.new(mode, (8, 6)).save(tmp_path / f"i.{suffix}")
    pixels, found = read(tmp_path / f"i.{suffix}")
    assert (pixels.shape, found) == (shape, remarks)


def test_colours_are_channels_first(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "i.png")
    assert np.allclose(read(tmp_path / "i.png")[0], pixels.transpose(2, 0, 1) / 255)


def test_a_colour_space_without_conversion_is_refused(tmp_path):
    Image.new("LAB", (8, 6)).save(tmp_path / "i.tif")
    with pytest.raises(DataError, match="mode LAB"):
        read(tmp_path / "i.tif")


@pytest.mark.parametrize("suffix", ["png", "tif", "jpg", "webp"])
@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, -1), (8, 1), (99, 0)])
def test_an_image_is_turned_as_its_exif_data_say(tmp_path, suffix, orientation, turns):
    upright = np.zeros((16, 24), np.uint8)
    upright[:8, :8] = 255
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(upright).save(tmp_path / f"i.{suffix}", exif=exif, quality=100)
    pixels, remarks = read(tmp_path / f"i.{suffix}")
    assert np.abs(pixels[0] - np.rot90(upright, turns) / 255).max() < 0.1
    assert (images.TURNED in remarks) == (turns != 0)


@pytest.mark.parametrize("suffix", ["gif", "tif", "png", "webp"])
def test_several_frames_are_refused(tmp_path, suffix):
    frames = [Image.new("L", (8, 8), shade) for shade in (0, 255)]
    frames[0].save(tmp_path / f"i.{suffix}", save_all=True, append_images=frames[1:])
    with pytest.raises(DataError, match="2 frames or pages"):
        read(tmp_path / f"i.{suffix}")


def test_the_photograph_of_a_cameras_file_is_taken(tmp_path):
    frames = [Image.new("RGB", (8, 8), shade) for shade in ("white", "black")]
    frames[0].save(tmp_path / "i.jpg", "MPO", save_all=True, append_images=frames[1:])
    pixels, remarks = read(tmp_path / "i.jpg")
    assert (pixels.min(), remarks) == (1, {images.FIRST_FRAME})


def test_damaged_exif_data_do_not_make_the_pixels_unreadable(tmp_path):
    Image.fromarray(SHALLOW).save(tmp_path / "i.png", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert np.allclose(read(tmp_path / "i.png")[0][0], SHALLOW / 255)


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as made, contextlib.chdir(path.parent):
        made.bind(path.name)  # a socket's path may have 108 bytes at most


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (os.mkfifo, "is a FIFO, must be a regular file"),
        (make_socket, "is a socket"),
        (lambda path: path.symlink_to("/dev/zero"), "is a device"),
        (lambda path: path.symlink_to("nowhere"), "a link that leads nowhere"),
        (lambda path: path.symlink_to(path.name), "a link that leads nowhere"),
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: None, "no such file"),
    ],
)
def test_what_is_no_regular_file_is_not_opened(tmp_path, make, words):
    make(tmp_path / "i.png")
    with pytest.raises(DataError, match=words):
        read(tmp_path / "i.png")
