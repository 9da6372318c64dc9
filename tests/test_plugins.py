"""A module of a user's own adds a noise, a plan, a training method, an objective and a data set."""

import json
import subprocess
import sys

import pytest

from sfumato.answers.objective import VoteRisk, register_objective
from sfumato.errors import SettingError
from sfumato.noise import Gaussian, register_noise
from sfumato.plans import Fixed, register_plan
from sfumato.studies.store import load_results
from sfumato.training.methods.gaussian import GaussianAugmentation
from sfumato.training.methods.registry import register_method

MODULE = '''
import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field

from sfumato.answers.objective import Objective, register_objective
from sfumato.datasets import Dataset, load_dataset
from sfumato.datasets.base import Split
from sfumato.datasets.registry import register_dataset
from sfumato.noise import Noise, register_noise
from sfumato.plans import Plan, register_plan
from sfumato.statistics.binomial import upper_failure_probability
from sfumato.training.methods.base import Method
from sfumato.training.methods.registry import register_method


@register_noise
class Logistic(Noise):
    """The log-density has the Lipschitz constant 1 / scale in L1."""

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
        rival = q_upper if rival_upper is None else rival_upper
        return max(0.0, -self.scale * math.log(q_upper + rival))

    def failure_at(self, radius):
        return 0.5 * math.exp(-radius / self.scale)


@register_plan
@dataclass(frozen=True)
class Halves(Plan):
    """Half of the votes select, the other half bound."""

    n: int = 1000
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


@register_objective
class ClassEight(Objective):
    """Only images of the second class count."""

    name: ClassVar[str] = "class-eight"

    def loss(self, cell):
        return cell.wrong & (cell.labels == 1)


@register_method
class Focal(Method):
    """Focal loss on one noisy copy of each image."""

    name: ClassVar[str] = "focal"

    sharpness: float = Field(default=2.0, ge=0, description="power of the weight of an error")

    def loss(self, model, x, y, noise, stream):
        logs = model(noise.add(x, stream)).float().log_softmax(1)
        right = logs.gather(1, y[:, None])[:, 0]
        return -((1 - right.exp()) ** self.sharpness * right).mean()

    @property
    def passes(self):
        return 1, 1


def evens(data_dir, fetch):
    """The digits 0 and 8, as two classes."""
    digits = load_dataset("digits")

    def kept(split):
        chosen = np.isin(split.y, (0, 8))
        return Split(split.x[chosen], (split.y[chosen] == 8).astype(np.int64))

    return Dataset("evens", kept(digits.train), kept(digits.test), ("zero", "eight"), digits.unit, "")


register_dataset("evens", evens)
'''


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "mine.py").write_text(MODULE)
    return tmp_path


def elsewhere(folder, *arguments):
    """Run a command in a process of its own, which may import the plug-in."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "sfumato", *arguments], cwd=folder, capture_output=True, text=True
    )


def test_all_of_it_works_on_the_command_line_with_workers_too(folder, monkeypatch, sfumato):
    monkeypatch.chdir(folder)
    training = ["--data", "evens", "--epochs", "3", "--method", "focal", "--sharpness", "1.5"]
    done = elsewhere(
        folder, "train", "--alpha", "0.2", "--noise", "logistic", *training, "--out", "m", "--plugin", "mine"
    )
    assert done.returncode == 0, done.stderr
    record = json.loads(sfumato("inspect", "m")[1])
    assert {name: record["training"][name] for name in ("method", "sharpness", "noise")} == {
        "method": "focal",
        "sharpness": 1.5,
        "noise": "logistic",
    }
    for workers in ([], ["--workers", "1"]):
        done = elsewhere(
            folder,
            *("certify", "--plugin", "mine", "--model", "m", "--data", "evens", "--beta", "0.2"),
            *("--noise", "logistic", "--plan", "halves(600)", "--first", "4", *workers),
            *("--out", f"table{len(workers)}.tsv"),
        )
        assert done.returncode == 0, done.stderr
    rows = [
        [line.split("\t")[:5] for line in (folder / name).read_text().splitlines()]
        for name in ("table0.tsv", "table2.tsv")
    ]
    assert rows[0] == rows[1]
    assert float(rows[0][1][3]) > 0
    study = ["study", "run", *training, "--alpha", "0.2", "--beta", "0.3", "--n", "20", "--out", "s"]
    done = elsewhere(folder, "--plugin=mine", *study)
    assert done.returncode == 0, done.stderr
    assert "sharpness = 1.5" in (folder / "s" / "study.toml").read_text()
    best = ["study", "best", "s", "--draws", "20", "--json", "--objective", "class-eight"]
    done = elsewhere(folder, *best, "--plugin", "mine")
    assert done.returncode == 0, done.stderr
    (point,) = json.loads(done.stdout)["betas"][0]["points"]
    results = load_results(folder / "s")
    (cell,) = results.cells.values()
    assert point["errors"] == int((cell.wrong & (cell.labels == 1)).sum())
    refused = (2, "", "error: objective must be one of vote-risk, got 'class-eight'\n")
    assert sfumato(*best) == refused, "nothing of it is registered in this process"
    shown = " ".join(
        elsewhere(folder, "train", "--help", "--plugin", "mine").stdout.replace("│", " ").split()
    )
    assert "Power of the weight of an error (default: 2 for focal)." in shown


def test_it_works_from_python(folder):
    code = """
import mine, sfumato, torch
from sfumato import SmoothedClassifier, load_dataset, parse_plan
data = load_dataset("evens")
model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 2))
smoothed = SmoothedClassifier(model, noise=mine.Logistic(0.1), device="cpu")
print(smoothed.certify(data.test.x[:2], parse_plan("halves(200)"))[0].plan)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert done.stdout == "halves(200)\n", done.stderr


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("missing", "error: plugin 'missing' cannot be imported (ModuleNotFoundError"),
        ("broken", "error: plugin 'broken' cannot be imported (ValueError: no configuration, at broken.py"),
        ("./mine.py", "error: plugin './mine.py' is not the name of a module"),
        ("taken", "error: "),
    ],
)
def test_a_plugin_that_cannot_be_used_is_one_line(folder, module, words):
    (folder / "broken.py").write_text("raise ValueError('no configuration')")
    (folder / "taken.py").write_text(
        "from sfumato.datasets.registry import register_dataset\nregister_dataset('mnist', print)"
    )
    done = elsewhere(folder, "data", "digits", "--plugin", module)
    assert done.returncode == 2
    assert done.stderr.startswith(words)
    assert done.stderr.count("\n") == 1


def test_a_name_is_given_once():
    for register, registered, name in (
        (register_noise, Gaussian, "gaussian"),
        (register_plan, Fixed, "fixed"),
        (register_method, GaussianAugmentation, "gaussian"),
        (register_objective, VoteRisk, "vote-risk"),
    ):
        assert register(registered) is registered
        with pytest.raises(SettingError, match=f"'{name}'.* (is registered already|exists)"):
            register(type("Other", (registered,), {}))
    with pytest.raises(SettingError, match="of the letters a-z"):
        register_plan(type("Other", (Fixed,), {"method": "my plan"}))


def test_a_methods_field_is_no_setting_of_every_training():
    taken = type("Taken", (GaussianAugmentation,), {"name": "taken", "__annotations__": {"epochs": int}})
    with pytest.raises(SettingError, match="taken: the field 'epochs' is a setting of every training"):
        register_method(taken)
