"""A report of 50,000 images x 20 cells: how large it is, how long it takes to write and to open.

The results are made up: random votes, written through the store as a study writes them, with certificates
in 4 of the cells, and random images, so that everything a report shows is there. Opening is measured in a
headless Chromium: to the first figure and to the last, by the clock and in processor seconds of the page's
main thread, which a busy machine does not stretch.

    python benchmarks/report_size.py --images 50000 --out benchmarks/results/report.md

Needs Chromium and the dev extra (websockets).
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from chromium import find_chromium, open_browser
from sfumato.certification.certificate import Certificate
from sfumato.plans import Decision
from sfumato.reporting.report.build import ReportMaker, ReportSettings
from sfumato.reporting.sources import read_sources
from sfumato.studies.design import make_design, write_design
from sfumato.studies.run import STUDY_FILE
from sfumato.studies.store import FILE, Current, Member, Store

ALPHAS = (0.1, 0.2, 0.3, 0.4, 0.5)
BETAS = (0.2, 0.3, 0.4, 0.5)
VOTES = 100
CLASSES = 10
SIDE = 32
LIMIT_BYTES, LIMIT_SECONDS = 8_000_000, 3.0
LIMITED = ("last figure", "processor seconds, main thread")
SHARD = 5000


def make_study(folder: Path, images: int) -> None:
    """Write a study of random votes, and the random images it is about."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, images)
    labels[:CLASSES] = np.arange(CLASSES)
    data = folder / "images.npz"
    folder.mkdir(parents=True)
    pixels = rng.integers(0, 256, (images, 3, SIDE, SIDE), dtype=np.uint8)
    np.savez(data, x=pixels[:100], y=labels[:100], x_test=pixels, y_test=labels)
    design = make_design(
        {
            "data": {"name": str(data)},
            "grid": {"alpha": list(ALPHAS), "beta": list(BETAS)},
            "votes": {"n": VOTES},
            "certification": {"beta": [BETAS[-1]], "plan": "precision(0.05)", "images": images},
        }
    )
    write_design(design, folder / STUDY_FILE)
    hard = rng.beta(0.6, 4.0, images)
    with Store(folder / FILE) as store:
        store.begin(Current("s", str(data), "pixels in [0, 1]", VOTES, images, "c", images))
        for alpha in ALPHAS:
            for beta in BETAS:
                missed = np.clip(hard + (alpha - 0.7 * beta) ** 2, 0, 1)
                member = Member("risk", alpha, beta, 0)
                cell = store.open_cells("s", {member: repr(member)})[member]
                add_votes(store, cell, labels, missed, rng)
            member = Member("certificates", alpha, BETAS[-1], 0)
            cell = store.open_cells("c", {member: repr(member)})[member]
            if alpha != ALPHAS[-1]:
                add_certificates(store, cell, labels, hard, rng)


def add_votes(
    store: Store, cell: int, labels: np.ndarray, missed: np.ndarray, rng: np.random.Generator
) -> None:
    hits = rng.binomial(50, 1 - missed)
    right = rng.binomial(VOTES, 1 - missed) > VOTES // 2
    rows = np.column_stack(
        [
            np.arange(len(labels)),
            labels,
            np.where(right, labels, (labels + 1) % CLASSES),
            rng.integers(51, VOTES + 1, len(labels)),
            np.full(len(labels), 50),
            hits,
        ]
    ).astype(np.int64)
    for begin in range(0, len(rows), SHARD):
        store.add_images(cell, rows[begin : begin + SHARD])


def add_certificates(
    store: Store, cell: int, labels: np.ndarray, hard: np.ndarray, rng: np.random.Generator
) -> None:
    radii = rng.gamma(2.0, 0.3, len(labels))
    votes = rng.integers(200, 100_000, len(labels))
    for begin in range(0, len(labels), SHARD):
        store.add_certificates(
            cell,
            [
                Certificate.of(
                    i,
                    int(labels[i]),
                    Decision(
                        int(labels[i]) if hard[i] < 0.6 else -1,
                        float(radii[i]) if hard[i] < 0.6 else 0.0,
                        int(votes[i]),
                        0.9,
                        0.1,
                        "done",
                        0.999,
                        "precision(0.05)",
                    ),
                    0.1,
                )
                for i in range(begin, min(begin + SHARD, len(labels)))
            ],
        )


def opened(path: Path, profile: Path) -> dict[str, float]:
    """Return seconds until the page is there, its first figure and its last are drawn."""
    with open_browser(profile) as page:
        page.resize(1280)
        page.call("Performance.enable", timeDomain="threadTicks")
        clock = page.open(path)
        found = {one["name"]: one["value"] for one in page.call("Performance.getMetrics")["metrics"]}
        marks = page.evaluate(
            "(() => { const n = performance.getEntriesByType('navigation')[0], m = name => "
            "performance.getEntriesByName(name)[0].startTime; "
            "return [n.domInteractive, m('first figure'), m('last figure')].map(t => t / 1000) })()"
        )
        assert page.problems() == [], page.problems()
        assert page.requests() == [], page.requests()
    return {
        "page there": marks[0],
        "first figure": marks[1],
        "last figure": marks[2],
        "seen from outside": clock,
        "processor seconds, main thread": found["TaskDuration"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--openings", type=int, default=5)
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    find_chromium()
    with tempfile.TemporaryDirectory() as place:
        folder, html = Path(place) / "study", Path(place) / "report.html"
        make_study(folder, chosen.images)
        began, processor = time.perf_counter(), time.process_time()
        html.write_text(ReportMaker(ReportSettings()).html(read_sources([str(folder)])), encoding="utf-8")
        writing = time.perf_counter() - began, time.process_time() - processor
        size = html.stat().st_size
        runs = [opened(html, Path(place) / f"profile-{i}") for i in range(chosen.openings)]
    lines = report(chosen, size, writing, runs)
    print("\n".join(lines))
    if chosen.out:
        chosen.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert size < LIMIT_BYTES, size


def report(
    chosen: argparse.Namespace, size: int, writing: tuple[float, float], runs: list[dict[str, float]]
) -> list[str]:
    cells = len(ALPHAS) * len(BETAS)
    load = Path("/proc/loadavg").read_text().split()[0] if Path("/proc/loadavg").exists() else "?"
    lines = [
        f"# A report of {chosen.images:,} images x {cells} cells",
        "",
        f"`python {' '.join(sys.argv)}`",
        f"on {platform.machine()}, {os.cpu_count()} cores, one-minute load {load}.",
        "",
        f"{cells} cells of risk and {len(ALPHAS) - 1} of certificates, {chosen.images:,} random images each.",
        "Everything is counted over all images; lines have at most 300 points; 24 images are sampled.",
        "",
        "| | measured | wanted |",
        "| --- | ---: | ---: |",
        f"| size, MB | {size / 1e6:.2f} | below {LIMIT_BYTES / 1e6:g} |",
        f"| writing, s (processor s) | {writing[0]:.1f} ({writing[1]:.1f}) | |",
    ]
    for name in runs[0]:
        values = sorted(run[name] for run in runs)
        wanted = (
            f"below {LIMIT_SECONDS:g}" if name in ("last figure", "processor seconds, main thread") else ""
        )
        lines.append(
            f"| {name}: median of {len(runs)} (range) | {np.median(values):.2f} "
            f"({values[0]:.2f} to {values[-1]:.2f}) | {wanted} |"
        )
    return lines


if __name__ == "__main__":
    main()
