"""What a file of weights says of itself is checked before anything is made of it; it names no code to run."""

import json
import re
import resource
import struct
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sfumato import TrainingSettings, train
from sfumato.errors import ModelError
from sfumato.models import ModelRecord, load_model
from sfumato.models.checkpoint import read_record, verify_checkpoint, weights_checksum
from sfumato.models.classifier import load_classifier

SPY = """
from pathlib import Path
import torch
Path("RAN").write_text("imported")
def make(shape, classes):
    Path("RAN").write_text("called")
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, classes))
def other(shape, classes):
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, classes), torch.nn.Tanh())
def wide(shape, classes):
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(65, classes))
"""


@pytest.fixture(scope="module")
def parts(digits_model):
    """A file's bytes in three parts: header as a dictionary, record as a dictionary, tensors."""
    content = digits_model.read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + size])
    return header, json.loads(header["__metadata__"]["sfumato"]), content[8 + size :]


def written(path: Path, header: str | bytes, tensors: bytes) -> Path:
    text = header.encode() if isinstance(header, str) else header
    path.write_bytes(struct.pack("<Q", len(text)) + text + tensors)
    return path


def with_record(parts, path: Path, record: str) -> Path:
    header = {**parts[0], "__metadata__": {"sfumato": record}}
    return written(path, json.dumps(header), parts[2])


def refused(path: Path) -> str:
    messages = set()
    for read in (load_model, verify_checkpoint):
        with pytest.raises(ModelError) as caught:
            read(path)
        messages.add(str(caught.value))
    for message in messages:
        assert message.startswith(f"{path}: ")
        assert "\n" not in message
        assert len(message) < 700 + len(str(path))
    return " ".join(messages)


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from(
        [-1, 0, -0.5, 10**12, 10**400, 2**63, "", "x", " ", "\u2028", [], {}, [[]], "..", ".x:f"]
    ),
    st.lists(st.sampled_from([None, -1, 0, 0.5, 10**9, 10**400, "x", True, []]), max_size=4),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
    st.text(max_size=5),
    st.floats(allow_nan=True, allow_infinity=True),
)


@pytest.mark.parametrize("field", sorted(ModelRecord.model_fields))
def test_a_record_with_an_odd_value_is_refused_or_changes_what_is_said_alone(field, parts, tmp_path):
    @settings(max_examples=40)
    @given(ODD)
    def tried(value):
        path = with_record(parts, tmp_path / "odd.safetensors", json.dumps({**parts[1], field: value}))
        try:
            record = load_model(path)[1]
        except ModelError as error:
            message = str(error)
        else:
            # the value was of the field's own kind: nothing was converted
            assert json.loads(record.model_dump_json())[field] == json.loads(json.dumps(value))
            assert type(value) is not bool
            return
        assert message.startswith(f"{path}: ")
        assert "\n" not in message

    tried()


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("input_shape", [], "input_shape"),
        ("input_shape", [10**9] * 3, "at most 268,435,456 values, got 1000000000000000000000000000"),
        ("input_shape", [1, 8, 0], "greater than or equal to 1, got 0"),
        ("num_classes", 0, "greater than or equal to 2, got 0"),
        ("num_classes", 10**12, "num_classes"),
        ("num_classes", "10", "valid integer, got '10'"),
        ("num_classes", 11, "11 classes have 10 names"),
        ("mean", [0.1, 0.2], "mean must have one value for each channel, got 2 values"),
        ("std", [0.0], "std"),
        ("std", [1e-320], "std"),
        ("training", {"alpha": -0.1, "seed": 0}, "alpha must be a finite number of at least 0, got -0.1"),
        ("training", {"alpha": "0.3", "seed": 0}, "alpha must be a finite number of at least 0, got '0.3'"),
        ("training", {"alpha": 0.3, "seed": True}, "seed must be a whole number of at least 0, got True"),
        ("training", {"alpha": 0.3, "seed": 0, "noise": 3}, "noise must be a name, got 3"),
        ("clean_accuracy", 1.5, "less than or equal to 1"),
        ("format", 3, "format"),
        ("format", True, "format"),
        ("weights_sha256", "", "weights have checksum"),
        ("architecture", "", "architecture"),
        ("architecture", "cnm", "architecture 'cnm' is not known; accepted are mlp, cnn"),
    ],
)
def test_what_is_wrong_is_named(field, value, words, parts, tmp_path):
    record = json.dumps({**parts[1], field: value})
    path = with_record(parts, tmp_path / "x.safetensors", record)
    with pytest.raises(ModelError, match=re.escape(words)):
        load_model(path)


def test_a_record_of_version_0_1_is_read(parts, tmp_path):
    """It had each setting of a training as a field of its own."""
    present = parts[1]
    former = {name: value for name, value in present.items() if name != "training"} | {"format": 1}
    settings = ("method", "alpha", "draws", "epochs", "batch_size", "learning_rate", "weight_decay", "seed")
    former |= {name: present["training"][name] for name in (*settings, "precision")}
    former["warm_start_sha256"] = None
    path = with_record(parts, tmp_path / "former.safetensors", json.dumps(former))
    found = load_model(path)[1]
    later = ("alpha_schedule", "alpha_start", "augmentation", "freeze")
    assert found.training == {n: v for n, v in present["training"].items() if n not in later}
    assert (found.alpha, found.seed, found.noise) == (0.3, 0, "gaussian")


def test_a_false_size_takes_no_memory(parts, tmp_path):
    """A million classes of 512 inputs would be 2 GB."""
    classes = 2**20
    record = {**parts[1], "num_classes": classes, "class_names": [""] * classes}
    path = with_record(parts, tmp_path / "x.safetensors", json.dumps(record))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ModelError, match=r"does not fit mlp: .*, expected float32 \(1048576,"):
        load_model(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 10**6, "kilobytes"


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (b"", "not a whole safetensors file"),
        (b"[]", "not a whole safetensors file"),
        (b"{}", "has no Sfumato record"),
        (b'{"__metadata__": 5}', "not a whole safetensors file"),
        (b'{"__metadata__": {"sfumato": 5}}', "not a whole safetensors file"),
        (b'{"__metadata__": {}, "__metadata__": {}}', "the key '__metadata__' stands twice"),
        (b'{"__metadata__": {"sfumato": "{"}}', "record not understood"),
        (b'{"__metadata__": {"sfumato": "[]"}}', "record not understood"),
        (b'{"__metadata__": {"sfumato": "{\\"seed\\": 1, \\"seed\\": 2}"}}', "the key 'seed' stands twice"),
        (b'{"__metadata__": {"sfumato": "{\\"alpha\\": NaN}"}}', "NaN is not a number of JSON"),
        (b'{"__metadata__": {"sfumato": "' + b"[" * 100_000 + b'"}}', "record not understood"),
        (b'{"__metadata__": {"sfumato": "{\\"seed\\": ' + b"9" * 5000 + b'}"}}', "record not understood"),
        (b"[" * 100_000, "not a whole safetensors file"),
        (
            b'{"a": {"dtype": "F32", "shape": [9223372036854775807, 4], "data_offsets": [0, 0]}}',
            "not a whole",
        ),
        (b'{"a": {"dtype": "XYZ", "shape": [], "data_offsets": [0, 0]}}', "not a whole"),
        (b"\xff\xfe\x00", "not a whole safetensors file"),
    ],
)
def test_damaged_headers_are_one_line(header, words, tmp_path):
    assert words in refused(written(tmp_path / "x.safetensors", header, b""))


@pytest.mark.parametrize("size", [0, 1, 2**31, 2**63, 2**64 - 1])
def test_a_header_that_lies_about_its_length_is_refused(size, parts, tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", size) + json.dumps(parts[0]).encode() + parts[2])
    assert "not a whole safetensors file" in refused(path)


@pytest.mark.parametrize("name", ["a" * 300, "a" * 5000, "folder", "no\0name"])
def test_names_that_are_no_file_are_one_line(name, tmp_path):
    (tmp_path / "folder").mkdir()
    assert "no such file" in refused(tmp_path / name)
    with pytest.raises(ModelError):
        load_classifier(f"{'a' * 300}:{name}", (1, 8, 8), 10)


def test_the_network_keeps_its_weights_when_the_file_changes(digits_model, tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(digits_model.read_bytes())
    model, record = load_model(path)
    with path.open("r+b") as file:
        file.seek(-4096, 2)
        file.write(b"\0" * 4096)
    assert weights_checksum(model.state_dict()) == record.weights_sha256


@pytest.fixture
def made(digits, tmp_path, monkeypatch):
    """A checkpoint trained by the factory ``spy:make``, and no trace of that."""
    (tmp_path / "spy.py").write_text(SPY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "spy", raising=False)
    settings = TrainingSettings(alpha=0.3, architecture="spy:make", epochs=1)
    train(digits, settings, Path("made.safetensors"), device="cpu")
    monkeypatch.delitem(sys.modules, "spy")
    Path("RAN").unlink()
    return Path("made.safetensors")


def test_loading_a_file_imports_nothing_that_its_record_names(made, parts, tmp_path):
    with pytest.raises(
        ModelError, match=r"was built by 'spy:make', whose code a file alone cannot run; .* factory="
    ):
        load_model(made)
    with pytest.raises(ModelError, match="--model-factory"):
        load_classifier(str(made), (1, 8, 8), 10)
    assert verify_checkpoint(made).architecture == read_record(made).architecture == "spy:make"
    for name in ("spy:make", ".x:f", "os:system", "..", "../spy:make", "spy", "spy.py:make", "spý:make"):
        path = with_record(parts, tmp_path / "x", json.dumps({**parts[1], "architecture": name}))
        with pytest.raises(ModelError):
            load_model(path)
    assert not Path("RAN").exists()
    assert "spy" not in sys.modules


def test_a_factory_that_the_caller_names_is_used(made):
    model, record = load_model(made, factory="spy:make")
    assert record.architecture == "spy:make"
    assert Path("RAN").read_text() == "called"
    assert model(torch.zeros(2, 1, 8, 8)).shape == (2, 10)

    def here(shape, classes):
        return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))

    again, _ = load_model(made, factory=here)
    x = torch.rand(4, 1, 8, 8)
    assert torch.equal(again(x), model(x))
    with pytest.raises(
        ModelError, match=r"does not fit spy:wide: .* float32 \(10, 64\), expected float32 \(10, 65\)"
    ):
        load_model(made, factory="spy:wide")


def test_a_factory_for_a_file_that_needs_none_is_refused(digits_model):
    with pytest.raises(ModelError, match="is a mlp, which is built in and needs no factory"):
        load_model(digits_model, factory="evil:f")


def test_the_same_weights_in_other_code_are_another_classifier(made):
    same = load_classifier(str(made), (1, 8, 8), 10, factory="spy:make")
    other = load_classifier(str(made), (1, 8, 8), 10, factory="spy:other")
    assert same.weights_sha256 == other.weights_sha256 == same.record.weights_sha256
    assert (same.factory, other.factory) == (None, "spy:other")


def test_a_warm_start_runs_the_factory_that_is_to_be_trained_and_no_other(made, digits):
    for architecture in ("mlp", "spy:other"):
        settings = TrainingSettings(alpha=0.3, architecture=architecture, epochs=1, warm_start=made)
        with pytest.raises(ModelError, match="is spy:make for input"):
            train(digits, settings, Path("out.safetensors"), device="cpu")
    assert not Path("RAN").exists()
    settings = TrainingSettings(alpha=0.3, architecture="spy:make", epochs=1, warm_start=made)
    assert train(digits, settings, Path("out.safetensors"), device="cpu").training["warm_start"]


def test_tied_weights_are_kept_and_come_back(tmp_path, digits, monkeypatch):
    (tmp_path / "tied.py").write_text(
        "from torch import nn\n"
        "def make(shape, classes):\n"
        "    one, two = nn.Linear(64, 64), nn.Linear(64, 64)\n"
        "    two.weight = one.weight\n"
        "    return nn.Sequential(nn.Flatten(), one, nn.ReLU(), two, nn.Linear(64, classes))\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    path = tmp_path / "tied.safetensors"
    train(digits, TrainingSettings(alpha=0.3, architecture="tied:make", epochs=1), path, device="cpu")
    body = load_model(path, factory="tied:make")[0][1]
    assert body[1].weight is body[3].weight
