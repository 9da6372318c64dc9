"""Processor time of short commands in this version against another one's: what a user waits for.

    git worktree add /tmp/former COMMIT
    python benchmarks/start_up.py --former /tmp/former/src

Each command is a process of its own, with one thread; both versions take turns. Medians and ranges over the
rounds are printed; compiled bytecode is there, as after a first use.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from spreads import spread

HERE = Path(__file__).resolve().parent.parent / "src"
SFUMATO = ("-m", "sfumato")


def main() -> None:
    """Run the rounds and print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--former", type=Path, required=True, help="the other version's folder src")
    parser.add_argument("--rounds", type=int, default=7)
    settings = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        compare(settings, Path(folder))


def compare(settings: argparse.Namespace, folder: Path) -> None:
    """Print a row for each command."""
    model = folder / "digits.safetensors"
    trained = ("train", "--data", "digits", "--model", "mlp", "--alpha", "0.25", "--epochs", "2")
    run(HERE, folder, *SFUMATO, *trained, "--out", str(model))
    certified = ("certify", "--model", str(model), "--data", "digits", "--beta", "0.25", "--first", "10")
    commands = {
        "`import sfumato`": ("-c", "import sfumato"),
        "`sfumato --help`": (*SFUMATO, "--help"),
        "`sfumato certify --help`": (*SFUMATO, "certify", "--help"),
        "`sfumato certify`, 10 digits, `decide(0.25)`": (*SFUMATO, *certified, "--plan", "decide(0.25)"),
        "of that, `import torch`": ("-c", "import torch"),
    }
    print("| what | before, s | now, s | before / now |\n|---|---|---|---|")
    for name, command in commands.items():
        seconds: dict[Path, list[float]] = {settings.former: [], HERE: []}
        for number in range(settings.rounds + 1):
            for source in list(seconds) if number % 2 else list(seconds)[::-1]:
                out = ("--out", str(folder / f"{len(seconds[source])}.tsv")) if "--first" in command else ()
                spent = run(source, folder, *command, *out)
                for table in folder.glob("*.tsv*"):
                    table.unlink()
                if number:  # the first one writes the bytecode
                    seconds[source].append(spent)
        before, now = seconds.values()
        ratios = [one / other for one, other in zip(before, now, strict=True)]
        print(f"| {name} | {spread(before)} | {spread(now)} | {spread(ratios)} |", flush=True)


def run(source: Path, cache: Path, *arguments: str) -> float:
    """Return the processor time of a Python process of this version, in seconds."""
    asked = {"PYTHONPATH": str(source), "PYTHONPYCACHEPREFIX": str(cache), "OMP_NUM_THREADS": "1"}
    environment = {**os.environ, **asked}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    began = _of_children()
    subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, check=True)
    return _of_children() - began


def _of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
