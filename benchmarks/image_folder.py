"""What a folder of 2,000 photographs and a ResNet-18 cost: memory, the wait for the first line, the forecast.

    python benchmarks/image_folder.py --folder photographs

The photographs are drawn at random, in mixed sizes around 256 x 256, resized and cropped to 3 x 224 x 224.
The network is the one of ``transformers``, with random weights, which change no time.
The command is a process of its own, and no terminal, so its lines are those of a log.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from PIL import Image

NETWORK = """
import torch
from transformers import ResNetConfig, ResNetForImageClassification


def resnet18(input_shape, num_classes):
    torch.manual_seed(0)
    return ResNetForImageClassification(
        ResNetConfig(
            embedding_size=64,
            hidden_sizes=[64, 128, 256, 512],
            depths=[2, 2, 2, 2],
            layer_type="basic",
            num_labels=num_classes,
        )
    ).eval()
"""
UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0}


def main() -> None:
    """Draw the folder where it is missing, certify and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="where the photographs are or shall be")
    parser.add_argument("--photographs", type=int, default=2000)
    parser.add_argument("--first", type=int, default=5)
    parser.add_argument("--plan", default="fixed(100,900)")
    settings = parser.parse_args()
    draw_folder(settings.folder, settings.photographs)
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "photograph_networks.py").write_text(NETWORK)
        certify(settings, Path(name))


def draw_folder(folder: Path, photographs: int) -> None:
    """Write photographs of ten classes that are not there yet."""
    for index in range(photographs):
        path = folder / "test" / f"class{index % 10}" / f"{index:05d}.jpg"
        if path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        draw = np.random.default_rng(index)
        height, width = (int(size) for size in draw.integers(230, 320, 2))
        coarse = draw.integers(0, 256, (8, 8, 3)).astype(np.uint8)
        Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(path, quality=90)


def certify(settings: argparse.Namespace, folder: Path) -> None:
    """Run the command, note when each line comes, and print what it took."""
    command = [
        *(sys.executable, "-m", "sfumato", "certify", "--model", "photograph_networks:resnet18"),
        *(
            "--data",
            str(settings.folder.resolve()),
            "--size",
            "224",
            "--beta",
            "0.5",
            "--plan",
            settings.plan,
        ),
        *("--first", str(settings.first), "--out", str(folder / "table.tsv")),
    ]
    source = Path(__file__).resolve().parent.parent / "src"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(source)])}
    began = time.perf_counter()
    lines: list[tuple[float, str]] = []
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        reader = threading.Thread(target=_note_lines, args=(process.stdout, lines, began))
        reader.start()
        code = process.wait()
        reader.join()
    ended = time.perf_counter() - began
    for second, line in lines:
        print(f"{second:7.1f} s  {line}")
    if code:
        raise SystemExit(f"the command ended with exit code {code}")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    forecast = next((second, line) for second, line in lines if "votes/s: " in line)
    predicted = _predicted(forecast[1])
    took = ended - forecast[0]
    print(
        "\n| photographs in the folder | peak memory, GB | first line after, s "
        f"| predicted for {settings.first}, s | took, s | took / predicted |\n|---|---|---|---|---|---|\n"
        f"| {settings.photographs:,} | {peak:.2f} | {lines[0][0]:.1f} | {predicted:.0f} | {took:.0f} "
        f"| {took / predicted:.2f} |"
    )


def _note_lines(stream, lines: list[tuple[float, str]], began: float) -> None:
    lines.extend((time.perf_counter() - began, line.rstrip()) for line in stream)


def _predicted(line: str) -> float:
    found = re.search(r"([\d.]+) (s|min|h) for all", line)
    if found is None:
        raise SystemExit(f"no predicted time in: {line}")
    return float(found[1]) * UNITS[found[2]]


if __name__ == "__main__":
    main()
