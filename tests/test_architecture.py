"""Imports go one way, and nothing heavy is imported before it is used."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import sfumato

ROOT = Path(sfumato.__file__).parent
EVERYONE = {"errors", "files", "devices", "locks", "settings", "user_code"}
ALLOWED = {
    "execution": set(),
    "noise": set(),
    "statistics": set(),
    "plans": {"noise", "statistics"},
    "theory": {"statistics"},
    "datasets": set(),
    "models": set(),
    "smoothing": {"execution", "noise", "statistics", "plans", "datasets", "models"},
    "certification": {"execution", "noise", "statistics", "plans", "datasets", "models", "smoothing"},
    "training": {"noise", "models", "datasets", "smoothing"},
    "advice": {"noise", "statistics", "plans", "theory", "datasets", "smoothing"},
    "studies": {
        *("execution", "noise", "statistics", "plans", "datasets", "models", "smoothing"),
        *("certification", "training", "advice"),
    },
    "reporting": {
        *("noise", "statistics", "plans", "theory", "datasets", "smoothing", "certification"),
        *("advice", "studies"),
    },
    "cli": {
        "execution",
        "noise",
        "statistics",
        "plans",
        "theory",
        "datasets",
        "models",
        "smoothing",
        "certification",
        "training",
        "advice",
        "studies",
        "reporting",
    },
}


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        found |= set(names)
    return found


@pytest.mark.parametrize("package", sorted(ALLOWED))
def test_imports_only_go_to_the_left(package):
    for path in (ROOT / package).rglob("*.py"):
        ours = {name.split(".")[1] for name in imported(path) if name.startswith("sfumato.")}
        rooms = {name for name in ours if (ROOT / name).is_dir()}
        assert rooms <= ALLOWED[package] | {package}, path


def test_every_package_has_its_place_in_the_table():
    assert {p.name for p in ROOT.iterdir() if (p / "__init__.py").exists()} == set(ALLOWED)


@pytest.mark.parametrize("package", ["statistics", "plans", "theory"])
def test_mathematics_knows_nothing_of_networks(package):
    for path in (ROOT / package).rglob("*.py"):
        assert "torch" not in {name.split(".")[0] for name in imported(path)}, path


def test_only_reporting_draws():
    for path in ROOT.rglob("*.py"):
        if "reporting" not in path.parts:
            assert not {name.split(".")[0] for name in imported(path)} & {"matplotlib", "plotly"}, path


def test_only_one_module_knows_of_ray():
    for path in ROOT.rglob("*.py"):
        if path != ROOT / "execution" / "ray.py":
            assert "ray" not in {name.split(".")[0] for name in imported(path)}, path


def test_import_and_command_line_load_nothing_heavy():
    code = (
        "import sys, sfumato, sfumato.cli.main;"
        "print([m for m in ('torch', 'scipy', 'matplotlib', 'sklearn', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_type_checkers_see_the_same_public_names():
    (block,) = (
        node
        for node in ast.walk(ast.parse((ROOT / "__init__.py").read_text()))
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    seen = {alias.asname: part.module for part in block.body for alias in part.names}
    assert seen == sfumato._PUBLIC


def test_every_public_name_can_be_imported():
    for name in sfumato.__all__:
        assert getattr(sfumato, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'painter'"):
        _ = sfumato.painter
