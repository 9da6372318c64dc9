"""Arrays of the user's: bytes follow the rule of files, and what has no known unit is refused or said."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn

import sfumato as sf
from sfumato import Fixed, SmoothedClassifier
from sfumato.errors import DataError
from sfumato.models.classifier import load_classifier

BYTES = np.random.default_rng(0).integers(0, 256, (3, 1, 8, 8), dtype=np.uint8)
PIXELS = BYTES.astype(np.float32) / np.float32(255)


def smoothed(beta=0.5):
    torch.manual_seed(0)
    return SmoothedClassifier(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), beta, device="cpu")


@pytest.mark.parametrize("x", [BYTES, torch.from_numpy(BYTES)])
def test_bytes_are_divided_by_255_as_in_files_and_it_is_said_once(x, recwarn):
    classifier = smoothed()
    assert classifier.certify(x, Fixed(100, 500)) == smoothed().certify(PIXELS, Fixed(100, 500))
    classifier.votes(x, 10)
    assert [str(w.message)[:44] for w in recwarn] == ["images are bytes: they are divided by 255, an"[:44]]


@pytest.mark.parametrize("kind", [np.int16, np.int64, np.uint16, np.complex64])
def test_images_of_other_whole_numbers_are_refused(kind):
    with pytest.raises(DataError, match=f"images are {np.dtype(kind).name}; accepted are"):
        smoothed().votes(BYTES.astype(kind), 10)


def test_floating_point_pixels_of_0_to_255_are_said():
    with pytest.warns(UserWarning, match=r"pixels reach 255, and beta = 0.5 is in the same unit"):
        smoothed().votes(BYTES.astype(np.float64).reshape(3, -1) * 0 + 255.0, 10)
    with pytest.warns(UserWarning, match="almost no noise"):
        smoothed().votes(255 * PIXELS, 10)


@pytest.mark.parametrize("noise", [0.5, "laplace", sf.Laplace])
def test_a_noise_that_is_none_is_refused_in_one_line(noise):
    with pytest.raises(sf.SfumatoError, match="noise must be a noise, such as Laplace"):
        SmoothedClassifier(nn.Linear(2, 2), noise=noise, device="cpu")


def test_pixels_of_0_to_255_are_said_also_when_they_come_after_others():
    classifier = smoothed()
    classifier.votes(PIXELS, 10)
    with pytest.warns(UserWarning, match="almost no noise"):
        classifier.votes(255 * PIXELS, 10)


@pytest.mark.parametrize(
    ("x", "beta"),
    [(PIXELS, 0.5), (255 * PIXELS, 64.0), (255 * PIXELS - 128, 0.5), (PIXELS.reshape(3, -1) * 99.9, 0.5)],
    ids=["unit", "beta in bytes", "normalised", "features"],
)
def test_other_floating_point_numbers_are_taken_as_they_are(x, beta, recwarn):
    smoothed(beta).votes(x, 10)
    assert not recwarn.list


def test_features_under_noise_of_their_own_scales_are_no_pixels_without_noise(recwarn):
    years = np.array([[25.0, 90.0], [70.0, 180.0]], dtype=np.float32)  # and centimetres, in whole numbers
    noise = sf.AnisotropicGaussian(0.5, scales=(10.0, 10.0))
    SmoothedClassifier(nn.Linear(2, 3), noise=noise, device="cpu").votes(years, 10)
    sf.MedianSmoothed(nn.Linear(2, 1), noise=noise, device="cpu").certify(years, 0.1, n=10)
    assert not recwarn.list
    with pytest.warns(UserWarning, match="almost no noise"):
        sf.MedianSmoothed(nn.Linear(2, 1), 0.5, device="cpu").certify(years, 0.1, n=10)


def test_arrays_in_any_order_of_bytes_and_of_strides_are_read():
    expected = smoothed().votes(PIXELS, 100)
    for x in (PIXELS.astype(">f4"), np.flip(PIXELS[..., ::-1], axis=-1), np.asfortranarray(PIXELS)):
        assert np.array_equal(smoothed().votes(x, 100), expected)


@pytest.mark.parametrize("x", [np.array([["a", "b"]]), np.array([[None, 1]], dtype=object)])
def test_what_is_no_array_of_numbers_is_refused(x):
    with pytest.raises(DataError, match="images must be an array of numbers"):
        smoothed().votes(x, 10)


def test_pixels_beyond_the_unit_that_the_model_knows_are_said_once(digits, digits_model, recwarn):
    x = digits.test.x[:2]
    warnings.simplefilter("always")
    for model in (
        sf.load_model(digits_model)[0],
        load_classifier(str(digits_model), digits.input_shape, digits.num_classes),
    ):
        recwarn.clear()
        classifier = SmoothedClassifier(model, 0.3, device="cpu")
        classifier.certify(2 * x - 1, "vote(10)")
        classifier.votes(2 * x - 1, 10)
        assert [str(w.message)[:56] for w in recwarn] == [
            "pixels from -1 to 1, and the model is for pixels in [0, 1"[:56]
        ]
        recwarn.clear()
        SmoothedClassifier(model, 0.3, device="cpu").certify(x, "vote(10)")
        # resized pixels overshoot a little
        SmoothedClassifier(model, 0.3, device="cpu").certify(1.1 * x - 0.05, "vote(10)")
        assert not recwarn.list
