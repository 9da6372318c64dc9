"""What a run would compute, known before anything is trained."""

from sfumato.studies.design import make_design
from sfumato.studies.run import run_study
from sfumato.studies.store import Member
from sfumato.studies.todo import plan_study

TABLES = {
    "data": {"images": 20},
    "model": {"epochs": 2, "warm_epochs": 1, "warm_start": "nearest", "batch_size": 500},
    "grid": {"alpha": [0, 0.4], "beta": [0, 0.5]},
    "votes": {"n": 10},
    "certification": {"beta": [0.5], "plan": "fixed(10,50)", "images": 4},
}


def test_a_new_study_trains_along_its_path_and_votes_everywhere(tmp_path):
    todo = plan_study(make_design(TABLES), tmp_path, device="cpu")
    assert [(m.alpha, m.epochs, m.warm_from) for m in todo.models] == [(0.0, 2, None), (0.4, 1, 0.0)]
    assert todo.images == {
        Member(kind, alpha, beta, 0): count
        for alpha in (0.0, 0.4)
        for kind, beta, count in (("risk", 0.0, 20), ("risk", 0.5, 20), ("certificates", 0.5, 4))
    }
    assert todo.cells == 6
    assert list(tmp_path.iterdir()) == []


def test_only_what_is_missing_is_left_and_a_lost_parent_is_trained_again(tmp_path):
    run_study(make_design(TABLES), tmp_path, device="cpu")
    more = make_design(TABLES, {"grid": {"alpha": [0, 0.3, 0.4]}, "data": {"images": 25}})
    todo = plan_study(more, tmp_path, device="cpu")
    assert [m.alpha for m in todo.models] == [0.3]
    assert todo.images[Member("risk", 0.4, 0.5, 0)] == 5
    assert todo.images[Member("risk", 0.3, 0.5, 0)] == 25
    assert Member("certificates", 0.4, 0.5, 0) not in todo.images
    next((tmp_path / "models").glob("alpha-0.4-*")).unlink()
    todo = plan_study(more, tmp_path, device="cpu")
    assert [(m.alpha, m.warm_from) for m in todo.models] == [(0.4, 0.0), (0.3, 0.4)]
