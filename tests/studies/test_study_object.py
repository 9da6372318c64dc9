"""``sfumato.Study``: a study as one object."""

import numpy as np
import pytest

import sfumato as sf
from sfumato.errors import DataError, OutputError, SettingError
from sfumato.studies.store import load_results

SMALL = {"images": 30, "votes": 20, "epochs": 1}


def test_a_study_runs_goes_on_and_answers(digits, tmp_path):
    study = sf.Study(digits, alphas=[0, 0.25], betas=np.array([0.25, 0.5]), **SMALL)
    assert repr(study).endswith("not run yet)")
    with pytest.raises(SettingError, match=r"no results yet; call run\(folder\) first"):
        study.best()
    assert study.run(tmp_path) is study
    answers = study.best()
    for found in answers.betas:
        errors = {a: study.results.cells[a, found.beta, 0].wrong.sum() for a in (0.0, 0.25)}
        assert errors[found.alpha] == min(errors.values())
    assert [line.split(":")[0] for line in repr(answers).splitlines()] == ["beta 0.25", "beta 0.5"]
    again = sf.Study("digits", [0, 0.25], [0.25, 0.5], **SMALL).run(str(tmp_path))
    assert repr(again.best()) == repr(answers)
    assert load_results(tmp_path).cells.keys() == again.results.cells.keys()
    assert not (tmp_path / "data.npz").exists()


def test_arrays_are_kept_in_the_folder_and_never_mixed(digits, tmp_path):
    x, y = digits.train.x[:100], digits.train.y[:100]
    four = (x, y, digits.test.x[:40], digits.test.y[:40])
    found = sf.Study(four, [0.2], [0.3], **SMALL).run(tmp_path).results
    cell = found.cells[0.2, 0.3, 0]
    assert cell.labels.tolist() == digits.test.y[:30].tolist()
    sf.Study(four, [0.2], [0.3], **SMALL).run(tmp_path)
    with pytest.raises(OutputError, match="holds the study of other data"):
        sf.Study((x + 0.01, *four[1:]), [0.2], [0.3], **SMALL).run(tmp_path)
    with pytest.raises(DataError, match=r"must be \(x, y\) or \(x, y, x_test, y_test\), got 3 arrays"):
        sf.Study(four[:3], [0.2], [0.3], **SMALL).run(tmp_path / "other")
    with pytest.raises(SettingError, match=r"model\.epochs"):
        sf.Study("digits", [0.2], [0.3], epochs=0)


@pytest.mark.parametrize(
    "given",
    [
        {"alphas": "0.1"},
        {"alphas": 0.1},
        {"betas": np.array(0.1)},
        {"betas": ["0.1"]},
        {"seeds": [0.5]},  # was rounded down
        {"seeds": 3},
    ],
)
def test_a_grid_that_is_no_list_of_numbers_is_refused_in_one_line(given):
    name = next(iter(given))
    with pytest.raises(sf.SfumatoError, match=f"^{name} must be"):
        sf.Study("digits", **({"alphas": [0.1], "betas": [0.2]} | given))
