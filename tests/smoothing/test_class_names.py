"""Data whose classes are named otherwise than the model's are warned of; those without names are not."""

from types import SimpleNamespace

import numpy as np
import pytest
from torch import nn

import sfumato as sf
from sfumato.models.classifier import Classifier
from sfumato.smoothing.class_names import warn_of_other_classes

COLOURS = ("blue", "green", "red")
KNOWS = Classifier("net", nn.Identity(), class_names=COLOURS)


def test_the_same_names_in_another_order_are_told_with_the_first_that_differs():
    said = r"red, and shop has blue, red, green \(in another order: class 1 is 'green' there and 'red'"
    with pytest.warns(UserWarning, match=said):
        warn_of_other_classes(KNOWS, ["blue", "red", "green"], "shop")


@pytest.mark.parametrize("names", [COLOURS, None, (), ("0", "1", "2")])
def test_equal_names_and_numbers_are_not_warned_of(names, recwarn):
    warn_of_other_classes(KNOWS, names, "shop")
    assert not recwarn.list


def test_a_loaded_checkpoint_knows_its_classes_from_python(digits, digits_model):
    model, _ = sf.load_model(digits_model)
    smoothed = sf.SmoothedClassifier(model, 0.3, device="cpu")
    x, y = digits.test.x[:2], np.array([0, 1])
    named = sf.Dataset("words", digits.train, type(digits.test)(x, y), tuple("abcdefghij"), digits.unit, "")
    with pytest.warns(
        UserWarning, match=r"trained on the classes 0, 1, 2, 3, 4, \.\.\., and words has a, b, c"
    ):
        smoothed.certify(named, "vote(10)")


class Split:
    """As a split of ``datasets``: items by name, and a label column that names its classes."""

    def __init__(self, images, labels):
        self._items = [{"image": image, "label": label} for image, label in zip(images, labels, strict=True)]
        self.features = {"label": SimpleNamespace(names=["red", "green", "blue"])}

    def __len__(self):
        return len(self._items)

    def __getitem__(self, index):
        return self._items[index]


def test_a_hugging_face_split_in_another_order_is_told():
    split = Split(np.zeros((2, 8, 8, 3), dtype=np.uint8), [0, 2])
    classifier = Classifier("net", nn.Sequential(nn.Flatten(), nn.Linear(192, 3)), class_names=COLOURS)
    with pytest.warns(UserWarning, match="class 0 is 'blue' there and 'red' here"):
        sf.SmoothedClassifier(classifier, 0.3, device="cpu").certify(split, "vote(10)")
