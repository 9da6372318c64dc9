"""Archives: what is certain is accepted, and nothing is allocated or run that a file only claims."""

import io
import struct
import zipfile

import numpy as np
import pytest

from sfumato.datasets import load_dataset
from sfumato.errors import DataError
from support import write_npz

pytestmark = pytest.mark.filterwarnings("ignore::sfumato.errors.DataNote")
RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (12, 6, 5), dtype=np.uint8)
Y = np.arange(12) % 3


def npy(header, content=b"", version=(1, 0)):
    text = header.encode().ljust(118, b" ") + b"\n"
    return b"\x93NUMPY" + bytes(version) + struct.pack("<H", len(text)) + text + content


def archive(path, members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in members:
            file.writestr(name, content)
    return path


def array(values):
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("names", "test"),
    [
        (("x", "y", "x_test", "y_test"), 4),
        (("X", "Y", "X_test", "y_test"), 4),
        (("x_train", "y_train", "x_test", "y_test"), 4),
        (("train_images", "train_labels", "test_images", "test_labels"), 4),
        (("train_images", "train_labels", "val_images", "val_labels"), 4),
        (("x_train", "y_train", "x_val", "y_val"), 4),
    ],
)
def test_the_names_of_keras_and_medmnist_are_understood(tmp_path, names, test):
    parts = dict(zip(names, (X, Y[:, None], X[:test], Y[:test, None]), strict=True))
    data = load_dataset(write_npz(tmp_path / "d.npz", **parts))
    assert np.array_equal(data.train.x[:, 0], X / np.float32(255))
    assert (data.input_shape, data.num_classes, data.unit) == ((1, 6, 5), 3, "pixels in [0, 1]")
    assert data.test.y.tolist() == Y[:test].tolist()
    assert any("is the test set" in line for line in data.notes) == ("val" in names[2])


def test_labels_may_be_names(tmp_path):
    names = np.array(["fox", "cat", "dog"])[Y]
    with pytest.warns(UserWarning, match="the labels in y are names; .* 0 is cat"):
        data = load_dataset(write_npz(tmp_path / "d.npz", x=X, y=names, x_test=X[:3], y_test=names[:3]))
    assert data.class_names == ("cat", "dog", "fox")
    assert data.test.y.tolist() == [2, 0, 1]


@pytest.mark.parametrize("name", ["y", "class_names"])
def test_texts_that_are_no_unicode_are_refused(tmp_path, name):
    damaged = np.array([65, 0x110000, 66] * 4, np.uint32).view("U1")
    path = write_npz(tmp_path / "d.npz", **{"x": X, "y": Y} | {name: damaged})
    with pytest.raises(DataError, match=rf"d.npz: {name}.npy: holds text that is not Unicode"):
        load_dataset(path)


def test_a_validation_set_beside_a_test_set_is_noted_and_not_used(tmp_path):
    path = write_npz(tmp_path / "d.npz", x_train=X, y_train=Y, x_test=X, y_test=Y, x_val=X, y_val=Y)
    with pytest.warns(UserWarning, match="'x_val', 'y_val' not used"):
        assert len(load_dataset(path).test) == 12


@pytest.mark.parametrize(
    ("given", "shape", "noted"),
    [
        ((9, 8, 7, 1), (1, 8, 7), False),
        ((9, 8, 7, 2), (2, 8, 7), False),
        ((9, 8, 7, 3), (3, 8, 7), False),
        ((9, 8, 7, 4), (4, 8, 7), False),
        ((9, 2, 8, 7), (2, 8, 7), False),
        ((9, 4, 8, 7), (4, 8, 7), False),
        ((9, 4, 4, 4), (4, 4, 4), True),
        ((9, 3, 8, 3), (3, 8, 3), True),
        ((9, 8, 7, 6), (8, 7, 6), True),
    ],
)
def test_channels_last_is_turned_where_certain_and_noted_where_not(tmp_path, given, shape, noted):
    x = RNG.random(given)
    y = np.arange(9) % 2
    data = load_dataset(write_npz(tmp_path / "d.npz", x=x, y=y, x_test=x, y_test=y))
    assert data.input_shape == shape
    expected = x if shape == given[1:] else np.moveaxis(x, 3, 1)
    assert np.allclose(data.train.x, expected)
    assert any("is read as images of" in line for line in data.notes) == noted


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("kind", ["<f4", ">f8", "<f2"])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_every_order_of_bytes_and_axes_is_read(tmp_path, order, kind, save):
    x = np.asarray(RNG.random((10, 6, 5)), dtype=kind, order=order)
    save(tmp_path / "d.npz", x=x, y=np.arange(10) % 2, x_test=x, y_test=np.arange(10) % 2)
    assert np.array_equal(load_dataset(tmp_path / "d.npz").train.x[:, 0], x.astype(np.float32))


FLOATS = "{'descr': '<f8', 'fortran_order': False, 'shape': (%s,), }"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (npy(FLOATS % 10**15), "declares 8,000,000,000,000,000 bytes of values but holds 0"),
        (npy(FLOATS % "-5, -5", bytes(200)), "is not an array"),
        (npy("{'descr': '|V0', 'fortran_order': False, 'shape': (1000000000000,), }"), "is not an array"),
        (npy("{'descr': '|O', 'fortran_order': False, 'shape': (3,), }", b"cos\nsystem\n"), "Python objects"),
        (npy("{'descr': '<f8', 'fortran_order': False, 'shape': (3,), ", bytes(24)), "not a readable"),
        (npy("__import__('os').system('false')"), "not a readable"),
        (npy(FLOATS % 3, bytes(24), (3, 0)), "version"),
        (npy(FLOATS % 3, bytes(24), (9, 9)), "not a readable|version"),
        (b"", "not a readable"),
        (b"\x93NUMPY", "not a readable"),
    ],
)
def test_a_member_that_is_no_plain_array_is_refused(tmp_path, content, words):
    path = archive(tmp_path / "d.npz", [("x.npy", content), ("y.npy", array(Y))])
    with pytest.raises(DataError, match=words) as error:
        load_dataset(path)
    assert "\n" not in str(error.value)


def test_a_size_that_the_file_cannot_hold_is_refused_before_it_is_allocated(tmp_path):
    path = archive(tmp_path / "d.npz", [("x.npy", array(X)), ("y.npy", array(Y))], zipfile.ZIP_DEFLATED)
    content = bytearray(path.read_bytes())
    entry = content.index(b"PK\x01\x02")  # the central directory's first entry; its size lies 24 bytes on
    content[entry + 24 : entry + 28] = struct.pack("<I", 0xFFFFFFF0)
    path.write_bytes(content)
    with pytest.raises(DataError, match="declares 4,294,967,280 bytes, which"):
        load_dataset(path)


def test_an_encrypted_archive_and_one_that_is_none_are_refused(tmp_path):
    path = archive(tmp_path / "d.npz", [("x.npy", array(X)), ("y.npy", array(Y))])
    content = bytearray(path.read_bytes())
    (tmp_path / "none.npz").write_bytes(b"not a zip")
    with pytest.raises(DataError, match="not a readable"):
        load_dataset(tmp_path / "none.npz")
    for start, flag in ((content.index(b"PK\x03\x04"), 6), (content.index(b"PK\x01\x02"), 8)):
        content[start + flag] |= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="encrypted"):
        load_dataset(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("members", "words"),
    [
        ([("x.npy", array(X)), ("x.npy", array(X)), ("y.npy", array(Y))], "two arrays called 'x'"),
        ([("x.npy", array(X)), ("X.npy", array(X)), ("y.npy", array(Y))], "both 'x' and 'X'"),
        ([("x.npy", array(X)), ("x_train.npy", array(X)), ("y.npy", array(Y))], "both 'x' and 'x_train'"),
        ([("readme.txt", b"hello")], "lacks the array 'x'; it holds none"),
        ([("x.npy", array(X))], "lacks the array 'y'"),
        ([("x.npy", array(X)), ("y.npy", array(Y)), ("x_test.npy", array(X))], "lacks the array 'y_test'"),
        ([("x.npy", array(X)), ("y.npy", array(Y[1:]))], "x has 12 examples but y has 11"),
        ([("x.npy", array(X[:0])), ("y.npy", array(Y[:0]))], "no examples"),
        ([("x.npy", array(X)), ("y.npy", array(np.int64(3)))], r"per example, got shape \(\)"),
        ([("x.npy", array(X)), ("y.npy", array(Y)), ("class_names.npy", array(Y))], "a different word"),
    ],
)
def test_an_archive_that_can_be_read_in_two_ways_or_none_is_refused(tmp_path, members, words):
    with pytest.raises(DataError, match=words):
        load_dataset(archive(tmp_path / "d.npz", members))


def test_a_changed_byte_is_found_by_the_archives_own_checksum(tmp_path):
    path = archive(tmp_path / "d.npz", [("x.npy", array(X)), ("y.npy", array(Y))])
    content = bytearray(path.read_bytes())
    content[content.index(X.tobytes()) + 7] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="CRC"):
        load_dataset(path)


def test_classes_may_be_named(tmp_path):
    names = np.array(["cat", "dog", "eel"])
    data = load_dataset(write_npz(tmp_path / "d.npz", x=X, y=np.full(12, 2), class_names=names))
    assert (data.class_names, set(data.test.y.tolist())) == (("cat", "dog", "eel"), {2})
