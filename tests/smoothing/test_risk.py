import numpy as np
import pytest
import torch

from oracles import gaussian_tail
from sfumato.datasets import Dataset, Split, load_dataset
from sfumato.errors import DataError
from sfumato.plans.early_vote import EarlyVote
from sfumato.plans.vote import Vote
from sfumato.smoothing.risk import measure_risk, vote_on, vote_on_each
from sfumato.smoothing.smoothed import Smoothed


def test_the_risk_of_a_linear_classifier_has_its_closed_form(linear):
    """A point at distance d votes for its class with probability Phi(d / beta): one vote errs so often."""
    rng = np.random.default_rng(0)
    x = np.column_stack([np.full(20_000, 0.3), rng.normal(size=20_000)]).astype(np.float32)
    split = Split(x, np.ones(20_000, np.int64))
    risk = measure_risk(linear, split, 0.6, n=1, device="cpu", batch_size=2000)
    low, high = risk.interval(0.9999)
    assert low <= gaussian_tail(0.3 / 0.6) <= high
    assert measure_risk(linear, split, 0.6, n=101, device="cpu", batch_size=4000).value < 1e-3


def test_beta_zero_is_the_classifier_itself(linear):
    split = Split(np.array([[1.0, 0.0], [-1.0, 0.0], [1.0, 0.0]], np.float32), np.array([1, 0, 0]))
    steps = []
    risk = measure_risk(linear, split, 0.0, device="cpu", on_progress=steps.append)
    assert (risk.errors, risk.examples, risk.votes) == (1, 3, 1)
    assert steps == [3]


@pytest.mark.parametrize("error", [None, 1e-3])
def test_fewer_votes_are_counted_and_the_predictions_are_those_of_all(linear, error):
    x = np.random.default_rng(0).normal(0.3, 0.3, (200, 2)).astype(np.float32)
    risk = measure_risk(
        linear, Split(x, np.ones(200, np.int64)), 0.6, n=100, error=error, seed=3, device="cpu"
    )
    smoothed = Smoothed(linear, 0.6, seed=3, device="cpu")
    every = smoothed.votes(torch.from_numpy(x), 100)
    assert risk.images.predicted.tolist() == every.argmax(axis=1).tolist()
    assert risk.errors == (every.argmax(axis=1) != 1).sum() > 0
    first = 50 if error is None else 16
    hits = smoothed.votes(torch.from_numpy(x), first)[:, 1]
    assert (risk.images.first_votes == first).all()
    assert risk.images.first_hits.tolist() == hits.tolist()
    assert risk.images.votes.mean() < 90


def nearest_mean(train):
    """Return a network that names the class whose mean image is nearest; it is computed, not trained."""
    flat = torch.from_numpy(train.x).flatten(1)
    means = torch.stack([flat[torch.from_numpy(train.y == c)].mean(dim=0) for c in range(10)])
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
    network[1].weight.data, network[1].bias.data = means, -means.square().sum(dim=1) / 2
    return network


@pytest.mark.parametrize("together", [100, 797])
def test_the_rows_of_the_digits_are_what_they_were(together):
    """Numbers from the version before images were voted on in larger groups."""
    data = load_dataset("digits")
    smoothed = Smoothed(nearest_mean(data.train), 0.75, seed=3, device="cpu")
    rows = vote_on(
        smoothed, EarlyVote(100), data.test.x, data.test.y, range(len(data.test)), together=together
    )
    assert rows.sum(axis=0).tolist() == [317206, 3547, 3614, 51124, 12752, 7256]
    assert rows[:8].tolist() == [
        [0, 1, 1, 83, 16, 9],
        [1, 7, 7, 16, 16, 15],
        [2, 8, 5, 97, 16, 6],
        [3, 7, 7, 32, 16, 13],
        [4, 4, 4, 32, 16, 12],
        [5, 6, 6, 16, 16, 15],
        [6, 6, 6, 67, 16, 9],
        [7, 0, 0, 61, 16, 11],
    ]


@pytest.mark.parametrize("plan", [EarlyVote(100), Vote(60)])
def test_classifiers_that_share_noise_have_the_rows_of_each_alone(plan):
    data = load_dataset("digits")
    few, network = data.test.part(slice(200)), nearest_mean(data.train)
    options = plan, few.x, few.y, range(200)
    smoothed = [Smoothed(network, beta, seed=3, device="cpu") for beta in (0.3, 0.75, 1.5)]
    alone = [vote_on(one, *options) for one in smoothed]
    together = vote_on_each(smoothed, *options, together=70)
    assert all(map(np.array_equal, together, alone))
    risks = [(rows[:, 1] != rows[:, 2]).mean() for rows in alone]
    assert 0 < risks[0] < risks[1] < risks[2] < 0.5


def test_the_risk_counts_a_classifier_without_votes_as_wrong():
    def nan_under_noise(x):
        return torch.where((x == 0).all(dim=1, keepdim=True), 0.0, float("nan")).expand(-1, 2).clone()

    split = Split(np.zeros((1, 2), np.float32), np.array([0]))
    assert measure_risk(nan_under_noise, split, 0.5, n=10, device="cpu").value == 1.0


@pytest.mark.parametrize("beta", [0.0, 0.4])
def test_in_bf16_it_is_the_bf16_network_that_is_measured(beta):
    """1 + 2^-9 rounds to 1 in bfloat16, so that the larger weight is lost and the first class wins ties."""
    network = torch.nn.Linear(1, 2, bias=False)
    network.weight.data = torch.tensor([[1.0], [1.0 + 2**-9]])
    split = Split(np.full((3, 1), 8.0, np.float32), np.array([1, 1, 0]))
    exact = measure_risk(network, split, beta, n=10, device="cpu")
    rounded = measure_risk(network, split, beta, n=10, device="cpu", precision="bf16")
    assert (exact.errors, rounded.errors) == (1, 2)


@pytest.mark.parametrize(
    ("beta", "precision", "words"),
    [(0.0, "fp8", "precision must be one of float32, bf16, got 'fp8'"), (-1.0, "float32", "-1")],
)
def test_what_cannot_be_measured_is_refused(linear, beta, precision, words):
    with pytest.raises(ValueError, match=words):
        measure_risk(linear, Split(np.zeros((1, 2), np.float32), np.array([0])), beta, precision=precision)


def test_pairs_and_data_sets_are_measured_as_a_split(linear):
    x = np.random.default_rng(0).normal(0.3, 0.3, (40, 2)).astype(np.float32)
    y = np.arange(40) % 2
    expected = measure_risk(linear, Split(x, y), 0.6, n=20, device="cpu").errors
    data = Dataset("d", Split(x[:0], y[:0]), Split(x, y), ("a", "b"), "", "")
    for given in ((x, y), [torch.from_numpy(x), torch.from_numpy(y)], (x, y.tolist()), data):
        assert measure_risk(linear, given, 0.6, n=20, device="cpu").errors == expected
    for wrong, said in (
        (x, r"split must be a Split, images with their labels .* got ndarray"),
        ((x, y[:3]), "one whole number for each of 40 images, got int64 of shape"),
        ((x, [str(label) for label in y]), "one whole number for each of 40 images, got <U1"),
    ):
        with pytest.raises(DataError, match=said):
            measure_risk(linear, wrong, 0.6, device="cpu")
