"""The house that stands: imports go one way, modules keep their secrets, nothing heavy comes early."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import sfumato

ROOT = Path(sfumato.__file__).parent
TESTS = Path(__file__).parent

# Modules beside the rooms, which every room may import; they import each other only.
EVERYONE = {
    *("devices", "errors", "files", "frames", "notebooks", "progress", "settings", "user_code", "version")
}

# Each room with those that it may import, which stand to its left: above it here.
ALLOWED = {
    "noise": set(),
    "statistics": set(),
    "plans": {"noise", "statistics"},
    "theory": {"statistics"},
    "datasets": set(),
    "models": set(),
    "execution": set(),
    "smoothing": {"noise", "statistics", "plans", "datasets", "models", "execution"},
    "certification": {"noise", "statistics", "plans", "datasets", "models", "execution", "smoothing"},
    "interop": {"noise", "plans", "models", "smoothing", "certification"},
    "training": {"noise", "datasets", "models"},
    "attacks": {"noise", "plans", "datasets", "models", "smoothing", "training"},
    "advice": {"noise", "statistics", "plans", "theory", "datasets", "smoothing"},
    "studies": {
        *("noise", "statistics", "plans", "datasets", "models", "execution"),
        *("smoothing", "certification", "training"),
    },
    "answers": {
        *("noise", "statistics", "plans", "datasets", "models", "execution"),
        *("smoothing", "certification", "advice", "studies"),
    },
    "reporting": {
        *("noise", "statistics", "plans", "theory", "datasets", "models", "smoothing", "certification"),
        *("training", "attacks", "advice", "studies", "answers"),
    },
    "cli": {
        *("noise", "statistics", "plans", "theory", "datasets", "models", "execution", "smoothing"),
        *("certification", "interop", "training", "attacks", "advice", "studies", "answers", "reporting"),
    },
}


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def imports(source: str) -> Iterator[tuple[str, str | None]]:
    """Yield each module that is imported, and the name that is taken from it, if one is."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (("." * node.level + (node.module or ""), alias.name) for alias in node.names)


def libraries(path: Path) -> set[str]:
    return {module.split(".")[0] for module, _ in imports(path.read_text())}


def neighbours(source: str) -> set[str]:
    """Return the parts of the package that are imported: rooms, and modules beside them."""
    return {
        name.split(".")[1]
        for module, taken in imports(source)
        if (name := f"{module}.{taken}" if taken else module).startswith("sfumato.")
    }


def through_the_face(source: str) -> list[str]:
    """Return what is imported of the package itself, or relatively, where the tables cannot see it."""
    return [
        f"{module} {name or ''}".strip()
        for module, name in imports(source)
        if module == "sfumato" or module.startswith(".")
    ]


def private_imports(source: str) -> list[str]:
    return [
        f"{module}.{name}" if name else module
        for module, name in imports(source)
        if module.split(".")[0] == "sfumato" and any(map(is_private, [*module.split("."), name or ""]))
    ]


def private_definitions(source: str) -> set[str]:
    """Return the private functions, classes, variables and attributes that a module makes."""
    made = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            made.add(node.name)
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            made.add(node.id if isinstance(node, ast.Name) else node.attr)
    return set(filter(is_private, made))


def private_uses(source: str, made_elsewhere: set[str]) -> list[str]:
    """Return where a private name of another module is reached; a class may use what it inherits."""
    foreign = made_elsewhere - private_definitions(source)
    return [
        f"line {node.lineno}: {ast.unparse(node)}"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute)
        and node.attr in foreign
        and ast.unparse(node.value) not in ("self", "cls", "super()")
    ]


def test_the_checks_see_what_they_are_for():
    assert neighbours("import sfumato.plans.base\nfrom sfumato import noise") == {"plans", "noise"}
    assert neighbours("def late():\n    from sfumato.cli.main import main") == {"cli"}
    face = (
        "import sfumato\nfrom sfumato import train\nfrom . import base\nfrom sfumato.errors import DataError"
    )
    assert through_the_face(face) == ["sfumato", "sfumato train", ". base"]
    assert private_imports("from sfumato.files import _replace, locked\nimport sfumato._hidden") == [
        "sfumato.files._replace",
        "sfumato._hidden",
    ]
    assert private_imports("from sfumato.version import __version__") == []
    made = private_definitions("class _A:\n    def __init__(self): self._b = 1\ndef _c(): _d: int = 0")
    assert made == {"_A", "_b", "_c", "_d"}
    assert private_uses("print(cache._A, self._b, x.y._c, module._other)", made) == [
        "line 1: cache._A",
        "line 1: x.y._c",
    ]
    assert private_uses("_A = 1\nprint(cache._A)", made) == []


@pytest.mark.parametrize("package", sorted(ALLOWED))
def test_imports_only_go_to_the_left(package):
    for path in (ROOT / package).rglob("*.py"):
        assert neighbours(path.read_text()) <= ALLOWED[package] | EVERYONE | {package}, path


def test_what_may_be_imported_stands_to_the_left():
    rooms = list(ALLOWED)
    for place, room in enumerate(rooms):
        assert ALLOWED[room] <= set(rooms[:place]), room


def test_what_everyone_imports_imports_no_room():
    for name in EVERYONE:
        assert neighbours((ROOT / f"{name}.py").read_text()) <= EVERYONE, name


def test_every_package_and_module_has_its_place_in_the_table():
    assert {p.name for p in ROOT.iterdir() if (p / "__init__.py").exists()} == set(ALLOWED)
    assert {p.stem for p in ROOT.glob("*.py")} == EVERYONE | {"__init__", "__main__"}


def test_nothing_is_imported_through_the_packages_face():
    for path in ROOT.rglob("*.py"):
        # the face itself hands out the public names to type checkers
        assert not through_the_face(path.read_text()), path


def test_private_names_stay_in_their_module():
    sources = {path: path.read_text() for path in ROOT.rglob("*.py")}
    made = set().union(*map(private_definitions, sources.values()))
    for path, source in sources.items():
        assert not private_imports(source), path
        assert not private_uses(source, made), path


def test_tests_and_benchmarks_import_no_private_names():
    for folder in (TESTS, TESTS.parent / "benchmarks"):
        for path in folder.rglob("*.py"):
            assert not private_imports(path.read_text()), path


def test_contributing_describes_the_house_that_stands():
    text = (TESTS.parent / "CONTRIBUTING.md").read_text()
    assert re.findall(r"^\| `(\w+)/` \|", text, re.MULTILINE) == [
        room for room in ALLOWED if (ROOT / room).is_dir()
    ]
    # NAME stands for what is added, and what is planned says so
    named = re.findall(r"`(\w+/[\w/]+\.py)`", re.sub(r".*\(planned\).*", "", text).replace("NAME.py", ""))
    assert len(named) > 9
    for path in named:
        assert (ROOT / path).is_file() or (TESTS.parent / path).is_file(), path


@pytest.mark.parametrize("word", ["classifier", "curve", "gallery", "interference", "provenance"])
def test_one_word_names_one_thing(word):
    # a command's file is called as the command
    paths = [path for path in ROOT.rglob("*.py") if "cli" not in path.parts]
    assert len([path for path in paths if path.stem == word]) == 1
    kinds = [
        path
        for path in ROOT.rglob("*.py")
        for node in ast.parse(path.read_text()).body
        for name in (node.targets if isinstance(node, ast.Assign) else [node])
        if word.capitalize() in (getattr(name, "id", None), getattr(name, "name", None))
    ]
    assert len(kinds) <= 1, kinds


@pytest.mark.parametrize("package", ["statistics", "plans", "theory"])
def test_mathematics_knows_nothing_of_networks(package):
    for path in (ROOT / package).rglob("*.py"):
        assert "torch" not in libraries(path), path


def test_only_reporting_draws():
    for path in ROOT.rglob("*.py"):
        if "reporting" not in path.parts:
            assert not libraries(path) & {"matplotlib", "plotly"}, path


def test_only_one_module_knows_of_ray():
    for path in ROOT.rglob("*.py"):
        if path != ROOT / "execution" / "ray.py":
            assert "ray" not in libraries(path), path


def test_import_and_command_line_load_nothing_heavy():
    code = (
        "import sys, sfumato, sfumato.cli.main;"
        "print([m for m in ('torch', 'scipy', 'matplotlib', 'sklearn', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_help_of_a_command_names_what_is_registered_without_torch_or_scikit_learn():
    code = (
        "import sys; from sfumato.cli.registered_names import _registered; _registered();"
        "print([m for m in ('torch', 'matplotlib', 'sklearn') if m in sys.modules])"
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
    assert seen == sfumato._MODULES


def test_every_public_name_can_be_imported():
    for name in sfumato.__all__:
        assert getattr(sfumato, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'painter'"):
        _ = sfumato.painter
