"""What a study votes: the majority of all votes, by every rule, from the keys of the noise alone."""

import numpy as np
import pytest
import torch

from oracles import noise_of_votes
from sfumato.models import load_model
from sfumato.studies.design import make_design
from sfumato.studies.run import run_study

TABLES = {
    "model": {"epochs": 2, "batch_size": 100},
    "grid": {"alpha": [0.4], "beta": [0, 0.5]},
    "votes": {"n": 40},
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a study, and its results by each rule."""
    folder, found = tmp_path_factory.mktemp("study"), {}
    for rule in ("all", "sequential", "curtailed"):
        design = make_design(TABLES, {"votes": {"rule": rule}})
        found[rule] = run_study(design, folder, device="cpu")
    return folder, found


def votes_by_hand(model, image, example, beta, n):
    """Return the classes of the n noisy copies of one image, from the keys of the noise alone."""
    noise = torch.from_numpy(beta * noise_of_votes(0, example, 0, n, tuple(image.shape))).float()
    with torch.inference_mode():
        return model(image + noise).argmax(dim=1).numpy()


def test_predictions_are_the_majority_of_all_votes_image_by_image(digits, finished):
    folder, results = finished[0], finished[1]["curtailed"]
    model, record = load_model(next((folder / "models").glob("alpha-0.4-*.safetensors")))
    assert record.alpha == 0.4
    cell = results.cells[0.4, 0.5, 0]
    hits = 0
    for example in range(0, 797, 8):
        found = votes_by_hand(model, torch.from_numpy(digits.test.x[example]), example, 0.5, 40)
        counts = np.bincount(found, minlength=10)
        assert cell.predicted[example] == counts.argmax()
        assert 20 <= cell.votes[example] <= 40
        first = int(cell.first_votes[example])
        assert first == 20
        hits += cell.first_hits[example] == (found[:first] == digits.test.y[example]).sum()
    assert hits == len(range(0, 797, 8))
    plain = results.cells[0.4, 0.0, 0]
    with torch.inference_mode():
        expected = model(torch.from_numpy(digits.test.x)).argmax(dim=1).numpy()
    assert np.array_equal(plain.predicted, expected)
    assert np.array_equal(plain.labels, digits.test.y)
    assert set(plain.votes) == {1}


def test_every_rule_predicts_the_same_and_the_curtailed_ones_spend_less(finished):
    cells = {rule: results.cells[0.4, 0.5, 0] for rule, results in finished[1].items()}
    curtailed = cells["curtailed"]
    assert np.array_equal(cells["all"].predicted, curtailed.predicted)
    assert set(cells["all"].votes) == {40}
    # with probability below 0.001 each
    assert (cells["sequential"].predicted != curtailed.predicted).sum() <= 4
    assert cells["sequential"].votes.mean() < curtailed.votes.mean() < 40
    assert set(cells["sequential"].first_votes) == {16}
    # three unbiased estimates of one number, the first from all the votes
    exact = cells["all"].soft_risk
    for cell in (curtailed, cells["sequential"]):
        assert cell.soft_risk == pytest.approx(exact, abs=0.02)
        assert (cell.first_hits <= cell.first_votes).all()
