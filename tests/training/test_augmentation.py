"""Random crops and flips, and that they are part of what a training is."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from sfumato.datasets import Dataset, Split, load_dataset
from sfumato.datasets.crop_flip import crop_flip
from sfumato.errors import SettingError
from sfumato.models import load_model
from sfumato.studies.design import make_design
from sfumato.studies.keys import Keys
from sfumato.training.augmentation import batches_of
from sfumato.training.loop import train
from sfumato.training.settings import TrainingSettings

CPU = torch.device("cpu")
SMALL = TrainingSettings(alpha=0.2, epochs=3, batch_size=250)


def test_a_crop_is_the_padded_image_at_the_drawn_place_mirrored_or_not():
    images = np.random.default_rng(3).random((200, 2, 16, 24), dtype=np.float32)
    draws = np.random.default_rng(4).random((200, 3))
    found = crop_flip(torch.from_numpy(images), torch.from_numpy(draws)).numpy()
    for image, (y, x, flip), crop in zip(images, draws, found, strict=True):
        padded = np.pad(image, ((0, 0), (2, 2), (3, 3)))  # an eighth of each side, with zeros
        top, left = int(5 * y), int(7 * x)
        expected = padded[:, top : top + 16, left : left + 24]
        assert np.array_equal(crop, expected[:, :, ::-1] if flip < 0.5 else expected)


def test_the_places_of_cifar_images_are_uniform():
    """32 pixels are padded by 4: 81 places, each mirrored or not. Chi squared below its 1 - 1e-6 quantile."""
    one = torch.zeros(20_000, 1, 32, 32)
    one[:, :, 14, 15] = 1  # a column that lies beside the middle: the flip shows
    crops = next(batches_of(one, [torch.arange(len(one))], CPU, "crop-flip", 1, 0))[1]
    assert int(crops.sum()) == len(one)
    counts = crops.sum(dim=(0, 1))
    columns = counts.sum(0)
    assert counts.sum(1).nonzero()[:, 0].tolist() == list(range(10, 19))
    # unmirrored it lands in columns 11..19, mirrored in 12..20
    shares = torch.zeros(32)
    shares[11:20] += 1 / 18
    shares[12:21] += 1 / 18
    assert (columns[shares == 0] == 0).all()
    expected = shares[shares > 0] * len(one)
    assert float(((columns[shares > 0] - expected) ** 2 / expected).sum()) < 46


def test_crops_depend_on_seed_epoch_and_example_and_on_no_batch():
    x = torch.rand(40, 3, 8, 8, generator=torch.Generator().manual_seed(0))

    def crops(seed, epoch, *batches):
        taken = batches_of(x, list(map(torch.tensor, batches)), CPU, "crop-flip", seed, epoch)
        return torch.cat([images for _, images in taken])

    whole = crops(0, 1, list(range(40)))
    assert torch.equal(crops(0, 1, [7, 3], [39]), whole[[7, 3, 39]])
    assert not torch.equal(crops(1, 1, list(range(40))), whole)
    assert not torch.equal(crops(0, 2, list(range(40))), whole)


@pytest.fixture
def photographs(digits):
    """A few digits that say of themselves what CIFAR-10 says."""
    parts = (Split(part.x[:300], part.y[:300]) for part in (digits.train, digits.test))
    return Dataset("p", *parts, digits.class_names, digits.unit, digits.source, augmentation="crop-flip")


def test_an_interrupted_training_sees_the_crops_of_an_unbroken_one(photographs, tmp_path):
    class Killed(Exception):
        pass

    def kill(report):
        raise Killed

    broken = tmp_path / "broken.safetensors"
    with pytest.raises(Killed):
        train(photographs, SMALL, broken, device="cpu", on_epoch=kill)
    paths = broken, tmp_path / "whole.safetensors"
    records = [train(photographs, SMALL, path, device="cpu") for path in paths]
    assert records[0].weights_sha256 == records[1].weights_sha256
    assert load_model(broken)[1].training["augmentation"] == "crop-flip"


def test_augmentation_is_part_of_what_a_training_is(digits, photographs, tmp_path):
    def trained(data, name, **changes):
        return train(data, SMALL.replace(**changes), tmp_path / name, device="cpu")

    plain = trained(photographs, "plain", augmentation="none")
    assert plain.training["augmentation"] == "none"
    assert plain.weights_sha256 != trained(photographs, "cropped").weights_sha256
    bare = replace(photographs, augmentation="none")
    assert plain.weights_sha256 == trained(bare, "left out").weights_sha256

    def names(data, **model):
        keys = Keys.of(make_design({"model": model}), data, CPU)
        return keys.model(0.2, 0), keys.chain

    assert names(photographs) == names(photographs, augmentation="crop-flip")
    for left_out, asked in zip(names(photographs), names(photographs, augmentation="none"), strict=True):
        assert left_out != asked
    # what the version before augmentation printed for the default study of digits
    assert names(digits) == (
        "03a8d84843c71c00aa47300b0c9affa3cbc20f0fd686505d3fb06bfa68441dab",
        "2df79d22dc89985b56837d9e9ec5eac3da892850a3804f5ec0e6a7b4ac72f584",
    )


def test_photographs_are_augmented_unless_told_otherwise_and_digits_are_not(digits, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(3):
            Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / name / f"{number}.png")
    assert TrainingSettings(alpha=0.1).settled(load_dataset(tmp_path), CPU).augmentation == "crop-flip"
    assert TrainingSettings(alpha=0.1).settled(digits, CPU).augmentation == "none"


def test_rows_of_numbers_cannot_be_cropped(tmp_path):
    rows = Split(np.zeros((4, 3), np.float32), np.array([0, 1, 0, 1]))
    data = Dataset("rows", rows, rows, ("a", "b"), "as given", "here")
    settings = TrainingSettings(alpha=0.1, augmentation="crop-flip", epochs=1)
    with pytest.raises(SettingError, match=r"crop-flip needs images .*, got input shape \(3,\)"):
        train(data, settings, tmp_path / "m", device="cpu")


def test_the_command_line_has_the_choice():
    command = [sys.executable, "-m", "sfumato", "train", "--alpha", "0.1", "--augmentation", "shear"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 2
    assert "augmentation must be 'crop-flip' or 'none', got 'shear'" in found.stderr
