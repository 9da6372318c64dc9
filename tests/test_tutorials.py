"""Each tutorial runs from its first line to its last in an empty folder, and certifies something."""

import importlib
import re
import runpy
from pathlib import Path

import pytest

from sfumato.certification.table import read_rows

ROOT = Path(__file__).parents[1]
TUTORIALS = sorted((ROOT / "examples" / "tutorials").glob("*.py"))
NEEDS = {
    "timm_network": ["timm", "torchvision"],
    "hugging_face": ["transformers"],
    "onnx_file": ["onnx", "onnxruntime"],
}


@pytest.mark.parametrize("script", TUTORIALS, ids=lambda path: path.stem)
def test_a_tutorial_runs_and_its_last_line_is_what_it_certifies(script, tmp_path, monkeypatch, capsys):
    for package in NEEDS.get(script.stem, []):
        try:
            importlib.import_module(package)
        except Exception as error:  # a torchvision that belongs to another torch fails in its own ways
            pytest.skip(f"{package} cannot be imported here: {error}")
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(script), run_name="__main__")
    last = capsys.readouterr().out.splitlines()[-1]
    share = re.fullmatch(r"certified accuracy, radius [\d.]+: ([\d.]+) \([\d.]+ to [\d.]+\)", last)
    assert share, last
    assert float(share[1]) > 0.3
    (table,) = tmp_path.glob("*.tsv")
    assert read_rows(table)


def test_every_tutorial_is_on_the_page_and_says_how_it_is_run():
    page = (ROOT / "docs" / "tutorials.md").read_text()
    for script in TUTORIALS:
        assert f"](../examples/tutorials/{script.name})" in page, script.name
        assert f"python examples/tutorials/{script.name}" in script.read_text()
    assert len(TUTORIALS) == 7
