"""The usual batch holds as many inputs as memory likes, and a slow callable is asked few times."""

import numpy as np
import pytest
import torch

from sfumato.smoothing.configuration import Configuration, fitted_batch
from sfumato.smoothing.smoothed import Smoothed

CPU = torch.device("cpu")


class Counted:
    """A callable that keeps the sizes of the batches that it is asked about."""

    def __init__(self):
        self.sizes = []

    def __call__(self, x):
        self.sizes.append(len(x))
        mean = x.flatten(1).mean(1)
        return torch.stack([mean, 0.1 - mean], dim=1)


@pytest.mark.parametrize(
    ("shape", "device", "size"),
    [
        ((3, 32, 32), "cpu", 1024),
        ((3, 224, 224), "cpu", 32),
        ((3, 4000, 4000), "cpu", 8),
        ((3, 224, 224), "cuda", 256),
    ],
)
def test_the_inputs_of_a_usual_batch_have_a_limit_in_bytes(shape, device, size):
    # by hand: 32 MiB on a CPU and 256 MiB on a GPU, 4 bytes a value, rounded down to a power of 2
    assert fitted_batch(Configuration(1024), shape, torch.device(device)).batch_size == size


def test_a_callable_is_checked_with_few_inputs_and_asked_in_batches_that_fit():
    model = Counted()
    smoothed = Smoothed(model, 0.5, device="cpu")
    x = torch.full((1, 3, 512, 512), 0.5)
    smoothed.check(x)
    assert smoothed.configuration.batch_size == 8
    assert sum(model.sizes) < 100
    small = Counted()
    Smoothed(small, 0.5, device="cpu").check(torch.full((1, 1, 8, 8), 0.5))
    assert sum(small.sizes) < 200
    assert max(small.sizes) == 32


def test_a_batch_size_that_was_given_stays_and_no_batch_changes_a_vote():
    x = torch.full((2, 3, 128, 128), 0.05)
    given = Smoothed(Counted(), 0.5, device="cpu", batch_size=200)
    usual = Smoothed(Counted(), 0.5, device="cpu")
    assert np.array_equal(given.votes(x, 150), usual.votes(x, 150))
    assert (given.configuration.batch_size, usual.configuration.batch_size) == (200, 128)
