"""The documentation's commands run as they stand, and its links lead somewhere."""

import re
import sys
from pathlib import Path

import pytest

from sfumato.cli.main import main

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted(DOCS.glob("*.md"))
COMMANDS = [
    line.strip()
    for page in PAGES
    for line in page.read_text().splitlines()
    if line.startswith("    sfumato ")
]


@pytest.mark.parametrize(
    "command",
    [pytest.param(line, marks=[pytest.mark.slow] if "figure4" in line else []) for line in COMMANDS],
)
def test_a_command_of_the_documentation_draws_its_figure(command, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", command.split())
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 0, capsys.readouterr().err
    figure = Path(command.split("--figure ")[1])
    assert figure.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_and_pictures_are_there(page):
    targets = re.findall(r"\]\(([^)#:]+)\)", page.read_text())
    assert targets
    for target in targets:
        assert (page.parent / target).exists(), target
