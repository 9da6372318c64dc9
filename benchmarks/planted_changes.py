"""Sixty changes planted in a table of certificates, its settings or its model, for ``verify`` to find.

Every change is planted twice: as somebody would by accident, and with the checksums of table and settings
made anew, so that only the counts and the votes drawn again can tell.

    python benchmarks/planted_changes.py > benchmarks/results/verify.md
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import torch

from sfumato import SmoothedClassifier, TrainingSettings, load_dataset, train
from sfumato.certification.file import checksum_of_settings, read_settings, settings_path
from sfumato.certification.run import Certification, certify_to_file
from sfumato.certification.verify import AtHand, Verification, verify_table
from sfumato.models.checkpoint import load_model, save_model
from sfumato.models.classifier import load_classifier

IMAGES = range(0, 24, 2)
TABLES = {"fixed": "fixed(50,500)", "curve": "curve(0.1,0.2,0.3,0.5,n_max=3000)"}
Change = Callable[[Path], None]


def make(folder: Path, data, model: Path) -> None:
    """Write a table for each plan, beside the model."""
    shutil.copy(model, folder / "model.safetensors")
    classifier = load_classifier(str(folder / "model.safetensors"), data.input_shape, data.num_classes)
    for name, plan in TABLES.items():
        smoothed = SmoothedClassifier(classifier, 0.4, seed=3, device="cpu", batch_size=500)
        certify_to_file(smoothed, data, Certification(IMAGES, plan), folder / f"{name}.tsv")


def reseal(table: Path) -> None:
    """Make the checksums of the table and its settings anew, as a forger would."""
    settings, content = read_settings(settings_path(table)), table.read_bytes()
    settings["seal"] = {"bytes": len(content), "table_sha256": hashlib.sha256(content).hexdigest()}
    settings["seal"]["settings_sha256"] = checksum_of_settings(settings)
    settings_path(table).write_text(json.dumps(settings, indent=2) + "\n")


def cells(row: int, column: int, change: Callable[[str], str]) -> Change:
    """Return what changes a cell; row 0 is the first image."""

    def plant(table: Path) -> None:
        lines = [line.split("\t") for line in table.read_text().splitlines()]
        before = lines[row + 1][column]
        lines[row + 1][column] = change(before)
        assert lines[row + 1][column] != before
        table.write_text("\n".join("\t".join(line) for line in lines) + "\n")

    return plant


def lines(change: Callable[[list[str]], list[str]]) -> Change:
    """Return what changes the rows as a whole."""

    def plant(table: Path) -> None:
        header, *rows = table.read_text().splitlines()
        table.write_text("\n".join([header, *change(rows)]) + "\n")

    return plant


def setting(**values: object) -> Change:
    """Return what changes settings."""

    def plant(table: Path) -> None:
        record = settings_path(table)
        record.write_text(json.dumps(read_settings(record) | values, indent=2) + "\n")

    return plant


def another_plan(text: str) -> Change:
    """Return what changes the plan in the settings and in every row."""

    def plant(table: Path) -> None:
        setting(plan=text)(table)
        lines(lambda rows: ["\t".join([*r.split("\t")[:11], text, r.split("\t")[12]]) for r in rows])(table)

    return plant


def another_model(tensor: int, by: float) -> Change:
    """Return what changes a weight of the model, its record and its checksum included."""

    def plant(table: Path) -> None:
        path = table.with_name("model.safetensors")
        model, record = load_model(path)
        with torch.no_grad():
            list(model.parameters())[tensor].add_(by)
        path.unlink()
        save_model(model, record, path)

    return plant


def one_vote(round_: int, place: int, by: int = 1) -> Callable[[str], str]:
    """Return what changes the count of a class in a round."""

    def change(text: str) -> str:
        rounds = text.split("|")
        parts = rounds[round_ + 1].split()
        named, votes = parts[place % len(parts)].split("=")
        parts[place % len(parts)] = f"{named}={int(votes) - by}"
        rounds[round_ + 1] = " ".join(parts)
        return "|".join(rounds)

    return change


def changes() -> list[tuple[str, str, Change]]:
    """Return kind, table and change, sixty of them."""
    found: list[tuple[str, str, Change]] = []
    for row, (round_, place) in enumerate([(0, 0), (1, 0), (1, 0), (1, 1), (0, 0), (1, 0)]):
        found.append(("a count", "fixed", cells(row, 12, one_vote(round_, place))))
    found += [("a count", "curve", cells(row, 12, one_vote(0, 0))) for row in range(4)]
    found += [("a radius", "fixed", cells(r, 3, lambda t: f"{float(t) + 0.05:.6f}")) for r in range(3)]
    found += [("a radius", "fixed", cells(5, 3, lambda t: f"{float(t) + 0.000002:.6f}"))]
    found += [("a radius", "curve", cells(r, 3, lambda t: f"{float(t) + 0.1:.6f}")) for r in range(3)]
    found += [("a class", t, cells(r, 2, lambda t: str((int(t) + 2) % 10))) for t in TABLES for r in (7,)]
    found += [("a bound", "fixed", cells(r, c, lambda t: str(float(t) * 0.9))) for r, c in ((2, 8), (3, 9))]
    found += [("a label", t, cells(4, 1, lambda t: str((int(t) + 1) % 10))) for t in TABLES]
    found += [("votes", t, cells(6, 6, lambda t: str(int(t) + 1))) for t in TABLES]
    found += [("a seed", t, setting(seed=s)) for t in TABLES for s in (0, 4)]
    found += [("a plan", "fixed", setting(plan="fixed(50,501)"))]
    found += [("a plan", "fixed", another_plan(text)) for text in ("fixed(40,500)", "two_class(50,500)")]
    found += [("a plan", "curve", another_plan("curve(0.1,0.2,0.3,0.6,n_max=3000)"))]
    found += [("the confidence", t, setting(confidence=0.99)) for t in TABLES]
    found += [("the noise", t, setting(beta=0.5)) for t in TABLES]
    found += [("a model", t, another_model(0, by)) for t in TABLES for by in (1e-3, 0.1)]
    found += [
        ("a row dropped", t, lines(lambda rows, n=n: rows[:n] + rows[n + 1 :]))
        for t in TABLES
        for n in (0, 11)
    ]
    found += [
        ("a row doubled", t, lines(lambda rows, n=n: [*rows, rows[n]])) for t in TABLES for n in (0, 11)
    ]
    found += [("the cell correct", t, cells(4, 4, lambda t: str(1 - int(t)))) for t in TABLES]
    for values in (
        {"norm": "L1"},
        {"unit": "the data's own unit"},
        {"alpha": 0.4},
        {"clean_accuracy": 0.999},
    ):
        found += [(f"the {' '.join(values).replace('_', ' ')}", t, setting(**values)) for t in TABLES]
    swapped = lines(lambda rows: [*rows[:2], rows[3], rows[2], *rows[4:]])
    found += [("two rows exchanged", "fixed", swapped)]
    assert len(found) == 60, len(found)
    return found


def verified(origin: Path, name: str, change: Change, *, forged: bool, redraw: int) -> Verification:
    """Return what ``verify`` says of a copy of the tables in which the change is planted."""
    with tempfile.TemporaryDirectory() as folder:
        table = Path(shutil.copytree(origin, Path(folder) / "copy")) / f"{name}.tsv"
        change(table)
        if forged:
            reseal(table)
        model = str(table.with_name("model.safetensors"))
        return verify_table(table, AtHand(model=model, redraw=redraw, seed=1, device="cpu"))


def main() -> None:
    """Print the table of the results."""
    torch.set_num_threads(1)
    data = load_dataset("digits")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        train(data, TrainingSettings(alpha=0.3, epochs=8), place / "trained.safetensors", device="cpu")
        make(place, data, place / "trained.safetensors")
        sound = [
            verified(place, name, lambda t: None, forged=False, redraw=len(IMAGES)).differences
            for name in TABLES
        ]
        counts: dict[str, Counter[str]] = {}
        began = time.process_time()
        for kind, name, change in changes():
            row = counts.setdefault(kind, Counter())
            row["planted"] += 1
            for how, forged, redraw in (("plain", False, 0), ("derived", True, 0), ("redrawn", True, 12)):
                row[how] += bool(verified(place, name, change, forged=forged, redraw=redraw).differences)
        seconds = time.process_time() - began
    print("# Does `sfumato verify` find a planted change?\n")
    print("Made by `python benchmarks/planted_changes.py > benchmarks/results/verify.md`.\n")
    print(
        "Sixty changes in two tables of 12 digits, their settings or their model. *By checksum*: the file was"
    )
    print("changed, no votes drawn again. *Checksums forged*: the checksums of table and settings were made")
    print("anew after the change, no votes drawn again; what follows from counts, model and data must tell.")
    print("*Forged, drawn again*: the same, and the votes of all 12 rows are drawn again (`--redraw 12`).\n")
    print("| changed | planted | found by checksum | checksums forged | forged, drawn again |")
    print("|---|---|---|---|---|")
    total: Counter[str] = Counter()
    for kind, row in counts.items():
        total.update(row)
        print(f"| {kind} | {row['planted']} | {row['plain']} | {row['derived']} | {row['redrawn']} |")
    print(f"| all | {total['planted']} | {total['plain']} | {total['derived']} | {total['redrawn']} |\n")
    print(
        f"Of the two unchanged tables `verify` finds {sum(map(len, sound))} differences. {seconds:.0f} s for"
    )
    print("180 verifications on one core.")


if __name__ == "__main__":
    main()
