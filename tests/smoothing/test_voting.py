"""The voting engine: what it counts does not depend on how, and what goes wrong is said."""

import itertools
import threading
import time
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from sfumato import SmoothedClassifier
from sfumato.advice.sweep import sweep
from sfumato.datasets import Split
from sfumato.errors import ModelError, SettingError, SfumatoError
from sfumato.models import build_model
from sfumato.noise import Gaussian
from sfumato.smoothing import voting
from sfumato.smoothing.base_classifier import BaseClassifier
from sfumato.smoothing.configuration import Configuration
from sfumato.smoothing.risk import measure_risk
from sfumato.smoothing.voting import VoteCounter, Wanted, count_together
from support import votes

X = torch.rand(5, 1, 12, 12, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(4)
    return build_model("cnn", (1, 12, 12), 10, (0.0,), (1.0,))


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize(
    "other",
    [
        {"batch_size": 5},
        {"batch_size": 64, "workers": 2},
        {"batch_size": 100, "channels_last": True},
        {"batch_size": 1000, "channels_last": True, "workers": 3},
    ],
    ids=lambda other: "-".join(map(str, other.values())),
)
def test_batch_layout_and_threads_change_nothing(network, precision, other):
    reference = votes(network, X, 200, precision=precision, batch_size=256)
    assert (votes(network, X, 200, precision=precision, **other) == reference).all()
    assert len(np.unique(reference)) > 3


@pytest.mark.parametrize("gathered", [0, 10**9], ids=["one by one", "gathered"])
def test_how_images_meet_their_noise_changes_nothing(network, gathered, monkeypatch):
    reference = votes(network, X, 30, batch_size=256)
    monkeypatch.setattr(voting, "_GATHERED", gathered)
    assert (votes(network, X, 30, batch_size=7) == reference).all()


def counters(network, betas, **configuration):
    """Return a counter for each beta, of classifiers of their own."""
    chosen, found = Configuration(**configuration), []
    for beta in betas:
        base = BaseClassifier.configured(network, torch.device("cpu"), chosen)
        found.append(VoteCounter(base, Gaussian(beta), base.probe(X, beta), chosen, seed=3))
    return found


@pytest.mark.parametrize(
    "configuration",
    [{"batch_size": 64}, {"batch_size": 7}, {"batch_size": 1000, "workers": 3, "channels_last": True}],
    ids=lambda chosen: "-".join(map(str, chosen.values())),
)
def test_noise_drawn_once_for_several_betas_gives_the_counts_of_each_alone(
    network, configuration, monkeypatch
):
    """All want most votes of an image, some want none, and one wants others."""
    betas, examples = (0.3, 0.5, 0.9), np.array([4, 0, 7, 9, 2])
    first = np.array([[0, 10, 0, 5, 0], [0, 10, 3, 5, 0], [0, 10, 0, 5, 0]])
    count = np.array([[90, 40, 0, 60, 30], [90, 40, 50, 60, 0], [90, 41, 0, 60, 0]])
    alone = [
        counter.count(X, examples, *wanted)
        for counter, *wanted in zip(counters(network, betas, **configuration), first, count, strict=True)
    ]
    drawn, draw = [], voting.draw_each

    def watched(noises, outs, stream):
        drawn.append(len(outs[0]))
        draw(noises, outs, stream)

    monkeypatch.setattr(voting, "draw_each", watched)
    together = counters(network, betas, **configuration)
    found = count_together(X, examples, list(map(Wanted, together, first, count)))
    for one, expected, wanted, counter in zip(found, alone, count, together, strict=True):
        assert (one == expected).all()
        assert (one.sum(axis=1) == wanted).all()
        assert counter.profile.votes == wanted.sum()
    assert len(np.unique(found)) > 9
    # once for all that want the same: two of three want 40 votes of the second image, the other one 41
    assert sum(drawn) == 90 + (40 + 41) + 50 + 60 + 30


def test_counters_of_several_seeds_do_not_count_together(network):
    one, other = counters(network, (0.3, 0.5), batch_size=64)
    other.seed = 4
    with pytest.raises(SettingError, match="have one seed and one use of noise"):
        count_together(X, np.arange(5), [Wanted(c, np.zeros(5, int), np.ones(5, int)) for c in (one, other)])


def test_operators_do_not_grow_with_the_images_of_a_batch(network):
    def operators(images):
        smoothed = SmoothedClassifier(network, 0.5, device="cpu", batch_size=256)
        x = X[:1].expand(images, -1, -1, -1).clone()
        for _ in range(4):  # the next batch is not one of those that are checked against their images alone
            smoothed.votes(x, 256 // images)
        with torch.profiler.profile() as found:
            smoothed.votes(x, 256 // images)
        return sum(event.count for event in found.key_averages() if event.key.startswith("aten::"))

    few = operators(1)
    assert 50 < few < 600
    assert operators(256) < few + 50


def test_no_batch_makes_the_host_read_a_result_at_once(network):
    """On a GPU each number or truth value that Python asks for waits for the device."""
    smoothed = SmoothedClassifier(network, 0.5, device="cpu", batch_size=64)
    for _ in range(17):  # the next batches are not among those that are checked against their images alone
        smoothed.votes(X[:1], 64)

    def read(batches):
        with torch.profiler.profile() as found:
            smoothed.votes(X[:1], 64 * batches)
        waits = ("_local_scalar_dense", "nonzero", "is_nonzero", "equal")
        counts = {event.key.removeprefix("aten::"): event.count for event in found.key_averages()}
        return sum(counts.get(name, 0) for name in waits)

    assert read(1) > 0, "the beginning of a call checks the model"
    assert read(5) == read(2)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_the_host_waits_as_often_for_many_batches_as_for_few(network):
    smoothed = SmoothedClassifier(network, 0.5, device="cuda", batch_size=64)
    for _ in range(17):
        smoothed.votes(X[:1], 64)

    def waits(batches):
        torch.cuda.set_sync_debug_mode("warn")
        try:
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                smoothed.votes(X[:1], 64 * batches)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        return sum("synchroniz" in str(each.message) for each in told)

    assert waits(5) == waits(3)


def test_bf16_counts_the_bfloat16_network():
    """Two logits that bfloat16 cannot tell apart are a tie there, and a clear win in float32."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(144, 2))
    nn.init.zeros_(model[1].weight)
    model[1].bias.data = torch.tensor([1.0, 1.001])
    assert votes(model, X, 200)[:, 1].tolist() == [200] * 5
    assert votes(model, X, 200, precision="bf16")[:, 0].tolist() == [200] * 5
    with pytest.raises(ModelError, match=r"bf16 needs a torch.nn.Module, got function"):
        votes(lambda x: model(x), X, precision="bf16")


def mkl_threads():
    return [line for line in torch.__config__.parallel_info().splitlines() if "mkl_get_max_threads" in line]


def test_every_worker_counts():
    seen = set()

    class Seen(nn.Module):
        def forward(self, x):
            seen.add(threading.current_thread().name)
            return torch.ones(len(x), 2)

    threads = torch.get_num_threads(), mkl_threads()
    counted = SmoothedClassifier(Seen(), 0.5, device="cpu", configuration=Configuration(32, workers=2))
    assert counted.votes(X, 6400).sum() == 5 * 6400
    # others computed while it was found out whether two may
    assert len([name for name in seen if name.startswith("votes")]) == 2
    assert (torch.get_num_threads(), mkl_threads()) == threads, "the caller's threads are the caller's"
    profile = counted.profile
    assert profile.votes == 5 * 6400
    assert min(profile.noise, profile.forward, profile.reduction) > 0


@pytest.mark.parametrize("model", [nn.Sequential(nn.Flatten(), nn.Linear(144, 2)), lambda x: x[:, 0, 0, :2]])
def test_the_profile_is_wall_clock_time_however_many_of_the_workers_counted(model):
    """A module is computed by all workers, a function by one of them."""
    counted = SmoothedClassifier(model, 0.5, device="cpu", configuration=Configuration(32, workers=4))

    def total():
        found = counted.profile
        return found.noise + found.forward + found.reduction + found.idle

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        counted.votes(X, 64)  # after which it is known how many count
    before, began = total(), time.perf_counter()
    counted.votes(X, 3000)
    spent = time.perf_counter() - began
    assert 0.5 * spent < total() - before <= spent


class NotANumber(nn.Module):
    """NaN wherever the first pixel is negative."""

    def forward(self, x):
        out = torch.stack([x[:, 0, 0, 0], torch.zeros(len(x))], dim=1)
        return torch.where(x[:, 0, 0, :1] < 0, torch.nan, out)


def test_a_nan_vote_counts_for_no_class():
    smoothed = SmoothedClassifier(NotANumber(), 0.5, device="cpu")
    counts = smoothed.votes(X, 1000)
    invalid = 5000 - counts.sum()
    assert smoothed.profile.invalid == invalid
    expected = 1000 * torch.distributions.Normal(0, 0.5).cdf(-X[:, 0, 0, 0]).sum()
    assert invalid == pytest.approx(float(expected), rel=0.1)


class Hungry(nn.Module):
    """Has memory for 10 inputs."""

    def __init__(self, lack=None):
        super().__init__()
        self.lack = lack or torch.OutOfMemoryError("no memory")

    def forward(self, x):
        if len(x) > 10:
            raise self.lack
        return torch.cat([x.flatten(1).sum(1, keepdim=True), torch.full((len(x), 1), 70.0)], dim=1)


@pytest.mark.parametrize("lack", [None, RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_a_batch_too_large_for_the_memory_is_halved_with_the_same_result(lack):
    found = votes(Hungry(lack), X[:3])
    assert (found == votes(Hungry(), X[:3], batch_size=8)).all()
    assert found.min() > 0


class Failing(nn.Module):
    """Ties all classes, and fails once it has been asked a hundred times."""

    asked = 0

    def forward(self, x):
        self.asked += 1
        if self.asked > 100:
            raise RuntimeError("device lost\nlong trace")
        return torch.ones(len(x), 2)


def test_a_failure_among_near_ties_is_one_line():
    with pytest.raises(SfumatoError, match=r"^the model failed on \d+ noisy copies on cpu \(device lost\)$"):
        votes(Failing(), X, 10_000, batch_size=32)


def raising(error):
    def change(logits):
        raise error

    return change


class ChangingItsMind(nn.Module):
    """Answers as it should until its class is awake."""

    def __init__(self):
        super().__init__()
        self.body = nn.Linear(144, 10)

    def forward(self, x):
        logits = self.body(x.flatten(1))
        return type(self).change(logits) if type(self).awake else logits


AFTER_THE_PROBE = {
    "ValueError": (raising(ValueError("the height is 8\nand more")), r"\(ValueError: the height is 8\)$"),
    "KeyError": (raising(KeyError("x")), r"\(KeyError: 'x'\)$"),
    "AssertionError": (raising(AssertionError()), r"\(AssertionError\)$"),
    "Exception": (raising(Exception("quota")), r"\(Exception: quota\)$"),
    "RuntimeError": (raising(RuntimeError("lost")), r"failed on \d+ noisy copies on cpu \(lost\)$"),
    "nothing": (lambda logits: None, r"must return \(batch, classes\) = \(\d+, 10\), got NoneType$"),
    "a pair": (lambda logits: (logits, logits), "got tuple; say which part"),
    "fewer rows": (lambda logits: logits[:-1], r"got \(\d+, 10\)$"),
    "more classes": (lambda logits: torch.cat([logits, logits[:, :1] + 50], dim=1), r"got \(\d+, 11\)$"),
    "fewer classes": (lambda logits: logits[:, :9], r"got \(\d+, 9\)$"),
    "whole numbers": (lambda logits: logits.long(), "must return torch.float32, got torch.int64$"),
}


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(("change", "words"), AFTER_THE_PROBE.values(), ids=AFTER_THE_PROBE)
def test_whatever_a_model_does_after_the_probe_is_one_line(change, words, workers):
    class Sleeper(ChangingItsMind):
        awake = False

    Sleeper.change = staticmethod(change)
    configuration = Configuration(64, workers=workers)
    smoothed = SmoothedClassifier(Sleeper(), 0.5, device="cpu", configuration=configuration)
    smoothed.votes(X, 100)
    Sleeper.awake = True
    with pytest.raises(SfumatoError, match=words) as caught:
        smoothed.votes(X, 1000)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_what_is_no_fault_of_the_model_is_passed_on(error):
    with pytest.raises(error):
        votes(lambda x: raising(error())(x), X)


def test_a_network_with_fewer_outputs_than_the_data_has_classes_is_refused_before_the_first_vote():
    network = nn.Sequential(nn.Flatten(), nn.Linear(144, 3))
    words = "returns 3 classes, but the data has 10: it can never be right about the labels 3 to 9"
    smoothed = SmoothedClassifier(network, 0.5, device="cpu")
    with pytest.raises(ModelError, match=words):
        smoothed.check(X, 10)
    smoothed.check(X, 3)
    smoothed.check(X, 2)
    split = Split(X.numpy(), np.array([0, 1, 2, 1, 0]))
    for beta in (0.0, 0.5):
        assert measure_risk(network, split, beta, n=10, device="cpu").examples == 5
        with pytest.raises(ModelError, match=words):
            measure_risk(network, split, beta, n=10, device="cpu", classes=10)
        with pytest.raises(ModelError, match=words):
            measure_risk(network, Split(split.x, split.y + 7), beta, n=10, device="cpu")
    with pytest.raises(ModelError, match=words):
        sweep(network, split, 0.5, (0.0, 0.5), n=10, device="cpu", classes=10)


def test_a_failure_of_one_worker_stops_the_others_at_once():
    asked = itertools.count()

    class FailsOnce(nn.Module):
        def forward(self, x):
            if next(asked) == 20:
                raise RuntimeError("once")
            return torch.ones(len(x), 2) * torch.tensor([1.0, 2.0])

    with pytest.raises(SfumatoError, match="once"):
        votes(FailsOnce(), X, 10**6, batch_size=32, workers=2)
    assert next(asked) < 100


class Drifting(nn.Module):
    """Remembers how often it was asked."""

    def __init__(self):
        super().__init__()
        self.asked = 0

    def forward(self, x):
        self.asked += 1
        return torch.stack([x.flatten(1).sum(1) + self.asked, torch.zeros(len(x))], dim=1)


class Growing(nn.Module):
    def forward(self, x):
        return torch.zeros(len(x), 2 + len(x) % 2)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (Drifting(), "not deterministic"),
        (nn.Sequential(nn.Flatten(), nn.Linear(144, 3), _ := nn.Dropout(0.5)), None),
        (lambda x: torch.rand(len(x), 3), "not deterministic"),
        (Growing(), "2 or 3 classes depending on the batch size"),
    ],
)
def test_a_model_that_is_no_fixed_function_is_refused(model, words):
    if words is None:  # dropout is switched off, and said
        with pytest.warns(UserWarning, match="switched to evaluation mode"):
            assert votes(model.train(), X, batch_size=32).sum() == 500
        return
    with pytest.raises(ModelError, match=words):
        votes(model, X, batch_size=32)


def test_a_model_that_cannot_take_the_other_layout_is_computed_in_its_own():
    class Viewing(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 4, 3)

        def forward(self, x):
            return self.conv(x).view(len(x), -1)[:, :10]

    torch.manual_seed(0)
    model = Viewing()
    assert (votes(model, X, 200, channels_last=True) == votes(model, X, 200)).all()


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": 1, "workers": 0}, "workers"),
        ({"batch_size": 1, "precision": "fp8"}, "precision must be one of float32, bf16, got 'fp8'"),
    ],
)
def test_an_impossible_configuration_is_refused(setting, words):
    with pytest.raises(SettingError, match=words):
        Configuration(**setting)
