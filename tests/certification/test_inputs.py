"""What is certified is what was given: one set of images in all forms, with the axes in the order given."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, TensorDataset

from sfumato import SmoothedClassifier
from sfumato.certification.inputs import batches
from sfumato.errors import DataError

RNG = np.random.default_rng(0)
LAST = RNG.random((6, 8, 7, 3), dtype=np.float32)
LABELS = np.arange(6) % 2


class Items:
    """A map-style data set that is no torch ``Dataset``."""

    def __init__(self, images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.images[index], int(LABELS[index])


@pytest.mark.parametrize("images", [LAST, LAST[..., 0], LAST[:, 0, 0]])
def test_a_data_set_a_loader_and_an_array_of_the_same_images_have_the_same_answers(images):
    weights = torch.linspace(-1, 1, images[0].size)

    def first_values_count_most(x):  # so that another order of axes is another answer
        assert x.shape[1:] == images.shape[1:]
        return torch.stack([x.flatten(1) @ weights, torch.zeros(len(x))], 1)

    pairs = TensorDataset(torch.from_numpy(images), torch.from_numpy(LABELS))
    found = []
    for given in (images, torch.from_numpy(images), pairs, Items(images), DataLoader(pairs, batch_size=4)):
        smoothed = SmoothedClassifier(first_values_count_most, 0.5, device="cpu")
        certificates = smoothed.certify(given, "fixed(5,20)", examples=range(6))
        found.append([(one.prediction, one.radius, one.votes) for one in certificates])
    assert all(one == found[0] for one in found)


def test_images_of_pillow_have_their_channels_first():
    pixels = (255 * LAST[:, :4, :4]).astype(np.uint8)
    ((colour, labels),) = batches(Items([Image.fromarray(image) for image in pixels]))
    assert np.array_equal(colour, np.moveaxis(pixels, -1, 1))
    assert labels.tolist() == LABELS.tolist()
    ((grey, _),) = batches(Items([Image.fromarray(image[..., 0]) for image in pixels]))
    assert np.array_equal(grey, pixels[:, None, ..., 0])


def test_a_loader_whose_items_it_cannot_put_together_is_refused_in_one_line():
    pixels = Items([Image.fromarray(image) for image in (255 * LAST).astype(np.uint8)])
    with pytest.raises(DataError, match="the items of the loader's data set must be tensors or arrays"):
        list(batches(DataLoader(pixels, batch_size=2)))


def test_a_data_frame_is_certified_row_by_row():
    rows = RNG.normal(size=(4, 3)).astype(np.float32)
    labels = np.array([0, 1, 1, 0])

    def certified(x, labels):
        smoothed = SmoothedClassifier(lambda x: x[:, :2], 0.5, device="cpu")
        found = smoothed.certify(x, "fixed(5,20)", labels=labels, examples=range(4))
        return [(one.label, one.prediction, one.votes) for one in found]

    frame = pd.DataFrame(rows, columns=["a", "b", "c"], index=[7, 3, 5, 1])
    expected = certified(rows, labels)
    for given in (pd.Series(labels, index=frame.index), pd.DataFrame({"y": labels})):
        assert certified(frame, given) == expected
    with pytest.raises(DataError, match="column 'b' of the data frame holds 'cat' in row 0"):
        certified(frame.assign(b="cat"), labels)


def test_pairs_are_images_with_labels_and_predict_takes_what_certify_takes():
    def first_value(x):
        return torch.stack([x.flatten(1)[:, 0] - 0.5, torch.zeros(len(x))], 1)

    def smoothed():
        return SmoothedClassifier(first_value, 0.1, device="cpu")

    x, y = LAST.reshape(6, -1), LABELS
    pairs = TensorDataset(torch.from_numpy(x), torch.from_numpy(y))
    expected = smoothed().predict(x, examples=range(6)).tolist()
    for given in ((x, y), [torch.from_numpy(x), y.tolist()], (pd.DataFrame(x), pd.Series(y)), pairs):
        found = smoothed().certify(given, "vote(100)", examples=range(6))
        assert [one.label for one in found] == LABELS.tolist()
        assert smoothed().predict(given, examples=range(6)).tolist() == expected
    assert smoothed().predict(DataLoader(pairs, batch_size=4), examples=range(6)).tolist() == expected
    for wrong, said in (
        ((x, y[:3]), "3 labels for 6 images"),
        ((one for one in x), r"images must be an array, a tensor, .* got generator"),
        (list(zip(x, y.tolist(), strict=True)), "images must be an array of numbers, got list"),
    ):
        for ask in (lambda z: smoothed().certify(z, "vote(10)"), smoothed().predict):
            with pytest.raises(DataError, match=said):
                ask(wrong)
