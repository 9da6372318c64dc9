import json
from pathlib import Path

import pytest
import torch

from sfumato.datasets import load_dataset
from sfumato.errors import ModelError, SettingError
from sfumato.models import load_model
from sfumato.noise import Gaussian, Span, Stream, Use
from sfumato.studies.design import make_design
from sfumato.training.loop import train
from sfumato.training.methods.base import noise_copies
from sfumato.training.methods.cat_rs import CatRs
from sfumato.training.methods.registry import METHODS
from sfumato.training.methods.smoothadv import SmoothAdv
from sfumato.training.methods.smoothmix import SmoothMix
from sfumato.training.settings import TrainingSettings

NAMES = [name for name in METHODS if name != "gaussian"]
CHEAP = {
    "macer": {"draws": 4},
    "smoothadv": {"draws": 2, "steps": 2, "epsilon": 0.3},
    "smoothmix": {"eta": 1.0},
}


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits")


@pytest.mark.parametrize("name", ["stability", "consistency", "smoothadv", "macer", "smoothmix", "cat-rs"])
def test_each_method_trains_digits_and_is_in_the_record(name, digits, tmp_path):
    settings = TrainingSettings.flat({"alpha": 0.3, "method": name, "epochs": 8, **CHEAP.get(name, {})})
    record = train(digits, settings, tmp_path / "m.safetensors")
    assert record.noisy_accuracy > 0.7
    assert record.training["method"] == name
    again = TrainingSettings.flat({k: v for k, v in record.training.items() if k not in ("warm_start",)})
    assert again.method == settings.method


def test_passes_count_what_the_model_sees():
    class Counter(torch.nn.Module):
        rows = 0

        def forward(self, x):
            Counter.rows += len(x)
            return x[:, :3] * 2

    for name in NAMES:
        Counter.rows = 0
        method = METHODS[name]()
        method.loss(
            Counter(),
            torch.rand(5, 4),
            torch.zeros(5, dtype=torch.long),
            Gaussian(0.2),
            Stream(Use.TRAINING_NOISE, 0, Span(0)),
        )
        assert Counter.rows == 5 * method.passes[0], name


def test_copies_of_an_image_share_its_row_of_the_stream():
    both = noise_copies(torch.zeros(4, 6), 3, Gaussian(0.5), Stream(Use.TRAINING_NOISE, 0, Span(0)))
    last = noise_copies(torch.zeros(1, 6), 3, Gaussian(0.5), Stream(Use.TRAINING_NOISE, 0, Span(0, first=3)))
    assert both.shape == (3, 4, 6)
    assert torch.equal(both[:, 3], last[:, 0])


def test_warm_ups():
    assert [SmoothAdv(epsilon=1.0, warmup=4).at_epoch(e).epsilon for e in (0, 1, 3, 9)] == [
        0.25,
        0.5,
        1.0,
        1.0,
    ]
    assert SmoothMix(eta=5.0, warmup=10).at_epoch(1).eta == pytest.approx(1.0)
    macer = METHODS["macer"](lbd=12.0, deferred=50)
    assert [macer.at_epoch(e).lbd for e in (0, 49, 50)] == [0.0, 0.0, 12.0]


def test_the_identity_of_cat_rs_has_the_weights_of_the_targets_and_not_their_path(digits, tmp_path):
    teacher = train(digits, TrainingSettings(alpha=0.25, epochs=2), tmp_path / "t.safetensors")
    method = CatRs(targets=tmp_path / "t.safetensors")
    assert method.identity()["targets"] == teacher.weights_sha256
    assert method.passes == (4 * 6 + 8, 4 * 6)
    record = train(digits, TrainingSettings(alpha=0.3, method=method, epochs=2), tmp_path / "m.safetensors")
    assert load_model(tmp_path / "m.safetensors")[1] == record
    with pytest.raises(ModelError, match="no such file"):
        CatRs(targets=tmp_path / "none.safetensors").identity()


def test_the_path_of_the_targets_can_stand_in_a_study_file_and_comes_back_out_of_a_record():
    tables = {"model": {"method": "cat-rs", "targets": "t.safetensors"}}
    assert make_design(tables).model.shared.method.targets == Path("t.safetensors")
    settings = TrainingSettings(alpha=0.3, method=CatRs(targets=Path("t.safetensors")))
    assert TrainingSettings.flat(json.loads(json.dumps(settings.values()))) == settings


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("consistency", {"draws": 1}, "draws must be at least 2, got 1"),
        ("consistency", {"lbd": -1.0}, "lbd must be at least 0"),
        ("macer", {"gamma": 0.0}, "gamma must be greater than 0"),
        ("smoothadv", {"attack": "fgsm"}, "attack must be 'pgd' or 'ddn', got 'fgsm'"),
        ("smoothmix", {"steps": 0}, "steps must be at least 1, got 0"),
        ("cat-rs", {"epsilon": -0.1}, "epsilon must be greater than 0"),
        ("stability", {"eta": 1.0}, "unknown key eta"),
    ],
)
def test_bad_settings_are_refused_in_one_line(name, values, words):
    with pytest.raises(SettingError, match=words):
        TrainingSettings.flat({"alpha": 0.3, "method": name, **values})
