"""Batch norms re-estimated under noise, against statistics that NumPy computes from the same numbers."""

import copy
import threading
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from sfumato import Classifier, SmoothedClassifier, load_model, normalize_at, save_model
from sfumato.errors import DataError, ModelError, SettingError
from sfumato.interop.answers import take_output
from sfumato.models import build_model
from sfumato.models.classifier import load_classifier
from sfumato.models.denoised import denoised
from sfumato.models.ensemble import ensemble
from sfumato.noise import Gaussian, Laplace, Span, Stream, Uniform, Use
from sfumato.smoothing.batch_norms import LARGEST_GAP, batch_norms, misfits, some_images, told_misfits
from sfumato.training.loop import train
from sfumato.training.settings import TrainingSettings

pytestmark = pytest.mark.usefixtures("one_thread")


def two_layers():
    """Dense, batch norm, ReLU, dense, batch norm, dense, with statistics of nothing in particular."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Linear(5, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2)
    )
    for norm in (network[1], network[4]):
        nn.init.uniform_(norm.weight, 0.5, 2.0)
        nn.init.uniform_(norm.bias)
    return network.eval()


def noisy(images, noise, seed=0):
    """Return each image with its own draw, one at a time, as float64."""
    rows = [noise.add(image[None], Stream(Use.STATISTICS, seed, Span(i))) for i, image in enumerate(images)]
    return torch.cat(rows).double().numpy()


def statistics_by_numpy(network, x):
    """Return means and variances of both batch norms; the second sees what the first one makes of it."""
    found = []
    for dense, norm in ((network[0], network[1]), (network[3], network[4])):
        weight, bias, scale, shift = (
            value.detach().double().numpy() for value in (dense.weight, dense.bias, norm.weight, norm.bias)
        )
        x = x @ weight.T + bias
        mean, variance = x.mean(axis=0), x.var(axis=0, ddof=1)
        found += [mean, variance]
        x = np.maximum((x - mean) / np.sqrt(variance + norm.eps) * scale + shift, 0)
    return found


def stored(classifier):
    norms = batch_norms(classifier.model).values()
    return [value for norm in norms for value in (norm.running_mean, norm.running_var)]


@pytest.mark.parametrize("noise", [Gaussian(0.0), Gaussian(0.5), Uniform(0.7), Laplace(0.3)], ids=str)
@pytest.mark.parametrize("batch_size", [None, 1, 7, 50])
def test_statistics_are_those_of_the_noisy_images_layer_after_layer(noise, batch_size):
    network, images = two_layers(), torch.rand(50, 5)
    found = normalize_at(network, images, noise=noise, batch_size=batch_size, device="cpu")
    for value, expected in zip(
        stored(found), statistics_by_numpy(network, noisy(images, noise)), strict=True
    ):
        np.testing.assert_allclose(value, expected, rtol=2e-6, atol=1e-7)


def test_a_convolution_has_statistics_over_images_and_pixels():
    torch.manual_seed(1)
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(32, 2))
    images = torch.rand(9, 1, 4, 4)
    found = normalize_at(network, images, beta=0.25, seed=3, device="cpu", batch_size=4)
    pixels = noisy(images, Gaussian(0.25), seed=3).reshape(-1, 1)
    x = pixels @ network[0].weight.detach().double().numpy().reshape(2, 1).T
    x += network[0].bias.detach().double().numpy()
    mean, variance = stored(found)
    np.testing.assert_allclose(mean, x.mean(axis=0), rtol=2e-6)
    np.testing.assert_allclose(variance, x.var(axis=0, ddof=1), rtol=2e-6)


def test_a_residual_network_has_the_same_statistics_whatever_the_batches():
    network = build_model("resnet20", (1, 8, 8), 10, [0.3], [0.4]).eval()
    images = torch.rand(8, 1, 8, 8)
    whole = stored(normalize_at(network, images, 0.5, device="cpu"))
    assert len(whole) == 2 * 21
    parts = stored(normalize_at(network, images, 0.5, device="cpu", batch_size=5))
    for one, other in zip(whole, parts, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_the_model_stays_as_it_was_and_the_new_one_is_another():
    network = two_layers().train()
    before = copy.deepcopy(network.state_dict())
    given = Classifier.of(network)
    found = normalize_at(given, torch.rand(20, 5), 0.5, seed=4, device="cpu")
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert found.checksum() == found.weights_sha256 != given.checksum()
    how = found.normalization
    assert (how.noise, how.images, how.seed) == ({"noise": "gaussian", "beta": 0.5}, 20, 4)
    assert how.source_sha256 == given.checksum()
    weights = [name for name in before if "running" not in name]
    assert all(torch.equal(found.model.state_dict()[name], before[name]) for name in weights)
    assert len(SmoothedClassifier(found, 0.5, device="cpu").predict(torch.rand(3, 5))) == 3


def test_another_seed_is_other_noise_and_the_same_one_the_same_weights():
    images = torch.rand(20, 5)
    found = [normalize_at(two_layers(), images, 0.5, seed=s, device="cpu").weights_sha256 for s in (0, 0, 1)]
    assert found[0] == found[1] != found[2]


def test_a_record_says_so_and_is_read_back(digits_with_batch_norms, tmp_path):
    path, digits = digits_with_batch_norms
    model, record = load_model(path)
    assert record.normalization is None
    given = Classifier(str(path), model, record.weights_sha256, record)
    found = normalize_at(given, digits.train.x[:100], 0.5, device="cpu")
    save_model(found.model, found.record, tmp_path / "at.safetensors")
    _, again = load_model(tmp_path / "at.safetensors")
    assert again == found.record
    assert again.normalization.source_sha256 == record.weights_sha256 != again.weights_sha256
    assert again.weights_sha256 == found.weights_sha256


def test_dropout_is_off_and_a_layer_that_is_not_used_keeps_its_statistics():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.unused, self.dropout = nn.BatchNorm1d(2), nn.BatchNorm1d(2), nn.Dropout(0.9)

        def forward(self, x):
            return self.used(input=self.dropout(x))

    images = torch.tensor([[1.0, 0.0], [3.0, 2.0]])
    found = normalize_at(Odd(), images, 0.0, device="cpu")
    assert [value.tolist() for value in stored(found)] == [[2, 1], [2, 2], [0, 0], [1, 1]]


def test_without_batch_norms_the_classifier_itself_comes_back():
    given = Classifier.of(nn.Linear(3, 2))
    assert normalize_at(given, torch.rand(5, 3), 0.5) is given
    assert misfits(given, torch.rand(5, 3), Gaussian(0.5)) == {}


class Shared(nn.Module):
    """One batch norm in two places."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(5)

    def forward(self, x):
        return self.norm(self.norm(x) + 1)


class Frozen(nn.Module):
    """As torchvision's FrozenBatchNorm2d: statistics that are no batch norm's."""

    def __init__(self):
        super().__init__()
        self.register_buffer("running_mean", torch.zeros(5))
        self.register_buffer("running_var", torch.ones(5))

    def forward(self, x):
        return (x - self.running_mean) / self.running_var.sqrt()


class Alternating(nn.Module):
    """One of two batch norms, by the input."""

    def __init__(self):
        super().__init__()
        self.low, self.high = nn.BatchNorm1d(5), nn.BatchNorm1d(5)

    def forward(self, x):
        return self.low(x) if x.sum() < 5 * len(x) else self.high(x)


class Failing(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(5)

    def forward(self, x):
        raise RuntimeError("out of luck")


class WithLock(nn.Sequential):
    """A module that cannot be copied in full: what cannot be is shared."""

    def __init__(self):
        super().__init__(nn.BatchNorm1d(5))
        self.lock = threading.Lock()


def tied():
    network = nn.Sequential(nn.BatchNorm1d(5), nn.BatchNorm1d(5))
    network[1].running_mean = network[0].running_mean
    return network


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (lambda x: x, "is a black box"),
        (Shared(), "'norm' is used in more than one place"),
        (tied(), "'0' and '1' share their statistics"),
        (nn.Sequential(Frozen()), "'0' is a Frozen, whose statistics are fixed"),
        (nn.Sequential(nn.InstanceNorm1d(5, track_running_stats=True)), "is a InstanceNorm1d"),
        (nn.Sequential(nn.BatchNorm1d(5, track_running_stats=False)), "keeps no statistics"),
        (nn.Sequential(nn.LazyBatchNorm1d()), "has no values yet"),
        (nn.Sequential(nn.BatchNorm1d(4)), r"fails on images of shape \(5,\)"),
        (Failing(), "RuntimeError: out of luck"),
        (Alternating(), "not every image passes through the same batch norms"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_re_estimated_is_refused_in_one_line(network, words):
    images = torch.cat([torch.zeros(4, 5), 2 * torch.ones(4, 5)])
    with pytest.raises(ModelError, match=words) as error:
        normalize_at(network, images, 0.1, batch_size=4, device="cpu")
    assert "\n" not in str(error.value)


def test_a_module_with_a_lock_is_re_estimated():
    found = normalize_at(WithLock(), torch.rand(10, 5), 0.0, device="cpu")
    assert found.model[0].running_mean.count_nonzero() == 5


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (torch.zeros(4, 5, dtype=torch.uint8), "floating point"),
        (torch.zeros(1, 5), "at least two"),
        (torch.full((4, 5), torch.nan), "not finite"),
    ],
)
def test_images_that_give_no_statistics_are_refused(images, words):
    with pytest.raises((DataError, ModelError), match=words):
        normalize_at(nn.Sequential(nn.BatchNorm1d(5)), images, 0.1, device="cpu")


def test_images_of_another_shape_than_the_record_are_refused(digits_with_batch_norms):
    model, record = load_model(digits_with_batch_norms[0])
    given = Classifier("digits", model, record.weights_sha256, record)
    for check in (lambda x: normalize_at(given, x, 0.1), lambda x: misfits(given, x, Gaussian(0.1))):
        # the network itself would take them
        with pytest.raises(DataError, match=r"is for inputs \(1, 8, 8\), but images have \(1, 9, 9\)"):
            check(torch.rand(4, 1, 9, 9))


@pytest.mark.parametrize("wrong", [{}, {"beta": -1.0}, {"beta": 1.0, "noise": Gaussian(1.0)}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(SettingError):
        normalize_at(nn.Sequential(nn.BatchNorm1d(5)), torch.rand(4, 5), **wrong)


def test_images_are_chosen_from_the_whole_training_set_and_more_contain_fewer():
    train = np.arange(1000.0)
    few, more = some_images(train, 100), some_images(train, 200)
    assert len(set(more.tolist())) == 200
    assert more[:100].tolist() == few.tolist() != sorted(few)
    assert few.max() > 900
    assert len(some_images(train[:50])) == 50


def test_statistics_that_fit_are_not_named_and_others_are_with_their_gap():
    """The inputs of a first batch norm: mean m and variance v + beta^2, known beforehand."""
    network = nn.Sequential(nn.BatchNorm1d(3))
    images = 2.0 + torch.randn(256, 3, generator=torch.Generator().manual_seed(0))
    network[0].running_mean.fill_(2.0)
    assert misfits(network, images, Gaussian(0.0), device="cpu") == {}
    (gap,) = misfits(network, images, Gaussian(2.0), device="cpu").values()
    assert gap == pytest.approx(0.5 * np.log(1.0 + 4.0), abs=0.1)
    network[0].running_mean.fill_(2.5)
    (gap,) = misfits(network, images, Gaussian(0.0), device="cpu").values()
    assert gap == pytest.approx(0.5, abs=0.1)
    network[0].running_mean.fill_(torch.nan)
    assert list(misfits(network, images, Gaussian(0.0), device="cpu")) == ["0"]


def test_re_estimated_statistics_fit_and_only_at_their_noise(digits_with_batch_norms):
    path, digits = digits_with_batch_norms
    model, _ = load_model(path)
    found = normalize_at(model, digits.train.x[:500], 1.0, device="cpu")
    other = digits.train.x[500:800]
    assert misfits(found, other, Gaussian(1.0), device="cpu") == {}
    assert len(misfits(found, other, Gaussian(0.0), device="cpu")) > 10


def test_the_warning_names_betas_and_the_layers_furthest_off():
    found = {0.1: {}, 0.3: {"a": 1.0}, 0.5: {"a": 0.3, "b": 2.0, "c": 1.0, "d": 0.4}}
    line = told_misfits("net", found, "do this")
    assert line.startswith("net: at beta = 0.3, 0.5 the statistics stored in 4 batch norms (b, c, d, ...)")
    assert line.endswith("do this")
    assert told_misfits("net", {0.1: {}}, "do this") is None
    assert 0 < LARGEST_GAP < 1


def test_images_are_cropped_as_in_training():
    """Of 8 x 8 pixels, padded by 1, a crop at a random place has a twelfth of its rows and columns empty."""
    network, images = nn.Sequential(nn.BatchNorm2d(1)).eval(), np.ones((2000, 1, 8, 8), dtype=np.float32)
    whole = normalize_at(network, images, beta=0.0)
    cropped = normalize_at(network, images, beta=0.0, augmentation="crop-flip")
    assert stored(whole)[0].item() == 1.0
    # the mean of 2,000 products of two shares, each 1 or 7/8, has a standard error of 0.0016
    assert stored(cropped)[0].item() == pytest.approx((11 / 12) ** 2, abs=0.007)
    assert (whole.normalization.augmentation, cropped.normalization.augmentation) == ("none", "crop-flip")


def test_a_record_says_how_images_are_augmented(digits, tmp_path):
    settings = TrainingSettings(
        alpha=0.3, epochs=1, architecture="batch_norm_factory:network", augmentation="crop-flip"
    )
    train(digits, settings, tmp_path / "m.safetensors", device="cpu")
    classifier = load_classifier(
        str(tmp_path / "m.safetensors"), digits.input_shape, digits.num_classes, factory=settings.architecture
    )
    found = [
        normalize_at(classifier, digits.train.x[:300], beta=0.3, augmentation=how).checksum()
        for how in (None, "crop-flip", "none")
    ]
    assert found[0] == found[1]
    assert found[1] != found[2]


def part(augmentation=None):
    """Return a classifier with a batch norm, whose record says how its training images were augmented."""
    network = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(64, 2)).eval()
    said = {} if augmentation is None else {"augmentation": augmentation}
    record = SimpleNamespace(training=said, input_shape=(1, 8, 8), num_classes=2)
    record.model_copy = lambda update: SimpleNamespace(**{**vars(record), **update})
    return Classifier("part", network, record=record)


CROPPED = part("crop-flip")
SILENT = nn.Sequential(nn.Flatten(), nn.Linear(64, 2)).eval()


@pytest.mark.parametrize(
    ("made", "used"),
    [
        (lambda: ensemble([CROPPED, part("crop-flip")]), "crop-flip"),
        (lambda: ensemble([part("none"), part()]), "none"),
        (lambda: ensemble([CROPPED, SILENT]), "crop-flip"),
        (lambda: ensemble([CROPPED, replace(part("none"), model=SILENT)]), "crop-flip"),
        (lambda: ensemble([ensemble([CROPPED]), part("crop-flip")]), "crop-flip"),
        (lambda: denoised(CROPPED, nn.Identity()), "crop-flip"),
        (lambda: denoised(ensemble([CROPPED, part("crop-flip")]), nn.BatchNorm2d(1).eval()), "crop-flip"),
        (lambda: take_output(CROPPED, slice(None)), "crop-flip"),
    ],
    ids=["alike", "of none", "one is silent", "no batch norm", "nested", "denoised", "both", "scores"],
)
def test_what_is_made_of_several_has_the_augmentation_of_its_parts(made, used):
    images = np.random.default_rng(0).random((20, 1, 8, 8), dtype=np.float32)
    found = normalize_at(made(), images, beta=0.1, device="cpu")
    assert found.normalization.augmentation == used


@pytest.mark.parametrize(
    "mixed",
    [
        ensemble([CROPPED, part("none")]),
        denoised(CROPPED, replace(part("none"), model=nn.BatchNorm2d(1).eval())),
    ],
    ids=["ensemble", "denoised"],
)
def test_parts_of_different_augmentations_are_refused_until_one_is_chosen(mixed):
    images = np.random.default_rng(0).random((20, 1, 8, 8), dtype=np.float32)
    with pytest.raises(SettingError, match="trained with the augmentations crop-flip and none, and one pass"):
        normalize_at(mixed, images, beta=0.1, device="cpu")
    chosen = normalize_at(mixed, images, beta=0.1, device="cpu", augmentation="none")
    assert chosen.normalization.augmentation == "none"


def test_parts_that_fit_the_images_of_their_own_training_are_not_warned_of():
    images = np.ones((2000, 1, 8, 8), dtype=np.float32)
    # statistics of crops with their empty rows, and of whole images, as their trainings left them
    fitted = [
        normalize_at(part(how), images, beta=0.1, device="cpu", augmentation=how)
        for how in ("crop-flip", "none")
    ]
    assert misfits(ensemble(fitted), images, Gaussian(0.1), device="cpu") == {}
    assert misfits(ensemble(fitted), images, Gaussian(0.5), device="cpu")
