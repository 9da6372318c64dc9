"""The share of images that certification tables do not certify at a radius, as a CSV for ``risk_panels.py``.

    python benchmarks/uncertified.py at-beta/noise_*.tsv --radius 0.5 > cifar10_fastcnn_at_beta_R0.5.csv

Alpha and beta are read from names like noise_0.4_test_sigma_0.2.tsv. Tables that do not answer for the radius
are left out.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from sfumato import read_certificates
from sfumato.certification.accuracy import is_asked


def main() -> None:
    """Print the CSV."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tables", type=Path, nargs="+")
    parser.add_argument("--radius", type=float, required=True)
    options = parser.parse_args()
    print("alpha,beta,errors,risk")
    rows = []
    for path in options.tables:
        found = re.fullmatch(r"noise_([\d.]+)_test_sigma_([\d.]+)\.tsv", path.name)
        if found is None:
            raise SystemExit(f"{path}: its name must be like noise_0.4_test_sigma_0.2.tsv")
        certificates = read_certificates(path)
        if is_asked(options.radius, certificates):
            missed = sum(not (row.correct and row.radius >= options.radius) for row in certificates)
            rows.append((float(found[1]), float(found[2]), missed, missed / len(certificates)))
    for alpha, beta, missed, share in sorted(rows):
        print(f"{alpha:g},{beta:g},{missed},{share:.6g}")


if __name__ == "__main__":
    main()
