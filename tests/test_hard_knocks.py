"""The table of hard knocks names tests and measurements that are there, for every kind of fault."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "hard-knocks.md"
KINDS = {"kill", "model", "disk", "clock", "memory", "file", "worker", "two writers"}
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
RECORDED = re.compile(r"\]\((\.\./benchmarks/results/\w+\.md)\)")


def faults():
    """Return the cells of each line of the first table."""
    table = PAGE.read_text().split("\n## ")[0]
    lines = [line for line in table.splitlines() if line.startswith("| ")][1:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_kind_of_fault_is_tried_and_nothing_is_lost_or_changed():
    rows = faults()
    assert {row[0] for row in rows} == KINDS
    assert all(row[3:5] == ["0", "0"] for row in rows)


def test_each_line_is_shown_by_a_test_or_a_measurement_that_is_there():
    for row in faults():
        named, recorded = NAMED.findall(row[5]), RECORDED.findall(row[5])
        assert named or recorded, row
        assert len(named) == row[5].count("::")
        for file, test in named:
            tree = ast.parse((ROOT / file).read_text())
            assert test in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, test
        for path in recorded:
            assert (PAGE.parent / path).is_file(), path


def test_counts_of_measurements_are_those_recorded():
    page, results = PAGE.read_text(), ROOT / "benchmarks" / "results"
    for words, file, recorded in (
        (
            "1,000,008 damaged inputs over 18 parsers",
            "damaged_inputs.md",
            "1,000,008 inputs in 487 s, 0 findings",
        ),
        ("300 flipped bits and 30 zeroed pages", "damaged_results.md", "--bits 300 --pages 30"),
    ):
        assert words in page
        assert recorded in (results / file).read_text()
    targets = [line for line in (results / "damaged_inputs.md").read_text().splitlines() if "Error |" in line]
    assert len(targets) == 18
