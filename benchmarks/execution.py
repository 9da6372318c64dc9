"""What it costs to hand work out: against processes without any driver, per shard, and in memory.

    python benchmarks/execution.py overhead [--seconds 60] [--rounds 3]
    python benchmarks/execution.py driver [--shards 1000] [--images 500]
    python benchmarks/execution.py tasks [--tasks 100000]

``overhead``: two workers on two cores, local and on Ray, against two processes that each hold a core and
know nothing of each other, all voting with an MLP on the digits; votes per second while all are at work,
start-up left aside. ``driver``: a study of many shards of few votes, so that the driver is what is
measured: its processor time per shard, and the memory of all worker processes on the way. ``tasks``:
tasks that do nothing, on Ray; time and processor time per task and the driver's memory on the way. Linux;
needs Ray.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from sfumato import SmoothedClassifier, TrainingSettings, load_dataset, load_model, train
from sfumato.certification.shipped import ImageShelf, Recipe
from sfumato.execution.base import Executor, Here, Task
from sfumato.execution.choose import open_executor
from sfumato.execution.pace import TASK_SECONDS, Pace
from sfumato.noise import Gaussian
from sfumato.smoothing.risk import vote_on
from sfumato.studies.design import make_design
from sfumato.studies.run import Watch, run_study
from sfumato.studies.tasks import vote

VOTES = make_design({"votes": {"n": 1000, "rule": "all"}}).votes
BETA = 0.4
IMAGES = 300  # of one piece of work of the processes without a driver: some seconds, as the tasks
CONTENDERS = {
    "local": {"kind": "local", "workers": 2},
    "ray": {"kind": "ray", "workers": 2},
}


def main() -> None:
    """Run the part that is asked for and print its record as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parts = {"overhead": overhead, "driver": driver, "tasks": tasks, "alone": alone}
    parser.add_argument("part", choices=parts)
    parser.add_argument("--seconds", type=float, default=60, help="of each measurement")
    parser.add_argument("--task-seconds", type=float, default=5, help="of one task of overhead")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shards", type=int, default=1000)
    parser.add_argument("--images", type=int, default=500, help="of one shard of driver")
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--waiting", type=int, default=200, help="tasks that wait at the workers")
    parser.add_argument("--model", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--core", type=int, help=argparse.SUPPRESS)
    settings = parser.parse_args()
    torch.set_num_threads(1)
    load = os.getloadavg()[0]
    if settings.part != "alone":
        print(f"{os.cpu_count()} cores, load {load:.1f} at the start, torch {torch.__version__}\n")
    parts[settings.part](settings)


def overhead(settings: argparse.Namespace) -> None:
    """Compare the votes per second, in turn within each round."""
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "mlp.safetensors"
        train(load_dataset("digits"), TrainingSettings(alpha=BETA, epochs=10), model, device="cpu")
        rates: dict[str, list[float]] = {"two processes alone": [], **{name: [] for name in CONTENDERS}}
        for _ in range(settings.rounds):
            rates["two processes alone"].append(_two_alone(model, settings))
            for name, options in CONTENDERS.items():
                with open_executor(device="cpu", **options) as executor:
                    rates[name].append(_votes_per_second(executor, model, settings))
    base = rates["two processes alone"]
    print("| two workers on two cores | votes / s | of two processes alone |\n|---|---|---|")
    for name, found in rates.items():
        shares = [rate / own for rate, own in zip(found, base, strict=True)]
        print(
            f"| {name} | {statistics.median(found):,.0f} ({min(found):,.0f} to {max(found):,.0f}) | "
            f"{statistics.median(shares):.3f} ({min(shares):.3f} to {max(shares):.3f}) |"
        )


def _two_alone(model: Path, settings: argparse.Namespace) -> float:
    cores = sorted(os.sched_getaffinity(0))[:2]
    command = [sys.executable, __file__, "alone", "--model", str(model), "--seconds", str(settings.seconds)]
    processes = [
        subprocess.Popen(
            [*command, "--core", str(core)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for core in cores
    ]
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()  # ready
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return sum(float(process.communicate()[0]) for process in processes)


def alone(settings: argparse.Namespace) -> None:
    """Vote on one core until the time is over, and print the votes per second."""
    os.sched_setaffinity(0, {settings.core})
    network, _ = load_model(settings.model)
    smoothed = SmoothedClassifier(network, BETA, device="cpu")
    test = load_dataset("digits").test
    pieces = _pieces(len(test), IMAGES)

    def work() -> None:
        part = next(pieces)
        vote_on(smoothed, VOTES.plan(), test.x[list(part)], test.y[list(part)], part)

    work()
    print("ready", flush=True)
    sys.stdin.readline()
    began, images = time.perf_counter(), 0
    while time.perf_counter() - began < settings.seconds:
        work()
        images += IMAGES
    print(images * VOTES.n / (time.perf_counter() - began))


def _pieces(images: int, size: int) -> Iterator[tuple[int, ...]]:
    """Yield groups of images, again and again from the first."""
    begin = 0
    while True:
        yield tuple(range(begin, begin + size))
        begin = begin + size if begin + 2 * size <= images else 0


def _votes_per_second(executor: Executor, model: Path, settings: argparse.Namespace) -> float:
    """Keep the workers busy with tasks of about the wanted length; leave start and end aside."""
    network, record = load_model(model)
    test = load_dataset("digits").test
    shelf = ImageShelf(executor, test.x)
    recipe = Recipe(
        executor.share("the model", network),
        Gaussian(BETA),
        0,
        "cpu",
        "float32",
        record.input_shape,
        1,
        "benchmark",
    )
    size, began, ended = IMAGES, 0.0, 0.0
    images = warm = 0

    def then(count: int, seconds: float) -> None:
        nonlocal began, ended, images, warm, size
        warm += 1
        now = time.perf_counter()
        if warm == 2 * executor.slots:
            # all workers are warm, and it is known how long an image takes
            size = max(1, min(len(test), round(count * settings.task_seconds / seconds)))
        elif warm == 6 * executor.slots:
            # no short task is left
            began = ended = now
        elif warm > 6 * executor.slots and now - began < settings.seconds:
            images, ended = images + count, now

    def next_task() -> Task | None:
        if began and time.perf_counter() - began > settings.seconds:
            return None
        part = next(_pieces(len(test), size))
        voting = shelf.voting(recipe, part, test.y)
        return voting.task("vote", vote, (VOTES,), lambda done: then(len(part), done.seconds))

    executor.run(next_task)
    return images * VOTES.n / (ended - began)


def driver(settings: argparse.Namespace) -> None:
    """Run a study whose shards are kept at so many images, on two workers."""
    betas = 20
    count = settings.shards * settings.images // betas
    Pace.size = lambda self, kind, first, left: settings.images  # type: ignore[method-assign]
    rng = np.random.default_rng(0)
    print(
        "| executor | driver, ms of a core per shard | shards / s | of a core at 512 workers and "
        f"{TASK_SECONDS:g} s per shard | memory of workers, MB, at 1/4, 1/2, 3/4 and the end | driver, MB |"
    )
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data.npz"
        x, y = rng.random((count, 16), dtype=np.float32), rng.integers(0, 2, count)
        np.savez(data, x=x[:500], y=y[:500], x_test=x, y_test=y)
        for name, options in CONTENDERS.items():
            design = make_design(
                {
                    "data": {"name": str(data)},
                    "model": {"epochs": 1, "batch_size": 10_000},
                    "grid": {"alpha": [0.1], "beta": [round(0.01 * (1 + b), 2) for b in range(betas)]},
                    "votes": {"n": 3},
                }
            )
            with open_executor(device="cpu", **options) as executor:
                _run_study(name, executor, design, Path(folder) / name)


def _run_study(name: str, executor: Executor, design: object, folder: Path) -> None:
    memory: list[float] = []
    began: list[float] = []
    done = announced = shards = 0

    def start(work: int) -> None:
        nonlocal announced
        announced = work

    def work(images: int, note: str) -> None:
        nonlocal done, shards
        done += images
        if "beta" not in note:
            return
        shards += 1
        if not began:
            began.extend((time.perf_counter(), time.process_time()))
        if done >= announced * (len(memory) + 1) / 4:
            memory.append(_workers_memory())

    run_study(design, folder, device="cpu", executor=executor, watch=Watch(on_start=start, on_work=work))  # type: ignore[arg-type]
    wall, spent = time.perf_counter() - began[0], time.process_time() - began[1]
    per_shard = spent / (shards - 1)
    print(
        f"| {name} | {1e3 * per_shard:.2f} | {shards / wall:.1f} ({shards} shards) | "
        f"{per_shard * 512 / TASK_SECONDS:.1%} | {', '.join(f'{found:,.0f}' for found in memory)} | "
        f"{_resident(os.getpid()):,.0f} |",
        flush=True,
    )


def _workers_memory() -> float:
    """Return the proportional memory of all processes below this one that run Python workers, in MB."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found, open_ = [], [os.getpid()]
    while open_:
        children = parents.get(open_.pop(), [])
        found += children
        open_ += children
    return sum(_resident(process) for process in found if _is_worker(process))


def _is_worker(process: int) -> bool:
    try:
        command = Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return False
    return (command.startswith("ray::") and "Agent" not in command) or "spawn_main" in command


def _resident(process: int) -> float:
    """Return the resident memory of a process in MB, 0 if it has ended."""
    try:
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return 0.0


def nothing(here: Here) -> None:
    """Do nothing."""


def tasks(settings: argparse.Namespace) -> None:
    """Run tasks that do nothing on Ray, and print what each of ten parts of them took."""
    from sfumato.execution.ray import RayExecutor

    with RayExecutor(use_gpus=False, least_waiting=settings.waiting) as executor:
        run_nothing(executor, 100)
        print(
            "| tasks so far | ms per task | ms of the driver's core per task | driver, MB |\n"
            "|---|---|---|---|"
        )
        tenth, so_far = settings.tasks // 10, 0
        for _ in range(10):
            began, spent = time.perf_counter(), time.process_time()
            run_nothing(executor, tenth)
            so_far += tenth
            print(
                f"| {so_far:,} | {1e3 * (time.perf_counter() - began) / tenth:.2f} | "
                f"{1e3 * (time.process_time() - spent) / tenth:.2f} | {_resident(os.getpid()):,.0f} |",
                flush=True,
            )


def run_nothing(executor: Executor, count: int) -> None:
    """Run so many tasks that do nothing, and see that all came back."""
    left, back = count, 0

    def then(done: object) -> None:
        nonlocal back
        back += 1

    def next_task() -> Task | None:
        nonlocal left
        if not left:
            return None
        left -= 1
        return Task("nothing", nothing, (), then)

    executor.run(next_task)
    assert back == count


if __name__ == "__main__":
    main()
