"""The documentation does what it says: every block of the site and of the README is run, page by page.

A page is run from top to bottom in a folder of its own, as a reader would: ``bash`` blocks line by line,
``python`` blocks in one namespace. A block whose title is a file's name is that file's content. A ``text``
block shows what the blocks before it printed; its numbers may differ between machines, the rest may not.
Blocks that cannot be run here carry a title that says so, and are listed in ``NOT_RUN``.
"""

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import sfumato
from sfumato.answers.objective import OBJECTIVES
from sfumato.cli.main import main
from sfumato.datasets.registry import DATASETS
from sfumato.noise import NOISES
from sfumato.plans import PLANS
from sfumato.training.methods.registry import METHODS

REGISTRIES = (NOISES, PLANS, METHODS, OBJECTIVES, DATASETS)
ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
NOT_RUN = {
    ("start.md", "installing"),
    ("bf16.md", "on MNIST, some minutes"),
    ("cluster.md", "on a cluster"),
}
SLOW = "sfumato theory figure4"
_FENCE = re.compile(r"^( *)```(.*)$")
_TITLE = re.compile(r'title="([^"]*)"')
_NUMBER = re.compile(r"[-+]?(\d[\d,]*\.?\d*|\.\d+)(e[-+]?\d+)?\*?")


@pytest.fixture(autouse=True)
def what_a_page_registers_ends_with_it():
    before = [dict(registry) for registry in REGISTRIES]
    yield
    for registry, known in zip(REGISTRIES, before, strict=True):
        registry.clear()
        registry.update(known)


@dataclass(frozen=True)
class Block:
    page: str
    line: int
    language: str
    title: str
    code: str

    @property
    def is_file(self) -> bool:
        return bool(Path(self.title).suffix) and " " not in self.title

    @property
    def is_run(self) -> bool:
        return (self.page, self.title) not in NOT_RUN


def blocks(page: Path) -> list[Block]:
    found, opened = [], None
    for number, line in enumerate(page.read_text().splitlines(), 1):
        fence = _FENCE.match(line)
        if fence and opened is None:
            title = _TITLE.search(fence[2])
            opened = (number, fence[1], fence[2].split(" ")[0], title[1] if title else "", [])
        elif fence:
            start, _, language, title, lines = opened
            found.append(Block(page.name, start, language, title, "\n".join(lines) + "\n"))
            opened = None
        elif opened:
            opened[4].append(line.removeprefix(opened[1]))
    assert opened is None, f"{page.name}:{opened[0]}: a block without its end"
    return found


def commands(block: Block) -> list[str]:
    lines = block.code.replace("\\\n", " ").splitlines()
    return [line for line in lines if line.strip() and not line.startswith("#")]


def run_command(command: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Return what a line of a bash block prints; plain ``sfumato`` is run in this process, for speed."""
    words = shlex.split(command, comments=True)
    if words[0] != "sfumato" or set(words) & {">", "|", "||", "&"}:
        program = folder / ".bin" / "sfumato"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m sfumato "$@"\n')
        program.chmod(0o755)
        source = f"{Path(sfumato.__file__).parents[1]}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
        path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-c", command],
            capture_output=True,
            text=True,
            env={**os.environ, "PATH": path, "PYTHONPATH": source},
        )
        assert done.returncode == 0, done.stderr
        return done.stdout
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as stop:
            main()
    printed, complaints = capsys.readouterr()
    assert stop.value.code == 0, f"{command}\n{complaints}"
    return printed


def run_page(page: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    namespace = {"__name__": "__main__"}
    printed = ""
    for block in blocks(page):
        if not block.is_run:
            continue
        if block.is_file:
            (folder / block.title).write_text(block.code)
        elif block.language == "bash":
            for command in commands(block):
                if not command.startswith(SLOW):
                    printed += run_command(command, folder, capsys)
        elif block.language == "python":
            # the empty lines in front let a failure name the page's line
            exec(compile("\n" * block.line + block.code, str(page), "exec"), namespace)
            printed += capsys.readouterr().out
        elif block.language == "text":
            require_printed(block, printed)


def require_printed(block: Block, printed: str) -> None:
    there = {masked(line) for line in printed.splitlines()}
    for line in block.code.splitlines():
        assert masked(line) in there, f"{block.page}:{block.line}: not printed: {line}\n\n{printed}"


def masked(line: str) -> str:
    """Return the line with its numbers replaced, its spaces made single."""
    return " ".join(_NUMBER.sub("#", line).split())


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.name)
def test_every_block_of_a_page_runs_in_order_and_prints_what_is_shown(page, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    # another test's module of this name would be taken for the page's
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    run_page(page, tmp_path, capsys)


@pytest.mark.slow
def test_the_commands_that_take_a_minute_run(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    slow = [
        command
        for page in PAGES
        for block in blocks(page)
        if block.language == "bash" and block.is_run
        for command in commands(block)
        if command.startswith(SLOW)
    ]
    assert slow
    for command in slow:
        run_command(command, tmp_path, capsys)


def test_blocks_are_of_kinds_that_are_run_or_listed_as_not_run():
    found = [block for page in PAGES for block in blocks(page)]
    assert {block.language for block in found} <= {"bash", "bibtex", "python", "text", "toml"}
    for block in found:
        assert block.is_file or not block.title or not block.is_run, f"{block.page}:{block.line}"
    pages = {page.name for page in PAGES}
    unused = {(page, title) for page, title in NOT_RUN if page in pages}
    assert unused <= {(block.page, block.title) for block in found}


def test_commands_stand_in_blocks_that_are_run():
    for page in PAGES:
        assert not re.search(r"^    sfumato ", page.read_text(), re.M), page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_are_there(page):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_the_reference_has_every_public_name_and_every_package():
    reference = (DOCS / "api.md").read_text()
    for name in sfumato.__all__:
        assert name.startswith("__") or f"::: sfumato.{name}\n" in reference, name
    packages = {path.parent.name for path in Path(sfumato.__file__).parent.glob("*/__init__.py")}
    for package in packages - {"cli"}:
        assert f"::: sfumato.{package}\n" in (DOCS / f"api-{package}.md").read_text(), package
