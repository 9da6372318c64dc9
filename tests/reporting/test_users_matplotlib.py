"""The user's matplotlib is theirs: neither importing nor drawing changes its backend or its settings."""

import subprocess
import sys

CODE = """
import sys
from pathlib import Path
import matplotlib
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

from sfumato.reporting.certified_figures import draw_certified_sets
from sfumato.reporting.risk_lines import RiskLine
from sfumato.reporting.sources import CertifiedSet
from sfumato.reporting.study_figures import draw_risk_map
from sfumato.certification.certificate import Certificate
rows = [Certificate(i, 0, 0, 0.1 * i, 1.0) for i in range(10)]
sets = [CertifiedSet("one", rows, "pixels", Path("one.tsv"))]
lines = [RiskLine(b, (0.1, 0.2), (0.03, 0.04), None, None, None, 0.1, b, 100) for b in (0.1, 0.2)]
for suffix in ("png", "svg", "pdf"):
    draw_certified_sets(sets, Path(f"a.{suffix}"))
    draw_risk_map(lines, "pixels", Path(f"r.{suffix}"))
    require_unchanged("drawing")
try:
    draw_certified_sets(sets, Path("a.png/a.png"))
except sfumato.SfumatoError:
    require_unchanged("failing")
"""


def test_importing_and_drawing_leave_backend_and_settings_alone(tmp_path):
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
