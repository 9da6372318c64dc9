"""Tuning measures, remembers and never changes a result."""

import json

import pytest
import torch
from torch import nn

from sfumato.errors import ModelError
from sfumato.models import build_model
from sfumato.smoothing import tuning
from sfumato.smoothing.base_classifier import BaseClassifier
from sfumato.smoothing.configuration import Configuration, usual_configuration

CPU = torch.device("cpu")
SHAPE = (1, 12, 12)


def network():
    return build_model("cnn", SHAPE, 10, (0.0,), (1.0,))


def test_a_short_job_is_not_tuned(tmp_path):
    found = tuning.tuned_configuration(network(), SHAPE, CPU, votes=1000, directory=tmp_path)
    assert found == usual_configuration(network(), CPU)
    assert not list(tmp_path.iterdir())


def test_a_long_job_is_tuned_once_and_the_choice_is_at_least_as_fast(tmp_path, monkeypatch):
    rates = {}

    def rate(model, shape, device, configuration):
        # as on a machine that likes batches of 256 on all its threads
        rates[configuration] = 1000 - abs(configuration.batch_size - 256) - 50 * configuration.workers
        return rates[configuration]

    monkeypatch.setattr(tuning, "_votes_per_second", rate)
    model = network()
    found = tuning.tuned_configuration(model, SHAPE, CPU, votes=10**6, directory=tmp_path)
    assert found.batch_size == 256
    assert rates[found] >= rates[usual_configuration(model, CPU)]
    rates.clear()
    assert tuning.tuned_configuration(model, SHAPE, CPU, votes=10**6, directory=tmp_path) == found
    assert not rates
    next(tmp_path.iterdir()).write_text("{")
    assert tuning.tuned_configuration(model, SHAPE, CPU, votes=10**6, directory=tmp_path) == found


def test_the_search_keeps_to_its_time(tmp_path, monkeypatch):
    monkeypatch.setattr(tuning, "_TRIAL_SECONDS", 0.05)
    monkeypatch.setattr(tuning, "LEAST_SECONDS", 0.0)
    monkeypatch.setattr(tuning, "MOST_SECONDS", 0.3)
    found = tuning.tuned_configuration(network(), SHAPE, CPU, votes=10**8, directory=tmp_path)
    assert isinstance(found, Configuration)
    assert len(list(tmp_path.iterdir())) == 1


def test_compiling_is_for_jobs_that_repay_it(tmp_path, monkeypatch):
    def rate(model, shape, device, configuration):
        return 1200.0 if configuration.compiled else 1000.0

    monkeypatch.setattr(tuning, "_votes_per_second", rate)
    monkeypatch.setattr(tuning, "require_same_classes", lambda *_: None)
    model = network()
    assert tuning.tuned_configuration(model, SHAPE, CPU, votes=10**7, directory=tmp_path).compiled
    record = next(tmp_path.iterdir())
    # at 5 seconds of compiling and 1,000 against 1,200 votes a second, 60,000 votes repay it twice
    record.write_text(json.dumps({**json.loads(record.read_text()), "compile_seconds": 5.0}))
    for votes, compiled in ((59_000, False), (61_000, True)):
        found = tuning.tuned_configuration(model, SHAPE, CPU, votes=votes, directory=tmp_path)
        assert found.compiled == compiled


def test_a_network_that_cannot_be_compiled_is_no_candidate(monkeypatch):
    def without_compiler(*_, **__):
        def call(x):
            raise RuntimeError("no C++ compiler")

        return call

    monkeypatch.setattr(torch, "compile", without_compiler)
    compiled = Configuration(64, compiled=True)
    with pytest.warns(UserWarning, match=r"not compiled: no C\+\+ compiler"):
        assert tuning._votes_per_second(network(), SHAPE, CPU, compiled) == 0.0


def test_precision_and_shape_are_other_choices(tmp_path, monkeypatch):
    monkeypatch.setattr(tuning, "_votes_per_second", lambda *_: 100.0)
    model = network()
    for precision in ("float32", "bf16"):
        found = tuning.tuned_configuration(
            model, SHAPE, CPU, votes=10**6, precision=precision, directory=tmp_path
        )
        assert found.precision == precision
    assert len(list(tmp_path.iterdir())) == 2


def test_a_configuration_that_changes_classes_is_refused(monkeypatch):
    # the checks of the classifier itself come first; this one must not rely on them
    logits = BaseClassifier._logits
    monkeypatch.setattr(BaseClassifier, "_check_alone", lambda *_: None)
    monkeypatch.setattr(
        BaseClassifier,
        "_logits",
        lambda self, x: -logits(self, x) if self._channels_last else logits(self, x),
    )

    class Bright(nn.Module):
        def forward(self, x):
            bright = (x.flatten(1).mean(1) > 0.5).float()
            return torch.stack([bright, 1 - bright], dim=1)

    with pytest.raises(ModelError, match="64 of 64 inputs change their class"):
        tuning.require_same_classes(Bright(), (3, 8, 8), CPU, Configuration(64, channels_last=True))
