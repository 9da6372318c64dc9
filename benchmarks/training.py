"""Training: our loop against the authors' own and against the best bare step.

    python benchmarks/training.py --output benchmarks/results/training.md

The authors' loop is that of locuslab/smoothing's ``train.py`` in plain PyTorch: a DataLoader that turns
one image after the other from bytes into a tensor (and, for CIFAR-10, crops and mirrors it), noise from
``randn_like``, SGD with momentum, float32, the usual memory layout, loss and accuracy read at every step. The
bare step is forward, backward and AdamW on one batch that lies ready with its noise, channels innermost; with
``--compile`` compiled as well. Contenders take turns within each round, on one thread; a ratio is of one
round, and times are processor time, so that other work on the machine disturbs little.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from sfumato import TrainingSettings
from sfumato.models import build_model
from sfumato.training.course import train_epoch
from sfumato.training.gradients import Gradients
from sfumato.training.layout import lay_out

NETWORKS = {"cnn": (1, 28, 28), "resnet20": (3, 32, 32), "fastcnn": (3, 32, 32)}
BATCH, ALPHA = 128, 0.25
Turn = Callable[[], object]


class ImagesOfBytes(Dataset[tuple[torch.Tensor, int]]):
    """One image at a time, as torchvision's data sets with its ``ToTensor``, crop and flip give them."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, augmented: bool) -> None:
        self.images, self.labels, self.augmented = images, labels, augmented

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        image = torch.from_numpy(self.images[index]).float().div(255)
        if self.augmented:
            side = image.shape[-1]
            top, left = torch.randint(0, 9, (2,)).tolist()
            image = functional.pad(image, (4, 4, 4, 4))[:, top : top + side, left : left + side]
            image = image.flip(-1) if torch.rand(1) < 0.5 else image
        return image, int(self.labels[index])


def network(name: str) -> nn.Module:
    channels = NETWORKS[name][0]
    return build_model(name, NETWORKS[name], 10, [0.5] * channels, [0.25] * channels)


def authors(name: str, images: np.ndarray, labels: np.ndarray) -> Turn:
    model = network(name).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    data = ImagesOfBytes(images, labels, augmented=name != "cnn")
    loader = DataLoader(data, batch_size=BATCH, shuffle=True)

    def epoch() -> None:
        for x, y in loader:
            noisy = x + torch.randn_like(x) * ALPHA
            out = model(noisy)
            loss = functional.cross_entropy(out, y)
            best = out.topk(5)[1]
            (best == y[:, None]).float().sum().item()
            loss.item()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return epoch


def ours(name: str, images: np.ndarray, labels: np.ndarray, precision: str) -> Turn:
    x, y = torch.from_numpy(images).float().div(255), torch.from_numpy(labels)
    augmentation = "none" if name == "cnn" else "crop-flip"
    settings = TrainingSettings.flat(
        {"alpha": ALPHA, "architecture": name, "precision": precision, "augmentation": augmentation}
    )
    model = network(name)
    lay_out(model, x[:2])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    return lambda: train_epoch(model, optimizer, x, y, settings, 0, 10, Gradients())


def bare(name: str, steps: int, precision: str, compiled: bool) -> Turn:
    model = network(name).train().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    x = torch.rand(BATCH, *NETWORKS[name]).to(memory_format=torch.channels_last)
    y = torch.randint(0, 10, (BATCH,))
    run = torch.compile(model) if compiled else model

    def epoch() -> None:
        for _ in range(steps):
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
                loss = functional.cross_entropy(run(x), y)
            loss.backward()
            optimizer.step()

    return epoch


def seconds_of(turn: Turn) -> float:
    began = time.process_time()
    turn()
    return time.process_time() - began


def measured(name: str, rounds: int, steps: int, compiled: bool) -> list[str]:
    """Return the rows of a network's table."""
    draws = np.random.default_rng(0)
    images = draws.integers(0, 256, (BATCH * steps, *NETWORKS[name]), dtype=np.uint8)
    labels = draws.integers(0, 10, BATCH * steps)
    turns = {"authors": authors(name, images, labels)}
    for precision in ("float32", "bf16"):
        turns[f"ours, {precision}"] = ours(name, images, labels, precision)
        turns[f"bare step, {precision}"] = bare(name, steps, precision, compiled=False)
        if compiled:
            turns[f"bare step compiled, {precision}"] = bare(name, steps, precision, compiled=True)
    for turn in turns.values():
        turn()  # what is made at the first call
    taken = [{label: seconds_of(turn) for label, turn in turns.items()} for _ in range(rounds)]
    rows = []
    for label in turns:
        per_step = statistics.median(found[label] for found in taken) / steps * 1000
        against = [found["authors"] / found[label] for found in taken]
        precision = label.rsplit(", ", 1)[-1]
        bares = [other for other in turns if other.startswith("bare") and other.endswith(precision)]
        share = [min(found[other] for other in bares) / found[label] for found in taken if bares]
        rows.append(f"| {name} | {label} | {per_step:.0f} | {_spread(against)} | {_spread(share)} |")
    return rows


def _spread(ratios: list[float]) -> str:
    if not ratios:
        return ""
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=4, help="steps of a contender's turn")
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--compile", action="store_true", help="also compile the bare step")
    parser.add_argument("--output", type=Path)
    settings = parser.parse_args()
    torch.set_num_threads(1)
    lines = [
        "# The speed of training",
        "",
        "    python benchmarks/training.py",
        "",
        f"One thread, batches of {BATCH}, alpha {ALPHA}, torch {torch.__version__}; {settings.rounds} rounds "
        f"of {settings.steps} steps. Medians (smallest to largest) of ratios within a round, processor time.",
        "",
        "| network | loop | ms a step | times as fast as the authors' | share of the best bare step |",
        "|---|---|---|---|---|",
    ]
    for name in settings.networks:
        for row in measured(name, settings.rounds, settings.steps, settings.compile):
            print(row, flush=True)
            lines.append(row)
    if settings.output:
        settings.output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
