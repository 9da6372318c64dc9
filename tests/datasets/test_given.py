"""Other libraries' data sets, loaders, arrays and factories become data sets, or are refused in one line."""

import sys
import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, TensorDataset, WeightedRandomSampler

from sfumato import SmoothedClassifier
from sfumato.answers.study import Study
from sfumato.datasets import Split, dataset_of, load_dataset, on_demand
from sfumato.datasets.on_demand import OnDemand
from sfumato.errors import DataError, DataNote, ModelError, SettingError
from sfumato.training.loop import train
from sfumato.training.settings import TrainingSettings

RNG = np.random.default_rng(0)
BYTES = RNG.integers(0, 256, (40, 3, 8, 6), dtype=np.uint8)
LABELS = np.arange(40) % 2


def items(images=BYTES, labels=LABELS, **more):
    class Of:
        def __len__(self):
            return len(images)

        def __getitem__(self, index):
            return images[index], int(labels[index])

    found = Of()
    found.__dict__ |= more
    return found


class Split3:
    """A Hugging Face ``datasets`` split, by what it is known by."""

    def __init__(self, images, labels, image="image", label="label", names=("cat", "dog")):
        self.images, self.labels, self.columns = images, labels, (image, label)
        self.features = {image: SimpleNamespace(), label: SimpleNamespace(names=list(names))}
        self.column_names = [image, label]

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, row):
        return dict(zip(self.columns, (self.images[row], int(self.labels[row])), strict=True))


def pictures():
    return [Image.fromarray(np.moveaxis(image, 0, -1)) for image in BYTES]


@pytest.mark.parametrize(
    "given",
    [
        (BYTES, LABELS),
        items(),
        items([torch.from_numpy(image) for image in BYTES]),
        items(pictures()),
        TensorDataset(torch.from_numpy(BYTES), torch.from_numpy(LABELS)),
        DataLoader(TensorDataset(torch.from_numpy(BYTES), torch.from_numpy(LABELS)), batch_size=7),
        Split3(pictures(), LABELS),
        Split3(pictures(), LABELS, "img", "labels"),
        {"train": Split3(pictures(), LABELS)},
    ],
)
def test_every_form_of_the_same_data_is_the_same_data_set(given):
    data = dataset_of(given)
    assert (data.unit, data.input_shape, len(data.train), len(data.test)) == (
        *("pixels in [0, 1]", (3, 8, 6)),
        *(32, 8),
    )
    order = np.random.default_rng(0).permutation(40)
    assert np.array_equal(data.test.x, (BYTES[order[:8]] / np.float32(255)).astype(np.float32))
    assert np.array_equal(data.test.y, LABELS[order[:8]])


def test_names_of_classes_and_test_parts_are_taken_over():
    split = Split3(pictures(), LABELS)
    data = dataset_of({"train": split, "validation": Split3(pictures()[:6], LABELS[:6])}, name="pets")
    assert (data.name, data.class_names, len(data.train), len(data.test)) == ("pets", ("cat", "dog"), 40, 6)
    pair = dataset_of((items(classes=["a", "b"]), items(BYTES[:10], LABELS[:10])))
    assert (pair.class_names, len(pair.test)) == (("a", "b"), 10)


NAMES = ["dog", "cat"] * 20


class Named(Split3):
    """A split whose labels are a column of texts."""

    def __init__(self, images, names):
        super().__init__(images, names)
        self.features["label"] = SimpleNamespace(dtype="string")

    def __getitem__(self, row):
        return {"image": self.images[row], "label": self.labels[row]}


@pytest.mark.parametrize(
    "given",
    [
        (BYTES, NAMES),
        (BYTES, np.array(NAMES)),
        (BYTES, np.array(NAMES, object)),
        Named(pictures(), NAMES),
        {"train": Named(pictures(), NAMES)},
    ],
)
@pytest.mark.parametrize("held", [True, False])
def test_labels_may_be_names(monkeypatch, given, held):
    if not held:
        monkeypatch.setattr(on_demand, "HELD_BYTES", 0)
    data = dataset_of(given)
    assert data.class_names == ("cat", "dog")
    assert np.array_equal(data.test.y, 1 - LABELS[np.random.default_rng(0).permutation(40)[:8]])
    assert any("classes are numbered in alphabetical order, 0 is cat" in note for note in data.notes)


@pytest.mark.parametrize("values", [BYTES, BYTES / np.float32(255)])
def test_large_data_are_read_item_by_item_with_the_same_values(monkeypatch, values):
    held = dataset_of(items(values))
    monkeypatch.setattr(on_demand, "HELD_BYTES", 0)
    streamed = dataset_of(items(values))
    assert isinstance(streamed.train.x, OnDemand)
    assert np.array_equal(streamed.train.x[:], held.train.x)
    assert np.array_equal(streamed.test.y, held.test.y)
    assert (streamed.unit, streamed.class_names) == (held.unit, held.class_names)
    assert streamed.checksum() == dataset_of(items(values)).checksum() != held.checksum()
    changed = items(np.concatenate([values[:1], values[:1], values[2:]]))
    assert dataset_of(changed).checksum() != streamed.checksum()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (DataLoader(items(), shuffle=True), r"the loader shuffles .*give shuffle=False"),
        (DataLoader(items(), sampler=WeightedRandomSampler([1.0] * 40, 40)), "the loader shuffles"),
        (DataLoader(items(), collate_fn=lambda found: found), "changes them by its own collate_fn"),
        (items(labels=LABELS + 1), "labels run from 1 to 2; subtract 1"),
        (items([BYTES[0], BYTES[1][:, :4]], [0, 1]), r"item 0 has shape \(3, 8, 6\) but item 1 \(3, 4, 6\)"),
        (items([BYTES[0], BYTES[1] / np.float32(255)], [0, 1]), "some items are bytes, others not"),
        (
            items(BYTES.astype(int)),
            r"item 0: its image must be .* bytes or floating point .* got ndarray of int64",
        ),
        (items([*BYTES[:39], BYTES[39] * np.float32(np.nan)]), "item 39 holds NaN"),
        (items([], []), "holds no items"),
        (
            ([BYTES[0], BYTES[1][:, :4]], [0, 1]),
            r"x: all images must have one shape, but example 0 has \(3, 8, 6\) and example 1 .*; resize",
        ),
        (([torch.ones(3, 4, 4), torch.ones(1, 4, 4)], [0, 1]), "x: all images must have one shape, .* 1 has"),
        (([*pictures()[:1], Image.new("RGB", (3, 5))], [0, 1]), r"must have one shape.* 1 has \(5, 3, 3\)"),
        ((np.array([BYTES[0], BYTES[1, 0], None], object), [0, 1, 0]), r"one shape, .* 1 has \(8, 6\)"),
        (([[BYTES[0], BYTES[1][:, :4]]] * 2, [0, 1]), "x: numpy makes no array of this list"),
        ((BYTES[:2], [[0], [0, 1]]), "y: all labels must have one shape, .* 1 has"),
        ((BYTES, ["cat", 1] * 20), "y: example 1 has the label 1 and others have names"),
        ((BYTES, [None] * 40), "y must be an array of whole numbers or names, got list of object"),
        (Named(BYTES, ["cat", 1] * 20), "item 0 has the label 'cat' but item 1 1; labels must be all names"),
        (Named(BYTES, [[0], [0, 1]] * 20), "labels must be one name or whole number for each item"),
        (
            {"train": Named(BYTES, NAMES), "test": Named(BYTES[:2], ["dog", "cow"])},
            "label 'cow' of y_test is not among the classes cat, dog",
        ),
        (
            Split3(pictures(), LABELS, "photo"),
            r"has the columns photo, label; exactly one of image, img, .*rename",
        ),
        ({"test": items()}, "must have a part called train, got test"),
        ((BYTES, LABELS, BYTES), r"\(x, y\) or \(x, y, x_test, y_test\), .* got 3 parts"),
        (7, "got 1 parts|got int"),
    ],
)
def test_what_is_no_data_set_is_refused_in_one_line(given, words):
    with pytest.raises(DataError, match=words) as error:
        dataset_of(given)
    assert "\n" not in str(error.value)


FRAME = pd.DataFrame(RNG.normal(size=(40, 3)), columns=["a", "b", "c"])


@pytest.mark.parametrize(
    "y",
    [
        pd.Series(LABELS),
        pd.Series(LABELS, dtype="Int64"),
        pd.DataFrame({"y": LABELS}),
        pd.Series(["cat", "dog"] * 20),
        pd.Series(["cat", "dog"] * 20, dtype="category"),
        pd.DataFrame({"y": ["cat", "dog"] * 20}),
    ],
)
def test_data_frames_are_read_row_by_row(y):
    x = FRAME.assign(b=FRAME["b"] > 0)  # numbers and truth values, which pandas keeps as objects
    expected = dataset_of((x.to_numpy().astype(float), LABELS))
    for given in ((x, y), (x, y, x[:5], y[:5])):
        data = dataset_of(given)
        assert (data.input_shape, data.num_classes) == ((3,), 2)
        if len(given) == 2:
            assert np.array_equal(data.test.x, expected.test.x)
            assert np.array_equal(data.test.y, expected.test.y)
        else:
            assert np.allclose(data.test.x, x[:5].to_numpy().astype(float))


def test_images_may_be_a_column():
    data = dataset_of((pd.Series(list(BYTES)), pd.Series(LABELS)))
    assert np.array_equal(data.test.x, dataset_of((BYTES, LABELS)).test.x)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (FRAME, r"data must be \(x, y\) .*, got DataFrame"),
        ((FRAME.assign(b="cat"), LABELS), "column 'b' of the data frame holds 'cat' in row 0; give"),
        ((FRAME.assign(b=pd.array([1, None] * 20)), LABELS), "column 'b' .* holds <NA> in row 1"),
        ((FRAME.where(FRAME < 0), LABELS), "example 0 holds NaN"),
        ((FRAME, FRAME), r"y must hold one whole number per example, got shape \(40, 3\)"),
        ((FRAME, pd.Series(["cat", None] * 20)), "y: example 1 has the label (None|nan) and others"),
        ((FRAME, pd.Series(LABELS)[:9]), "x has 40 examples but y has 9"),
        ((pd.Series([BYTES[0], BYTES[1, 0]]), pd.Series([0, 1])), "x: all images must have one shape"),
    ],
)
def test_data_frames_that_are_no_data_set_are_refused(given, words):
    with pytest.raises(DataError, match=words):
        dataset_of(given)


def test_random_transforms_are_found_out():
    class Flickering:
        def __len__(self):
            return 4

        def __getitem__(self, index):
            return RNG.random((1, 4, 4), dtype=np.float32), index % 2

    with pytest.raises(
        DataError, match="item 0 is not the same when it is read again; leave random transforms"
    ):
        dataset_of(Flickering())


def test_items_that_fail_are_one_line_with_their_place():
    class Failing:
        def __len__(self):
            return 4

        def __getitem__(self, index):
            raise ValueError("no\nfile")

    with pytest.raises(
        ModelError, match=r"item 0 cannot be read \(ValueError: no file, at .*test_given\.py:\d+\)"
    ):
        dataset_of(Failing())


@pytest.fixture
def module(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mydata.py").write_text(
        "import numpy as np\n"
        "def pair():\n    rng = np.random.default_rng(0)\n"
        "    return rng.random((30, 1, 8, 8), dtype=np.float32), np.arange(30) % 2\n"
        "def broken():\n    raise KeyError('lost')\n"
        "def wrong():\n    return 3\n"
        "def sizes():\n    return [np.zeros((3, 8, 8)), np.zeros((3, 7, 8))], [0, 1]\n"
        "class Lost:\n    def __len__(self):\n        raise KeyError('length')\n"
        "    def __getitem__(self, index):\n        return None\n"
    )
    yield "mydata"
    sys.modules.pop("mydata", None)


def test_the_command_line_takes_a_factory_of_data(module, sfumato, refused):
    code, out, error = sfumato("data", "mydata:pair")
    assert code == 0, error
    assert out.startswith("Dataset('mydata:pair', 24 train, 6 test, shape (1, 8, 8), 2 classes")
    refused(
        ["data", "mydata:broken"],
        "mydata:broken: the data set cannot be loaded (KeyError: 'lost', at mydata",
    )
    refused(
        ["data", "mydata:wrong"],
        "data must be (x, y) or (x, y, x_test, y_test), a data set or (train, test), got int",
    )
    refused(["data", "mydata:sizes"], "x: all images must have one shape, but example 0 has (3, 8, 8) and")
    refused(["data", "mydata:Lost"], "mydata:Lost: the data set cannot be loaded (KeyError: 'length', at")
    refused(["data", "mydata:nothing"], "has no 'nothing'")
    refused(["data", "mydata:pair", "--size", "8"], "size is for a folder of images")


def test_a_name_out_of_a_file_runs_no_code(module):
    with pytest.raises(DataError, match="'mydata:pair' is code, which a file does not choose to run"):
        load_dataset("mydata:pair", run_code=False)
    assert "mydata" not in sys.modules


def test_training_studies_and_certificates_take_data_sets_of_others(tmp_path):
    settings = TrainingSettings(alpha=0.1, epochs=2, batch_size=8)
    record = train(
        (items(), items(BYTES[:9], LABELS[:9])), settings, tmp_path / "m.safetensors", device="cpu"
    )
    assert (record.input_shape, record.data) == ((3, 8, 6), "Of in memory")
    study = Study(Split3(pictures(), LABELS), [0.1], [0.2], epochs=2, votes=10)
    found = study.run(tmp_path / "study", device="cpu").results
    assert len(next(iter(found.cells.values())).labels) == 8
    again = Study((BYTES, LABELS), [0.1], [0.2], epochs=2, votes=10)
    with pytest.raises(Exception, match="other data"):
        again.run(tmp_path / "study", device="cpu")


def test_certify_takes_pictures_with_their_labels_and_no_shuffled_loader():
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(144, 2))
    plan = "fixed(5,20)"
    numbers = range(40)

    def certified(given):
        smoothed = SmoothedClassifier(model, 0.5, device="cpu")
        return [(c.label, c.prediction, c.votes) for c in smoothed.certify(given, plan, examples=numbers)]

    pixels = (BYTES / np.float32(255)).astype(np.float32)
    expected = certified(Split(pixels, LABELS))
    with pytest.warns(UserWarning, match="bytes"):
        assert certified(Split3(pictures(), LABELS)) == expected
    assert certified(items(pixels)) == expected
    smoothed = SmoothedClassifier(model, 0.5, device="cpu")
    with pytest.raises(DataError, match="the loader shuffles"):
        smoothed.certify(DataLoader(items(pixels), shuffle=True), plan)
    with pytest.raises(DataError, match="hold the parts train; give one of them"):
        smoothed.certify({"train": items(pixels)}, plan)
    with pytest.raises(SettingError):
        Study(items(), [0.1], [], epochs=1)


def test_pictures_are_turned_also_where_their_shape_does_not_say_it():
    small = RNG.integers(0, 256, (40, 4, 4, 3), dtype=np.uint8)
    data = dataset_of(items([Image.fromarray(image) for image in small]))
    order = np.random.default_rng(0).permutation(40)
    assert np.array_equal(data.test.x, np.moveaxis(small, -1, 1)[order[:8]] / np.float32(255))


@pytest.mark.parametrize("kind", ["arrays", "items", "frames"])
def test_what_was_assumed_of_data_in_memory_is_warned_of(kind):
    x = np.random.default_rng(0).uniform(0, 255, (40, 1, 6, 6)).astype(np.float32)
    y = np.arange(40) % 2
    pair = (x, y) if kind == "arrays" else [TensorDataset(torch.from_numpy(x), torch.from_numpy(y))]
    if kind == "frames":
        pair = (x, pd.Series(y))
    with pytest.warns(
        DataNote, match=r"pixels from 0 to 25\d.* are taken as they are, and alpha, beta and radii"
    ):
        found = dataset_of(pair)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert dataset_of(found) is found
