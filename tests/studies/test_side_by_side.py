import pytest
import torch

from sfumato.studies import side_by_side as module
from sfumato.studies.design import make_design
from sfumato.studies.side_by_side import side_by_side


@pytest.fixture
def eight_cores(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)


def study(**tables):
    return make_design({"data": {"name": "digits"}}, tables)


def test_a_short_study_stays_in_one_process(eight_cores):
    assert side_by_side(study(model={"epochs": 10}), 1000, 64, device="cpu") == (1, 8)


def test_large_images_make_few_passes_worthwhile(eight_cores):
    asked = study(model={"epochs": 2}, grid={"alpha": [0.0, 0.2]})
    assert side_by_side(asked, 60_000, 784, device="cpu") == (2, 4)
    assert side_by_side(asked, 60_000, 64, device="cpu") == (1, 8)


def test_nothing_to_train_on_is_left_to_the_study_to_say(eight_cores):
    assert side_by_side(study(grid={"alpha": [0.0, 0.2]}), 0, 64, device="cpu") == (1, 8)


@pytest.mark.parametrize(
    ("grid", "threads", "expected"),
    [
        ({"alpha": [0.0, 0.2, 0.4]}, None, (3, 2)),
        ({"alpha": [0.0, 0.4], "seeds": [0, 1, 2, 3, 4]}, None, (8, 1)),
        ({"alpha": [0.0, 0.2, 0.4]}, 4, (2, 4)),
        ({"alpha": [0.4]}, None, (1, 8)),
        ({"alpha": [0.0, 0.2, 0.4]}, 8, (1, 8)),
    ],
)
def test_a_long_study_trains_as_many_networks_as_there_are_cores_for(grid, threads, expected, eight_cores):
    found = side_by_side(study(model={"epochs": 2000}, grid=grid), 1000, 64, device="cpu", threads=threads)
    assert found == expected


def test_models_that_start_from_one_another_are_trained_one_by_one(eight_cores):
    asked = study(model={"epochs": 2000, "warm_start": "nearest"})
    assert side_by_side(asked, 1000, 64, device="cpu") == (1, 8)


@pytest.mark.slow
def test_the_command_trains_a_long_study_side_by_side_with_the_same_result(tmp_path, monkeypatch, sfumato):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    asked = ["study", "run", "--data", "digits", "--epochs", "1", "--alpha", "0,0.4", "--beta", "0.5"]
    asked += ["--n", "20", "--images", "50", "--device", "cpu"]
    sfumato(*asked, "--out", tmp_path / "alone", "--workers", "1", "--threads", "1")
    monkeypatch.setattr(module, "_WORTHWHILE", 0)
    code, _, err = sfumato(*asked, "--out", tmp_path / "beside")
    assert code == 0
    assert "2 worker processes" in err
    alone, beside = (sfumato("study", "show", tmp_path / name, "--json") for name in ("alone", "beside"))
    assert alone == beside
    assert alone[1]
