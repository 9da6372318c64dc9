"""Valid small inputs for ``fuzz.py``, and the functions of the library that read each kind."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import tempfile
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np


def npz() -> list[bytes]:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (12, 6, 5), dtype=np.uint8), np.arange(12) % 3
    floats = rng.random((12, 6, 7, 3)).astype(">f4")
    contents = (
        {"x": x, "y": y},
        {"x_train": x, "y_train": y[:, None], "x_test": x, "y_test": y[:, None]},
        {"train_images": np.asfortranarray(floats), "train_labels": y, "val_images": floats, "val_labels": y},
        {"x": rng.normal(size=(12, 4)), "y": y.astype(float), "class_names": np.array(["a", "b", "c"])},
    )
    packed = []
    for save in (np.savez, np.savez_compressed):
        for arrays in contents:
            buffer = io.BytesIO()
            save(buffer, **arrays)
            packed.append(buffer.getvalue())
    return packed


def parse_npz(path: Path) -> object:
    from sfumato.datasets.user import load_npz

    return load_npz(path)


def npy() -> list[bytes]:
    """Return single arrays: damaged, they go into an archive that is whole."""
    arrays = (
        np.zeros((6, 4), np.uint8),
        np.zeros((6, 2, 2), ">f8"),
        np.asfortranarray(np.zeros((6, 3), "f4")),
    )
    found = []
    for array in arrays:
        buffer = io.BytesIO()
        np.save(buffer, array)
        found.append(buffer.getvalue())
    return found


def parse_npy(path: Path) -> object:
    content, labels = path.read_bytes(), io.BytesIO()
    np.save(labels, np.arange(6) % 2)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", content)
        archive.writestr("y.npy", labels.getvalue())
    return parse_npz(path)


def idx() -> list[bytes]:
    array = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)
    plain = struct.pack(">4I", 0x803, *array.shape) + array.tobytes()
    return [plain, gzip.compress(plain, mtime=0), gzip.compress(plain, 1, mtime=0)]


def parse_idx(path: Path) -> object:
    from sfumato.datasets.idx import read_idx

    return read_idx(path, 3)


def cifar_binary() -> list[bytes]:
    rng = np.random.default_rng(0)
    return [bytes([label]) + rng.bytes(3072) for label in (0, 9)] + [bytes([3]) + bytes(3072)]


def parse_cifar_binary(path: Path) -> object:
    from sfumato.datasets.cifar import parse_binary_batch

    return parse_binary_batch(path.read_bytes(), path)


def cifar_python() -> list[bytes]:
    pixels = np.zeros((2, 3072), np.uint8)
    return [
        pickle.dumps({b"data": pixels, b"labels": [1, 9], b"batch_label": b"x"}, protocol=protocol)
        for protocol in (0, 2, 4)
    ]


def parse_cifar_python(path: Path) -> object:
    from sfumato.datasets.cifar import parse_python_batch

    return parse_python_batch(path.read_bytes(), path)


def images(kind: str) -> Callable[[], list[bytes]]:
    """Return the function that makes images of this format, in the modes that it has."""

    def make() -> list[bytes]:
        from PIL import Image

        pixels = np.random.default_rng(0).integers(0, 256, (9, 8, 3), dtype=np.uint8)
        colour = Image.fromarray(pixels)
        orientation = Image.Exif()
        orientation[274] = 6
        variants = [(colour.convert(mode), {}) for mode in ("1", "L", "P", "RGB", "LA", "RGBA", "CMYK")]
        variants.append((Image.fromarray(pixels[..., 0].astype(np.uint16) * 257), {}))
        variants.append((colour, {"exif": orientation}))
        if kind == "TIFF":
            variants += [(colour, {"compression": name}) for name in ("tiff_lzw", "tiff_deflate", "jpeg")]
        found = []
        for image, settings in variants:
            buffer = io.BytesIO()
            try:
                image.save(buffer, kind, **settings)
            except (OSError, ValueError):  # the format does not have this mode
                continue
            found.append(buffer.getvalue())
        if kind == "PPM":
            found += [
                b"P2 3 2 1000 0 1 500 1000 7 9\n",
                b"P3 1 1 255\n1 2 3\n",
                b"P5 2 2 100\n\x00\x01\x02\x64",
            ]
        return found

    return make


def parse_image(path: Path) -> object:
    from sfumato.datasets.images import pixels_of, quiet_pillow
    from sfumato.datasets.reading import read_file

    with quiet_pillow():
        return pixels_of(read_file(path), path)


def tables() -> list[bytes]:
    common = "idx\tlabel\tpredict\tradius\tcorrect\ttime\n"
    ours = common[:-1] + "\tvotes\tstopped_by\tp_lower\tp_upper\tconfidence\tplan\n"
    rows = "0\t7\t7\t1.234\t1\t0:00:12.345\n1\t2\t-1\t0.0\t0\t15.4\n"
    row = "0\t7\t7\t0.5\t1\t0:00:01\t1000\tcap\t0.84\t0.9\t0.999\tfixed(100,1000)\n"
    return [(common + rows).encode(), (ours + row).encode()]


def parse_table(path: Path) -> object:
    from sfumato.certification.table import read_rows

    return read_rows(path)


def designs() -> list[bytes]:
    from sfumato.studies.design import make_design, render

    return [render(make_design({})).encode(), b"[grid]\nalpha = [0.2, 0.4]\nbeta = [0.25]\nseeds = [0, 1]\n"]


def parse_design(path: Path) -> object:
    from sfumato.studies.design import read_design

    return read_design(path)


def checkpoints() -> list[bytes]:
    from sfumato.datasets import load_dataset
    from sfumato.training.loop import train
    from sfumato.training.settings import TrainingSettings

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        settings = TrainingSettings(alpha=0.3, epochs=1, architecture="mlp")
        train(load_dataset("digits"), settings, path, device="cpu")
        return [path.read_bytes()]


def parse_checkpoint(path: Path) -> object:
    from sfumato.models.checkpoint import load_model

    return load_model(path)


def plans() -> list[bytes]:
    texts = (
        "fixed(100,100000)",
        "decide(0.25)",
        "curve(0.25,0.5,n_max=1000)",
        "precision(0.01)",
        "predict",
        "vote(100)",
    )
    return [text.encode() for text in texts]


def parse_plan(path: Path) -> object:
    from sfumato.plans.registry import parse_plan

    return parse_plan(path.read_bytes().decode("utf-8", "surrogateescape"))


@cache
def certified() -> tuple[bytes, bytes]:
    """Return a table of three digits and its settings."""
    from sfumato.certification.run import Certification, certify_to_file
    from sfumato.certification.smoothed_classifier import SmoothedClassifier
    from sfumato.datasets import load_dataset
    from sfumato.models.checkpoint import load_model

    with tempfile.TemporaryDirectory() as folder:
        model, table = Path(folder) / "model.safetensors", Path(folder) / "table.tsv"
        model.write_bytes(checkpoints()[0])
        smoothed = SmoothedClassifier(load_model(model)[0], beta=0.5, device="cpu")
        certify_to_file(smoothed, load_dataset("digits"), Certification(range(3), "curve(0.25,0.5)"), table)
        return table.read_bytes(), Path(f"{table}.json").read_bytes()


def settings() -> list[bytes]:
    return [certified()[1]]


def parse_settings(path: Path) -> object:
    from sfumato.certification.verify import AtHand, verify_table

    table = path.with_name(path.name.removesuffix(".json"))
    if not table.exists():
        table.write_bytes(certified()[0])
    return verify_table(table, AtHand(model="none", data="none", redraw=0))


def counts() -> list[bytes]:
    return [row.split(b"\t")[-1] for row in certified()[0].splitlines()[1:]]


def parse_counts(path: Path) -> object:
    from sfumato.noise import Gaussian
    from sfumato.plans import Curve
    from sfumato.plans.replay import replayed

    text = path.read_bytes().decode("utf-8", "surrogateescape")
    return replayed(Curve((0.25, 0.5)), text, noise=Gaussian(0.5), confidence=0.999, label=None)
