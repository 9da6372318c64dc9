"""Random damage to a study's results: whether any of it is ever taken for a result.

A small study of the digits is run once. Then its ``results.sqlite`` is damaged again and again, by one
flipped bit or one page of zeros, read, and the study run again. What must never come of it: another
result, or one cell fewer, without a word. Reading verified rows is timed against reading the same file
without seals.

    python benchmarks/damaged_results.py --bits 300 --pages 30 --out benchmarks/results/damaged_results.md
"""

from __future__ import annotations

import argparse
import platform
import random
import sqlite3
import tempfile
import time
from collections import Counter
from dataclasses import astuple
from pathlib import Path

import numpy as np
import torch

from sfumato.errors import SfumatoError
from sfumato.studies.design import make_design
from sfumato.studies.results import StudyResults
from sfumato.studies.run import Watch, run_study
from sfumato.studies.store import FILE, Current, Member, Store, load_results

DESIGN = make_design(
    {
        "data": {"images": 797},
        "model": {"epochs": 1, "batch_size": 500},
        "grid": {"alpha": [0, 0.2, 0.4], "beta": [0, 0.3, 0.5]},
        "votes": {"n": 10},
        "certification": {"beta": [0.5], "plan": "fixed(10,50)", "images": 20},
    }
)
PAGE = 4096


def said(results: StudyResults) -> str:
    """Return all that the results say but the times of the certificates."""
    cells = {key: [np.asarray(part).tolist() for part in astuple(c)] for key, c in results.cells.items()}
    certificates = {
        key: [(c.idx, c.label, c.predict, c.radius, c.votes) for c in found]
        for key, found in results.certificates.items()
    }
    return repr((results.data, results.unit, results.votes, cells, certificates))


def outcome(folder: Path, content: bytes, truth: str) -> str:
    """Return what comes of a damaged file."""
    for left in folder.glob(f"*{FILE}*"):
        left.unlink()
    (folder / FILE).write_bytes(content)
    try:
        read = "nothing" if said(load_results(folder)) == truth else "SILENTLY ANOTHER RESULT"
    except SfumatoError:
        read = "named"
    warnings: list[str] = []
    try:
        found = said(run_study(DESIGN, folder, device="cpu", watch=Watch(on_warning=warnings.append)))
    except SfumatoError:
        return f"read: {read}; run: refused"
    ran = "the same results" if found == truth else "OTHER RESULTS"
    return f"read: {read}; run: {'named, ' if warnings else ''}{ran}"


def seconds_to_read(folder: Path) -> tuple[float, float]:
    """Return the median seconds of reading a million rows, with seals and without."""
    rng, images = np.random.default_rng(0), 10_000
    with Store(folder / FILE) as store:
        store.begin(Current("s", "made up", "pixels in [0, 1]", 100, images))
        for number in range(100):
            member = Member("risk", float(number), 0.5, 0)
            cell = store.open_cells("s", {member: str(number)})[member]
            values = rng.integers(0, 100, size=(images, 5))
            store.add_images(cell, np.column_stack([np.arange(images), values]))

    def median() -> float:
        times = []
        for _ in range(5):
            began = time.perf_counter()
            load_results(folder)
            times.append(time.perf_counter() - began)
        return float(np.median(times))

    with_seals = median()
    times = []
    for _ in range(5):
        began = time.perf_counter()
        with sqlite3.connect(folder / FILE) as db:
            np.array(db.execute("SELECT * FROM images ORDER BY cell, example").fetchall())
        db.close()
        times.append(time.perf_counter() - began)
    return with_seals, float(np.median(times))


def main() -> None:
    """Damage, read, run, count, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bits", type=int, default=300)
    parser.add_argument("--pages", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    drawn = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "study"
        truth = said(run_study(DESIGN, folder, device="cpu"))
        content = (folder / FILE).read_bytes()
        counts = {"one bit": Counter[str](), "one page of zeros": Counter[str]()}
        for _ in range(options.bits):
            changed, bit = bytearray(content), drawn.randrange(8 * len(content))
            changed[bit // 8] ^= 1 << bit % 8
            counts["one bit"][outcome(folder, bytes(changed), truth)] += 1
        for _ in range(options.pages):
            changed, begin = bytearray(content), PAGE * drawn.randrange(len(content) // PAGE)
            changed[begin : begin + PAGE] = bytes(PAGE)
            counts["one page of zeros"][outcome(folder, bytes(changed), truth)] += 1
        sealed, plain = seconds_to_read(Path(scratch) / "large")
    lines = [
        "# Damage to a study's results",
        "",
        f"`python benchmarks/damaged_results.py --bits {options.bits} --pages {options.pages} "
        f"--out {options.out}`",
        f"on {platform.machine()}; a file of {len(content):,} bytes, 9 cells of 797 images and 3 of 20 "
        "certificates.",
        "",
        "| damage | what came of it | times |",
        "| --- | --- | ---: |",
    ]
    lines += [
        f"| {kind} | {what} | {times} |"
        for kind, found in counts.items()
        for what, times in found.most_common()
    ]
    lines += [
        "",
        "Bits that nothing reads leave everything as it was. A file whose structure can no longer be told is "
        "refused.",
        "",
        f"Reading 1,000,000 rows takes {sealed:.2f} s with the checksums and {plain:.2f} s without (medians "
        "of 5).",
    ]
    options.out.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
