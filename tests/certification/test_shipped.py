"""Images reach the workers in blocks, and each process makes what it votes with once."""

import numpy as np
import pytest
import torch

from sfumato.certification.shipped import ImageShelf, Recipe, certify, computing_device, images_together
from sfumato.certification.smoothed_classifier import SmoothedClassifier
from sfumato.execution.base import Here
from sfumato.execution.local import InProcess
from sfumato.noise import Gaussian
from sfumato.plans import Decide, Fixed
from sfumato.smoothing.configuration import Configuration

MANY = np.random.default_rng(0).random((70, 1, 512, 512), dtype=np.float32)  # a megabyte each


class Counting(InProcess):
    """Remembers what was shared."""

    def __init__(self):
        super().__init__()
        self.shared = {}

    def share(self, name, value):
        handle = super().share(name, value)
        self.shared[handle.key] = name, value
        return handle

    def here(self, report=lambda value: None):
        return Here(report, lambda key: self.shared[key][1], {})


def recipe(executor, **options):
    network = executor.share("the model", torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 3)))
    values = {"votes": 1, "job": "j"} | options
    return Recipe(network, Gaussian(0.5), 0, "cpu", "float32", (1, 2, 2), **values)


@pytest.mark.parametrize(
    ("examples", "blocks"), [((0, 3), 1), ((63, 64), 2), ((69,), 1), (tuple(range(70)), 2)]
)
def test_the_images_asked_for_come_in_order_and_no_other_block_is_shared(examples, blocks):
    executor = Counting()
    voting = ImageShelf(executor, MANY).voting(recipe(executor), examples, np.arange(70))
    assert np.array_equal(voting.images(executor.here()), MANY[list(examples)])
    assert voting.labels.tolist() == list(examples)
    assert len(executor.shared) == 1 + blocks
    assert {need.key for need in voting.task("t", certify, (), lambda done: None).needs} == set(
        executor.shared
    )


def test_a_worker_certifies_as_one_process_does_and_reports_group_by_group(linear):
    x = np.random.default_rng(1).random((8, 2), dtype=np.float32) - 0.5
    executor, groups, plan = Counting(), [], Fixed(20, 100)
    network = executor.share("the model", linear)
    made = Recipe(network, Gaussian(0.5), 3, "cpu", "float32", (2,), 1, "j")
    voting = ImageShelf(executor, x).voting(made, (2, 5, 7), np.zeros(8, dtype=np.int64))
    found = certify(executor.here(groups.append), voting, plan, 0.999)
    expected = SmoothedClassifier(linear, 0.5, seed=3, device="cpu").certify(
        x[[2, 5, 7]], plan, examples=[2, 5, 7], labels=[0, 0, 0]
    )
    assert found.rows == [certificate.as_written() for certificate in expected]
    assert (found.images, found.votes, found.invalid) == (3, 3 * 120, 0)
    assert [row for group in groups for row in group] == found.rows


def test_what_a_recipe_makes_is_made_once_in_a_process():
    executor = Counting()
    made, here = recipe(executor), executor.here()
    assert made.smoothed(here) is made.smoothed(here)
    assert made.smoothed(executor.here()) is not made.smoothed(here)


def test_groups_fill_batches_and_stay_small():
    assert images_together(Fixed(), Configuration(256)) == 1
    assert images_together(Decide(0.5), Configuration(256)) == 32
    assert images_together(Fixed(1, 1), Configuration(10**6)) == 64


def test_workers_compute_on_gpus_where_they_have_them():
    executor = InProcess()
    assert computing_device("cuda", None) == computing_device("cuda", executor) == "cuda"
    executor.in_process = False
    assert computing_device("cuda", executor) == "cpu"
    executor.gpus_per_worker = 0.5
    assert computing_device("cpu", executor) == "cuda"
