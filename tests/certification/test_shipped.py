"""Images reach the workers in blocks, and each process makes what it votes with once."""

import numpy as np
import pytest
import torch

from sfumato.certification.groups import images_together
from sfumato.certification.shipped import (
    ImageShelf,
    Recipe,
    certify,
    certify_images,
    computing_device,
)
from sfumato.certification.smoothed_classifier import SmoothedClassifier
from sfumato.execution.base import Here
from sfumato.execution.local import InProcess
from sfumato.noise import Gaussian
from sfumato.plans import Decide, Fixed
from sfumato.smoothing.configuration import Configuration
from sfumato.smoothing.voting import VoteCounter

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


@pytest.mark.parametrize("label_known", [False, True])
def test_images_voted_on_together_get_the_certificate_of_each_alone(linear, monkeypatch, label_known):
    x = np.random.default_rng(1).uniform(-0.5, 0.5, (60, 2)).astype(np.float32)
    labels, plan = np.ones(60, dtype=np.int64), Decide(0.25, n_max=3000)
    wanting, count = [], VoteCounter.count

    def watched(counter, images, examples, first, votes):
        wanting.append(np.count_nonzero(votes))
        return count(counter, images, examples, first, votes)

    monkeypatch.setattr(VoteCounter, "count", watched)
    smoothed = SmoothedClassifier(linear, 0.5, seed=3, device="cpu", configuration=Configuration(128))
    groups = list(
        certify_images(smoothed, plan, x, range(60), labels, confidence=0.999, label_known=label_known)
    )
    assert [len(group) for group in groups] == [4] * 15
    packed = wanting.copy()
    alone = [
        smoothed.certify(x[[i]], plan, examples=[i], labels=[1], known_labels=[1] if label_known else None)[
            0
        ].as_written()
        for i in range(60)
    ]
    assert [row for group in groups for row in group] == alone
    assert not list(certify_images(smoothed, plan, x[:0], [], labels[:0], confidence=0.999))
    # 16 images are voted on together, in groups of 4, as long as there are others to begin
    assert max(packed) <= 16 + 3
    assert np.median(packed) >= 8 > 1 == max(wanting[len(packed) :])


def test_no_more_groups_are_begun_than_a_kill_may_lose(linear):
    """The first image is long undecided at its radius; all others are decided at once."""
    x = np.array([[0.25, 0.0], *[[3.0, 0.0]] * 99], dtype=np.float32)
    begun = []

    def groups():
        for i in range(100):
            begun.append(i)
            yield x[[i]], [i], None

    smoothed = SmoothedClassifier(linear, 0.5, device="cpu")
    runs = smoothed.runs(groups(), Decide(0.25, n_max=3000, cost=1e9), together=4)
    first, seconds = next(runs)
    assert len(begun) == 16
    assert first.votes[0] > 1000
    assert seconds > 0
    assert sum(run.images for run, _ in runs) == 99


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
