"""What must not be computed in several threads is computed in one; the votes are the same."""

import random
import threading

import numpy as np
import pytest
import torch
from torch import nn

from support import votes

X = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(1))
CACHE = {}


class Body(nn.Module):
    shared = None

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU())
        self.last = nn.Linear(64, 10)


class OnItself(Body):
    def forward(self, x):
        self.activation = self.first(x)
        return self.last(self.activation)


class InABuffer(Body):
    def __init__(self):
        super().__init__()
        self.register_buffer("scratch", torch.zeros(4096, 64), persistent=False)

    def forward(self, x):
        self.scratch[: len(x)] = self.first(x)
        return self.last(self.scratch[: len(x)])


class InAGlobal(Body):
    def forward(self, x):
        CACHE["activation"] = self.first(x)
        return self.last(CACHE["activation"])


class OnItsClass(Body):
    def forward(self, x):
        type(self).shared = self.first(x)
        return self.last(type(self).shared)


class ByAHook(Body):
    def __init__(self):
        super().__init__()
        self.first.register_forward_hook(lambda module, given, out: CACHE.update(seen=out))

    def forward(self, x):
        self.first(x)
        return self.last(CACHE["seen"])


class Seeded(Body):
    def forward(self, x):
        torch.manual_seed(7)
        return self.last(self.first(x) + torch.randn(64))


class SeededAndPutBack(Body):
    def forward(self, x):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(7)
            return self.last(self.first(x) + torch.randn(64))


class SeededInPython(Body):
    def forward(self, x):
        random.seed(7)
        hidden = self.first(x)
        return self.last(hidden * random.random())


class SeededInNumpy(Body):
    def forward(self, x):
        np.random.seed(7)  # noqa: NPY002
        hidden = self.first(x)
        return self.last(hidden * float(np.random.random()))  # noqa: NPY002


LOCK = threading.Lock()


class UnderALock(Body):
    def forward(self, x):
        with LOCK:
            return self.last(self.first(x))


@pytest.mark.parametrize("make", [OnItself, InABuffer])
def test_what_a_module_keeps_in_itself_is_each_threads_own(make):
    network = make()
    assert np.array_equal(votes(network, X, 600, workers=4), votes(network, X, 600))
    assert "activation" not in vars(network)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (InAGlobal, "its logits change when another thread computes"),
        (OnItsClass, "its logits change when another thread computes"),
        (ByAHook, "its logits change when another thread computes"),
        (Seeded, "global random generator"),
        (SeededAndPutBack, "global random generator"),
        (SeededInPython, "global random generator"),
        (SeededInNumpy, "global random generator"),
        (UnderALock, "waits for another one to end"),
    ],
)
def test_what_threads_would_share_is_found_every_time_and_counted_by_one(make, why, monkeypatch):
    monkeypatch.setattr("sfumato.smoothing.threads.LONGEST_WAIT", 0.2)
    network = make()
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    states = random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    with pytest.warns(UserWarning, match=f"counted by one thread: .*{why}"):
        found = votes(network, X, 600, workers=4)
    if make not in (SeededInPython, SeededInNumpy):
        assert random.getstate() == states[0]
        assert np.array_equal(np.random.get_state()[1], states[1])  # noqa: NPY002
    assert np.array_equal(found, votes(network, X, 600))


class Halving(Body):
    def forward(self, x):
        x *= 0.5
        return self.last(self.first(x))


class ThroughAView(Body):
    def forward(self, x):
        x.view(len(x), -1).clamp_(0.0, 1.0)
        return self.last(self.first(x))


class ThroughNumpy(Body):
    def forward(self, x):
        pixels = x.numpy()
        pixels *= 0.5
        return self.last(self.first(x))


class OutOfPlace(Body):
    def __init__(self, change):
        super().__init__()
        self.change = change

    def forward(self, x):
        return self.last(self.first(self.change(x)))


@pytest.mark.parametrize(
    ("make", "change"),
    [
        (Halving, lambda x: x * 0.5),
        (ThroughAView, lambda x: x.clamp(0.0, 1.0)),
        (ThroughNumpy, lambda x: x * 0.5),
    ],
)
def test_a_model_that_works_in_place_votes_like_one_that_does_not_and_changes_nothing(make, change):
    x = X.clone()
    found = votes(make(), x, 600, workers=2)
    assert torch.equal(x, X)
    assert np.array_equal(found, votes(OutOfPlace(change), x, 600))
