"""The voting engine against the raw forward pass, against ART and against Cohen et al.'s loop; scaling.

    python benchmarks/voting_engine.py efficiency MODEL.safetensors... --data-dir DIR
    python benchmarks/voting_engine.py peers MODEL.safetensors... --data-dir DIR
    python benchmarks/voting_engine.py memory MODEL.safetensors --data-dir DIR
    python benchmarks/voting_engine.py curve MODEL.safetensors --data-dir DIR
    python benchmarks/voting_engine.py scaling MODEL.safetensors --data-dir DIR

Contenders are measured in turn within each round; a ratio is of one round, and its median and range over
the rounds are printed. ``peers``, ``memory`` and ``curve`` need the packages
``adversarial-robustness-toolbox`` and ``statsmodels``.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from sfumato import Curve, Fixed, SmoothedClassifier, load_dataset, load_model
from sfumato.certification.accuracy import certified_accuracy
from sfumato.certification.certificate import Certificate
from sfumato.noise import Gaussian
from sfumato.smoothing.configuration import Configuration
from sfumato.smoothing.folding import with_folded_batch_norms
from sfumato.smoothing.pooling import slice_max_pools
from sfumato.smoothing.tuning import tuned_configuration
from sfumato.statistics.compare import paired_difference

BETA = 0.5
BATCHES = (32, 128, 1000)
GRID = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
CPU = torch.device("cpu")


def main() -> None:
    """Run the part that is asked for and print its record as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parts = {
        "efficiency": efficiency,
        "peers": peers,
        "memory": memory,
        "curve": curve,
        "scaling": scaling,
        "one": one_process,
    }
    parser.add_argument("part", choices=parts)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--n", type=int, default=10_000)
    parser.add_argument("--contender", choices=("ours", "art"), default="ours")
    parser.add_argument("--precision", choices=("float32", "bf16"), default="float32")
    parser.add_argument("--art-images", type=int, default=4, help="curve: images that ART is timed on")
    settings = parser.parse_args()
    parts[settings.part](settings)


def loaded(path: Path, settings: argparse.Namespace) -> tuple[nn.Module, torch.Tensor, np.ndarray]:
    """Return the network, test images of the data it was trained on, and their labels."""
    model, record = load_model(path)
    test = load_dataset(record.data, settings.data_dir).test
    chosen = np.arange(0, len(test), len(test) // settings.images)[: settings.images]
    return model.eval(), torch.from_numpy(test.x[chosen]), test.y[chosen]


def tuned(model: nn.Module, x: torch.Tensor, precision: str) -> Configuration:
    return tuned_configuration(model, tuple(x.shape[1:]), CPU, votes=10**7, precision=precision)


def ours(model: nn.Module, x: torch.Tensor, configuration: Configuration, n: int) -> float:
    """Return the votes per second of certifying under ``fixed(100, n)``, compiling not counted."""
    smoothed = SmoothedClassifier(model, BETA, device="cpu", configuration=configuration)
    # full batches, which are what is compiled
    smoothed.votes(x[:1], 2 * configuration.batch_size * configuration.workers)
    started = time.perf_counter()
    for index in range(len(x)):
        smoothed.certify(x[index : index + 1], Fixed(100, n), examples=[index])
    return len(x) * (100 + n) / (time.perf_counter() - started)


def raw_rate(
    model: nn.Module, x: torch.Tensor, configuration: Configuration, seconds: float, workers: int
) -> float:
    """Return inputs per second of the forward pass alone on noise made before.

    ``workers`` threads with a batch each and one thread of arithmetic, or one with all threads; through the
    network as the engine runs it: folded, in its layout, its maxima by slices, compiled where the
    configuration says so.
    """
    network = engine_network(model, configuration)
    layout = torch.channels_last if configuration.channels_last else torch.contiguous_format
    dtype = torch.bfloat16 if configuration.precision == "bf16" else torch.float32
    batch = x[:1] + BETA * torch.randn((configuration.batch_size, *x.shape[1:]))
    batch = batch.to(dtype=dtype, memory_format=layout) if batch.dim() == 4 else batch.to(dtype)
    rates = [0.0] * workers

    def work(slot: int) -> None:
        torch.set_num_threads(1 if workers > 1 else torch.get_num_threads())
        with torch.inference_mode():
            network(batch)
            network(batch)
            started, passed = time.perf_counter(), 0
            while (spent := time.perf_counter() - started) < seconds:
                network(batch)
                passed += len(batch)
        rates[slot] = passed / spent

    threads = [threading.Thread(target=work, args=(slot,)) for slot in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(rates)


def engine_network(model: nn.Module, configuration: Configuration) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the forward pass of this configuration, without anything around it."""
    network = with_folded_batch_norms(load_copy(model))
    if configuration.precision == "bf16":
        network = load_copy(network).bfloat16()
    if configuration.channels_last:
        network = load_copy(network).to(memory_format=torch.channels_last)
        slice_max_pools(network)
    if not configuration.compiled:
        return network
    threads = 1 if configuration.workers > 1 else torch.get_num_threads()
    return torch.compile(network, dynamic=False, options={"cpp.threads": threads})


def load_copy(model: nn.Module) -> nn.Module:
    import copy

    return copy.deepcopy(model).eval()


def spread(values: list[float], digits: int = 2) -> str:
    """Return ``median (lowest to highest)``."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def efficiency(settings: argparse.Namespace) -> None:
    """Certify under the fixed plan, against the best raw forward pass of the same configuration."""
    print("| network | precision | configuration | raw forward / s | certify, votes / s | certify / raw |")
    print("|---|---|---|---|---|---|")
    for path in settings.models:
        model, x, _ = loaded(path, settings)
        for precision in ("float32", "bf16"):
            configuration = tuned(model, x, precision)
            rate = raw_rate(model, x, configuration, 1.0, configuration.workers)
            n = int(rate * 3)
            raws, voted, ratios = [], [], []
            for _ in range(settings.rounds):
                many = raw_rate(model, x, configuration, 2.0, max(2, configuration.workers))
                one = raw_rate(model, x, configuration, 2.0, 1)
                raws.append(max(many, one))
                voted.append(ours(model, x[:1], configuration, n))
                ratios.append(voted[-1] / raws[-1])
            how = f"batch {configuration.batch_size}, {configuration.workers} workers"
            how += ", channels last" if configuration.channels_last else ""
            how += ", compiled" if configuration.compiled else ""
            print(
                f"| {path.stem} | {precision} | {how} | {spread(raws, 0)} | {spread(voted, 0)} "
                f"| {spread(ratios)} |",
                flush=True,
            )


def cohen_loop(model: nn.Module, x: torch.Tensor, n: int, batch: int) -> float:
    """Return votes per second of Cohen et al.'s procedure written again: one image at a time, eager."""
    started = time.perf_counter()
    with torch.no_grad():
        for image in x:
            for wanted in (100, n):
                counts = np.zeros(10, dtype=int)
                left = wanted
                while left > 0:
                    size = min(batch, left)
                    left -= size
                    copies = image.repeat((size, *(1 for _ in image.shape)))
                    predictions = model(copies + torch.randn_like(copies) * BETA).argmax(1)
                    counts += np.bincount(predictions.numpy(), minlength=10)
    return len(x) * (100 + n) / (time.perf_counter() - started)


def art_smoothing(model: nn.Module, x: torch.Tensor) -> object:
    from art.estimators.certification.randomized_smoothing import PyTorchRandomizedSmoothing

    return PyTorchRandomizedSmoothing(
        model=load_copy(model),
        loss=nn.CrossEntropyLoss(),
        input_shape=tuple(x.shape[1:]),
        nb_classes=10,
        device_type="cpu",
        sample_size=100,
        scale=BETA,
        alpha=0.001,
    )


def art_rate(model: nn.Module, x: torch.Tensor, n: int, batch: int) -> float:
    smoothing = art_smoothing(model, x)
    started = time.perf_counter()
    smoothing.certify(x.numpy(), n=n, batch_size=batch)  # type: ignore[attr-defined]
    return len(x) * (100 + n) / (time.perf_counter() - started)


def peers(settings: argparse.Namespace) -> None:
    """One image, n0 = 100, n = 10,000: ours in float32 and bf16, ART and the loop at three batch sizes."""
    for path in settings.models:
        model, x, _ = loaded(path, settings)
        print(f"\n{path.stem}, n0 = 100, n = {settings.n:,}, {settings.rounds} rounds:\n")
        _compare(model, x[:1], settings)


def _compare(model: nn.Module, x: torch.Tensor, settings: argparse.Namespace) -> None:
    how = {precision: tuned(model, x, precision) for precision in ("float32", "bf16")}
    contenders: dict[str, Callable[[], float]] = {
        **{f"ours, {p}": lambda p=p: ours(model, x, how[p], settings.n) for p in how},
        **{f"ART, batch {b}": lambda b=b: art_rate(model, x, settings.n, b) for b in BATCHES},
        **{f"loop, batch {b}": lambda b=b: cohen_loop(model, x, settings.n, b) for b in BATCHES},
    }
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(settings.rounds):
        for name, measure in contenders.items():
            rates[name].append(measure())
    print("| contender | votes / s | float32 of ours is faster by | bf16 of ours is faster by |")
    print("|---|---|---|---|")
    for name, found in rates.items():
        gains = [spread([a / b for a, b in zip(rates[f"ours, {p}"], found, strict=True)]) for p in how]
        print(f"| {name} | {spread(found, 0)} | {gains[0]} | {gains[1]} |", flush=True)


def one_process(settings: argparse.Namespace) -> None:
    """Certify ``images`` images at one n and print the peak memory of the process in MiB."""
    import resource

    model, x, _ = loaded(settings.models[0], settings)
    if settings.contender == "art":
        art_rate(model, x, settings.n, 128)
    else:
        configuration = Configuration(64, True, torch.get_num_threads())
        smoothed = SmoothedClassifier(model, BETA, device="cpu", configuration=configuration)
        for begin in range(0, len(x), 64):
            part = x[begin : begin + 64]
            smoothed.certify(part, Fixed(100, settings.n), examples=range(begin, begin + len(part)))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)


def peak_memory(settings: argparse.Namespace, contender: str, images: int, n: int) -> int:
    """Return the peak memory, in MiB, of a process of its own."""
    command = [sys.executable, __file__, "one", str(settings.models[0]), "--n", str(n)]
    command += ["--contender", contender, "--images", str(images)]
    command += ["--data-dir", str(settings.data_dir)] if settings.data_dir else []
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])


def memory(settings: argparse.Namespace) -> None:
    """Peak memory of certifying one image, each in a process of its own."""
    print("| contender | n | peak memory, MiB |")
    print("|---|---|---|")
    for contender in ("ours", "art"):
        for n in (10_000, 100_000):
            print(f"| {contender} | {n:,} | {peak_memory(settings, contender, 1, n)} |", flush=True)


def curve(settings: argparse.Namespace) -> None:
    """A whole certified-accuracy curve: ours by ``curve`` against ART with n = 100,000.

    ART is timed on the first ``--art-images`` images and the time projected to all. Its certificate is the
    fixed plan's, by the same bound, so the certified accuracy is compared with that plan's on all images.
    """
    model, x, labels = loaded(settings.models[0], settings)
    plan = Curve(GRID)
    configuration = tuned(model, x, settings.precision)
    smoothed = SmoothedClassifier(model, BETA, device="cpu", configuration=configuration)
    plan.start(1, 10, noise=Gaussian(BETA), confidence=0.999)
    smoothed.votes(x[:1], 2 * configuration.batch_size * configuration.workers)
    timed = range(min(settings.art_images, len(x)))
    started = time.perf_counter()
    for index in timed:
        art_rate(model, x[index : index + 1], 100_000, 128)
    art_time = (time.perf_counter() - started) / len(timed) * len(x)
    started = time.perf_counter()
    decisions = smoothed.certify(x, plan)
    our_time = time.perf_counter() - started
    fixed = smoothed.certify(x, Fixed(100, 100_000))
    ours_rows, fixed_rows = (
        [Certificate.of(i, int(y), d, 0.0) for i, (y, d) in enumerate(zip(labels, found, strict=True))]
        for found in (decisions, fixed)
    )
    votes = sum(d.votes for d in decisions)
    print(f"{len(x)} images, {configuration}\n")
    print(
        f"curve: {our_time:.1f} s, {votes / len(x):,.0f} votes per image; ART, batch 128: {art_time:.0f} s "
    )
    print(f"(projected from {len(timed)} images): {art_time / our_time:.1f} times less time\n")
    print("| radius | curve | fixed(100,100000) | difference, 95 % interval |")
    print("|---|---|---|---|")
    for mine, theirs in zip(
        certified_accuracy(ours_rows, GRID), certified_accuracy(fixed_rows, GRID), strict=True
    ):
        radius = mine.radius
        paired = paired_difference(
            np.array([[c.correct and c.radius >= radius for c in ours_rows]]),
            np.array([[c.correct and c.radius >= radius for c in fixed_rows]]),
            confidence=0.95,
        )
        print(
            f"| {radius:g} | {mine.share:.3f} | {theirs.share:.3f} "
            f"| {paired.value:+.3f} ({paired.low:+.3f} to {paired.high:+.3f}) |"
        )


def scaling(settings: argparse.Namespace) -> None:
    """Time against n for one image and against images at n = 100; per vote it should be constant."""
    model, x, _ = loaded(settings.models[0], settings)
    configuration = tuned(model, x, settings.precision)
    smoothed = SmoothedClassifier(model, BETA, device="cpu", configuration=configuration)
    smoothed.votes(x[:1], 2 * configuration.batch_size * configuration.workers)
    cells = [("n", 1, n) for n in (1_000, 10_000, 100_000, 1_000_000)]
    cells += [("images", images, 100) for images in (10, 100, 1_000, 10_000)]
    times: dict[tuple[str, int, int], list[float]] = {cell: [] for cell in cells}
    for _ in range(settings.rounds):
        for cell in cells:
            _, images, n = cell
            repeats = max(1, 100_000 // (images * n))
            batch = x[:1].expand(min(images, 100), *x.shape[1:])
            started = time.perf_counter()
            for _ in range(repeats * max(1, images // 100)):
                smoothed.votes(batch, n)
            times[cell].append((time.perf_counter() - started) / (repeats * images * n))
    print("| scaled | images | votes each | microseconds per vote | peak memory of certifying, MiB |")
    print("|---|---|---|---|---|")
    for (what, images, n), found in times.items():
        peak = peak_memory(settings, "ours", images, n)
        print(f"| {what} | {images:,} | {n:,} | {spread([1e6 * t for t in found])} | {peak} |", flush=True)


if __name__ == "__main__":
    main()
