"""Noise: how fast it is drawn, what that costs in votes, and how often its tail occurs.

    python benchmarks/noise.py --output benchmarks/results/noise.md

Contenders are measured in turn within each round, on one thread; a ratio is of one round, and its median and
range over the rounds are printed; rates are per second of processor time. The former
sampler, PyTorch's float32 ``normal_`` on a Mersenne twister set to the key, is kept here.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from sfumato.models import build_model
from sfumato.noise import Gaussian, Span, Stream, Use
from sfumato.noise.keyed import CHUNK
from sfumato.smoothing.base_classifier import BaseClassifier
from sfumato.smoothing.configuration import Configuration
from sfumato.smoothing.voting import VoteCounter
from spreads import spread

SHAPES = ((32, 64), (32, 784), (32, 3072), (1024, 64), (1024, 784))
NETWORKS = (
    ("mlp", (1, 8, 8), 1024),
    ("mlp", (1, 28, 28), 1024),
    ("cnn", (1, 28, 28), 64),
    ("resnet20", (3, 32, 32), 64),
)
TAILS = (4.0, 5.0, 5.5, 5.77, 6.0)
ZIGGURAT = np.random.Generator(np.random.SFC64(0))
GENERATOR = torch.Generator().manual_seed(0)
_WORDS = 624


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--draws", type=float, default=1e10, help="numbers whose tail is counted")
    parser.add_argument("--output", type=Path)
    settings = parser.parse_args()
    torch.set_num_threads(1)
    parts = (numbers(settings.rounds), votes(settings.rounds), tails(int(settings.draws)))
    text = "\n".join([_head(), *itertools.chain(*parts)])
    print(text)
    if settings.output:
        settings.output.write_text(text + "\n")


def _head() -> str:
    return (
        "# Noise\n\n"
        "Made by `python benchmarks/noise.py --output benchmarks/results/noise.md`, one thread, torch "
        f"{torch.__version__}, NumPy {np.__version__}. Ratios are taken within a round; shown are "
        "the median and the range over the rounds. Rates are per second of processor time: other programs "
        "shared the two cores, and with them the cache, which costs the sampler in use more than the former "
        "one."
    )


def in_rounds(
    contenders: dict[str, Callable[[], object]], rounds: int, seconds: float
) -> dict[str, list[float]]:
    """Return calls per second of each contender in each round."""
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for work in contenders.values():
        work()
    for _ in range(rounds):
        for name, work in contenders.items():
            began, calls = time.thread_time(), 0
            while (spent := time.thread_time() - began) < seconds:
                work()
                calls += 1
            rates[name].append(calls / spent)
    return rates


def numbers(rounds: int) -> Iterator[str]:
    """Yield the table of normal numbers per second, a new key at every call."""
    yield "\n## Normal numbers\n\nMillions a second and core, a new key for each call.\n"
    yield "| rows x values | sampler | million / s | of the former |\n|---|---|---|---|"
    for rows, width in SHAPES:
        out, wide = torch.empty(rows, width), torch.empty(rows, width, dtype=torch.float64)

        def ours(out: torch.Tensor = out, rows: int = rows) -> None:
            Stream(Use.VOTES, 0, Span(0, 0, rows)).normal(out, 0.5)

        def former(out: torch.Tensor = out, rows: int = rows) -> None:
            Former(0.5).draw(out, Stream(Use.VOTES, 0, Span(0, 0, rows)))

        def numpy_ziggurat(out: torch.Tensor = out, wide: torch.Tensor = wide) -> None:
            ZIGGURAT.standard_normal(out=wide.numpy())
            torch.mul(wide, 0.5, out=out)

        def torch_double(out: torch.Tensor = out, wide: torch.Tensor = wide) -> None:
            out.copy_(wide.normal_(0.0, 0.5, generator=GENERATOR))

        rates = in_rounds(
            {
                "PyTorch float32, the former one": former,
                "Box-Muller in float64, the one in use": ours,
                "NumPy's float64 ziggurat on SFC64 (not keyed)": numpy_ziggurat,
                "PyTorch float64 (not keyed)": torch_double,
            },
            rounds,
            0.05,
        )
        base = rates["PyTorch float32, the former one"]
        for name, found in rates.items():
            million = [rate * rows * width / 1e6 for rate in found]
            ratio = [one / other for one, other in zip(found, base, strict=True)]
            yield f"| {rows} x {width} | {name} | {spread(million, 0)} | {spread(ratio, 2)} |"


def votes(rounds: int) -> Iterator[str]:
    """Yield the table of votes per second of the engine, with either noise; networks are untrained."""
    yield "\n## Votes\n\nThe engine with one worker, float32, 2,048 votes on one image a call.\n"
    yield "| network | input | former, votes / s | now, votes / s | now / former |\n|---|---|---|---|---|"
    for name, shape, batch in NETWORKS:
        model = build_model(name, shape, 10, (0.5,) * shape[0], (0.25,) * shape[0]).eval()
        image = torch.full((1, *shape), 0.5)
        zero = np.zeros(1, dtype=np.int64)
        contenders = {}
        for sampler in (Former(0.5), Gaussian(0.5)):
            base = BaseClassifier(model, torch.device("cpu"))
            counter = VoteCounter(base, sampler, base.probe(image), Configuration(batch), seed=0)
            contenders[type(sampler).__name__] = functools.partial(
                counter.count, image, zero, zero, zero + 2048
            )
        rates = in_rounds(contenders, rounds, 0.5)
        former, now = ([2048 * rate for rate in rates[key]] for key in ("Former", "Gaussian"))
        ratio = [one / other for one, other in zip(now, former, strict=True)]
        size = " x ".join(map(str, shape))
        yield f"| {name} | {size} | {spread(former, 0)} | {spread(now, 0)} | {spread(ratio, 2)} |"


def tails(draws: int) -> Iterator[str]:
    """Yield how many of the numbers are beyond some values, and how many should be."""
    out = torch.empty(64, 2**14)
    calls = max(1, draws // out.numel())
    beyond, largest = dict.fromkeys(TAILS, 0), 0.0
    stream = Stream(Use.VOTES, 1, Span(0))
    for _ in range(calls):
        stream.normal(out)
        size = out.abs_()
        largest = max(largest, float(size.max()))
        far = size[size > TAILS[0]]
        for value in TAILS:
            beyond[value] += int((far > value).sum())
    total = calls * out.numel()
    yield f"\n## The tail\n\n{total:,} numbers of one key; the largest is {largest:.3f}.\n"
    yield "| beyond | found | expected | standard deviations apart |\n|---|---|---|---|"
    for value in TAILS:
        expected = total * math.erfc(value / math.sqrt(2))
        apart = (beyond[value] - expected) / math.sqrt(expected)
        yield f"| {value:g} | {beyond[value]:,} | {expected:,.1f} | {apart:+.1f} |"


@dataclass(frozen=True)
class Former:
    """The noise as it was: each chunk of rows from a Mersenne twister filled with words of Philox."""

    scale: float

    def draw(self, out: torch.Tensor, stream: Stream) -> None:
        """Fill ``out`` with the stream's rows."""
        filled = 0
        for item, first, rows in list(stream._runs):
            chunks = range(first // CHUNK, -(-(first + rows) // CHUNK))
            for chunk, generator in zip(chunks, _former_generators(0, item, chunks), strict=True):
                begin, end = max(first - chunk * CHUNK, 0), min(first + rows - chunk * CHUNK, CHUNK)
                target = out[filled : filled + end - begin]
                if len(target) == CHUNK:
                    target.normal_(0.0, self.scale, generator=generator)
                else:
                    whole = torch.empty(CHUNK, *out.shape[1:]).normal_(0.0, self.scale, generator=generator)
                    target.copy_(whole[begin:end])
                filled += end - begin


def _former_generators(seed: int, example: int, chunks: range) -> Iterator[torch.Generator]:
    key = np.array([seed, example], dtype=np.uint64)
    counter = np.array([chunks.start * (_WORDS // 8), 0, 0, 0], dtype=np.uint64)
    words = np.random.Philox(key=key, counter=counter).random_raw(len(chunks) * _WORDS // 2)
    states = np.repeat(_blank_state()[None], len(chunks), axis=0)
    states[:, 24 : 24 + 8 * _WORDS].view(np.uint64)[:] = words.view(np.uint32).reshape(len(chunks), _WORDS)
    generator = torch.Generator()
    for state in states:
        generator.set_state(torch.from_numpy(state))
        yield generator


@functools.cache
def _blank_state() -> np.ndarray:
    blank = torch.Generator().manual_seed(0).get_state().numpy()
    blank[8:12].view(np.int32)[:] = 1
    return blank


if __name__ == "__main__":
    main()
