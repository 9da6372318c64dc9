import json

import pytest

from sfumato.attacks.file import attack_to_file, read_attack
from sfumato.attacks.smoothed_attack import Attack
from sfumato.datasets import load_dataset
from sfumato.errors import DataError, OutputError
from sfumato.models.classifier import load_classifier
from sfumato.noise import Gaussian
from sfumato.training.loop import train
from sfumato.training.settings import TrainingSettings


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits")


@pytest.fixture(scope="module")
def classifier(digits, tmp_path_factory):
    path = tmp_path_factory.mktemp("attack") / "m.safetensors"
    train(digits, TrainingSettings(alpha=0.3, epochs=6), path)
    return load_classifier(str(path), digits.input_shape, digits.num_classes)


ATTACK = Attack(radii=(0.5, 1.0), draws=4, steps=3, restarts=1, n_max=500)


def test_an_attack_goes_on_where_it_stopped(digits, classifier, tmp_path):
    whole = attack_to_file(ATTACK, classifier, digits, range(8), Gaussian(0.3), tmp_path / "a.json")
    part = tmp_path / "b.json"
    attack_to_file(ATTACK, classifier, digits, range(5), Gaussian(0.3), part)
    before = json.loads(part.read_text())
    before["images"][3]["distance"] = 0.123  # what is there is not attacked again
    part.write_text(json.dumps(before))
    done = []
    rows = attack_to_file(ATTACK, classifier, digits, range(8), Gaussian(0.3), part, on_images=done.append)
    assert rows[3].distance == 0.123
    assert [row for row in rows if row.idx != 3] == [row for row in whole if row.idx != 3]
    assert (done[0], sum(done)) == (5, 8)
    assert read_attack(part)[1] == rows


def test_another_attack_and_damaged_files_are_refused(digits, classifier, tmp_path):
    path = tmp_path / "a.json"
    attack_to_file(ATTACK, classifier, digits, range(2), Gaussian(0.3), path)
    with pytest.raises(OutputError, match=r"is of another attack, with beta 0\.3 and not 0\.4"):
        attack_to_file(ATTACK, classifier, digits, range(2), Gaussian(0.4), path)
    for text in ("", "[]", '{"settings": {}, "images": [{"idx": -1}]}', '{"settings": 1, "images": []}'):
        path.write_text(text)
        with pytest.raises(DataError, match=r"a\.json"):
            read_attack(path)
