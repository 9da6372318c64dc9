"""Every stopping plan against Cohen et al.'s fixed one, on real votes of one trained network.

Certifies the same images of a data set's test split under the fixed plan and under each other plan,
through ``certify_to_file`` (what ``sfumato certify`` calls), and records votes, time, certified
accuracy on the grid and agreement image by image.

    sfumato train --data mnist --model mlp --alpha 0.4 --epochs 10 --out mnist-mlp-0.4.safetensors
    python benchmarks/plans_on_votes.py mnist-mlp-0.4.safetensors --data mnist --beta 0.5 --skip 20
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from sfumato import SmoothedClassifier, load_dataset
from sfumato.certification.accuracy import certified_accuracy
from sfumato.certification.certificates import Certificates
from sfumato.certification.run import Certification, certify_to_file
from sfumato.models.classifier import load_classifier
from sfumato.noise import Gaussian
from sfumato.plans import Curve, Decide, Predict, Vote, parse_plan

GRID = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
CURVE = "curve(" + ",".join(f"{radius:g}" for radius in GRID) + ")"
FIXED = "fixed(100,100000)"
PLANS = [
    (FIXED, False),
    ("two_class(100,100000)", False),
    (CURVE, False),
    (CURVE, True),
    *((f"decide({radius:g})", known) for radius in (0.25, 0.5, 1.0) for known in (False, True)),
    ("precision(0.05)", False),
    ("predict()", False),
    ("vote(100)", False),
]


def main() -> None:
    """Run all plans and print the record as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--beta", type=float, default=0.5)
    parser.add_argument("--skip", type=int, default=20)
    parser.add_argument("--images", type=int, default=500)
    settings = parser.parse_args()
    data = load_dataset(settings.data, settings.data_dir)
    classifier = load_classifier(settings.model, data.input_shape, data.num_classes)
    examples = range(0, len(data.test), settings.skip)[: settings.images]
    print(f"{len(examples)} test images of {data.name}, {classifier.name}, beta = {settings.beta:g}\n")
    print("| plan | label known | votes per image | times fewer | processor time, s | times less |")
    print("|---|---|---|---|---|---|")
    found: dict[tuple[str, bool], Certificates] = {}
    seconds: dict[tuple[str, bool], float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number, (text, known) in enumerate(PLANS):
            smoothed = SmoothedClassifier(classifier, settings.beta)
            # boundaries are planned once per machine and cached; the first image pays for that here
            parse_plan(text).start(1, data.num_classes, noise=Gaussian(settings.beta), confidence=0.999)
            started = time.process_time()
            rows = certify_to_file(
                smoothed,
                data,
                Certification(examples, text, label_known=known),
                Path(folder) / f"{number}.tsv",
            )
            found[text, known], seconds[text, known] = rows, time.process_time() - started
            votes = sum(row.votes or 0 for row in rows)
            fixed_votes = sum(row.votes or 0 for row in found[FIXED, False])
            print(
                f"| `{text}` | {'yes' if known else 'no'} | {votes / len(rows):,.0f} "
                f"| {fixed_votes / votes:.1f} | {seconds[text, known]:.1f} "
                f"| {seconds[FIXED, False] / seconds[text, known]:.1f} |",
                flush=True,
            )
    _print_accuracy(found)
    _print_agreement(found)


def _print_accuracy(found: dict[tuple[str, bool], Certificates]) -> None:
    grid = (0.0, *GRID)
    print("\nCertified accuracy (%) by radius:\n")
    print("| plan | label known | " + " | ".join(f"{radius:g}" for radius in grid) + " |")
    print("|---" * (len(grid) + 2) + "|")
    for (text, known), rows in found.items():
        points = certified_accuracy(rows, grid)
        plan = parse_plan(text)
        if isinstance(plan, Curve | Decide):
            asked = set(plan.radii) if isinstance(plan, Curve) else {plan.radius}
        else:
            asked = {0.0} if isinstance(plan, Predict | Vote) else set(grid)
        shown = [f"{100 * p.share:.1f}" if p.radius in asked else "" for p in points]
        print(f"| `{text}` | {'yes' if known else 'no'} | " + " | ".join(shown) + " |")


def _print_agreement(found: dict[tuple[str, bool], Certificates]) -> None:
    """Compare each plan's answer with the fixed plan's at every radius asked about, image by image."""
    fixed = found[FIXED, False]
    print("\nAgreement with the fixed plan, image by image:\n")
    print("| plan | label known | answers compared | equal | only fixed certifies | only the plan does |")
    print("|---|---|---|---|---|---|")
    for (text, known), rows in found.items():
        if text == FIXED:
            continue
        plan = parse_plan(text)
        if isinstance(plan, Predict | Vote):
            pairs = [(a.predict, b.predict) for a, b in zip(fixed, rows, strict=True)]
            equal = sum(a == b for a, b in pairs)
            ours = sum(a == -1 and b >= 0 for a, b in pairs)
            theirs = sum(b == -1 and a >= 0 for a, b in pairs)
            total = len(pairs)
        else:
            radii = (plan.radius,) if isinstance(plan, Decide) else GRID
            answers = [
                (a.correct and a.radius >= radius, b.correct and b.radius >= radius)
                for a, b in zip(fixed, rows, strict=True)
                for radius in radii
            ]
            equal = sum(a == b for a, b in answers)
            theirs = sum(a and not b for a, b in answers)
            ours = sum(b and not a for a, b in answers)
            total = len(answers)
        print(f"| `{text}` | {'yes' if known else 'no'} | {total} | {equal} | {theirs} | {ours} |")


if __name__ == "__main__":
    main()
