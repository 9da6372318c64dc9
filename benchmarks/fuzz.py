"""Damaged and hostile inputs: every parser answers with a result or with one of the library's own errors.

Each target has a few valid files (seeds) and a function that parses a file. An input is a seed that was
damaged one to four times: flipped bits, cut, doubled, spliced with another seed, runs of one byte, or
numbers of the header replaced by extreme ones. Input number i of a target depends on the seed, the target and
i alone, so that any finding is repeated by ``--target NAME --only i``. A parser may take 10 seconds of
the processor and 2 GB. More than that, a crash of the interpreter, or any exception that is no
``SfumatoError`` is a finding, and the exit code is 1.

    python benchmarks/fuzz.py --count 1000000 --seed 0 [--target npz] [--output FILE]
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import resource
import signal
import sys
import tempfile
import time
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

import fuzz_seeds
from sfumato.errors import SfumatoError

SECONDS, BYTES = 10, 2 << 30
IN_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
INTERESTING = (
    b"\x00",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\n",
    b" ",
    b"-",
    b"9" * 40,
    b"1e999",
    b"nan",
    b"\t",
    b'"',
)
WORDS = (
    0,
    1,
    0x7F,
    0xFF,
    0x7FFF,
    0x8000,
    0xFFFF,
    10**5,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    10**15,
    2**63,
    2**64 - 1,
)


@dataclass(frozen=True)
class Target:
    """What is damaged, and what reads it: ``parse`` gets the path of a file that holds the input."""

    seeds: Callable[[], list[bytes]]
    parse: Callable[[Path], object]
    suffix: str = ""


@dataclass
class Outcome:
    """What the inputs of one target led to; findings are (input number, what it was)."""

    inputs: int = 0
    accepted: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    findings: list[tuple[int, str]] = field(default_factory=list)
    slowest: float = 0.0
    seconds: float = 0.0
    megabytes: int = 0


TARGETS = {
    "npz": Target(fuzz_seeds.npz, fuzz_seeds.parse_npz, ".npz"),
    "npy": Target(fuzz_seeds.npy, fuzz_seeds.parse_npy, ".npz"),
    "idx": Target(fuzz_seeds.idx, fuzz_seeds.parse_idx),
    "cifar-binary": Target(fuzz_seeds.cifar_binary, fuzz_seeds.parse_cifar_binary),
    "cifar-python": Target(fuzz_seeds.cifar_python, fuzz_seeds.parse_cifar_python),
    "png": Target(fuzz_seeds.images("PNG"), fuzz_seeds.parse_image),
    "jpeg": Target(fuzz_seeds.images("JPEG"), fuzz_seeds.parse_image),
    "bmp": Target(fuzz_seeds.images("BMP"), fuzz_seeds.parse_image),
    "gif": Target(fuzz_seeds.images("GIF"), fuzz_seeds.parse_image),
    "tiff": Target(fuzz_seeds.images("TIFF"), fuzz_seeds.parse_image),
    "webp": Target(fuzz_seeds.images("WEBP"), fuzz_seeds.parse_image),
    "ppm": Target(fuzz_seeds.images("PPM"), fuzz_seeds.parse_image),
    "table": Target(fuzz_seeds.tables, fuzz_seeds.parse_table, ".tsv"),
    "design": Target(fuzz_seeds.designs, fuzz_seeds.parse_design, ".toml"),
    "checkpoint": Target(fuzz_seeds.checkpoints, fuzz_seeds.parse_checkpoint, ".safetensors"),
    "plan": Target(fuzz_seeds.plans, fuzz_seeds.parse_plan),
    "settings": Target(fuzz_seeds.settings, fuzz_seeds.parse_settings, ".tsv.json"),
    "counts": Target(fuzz_seeds.counts, fuzz_seeds.parse_counts),
}


def mutated(seeds: list[bytes], rng: np.random.Generator) -> bytes:
    """Return one damaged input."""
    content = bytearray(seeds[rng.integers(len(seeds))])
    for _ in range(rng.integers(1, 5)):
        MUTATIONS[rng.integers(len(MUTATIONS))](content, seeds, rng)
    return bytes(content)


def place(content: bytearray, rng: np.random.Generator) -> int:
    """Return a position; half of them lie in the first 64 bytes, where headers are."""
    return int(rng.integers(min(64, len(content)) + 1 if rng.random() < 0.5 else len(content) + 1))


def flip_bits(content: bytearray, _: list[bytes], rng: np.random.Generator) -> None:
    for _ in range(rng.integers(1, 9)):
        if content:
            content[place(content, rng) % len(content)] ^= 1 << int(rng.integers(8))


def cut(content: bytearray, _: list[bytes], rng: np.random.Generator) -> None:
    del content[place(content, rng) :]


def remove(content: bytearray, _: list[bytes], rng: np.random.Generator) -> None:
    start = place(content, rng)
    del content[start : start + int(rng.integers(1, 33))]


def splice(content: bytearray, seeds: list[bytes], rng: np.random.Generator) -> None:
    other = seeds[rng.integers(len(seeds))]
    start, length = int(rng.integers(len(other) + 1)), int(rng.integers(1, 257))
    where = place(content, rng)
    replaced = where + (length if rng.random() < 0.5 else 0)
    content[where:replaced] = other[start : start + length]


def run_of_bytes(content: bytearray, _: list[bytes], rng: np.random.Generator) -> None:
    where, length = place(content, rng), int(rng.integers(1, 65))
    content[where : where + length] = INTERESTING[rng.integers(len(INTERESTING))] * length


def write_number(content: bytearray, _: list[bytes], rng: np.random.Generator) -> None:
    """Replace 1, 2, 4 or 8 bytes by an extreme number, in either order of bytes."""
    width, order = int(2 ** rng.integers(4)), ("little", "big")[rng.integers(2)]
    where, number = place(content, rng), WORDS[rng.integers(len(WORDS))]
    content[where : where + width] = (number % (1 << 8 * width)).to_bytes(width, order)


def edit_digits(content: bytearray, _: list[bytes], rng: np.random.Generator) -> None:
    """Replace a number that is written in digits, as in the headers of .npy, PPM and in texts."""
    digits = [i for i, byte in enumerate(content[:4096]) if 48 <= byte <= 57]
    if digits:
        where = digits[rng.integers(len(digits))]
        values = ("0", "-1", "1e9", "999999999999999", "1" * 30, "0.5", "nan", "inf", "1" * 5000, "_")
        content[where : where + 1] = values[rng.integers(len(values))].encode()


def double(content: bytearray, _: list[bytes], rng: np.random.Generator) -> None:
    start = place(content, rng)
    content[start:start] = content[start : start + int(rng.integers(1, 129))]


MUTATIONS = (
    flip_bits,
    flip_bits,
    cut,
    remove,
    splice,
    run_of_bytes,
    write_number,
    write_number,
    edit_digits,
    double,
)


def input_number(index: int, name: str, seed: int, seeds: list[bytes]) -> bytes:
    """Return input ``index`` of a target; every hundredth or so is a seed as it is."""
    rng = np.random.default_rng((seed, zlib.crc32(name.encode()), index))
    return seeds[rng.integers(len(seeds))] if rng.random() < 0.01 else mutated(seeds, rng)


@contextlib.contextmanager
def time_limit() -> Iterator[None]:
    """Interrupt what takes ``SECONDS`` of the processor, or ten times as long by waiting."""
    timers = (
        (signal.ITIMER_PROF, signal.SIGPROF, SECONDS),
        (signal.ITIMER_REAL, signal.SIGALRM, 10 * SECONDS),
    )

    def too_long(*_: object) -> None:
        raise TooLongError(f"more than {SECONDS} s")

    for timer, sign, seconds in timers:
        signal.signal(sign, too_long)
        signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        for timer, _, _ in timers:
            signal.setitimer(timer, 0)


class TooLongError(BaseException):
    """Not an Exception, so that no parser takes it for damage."""


def fuzz(name: str, indices: range, seed: int, scratch: Path, answer: object, at: object) -> None:
    """Run all inputs of a target in this process; ``at`` is the number of the one that is being read."""
    target, outcome, began = TARGETS[name], Outcome(), time.perf_counter()
    warnings.simplefilter("ignore")
    seeds, path = target.seeds(), scratch / f"input{target.suffix}"
    for content in seeds:  # everything that is loaded on first use is loaded, and the seeds are valid
        path.write_bytes(content)
        target.parse(path)
    limit_this_process(scratch)
    for index in indices:
        path.write_bytes(input_number(index, name, seed, seeds))
        at.value = index
        start = time.process_time()
        try:
            with time_limit():
                target.parse(path)
            outcome.accepted += 1
        except SfumatoError as error:
            outcome.refused[type(error).__name__] += 1
            if "\n" in str(error):
                outcome.findings.append((index, f"a message of several lines: {error!r}"))
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            outcome.findings.append((index, f"{type(error).__name__}: {str(error)[:120]}"))
        outcome.inputs += 1
        outcome.slowest = max(outcome.slowest, time.process_time() - start)
    outcome.seconds = time.perf_counter() - began
    outcome.megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    answer.put(outcome)


def limit_this_process(scratch: Path) -> None:
    """Allow ``BYTES`` more memory than is in use, and put what C libraries say by themselves into a file."""
    os.dup2(os.open(scratch / "stderr", os.O_WRONLY | os.O_CREAT), 2)
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (in_use + BYTES, resource.RLIM_INFINITY))


def run_target(name: str, indices: range, seed: int) -> Outcome:
    """Run a target in a process of its own, so that a crash is a finding too."""
    context = multiprocessing.get_context("spawn")
    answer, at = context.Queue(), context.Value("q", -1, lock=False)
    with tempfile.TemporaryDirectory(prefix="sfumato-fuzz-", dir=IN_MEMORY) as folder:
        scratch = Path(folder)
        process = context.Process(target=fuzz, args=(name, indices, seed, scratch, answer, at))
        process.start()
        while process.is_alive():
            with contextlib.suppress(Exception):
                outcome = answer.get(timeout=1)
                process.join()
                return outcome
        if not answer.empty():
            return answer.get()
        errors = scratch / "stderr"
        said = errors.read_text(errors="replace").strip().splitlines() if errors.exists() else []
        ended = f"the process ended with code {process.exitcode}: {said[-1][:120] if said else ''}"
        return Outcome(findings=[(at.value, ended)])


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=20_000, help="inputs over all targets")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", choices=TARGETS, action="append", help="may be repeated; default: all")
    parser.add_argument("--only", type=int, help="one input by its number, its error shown whole")
    parser.add_argument("--output", type=Path, help="also write the report here")
    settings = parser.parse_args()
    names = settings.target or list(TARGETS)
    if settings.only is not None:
        return show(names[0], settings.only, settings.seed)
    began = time.perf_counter()
    each = -(-settings.count // len(names))
    outcomes = {name: run_target(name, range(each), settings.seed) for name in names}
    text = report(outcomes, settings, time.perf_counter() - began)
    print(text)
    if settings.output:
        settings.output.write_text(text + "\n")
    return int(any(outcome.findings for outcome in outcomes.values()))


def show(name: str, index: int, seed: int) -> int:
    target = TARGETS[name]
    with tempfile.TemporaryDirectory(prefix="sfumato-fuzz-") as folder:
        path = Path(folder) / f"input{target.suffix}"
        path.write_bytes(input_number(index, name, seed, target.seeds()))
        print(path.read_bytes()[:500])
        print(target.parse(path))
    return 0


def report(outcomes: dict[str, Outcome], settings: argparse.Namespace, seconds: float) -> str:
    total = sum(outcome.inputs for outcome in outcomes.values())
    findings = [(name, *finding) for name, outcome in outcomes.items() for finding in outcome.findings]
    lines = [
        "# Damaged inputs",
        "",
        f"`python benchmarks/fuzz.py {' '.join(sys.argv[1:])}`: {total:,} inputs in {seconds:.0f} s, "
        f"{len(findings):,} findings. A finding is anything but a result or one of the library's own errors: "
        f"another exception, more than {SECONDS} s of the processor or {BYTES >> 30} GB, a crash.",
        "",
        "| target | inputs | accepted | refused | findings | slowest, s | peak, MB | inputs per s |",
        "|---|---:|---:|---|---:|---:|---:|---:|",
    ]
    for name, outcome in outcomes.items():
        refused = ", ".join(f"{count:,} {kind}" for kind, count in outcome.refused.most_common())
        rate = outcome.inputs / outcome.seconds if outcome.seconds else 0
        lines.append(
            f"| {name} | {outcome.inputs:,} | {outcome.accepted:,} | {refused} | {len(outcome.findings):,} | "
            f"{outcome.slowest:.2f} | {outcome.megabytes:,} | {rate:,.0f} |"
        )
    kinds: dict[tuple[str, str], list[int]] = {}
    for name, index, what in findings:
        kinds.setdefault((name, what), []).append(index)
    if kinds:
        lines += ["", "## Findings", ""]
    lines += [
        f"- {name}, input {numbers[0]} ({len(numbers)} in all): {what}"
        for (name, what), numbers in kinds.items()
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
