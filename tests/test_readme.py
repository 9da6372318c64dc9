"""What the README says is so."""

import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def test_the_python_example_runs(tmp_path):
    code = "\n".join(re.findall(r"```python\n(.*?)```", README.read_text(), re.S))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 4


def test_the_default_chunk_is_the_one_the_readme_names():
    from sfumato.smoothing.voting import CHUNK

    assert f"chunk of {CHUNK} votes" in README.read_text()
