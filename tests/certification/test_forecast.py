"""How long a run will take, before its first vote: votes of the plan, speed as measured."""

import json
import re

import numpy as np
import pytest

import sfumato as sf
from sfumato.certification import forecast as module
from sfumato.certification.forecast import Forecast, forecast
from sfumato.noise import Gaussian
from sfumato.plans import parse_plan
from sfumato.plans.early_vote import EarlyVote

TEXTS = ["fixed(100,500)", "two_class(10,500)", "decide(0.25)", "curve(0.1,0.5)", "precision(0.05)"]
PLANS = [*map(parse_plan, [*TEXTS, "predict()", "vote(101)"]), EarlyVote(101)]


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.name)
def test_no_image_gets_fewer_or_more_votes_than_the_plan_says(plan):
    shares = np.array([[1.0, 0.0], [0.9, 0.1], [0.62, 0.38], [0.52, 0.48], [0.5, 0.5]])
    generator = np.random.default_rng(0)
    run = plan.start(len(shares), 2, noise=Gaussian(0.5), confidence=0.999)
    while (wanted := run.demand()).any():
        run.update(np.stack([generator.multinomial(n, p) for n, p in zip(wanted, shares, strict=True)]))
    votes = [decision.votes for decision in run.decisions()]
    assert min(votes) >= plan.least_votes
    assert max(votes) <= plan.most_votes


def test_a_forecast_multiplies_votes_and_time():
    found = Forecast(images=50, least_votes=100, most_votes=10_000, votes_per_second=2000.0)
    assert (found.least_seconds, found.most_seconds) == (2.5, 250.0)
    assert str(found) == (
        "50 images with 100 to 10,000 votes each, 2,000 votes/s: 0.1 s to 5.0 s for one image, "
        "2.5 s to 4.2 min for all"
    )
    unknown = Forecast(images=50, least_votes=100, most_votes=None, votes_per_second=2000.0)
    assert str(unknown).endswith("at least 0.1 s for one image, at least 2.5 s for all")


def test_memory_is_what_the_process_has_held_at_most(linear, monkeypatch):
    monkeypatch.setattr(module, "peak_memory", lambda: 640_400_000)
    smoothed = sf.SmoothedClassifier(linear, 0.5, device="cpu", batch_size=64)
    x = np.zeros((1, 2), dtype=np.float32)
    found = forecast(smoothed, parse_plan("fixed(100,500)"), x, 10, enough=60.0)
    assert (found.memory, found.gpu_memory) == (640_400_000, None)
    assert str(found).endswith(" for all, about 640 MB of memory")


def test_measuring_leaves_votes_and_profile_as_they_are(linear):
    x = np.array([[0.1, 0.0]], dtype=np.float32)
    asked = []

    def slow(batch):
        asked.append(len(batch))
        return linear(batch)

    smoothed = sf.SmoothedClassifier(slow, 0.5, device="cpu", batch_size=64)
    expected = sf.SmoothedClassifier(linear, 0.5, device="cpu").votes(x, 500)
    smoothed.check(x)
    before = len(asked)
    found = forecast(smoothed, parse_plan("fixed(100,500)"), x, 10, enough=60.0)
    assert asked[before:].count(64) == 1  # a short run is measured by one full batch
    assert found.votes_per_second > 0
    assert smoothed.profile.votes == 0
    assert np.array_equal(smoothed.votes(x, 500), expected)
    assert smoothed.profile.votes == 500


def test_a_dry_run_says_it_and_writes_nothing(digits_model, tmp_path, monkeypatch, sfumato):
    monkeypatch.chdir(tmp_path)
    command = ("certify", "--model", str(digits_model), "--beta", "0.3", "--first", "20", "--dry-run")
    code, out, errors = sfumato(*command)
    assert code == 0, errors
    line = out.splitlines()[-1]
    assert re.fullmatch(
        r"20 images with 100,100 votes each, [\d,]+ votes/s: \S+ \S+ for one image, \S+ \S+ for all"
        r"(, about [\d,]+ MB of memory)?",
        line,
    )
    assert not any(path.name.startswith("certificates") for path in tmp_path.iterdir())
    code, out, _ = sfumato(*command, "--json")
    assert json.loads(out)["most_votes"] == 100_100
    code, _, errors = sfumato(*command, "--workers", "2")
    assert (code, "--dry-run is for one process" in errors) == (2, True)
