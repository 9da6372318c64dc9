from sfumato.studies.design import make_design
from sfumato.studies.estimate import estimate_seconds
from sfumato.studies.run import run_study
from sfumato.studies.todo import plan_study

TABLES = {"model": {"epochs": 3}, "grid": {"alpha": [0.4], "beta": [0.3]}, "data": {"images": 300}}


def test_the_estimate_grows_with_what_is_left_and_is_nothing_for_a_finished_study(tmp_path):
    design = make_design(TABLES)
    todo = plan_study(design, tmp_path, device="cpu")
    expected = estimate_seconds(design, todo, device="cpu")
    assert 0 < expected < 60
    longer = plan_study(make_design(TABLES, {"model": {"epochs": 300}}), tmp_path, device="cpu")
    assert estimate_seconds(design, longer, device="cpu") > 10 * expected
    run_study(design, tmp_path, device="cpu")
    assert estimate_seconds(design, plan_study(design, tmp_path, device="cpu"), device="cpu") == 0
