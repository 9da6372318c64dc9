"""Whatever the user's module does when it is imported or called, it is one line with the place in it."""

import os
import subprocess
import sys
import textwrap
from itertools import count

import pytest
import torch

from sfumato.errors import ModelError
from sfumato.models import build_model
from sfumato.models.classifier import load_classifier
from sfumato.user_code import current_folder_searched, import_named

_numbers = count()


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Return a function that writes a module and returns its name, new in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(text):
        name = f"of_the_user_{next(_numbers)}"
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))
        return name

    return write


AT_IMPORT = {
    "def network(shape, classes) return 1": r"SyntaxError: .*, at NAME\.py:1\)",
    "def f():\n  if 1:\n pass": r"IndentationError: .*, at NAME\.py:3\)",
    "import no_such_package": r"ModuleNotFoundError: No module named 'no_such_package', at NAME\.py:1\)",
    "from os import no_such_name": r"ImportError: cannot import name 'no_such_name' .*, at NAME\.py:1\)",
    "\nopen('not-here.pt')": r"FileNotFoundError: .*'not-here.pt', at NAME\.py:2\)",
    "import torch\ntorch.load('not-here.pt')": r"FileNotFoundError: .*, at NAME\.py:2\)",
    "raise ValueError('no\\nconfiguration')": r"ValueError: no configuration, at NAME\.py:1\)",
    "import sys\nsys.exit('bye')": r"SystemExit: bye, at NAME\.py:2\)",
    "import sys\nsys.exit(0)": r"SystemExit: 0, at NAME\.py:2\)",
    "class Own(BaseException): pass\nraise Own": r"Own: no message, at NAME\.py:2\)",
    (
        "class Own(Exception):\n def __str__(self): raise OSError\nraise Own"
    ): r"its message cannot be read, at NAME\.py:3",
    "def f(): return f()\nf()": r"RecursionError: .*, at NAME\.py:1\)",
    "raise MemoryError": r"MemoryError: no message, at NAME\.py:1\)",
    "assert 1 == 2": r"AssertionError: no message, at NAME\.py:1\)",
}


@pytest.mark.parametrize("text", AT_IMPORT)
def test_what_an_import_raises_is_one_line_with_its_place(text, module):
    name = module(text)
    with pytest.raises(ModelError) as caught:
        load_classifier(f"{name}:network", (1, 8, 8), 10)
    assert str(caught.value).startswith(f"'{name}:network' cannot be imported (")
    assert "\n" not in str(caught.value)
    with pytest.raises(ModelError, match=AT_IMPORT[text].replace("NAME", name)):
        load_classifier(f"{name}:network", (1, 8, 8), 10)


def test_ctrl_c_is_no_mistake_of_the_module(module):
    name = module("raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        import_named(f"{name}:f")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("raise ValueError('bad')", r"the factory failed for input .*\(ValueError: bad, at NAME\.py:2\)"),
        ("raise SystemExit", r"\(SystemExit: no message, at NAME\.py:2\)"),
        ("return {}[classes]", r"\(KeyError: 10, at NAME\.py:2\)"),
        ("import torch; torch.zeros(2) @ torch.zeros(3)", r"\(RuntimeError: .*, at NAME\.py:2\)"),
    ],
)
def test_what_a_factory_raises_is_one_line_with_its_place(body, words, module):
    name = module(f"def make(shape, classes):\n    {body}")
    with pytest.raises(ModelError, match=words.replace("NAME", name)) as caught:
        build_model(f"{name}:make", (1, 8, 8), 10, [0.0], [1.0])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "reference",
    [
        "",
        ":",
        "a:",
        ":f",
        ".a:f",
        "..a:f",
        "a..b:f",
        "./a.py:f",
        "../a:f",
        "/tmp/a:f",
        "a b:f",
        "a:f:g",
        "a\n:f",
    ],
)
def test_what_is_not_written_as_a_name_is_refused_before_anything_is_imported(reference):
    with pytest.raises(ModelError, match=r"is not package\.module:name; write mymodule:build"):
        import_named(reference)


def test_a_file_a_missing_name_and_no_function_are_named(module):
    name = module("number = 5\nclass Inner:\n    make = staticmethod(len)")
    with pytest.raises(ModelError, match=f"names a file; write {name}:make for the module"):
        import_named(f"{name}.py:make")
    with pytest.raises(ModelError, match=rf"{name} \(.*{name}\.py\) has no 'make'"):
        import_named(f"{name}:make")
    with pytest.raises(ModelError, match="must be a function or a class, got int"):
        import_named(f"{name}:number")
    assert import_named(f"{name}:Inner.make") is len


def test_state_that_is_no_tensor_is_refused_before_a_training(module):
    name = module(
        """
        from torch import nn
        class Own(nn.Linear):
            def get_extra_state(self): return {"a": 1}
        def make(shape, classes): return Own(2, classes)
        """
    )
    with pytest.raises(ModelError, match="its state '_extra_state' must be a tensor"):
        build_model(f"{name}:make", (2,), 2, [0.0], [1.0])


LAZY = """
from torch import nn
def make(shape, classes):
    return nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(classes))
class Unused(nn.Module):
    def __init__(self, shape, classes):
        super().__init__()
        self.flat, self.used, self.unused = nn.Flatten(), nn.LazyLinear(classes), nn.LazyLinear(3)
    def forward(self, x):
        return self.used(self.flat(x))
class Refuses(nn.Module):
    def __init__(self, shape, classes):
        super().__init__()
        self.used = nn.LazyLinear(classes)
    def forward(self, x):
        raise ValueError("no")
"""


def test_a_lazy_module_gets_its_sizes_and_stays_as_it_was_otherwise(module):
    name = module(LAZY)
    one, two = (build_model(f"{name}:make", (1, 8, 8), 10, [0.5], [0.5], seed=3) for _ in range(2))
    assert one.training
    assert all(part.training for part in one.modules())
    # by hand: 8 - 2 = 6 pixels a side of 4 channels
    assert one[1][3].weight.shape == (10, 4 * 6 * 6)
    assert torch.equal(one[1][1].running_mean, torch.zeros(4)), "zeros are no data"
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert all(parameter.requires_grad for parameter in one.parameters())
    classifier = load_classifier(f"{name}:make", (1, 8, 8), 10)
    assert classifier.model(torch.zeros(3, 1, 8, 8)).shape == (3, 10)


def test_a_lazy_module_whose_sizes_stay_open_is_refused(module):
    name = module(LAZY)
    with pytest.raises(ModelError, match=r"leaves the size of 'unused.weight' open for input shape"):
        load_classifier(f"{name}:Unused", (1, 8, 8), 10)
    with pytest.raises(ModelError, match=r"does not accept a batch of zeros .*ValueError: no, at"):
        load_classifier(f"{name}:Refuses", (1, 8, 8), 10)


def test_only_a_command_looks_in_the_current_folder_and_only_for_what_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "beside_here.py").write_text("def make(): return 1\n")
    (tmp_path / "in_this_folder.py").write_text("from beside_here import make\n")
    before = list(sys.path)
    with pytest.raises(ModelError, match="No module named 'in_this_folder'"):
        import_named("in_this_folder:make")
    with current_folder_searched():
        import_named("json:loads")
        assert sys.path == before
        assert import_named("in_this_folder:make")() == 1
        assert sys.path == [*before, str(tmp_path)], "behind all that is installed"
    assert sys.path == before


def test_a_folder_that_was_searched_anyway_stays(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = list(sys.path)
    with current_folder_searched():
        pass
    assert sys.path == before


def run(code, cwd, **environment):
    return subprocess.run(
        [sys.executable, "-P", "-c", code],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, **environment},
    )


def test_modules_of_the_folder_hide_nothing_and_run_only_if_named(tmp_path):
    for name in ("torch", "numpy", "triton", "plotly", "ray", "evil"):
        (tmp_path / f"{name}.py").write_text("open('RAN', 'a').write(__name__)\ndef f(*a): pass\n")
    code = (
        "import sys; from sfumato.cli.main import main\n"
        "sys.argv = ['sfumato', 'certify', '--model', 'mlp.safetensors', '--beta', '0.5']; main()"
    )
    done = run(code, tmp_path)
    assert (done.returncode, done.stderr) == (
        2,
        "error: mlp.safetensors: no such file; give an existing .safetensors\n",
    )
    assert not (tmp_path / "RAN").exists()
