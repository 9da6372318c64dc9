import pytest

from sfumato.cli import demo
from sfumato.studies.store import load_results


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(
        demo,
        "STUDY",
        {
            "data": {"name": "digits", "images": 40},
            "model": {"epochs": 5},
            "grid": {"alpha": [0.1, 0.6], "beta": [0.0, 0.5]},
            "certification": {"beta": [0.5], "plan": "fixed(100,200)", "confidence": 0.99, "images": 10},
        },
    )
    monkeypatch.setattr(demo, "RADII", (0.1,))


def test_the_demo_is_a_study_and_prints_what_study_best_prints(small, sfumato, tmp_path):
    folder = tmp_path / "demo"
    code, out, err = sfumato("demo", "--out", folder, "--seed", 3, "--device", "cpu")
    assert code == 0, err
    results = load_results(folder)
    assert sorted(results.cells) == [(0.1, 0.0, 3), (0.1, 0.5, 3), (0.6, 0.0, 3), (0.6, 0.5, 3)]
    assert sorted(results.certificates) == [(0.1, 0.5, 3), (0.6, 0.5, 3)]
    for asked in ([], ["--radius", "0.1"]):
        assert sfumato("study", "best", folder, *asked)[1] in out
    assert {path.name for path in folder.glob("*.png")} == {"risk.png", "best.png"}

    before = {path: path.stat().st_mtime_ns for path in folder.glob("models/*.safetensors")}
    code, again, err = sfumato("demo", "--out", folder, "--seed", 3, "--device", "cpu")
    assert code == 0, err
    assert out.endswith(again)
    assert {path: path.stat().st_mtime_ns for path in folder.glob("models/*.safetensors")} == before
