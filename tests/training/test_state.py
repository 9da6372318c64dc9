"""The state of an unfinished training is used only as it was written."""

import json
import random

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from sfumato.errors import ModelError, OutputError
from sfumato.files import locked
from sfumato.models.checkpoint import read_safetensors
from sfumato.training import state
from sfumato.training.loop import train
from sfumato.training.settings import TrainingSettings
from sfumato.training.state import state_path

SMALL = TrainingSettings(alpha=0.2, epochs=2, batch_size=500)


class Stopped(Exception):
    pass


def stop(report):
    raise Stopped


@pytest.fixture(scope="module")
def unfinished(digits, tmp_path_factory):
    """The state after the first of two epochs, and the weights of an unbroken training."""
    folder = tmp_path_factory.mktemp("state")
    whole = train(digits, SMALL, folder / "whole.safetensors", device="cpu")
    with pytest.raises(Stopped):
        train(digits, SMALL, folder / "m.safetensors", device="cpu", on_epoch=stop)
    return state_path(folder / "m.safetensors").read_bytes(), whole.weights_sha256


@pytest.fixture
def output(unfinished, tmp_path):
    path = tmp_path / "m.safetensors"
    state_path(path).write_bytes(unfinished[0])
    return path


def resumed(digits, path, settings=SMALL):
    """Return the record, the epochs trained and the warnings."""
    epochs, warnings = [], []
    record = train(
        digits,
        settings,
        path,
        device="cpu",
        on_epoch=lambda report: epochs.append(report.epoch),
        on_warning=warnings.append,
    )
    return record, epochs, warnings


def test_no_flipped_bit_is_ever_read(tmp_path):
    """Of a small state, so that 250 of its bits are in header, record and tensors alike."""
    model = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    path = tmp_path / "state"
    state.save_state(path, model, optimizer, {"alpha": 0.25}, state.Progress(1, 2.5))
    content = bytearray(path.read_bytes())
    for bit in random.Random(0).sample(range(8 * len(content)), 250):
        content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        content[bit // 8] ^= 1 << bit % 8
        with pytest.raises((ModelError, OutputError)):
            state.read_state(path)
    path.write_bytes(content)
    assert state.read_state(path)[1]["epochs_done"] == 1


@pytest.mark.parametrize("damage", ["a bit", "the end", "everything", "no record"])
def test_a_damaged_state_is_named_set_aside_and_the_training_begins_anew(digits, unfinished, output, damage):
    content, path = bytearray(unfinished[0]), state_path(output)
    if damage == "a bit":
        content[-1000] ^= 4
    elif damage == "the end":
        del content[len(content) // 2 :]
    elif damage == "everything":
        content = bytearray(b"\0" * 100)
    path.write_bytes(content)
    if damage == "no record":
        save_file(read_safetensors(path)[0], path)
    damaged = path.read_bytes()
    record, epochs, warnings = resumed(digits, output)
    assert record.weights_sha256 == unfinished[1]
    assert epochs == [1, 2]
    assert len(warnings) == 1
    assert str(path) in warnings[0]
    aside = path.with_name(f"{path.name}.damaged")
    assert aside.name in warnings[0]
    assert aside.read_bytes() == damaged
    assert not path.exists()


def test_a_sound_state_goes_on_without_a_word(digits, unfinished, output):
    record, epochs, warnings = resumed(digits, output)
    assert (record.weights_sha256, epochs, warnings) == (unfinished[1], [2], [])


@pytest.mark.parametrize(
    ("format_", "words"),
    [(None, "format without checksum; this one reads 2"), (3, r"format 3; this one reads 2")],
)
def test_a_state_of_another_version_is_refused_and_left_alone(digits, output, format_, words):
    path = state_path(output)
    tensors, metadata = read_safetensors(path)
    if format_ is None:
        del metadata["sha256"]
    else:
        record = json.dumps(json.loads(metadata["sfumato_training"]) | {"format": format_})
        metadata = {"sfumato_training": record, "sha256": state.state_checksum(tensors, record)}
    save_file(tensors, path, metadata=metadata)
    before = path.read_bytes()
    with pytest.raises(OutputError, match=words):
        resumed(digits, output)
    assert path.read_bytes() == before


def test_a_state_that_cannot_be_read_is_refused_and_left_alone(digits, output):
    state_path(output).unlink()
    state_path(output).mkdir()
    with pytest.raises(OutputError, match=r"unfinished: cannot be read \(Is a directory\)"):
        resumed(digits, output)
    assert state_path(output).is_dir()


def test_a_second_training_of_one_output_is_refused(digits, output, unfinished):
    with locked(output), pytest.raises(OutputError, match=r"another run .* holds it"):
        resumed(digits, output)
    assert state_path(output).read_bytes() == unfinished[0]
    assert resumed(digits, output, SMALL)[1] == [2]
