"""A noise and a plan from outside the package: from Python, and by their names on the command line."""

import json
import math
import sys
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch

from sfumato import SmoothedClassifier
from sfumato.cli.main import main
from sfumato.errors import SettingError
from sfumato.noise import NOISES, Gaussian, Noise, register_noise
from sfumato.plans import PLANS, Fixed, Plan, parse_plan, register_plan
from sfumato.statistics.binomial import upper_failure_probability


class Logistic(Noise):
    """The log-density is Lipschitz with constant 1 / scale in L1, as that of Laplace noise."""

    name: ClassVar[str] = "logistic"
    norm: ClassVar[str] = "L1"

    @property
    def scale(self):
        return math.sqrt(3.0) / math.pi * self.standard_deviation

    def draw(self, out, stream):
        uniform = torch.empty(out.shape, dtype=torch.float64)
        stream.uniform(uniform)
        out.copy_(uniform.logit_().mul_(self.scale))

    def radius(self, q_upper, rival_upper=None):
        return max(0.0, -self.scale * math.log(q_upper + (q_upper if rival_upper is None else rival_upper)))

    def failure_at(self, radius):
        return 0.5 * math.exp(-radius / self.scale)


@dataclass(frozen=True)
class Halves(Plan):
    """Half of the votes select, the other half bound."""

    n: int = 1000
    share: float = 0.5
    method: ClassVar[str] = "halves"
    question: ClassVar[tuple[str, ...]] = ("n",)
    usage: ClassVar[str] = "halves(n)"
    states: ClassVar[str] = "radius"

    @property
    def least_votes(self):
        return self.n

    @property
    def bounding_votes(self):
        return self.n // 2

    def next(self, run):
        return np.full(run.images, (self.n // 2, self.n // 2, 0)[run.rounds])

    def conclude(self, run, image):
        selected = int(np.argmax(run.first_counts[image]))
        q_upper = upper_failure_probability(int(run.fresh[image, selected]), self.n // 2, run.confidence)
        return run.certify(image, selected, "all votes", q_upper)


@pytest.fixture
def plugged_in():
    before = dict(NOISES), dict(PLANS)
    register_noise(Logistic)
    register_plan(Halves)
    yield
    for registry, old in zip((NOISES, PLANS), before, strict=True):
        registry.clear()
        registry.update(old)


def test_they_work_from_python(plugged_in, linear):
    smoothed = SmoothedClassifier(linear, noise=Logistic(0.5), device="cpu")
    plan = parse_plan("halves(20000)")
    assert plan == Halves(20_000)
    (decision,) = smoothed.certify(torch.tensor([[0.4, 1.0]]), plan)
    assert (decision.prediction, decision.plan) == (1, "halves(20000)")
    assert 0.1 < decision.radius < 0.4


def test_they_work_from_the_command_line(plugged_in, digits_model, tmp_path, capsys, monkeypatch):
    out = tmp_path / "table.tsv"
    arguments = ["certify", "--model", str(digits_model), "--beta", "0.3", "--noise", "logistic"]
    arguments += ["--plan", "halves(600,share=0.25)", "--first", "3", "--device", "cpu", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["sfumato", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code in (0, None), capsys.readouterr().err
    shown = capsys.readouterr().out
    assert "radius (L1)" in shown
    assert "logistic noise, standard deviation 0.3" in shown
    settings = json.loads((tmp_path / "table.tsv.json").read_text())
    found = {name: settings[name] for name in ("noise", "beta", "norm", "plan")}
    assert found == {"noise": "logistic", "beta": 0.3, "norm": "L1", "plan": "halves(600,share=0.25)"}


def test_a_name_is_given_once(plugged_in):
    assert register_noise(Logistic) is Logistic
    with pytest.raises(SettingError, match="'gaussian' is registered already"):
        register_noise(type("Other", (Gaussian,), {}))
    with pytest.raises(SettingError, match="'fixed' is registered already"):
        register_plan(type("Other", (Fixed,), {}))
    with pytest.raises(SettingError, match="of the letters a-z"):
        register_plan(type("Other", (Fixed,), {"method": "my plan"}))
