"""The user's matplotlib is theirs: neither importing nor drawing changes its backend or its settings."""

import subprocess
import sys

CODE = """
import sys
from pathlib import Path
import matplotlib.figure
matplotlib.use("svg")
matplotlib.rcParams["font.size"] = 17
before = dict(matplotlib.rcParams)

def require_unchanged(when):
    assert "matplotlib.pyplot" not in sys.modules, when
    assert matplotlib.get_backend() == "svg", when
    assert dict(matplotlib.rcParams) == before, when

import pkgutil, importlib, sfumato
for module in pkgutil.walk_packages(sfumato.__path__, "sfumato."):
    if not module.name.endswith(("__main__", "execution.ray")):
        importlib.import_module(module.name)
require_unchanged("importing")

from sfumato.reporting.picture import Axis, Line, Panel, Picture
from sfumato.reporting.static import draw_on, save_picture
from sfumato.reporting.style import INK
picture = Picture(((Panel(Axis("x"), Axis("y"), [Line([0, 1], [0, 1], INK, "α")]),),))
for suffix in ("png", "svg", "pdf"):
    save_picture(picture, Path(f"a.{suffix}"))
    save_picture(picture, Path(f"b.{suffix.upper()}"), width=3.25)
    require_unchanged("drawing")
axes = matplotlib.figure.Figure().subplots(1, 2)[1]
assert draw_on(axes, picture.panels[0][0]) is axes
assert axes.xaxis.label.get_size() == 17
require_unchanged("drawing on axes")
try:
    save_picture(picture, Path("a.png/a.png"))
except sfumato.SfumatoError:
    require_unchanged("failing")
"""


def test_importing_and_drawing_leave_backend_and_settings_alone(tmp_path):
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
