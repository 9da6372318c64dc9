"""Memory that runs out is one line, and no finished row is lost."""

import pytest
import torch

from sfumato.noise import Gaussian


def rows(path):
    return [cells[:5] + cells[6:] for cells in (line.split("\t") for line in path.read_text().splitlines())]


@pytest.mark.parametrize(
    ("lack", "words"),
    [
        (MemoryError("Unable to allocate 7.28 TiB for an array"), "Unable to allocate 7.28 TiB for an array"),
        (MemoryError(), "no more is to be had"),
        (torch.OutOfMemoryError("CUDA out of memory.\nSee the manual"), "CUDA out of memory."),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory"),
            "DefaultCPUAllocator: can't allocate memory",
        ),
    ],
    ids=["numpy", "python", "torch", "torch on a CPU"],
)
def test_certify_keeps_its_rows_and_goes_on_to_the_same_table(
    sfumato, digits_model, tmp_path, monkeypatch, lack, words
):
    certify = ("certify", "--model", digits_model, "--beta", 0.3, "--device", "cpu", "--batch-size", 40)
    certify += ("--plan", "fixed(10,30)", "--confidence", 0.9, "--first", 8, "--out")
    table, whole = tmp_path / "t.tsv", tmp_path / "whole.tsv"
    draw = Gaussian.draw

    def hungry(self, out, stream):
        if table.exists() and table.read_text().count("\n") > 3:
            raise lack
        draw(self, out, stream)

    monkeypatch.setattr(Gaussian, "draw", hungry)
    code, _, error = sfumato(*certify, table)
    assert (code, error.splitlines()[-1]) == (
        1,
        f"error: out of memory ({words}); what was finished is kept",
    )
    assert "Traceback" not in error
    kept = rows(table)
    assert 4 <= len(kept) < 9
    monkeypatch.setattr(Gaussian, "draw", draw)
    assert sfumato(*certify, table)[0] == 0
    assert sfumato(*certify, whole)[0] == 0
    assert rows(table)[: len(kept)] == kept
    assert rows(table) == rows(whole)
