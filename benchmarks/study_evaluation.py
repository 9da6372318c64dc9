"""Wall time of one cell (alpha, beta) of a study against the loop of Pal & Sulam 2023, and its predictions.

    python benchmarks/study_evaluation.py MODEL.safetensors --data-dir DIR [--images 10000]

The authors' loop, as they describe it: for every test image repeat it n times, add Gaussian noise, pass
the batch of n through the network in float32, and take the majority of the arg-maxes. Ours is what
``sfumato study run`` calls for a cell. In each round all contenders do the same images in turn, in
reverse order every other round; a ratio is of one round, and its median and range over the rounds are
printed. Then both are fed the same noise on a part of the images: curtailed votes must give the same
predictions, sequential ones with an error of at most 0.001 per image.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from sfumato import SmoothedClassifier, load_dataset, load_model
from sfumato.datasets import Split
from sfumato.devices import choose_device, device_name
from sfumato.noise import Span, Stream, Use
from sfumato.smoothing.configuration import Configuration
from sfumato.smoothing.risk import vote_on
from sfumato.smoothing.tuning import tuned_configuration
from sfumato.studies.design import VotesTable, make_design

CONTENDERS = (
    ("curtailed", "float32"),
    ("sequential", "float32"),
    ("curtailed", "bf16"),
    ("sequential", "bf16"),
)


def main() -> None:
    """Run the rounds and print the record as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--images", type=int, default=10_000, help="of all rounds together")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--identity", type=int, default=500, help="images fed the same noise")
    parser.add_argument("--beta", type=float, default=0.5)
    parser.add_argument("--n", type=int, default=100)
    parser.add_argument("--device", default="auto")
    settings = parser.parse_args()
    device = choose_device(settings.device)
    model, record = load_model(settings.model)
    test = load_dataset(record.data, settings.data_dir).test
    model.eval().to(device)
    print(
        f"{record.architecture}, alpha {record.alpha:g}, on {settings.images} test images of {record.data}, "
        f"beta {settings.beta:g}, n {settings.n}; {device_name(device)}, {torch.get_num_threads()} threads, "
        f"torch {torch.__version__}\n"
    )
    configurations = {
        precision: tuned_configuration(
            model, record.input_shape, device, votes=settings.n * settings.images, precision=precision
        )
        for precision in ("float32", "bf16")
    }
    cells = {
        f"{rule}, {precision}": cell(model, rule, configurations[precision], settings)
        for rule, precision in CONTENDERS
    }
    time_rounds(model, cells, test, device, settings)
    compare_predictions(model, cells, test, device, settings)


Cell = Callable[[np.ndarray, Split], np.ndarray]


def cell(model: nn.Module, rule: str, configuration: Configuration, settings: argparse.Namespace) -> Cell:
    """Return what gives a study's rows for some images."""
    table: VotesTable = make_design({"votes": {"n": settings.n, "rule": rule}}).votes
    smoothed = SmoothedClassifier(
        model, settings.beta, seed=0, device=settings.device, configuration=configuration
    )

    def rows(examples: np.ndarray, test: Split) -> np.ndarray:
        return vote_on(smoothed, table.plan(), test.x[examples], test.y[examples], examples.tolist())

    return rows


@torch.no_grad()
def authors_loop(
    model: nn.Module, examples: np.ndarray, test: Split, device: torch.device, settings: argparse.Namespace
) -> np.ndarray:
    """Return the predictions of the loop as the paper describes it, one image at a time."""
    predicted = []
    for example in examples:
        image = torch.from_numpy(test.x[example]).to(device)
        batch = image.unsqueeze(0).repeat(settings.n, *[1] * image.dim())
        noisy = batch + settings.beta * torch.randn_like(batch)
        votes = model(noisy).argmax(dim=1)
        predicted.append(int(torch.mode(votes).values))
    return np.array(predicted)


@torch.no_grad()
def authors_loop_on_our_noise(
    model: nn.Module, examples: np.ndarray, test: Split, device: torch.device, settings: argparse.Namespace
) -> np.ndarray:
    """Return the predictions of the loop on the noise that ours draws."""
    predicted = []
    for example in examples:
        image = torch.from_numpy(test.x[example]).to(device)
        noise = torch.empty((settings.n, *image.shape), device=device)
        Stream(Use.VOTES, 0, Span(int(example))).normal(noise, settings.beta)
        votes = model(image + noise).argmax(dim=1)
        predicted.append(int(torch.bincount(votes).argmax()))
    return np.array(predicted)


def timed(work: Callable[[], object], device: torch.device) -> float:
    began = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began


def time_rounds(
    model: nn.Module,
    cells: dict[str, Cell],
    test: Split,
    device: torch.device,
    settings: argparse.Namespace,
) -> None:
    """Time all contenders on the same images, round by round."""
    contenders: dict[str, Callable[[np.ndarray], object]] = {
        "authors' loop": lambda examples: authors_loop(model, examples, test, device, settings)
    }
    for name, rows in cells.items():
        contenders[name] = lambda examples, rows=rows: rows(examples, test)
    for work in contenders.values():
        work(np.arange(20))
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for number, examples in enumerate(np.array_split(np.arange(settings.images), settings.rounds)):
        order = list(contenders) if number % 2 == 0 else list(contenders)[::-1]
        for name in order:
            seconds[name].append(timed(functools.partial(contenders[name], examples), device))
    print("| evaluation | seconds in all | times faster (median of rounds) | range |\n|---|---|---|---|")
    for name, spent in seconds.items():
        ratios = [base / own for base, own in zip(seconds["authors' loop"], spent, strict=True)]
        print(
            f"| {name} | {sum(spent):.1f} | {statistics.median(ratios):.2f} | "
            f"{min(ratios):.2f} to {max(ratios):.2f} |"
        )


def compare_predictions(
    model: nn.Module,
    cells: dict[str, Cell],
    test: Split,
    device: torch.device,
    settings: argparse.Namespace,
) -> None:
    """Say on how many images the predictions differ when both see the same noise."""
    examples = np.arange(settings.identity)
    expected = authors_loop_on_our_noise(model, examples, test, device, settings)
    print(
        f"\n| same noise, {len(examples)} images | predictions that differ | votes per image |\n|---|---|---|"
    )
    for name, rows in cells.items():
        found = rows(examples, test)
        print(f"| {name} | {int((found[:, 2] != expected).sum())} | {found[:, 3].mean():.1f} |")


if __name__ == "__main__":
    main()
