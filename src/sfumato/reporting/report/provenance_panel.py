"""The provenance section: what made the numbers and the command that makes them again."""

from __future__ import annotations

import hashlib
import shlex
from typing import Any

from sfumato.errors import DataError
from sfumato.plans import ABSTAIN
from sfumato.reporting.report.page import Panel, code, listing
from sfumato.reporting.sources import CertifiedSet
from sfumato.reporting.tables import Table
from sfumato.studies.provenance import StudyProvenance

_SHOWN = 12  # hexadecimal digits of a checksum in a table; the record in the file has all of them


def study_panel(name: str, found: StudyProvenance, key: str) -> Panel:
    """Return the provenance of a study."""
    records = [record for _, record in found.models if record is not None]
    pairs = [
        ("command", found.command),
        ("data", found.design.data.name),
        ("data SHA-256", ", ".join(found.data_sha256) or "no model is trained yet"),
        ("training seeds", ", ".join(map(str, found.design.grid.seeds))),
        ("seed of the noise", str(found.design.votes.seed)),
        ("trained with", _versions([(r.sfumato_version, r.torch_version, r.device) for r in records])),
    ]
    table = Table.of(
        f"{len(found.models)} models in {found.folder.name}/models",
        ["alpha", "seed", "accuracy without noise", "trained, s", "weights SHA-256", "file"],
        [
            ["?", "", "", "", "damaged", name]
            if record is None
            else [
                f"{record.alpha:g}",
                record.seed,
                f"{record.clean_accuracy:.4f}",
                f"{record.train_seconds:.0f}",
                record.weights_sha256[:_SHOWN],
                name,
            ]
            for name, record in found.models
        ],
    )
    body = (
        listing([pair for pair in pairs if pair[1]])
        + "<details><summary>The study file, study.toml</summary>"
        + code(found.settings, "study file")
        + "</details>"
    )
    return Panel(
        key,
        f"Study {name}",
        "The study file holds every setting; the command makes the study again, or goes on with it.",
        body=body,
        table=table,
        table_name="The models, their checksums and files",
    )


def _versions(found: list[tuple[str, str, str]]) -> str:
    return "; ".join(
        f"Sfumato {ours}, PyTorch {torch}, on {device}" for ours, torch, device in sorted(set(found))
    )


def table_panel(found: CertifiedSet, key: str) -> Panel:
    """Return the provenance of a certification table, of ours or of another tool.

    Raises:
        DataError: the file cannot be read any more.
    """
    rows = found.certificates
    pairs = [
        ("file", str(found.origin)),
        ("file SHA-256", _file_sha256(found)),
        ("examples", f"{len(rows):,}, abstained on {sum(row.predict == ABSTAIN for row in rows):,}"),
    ]
    if found.settings is None:
        explanation = (
            "A table of another tool: it does not say with which settings it was made, nor its votes or "
            "its certificates' confidence. Bounds assume 0.999 for each certificate."
        )
        return Panel(key, f"Table {found.name}", explanation, body=listing(pairs))
    settings = found.settings
    pairs += [("command", certify_command(settings, found.origin.name))]
    told = {name: value for name, value in settings.items() if name != "answers"}  # numbers for machines
    pairs += [(name.replace("_", " "), _shown(value)) for name, value in told.items()]
    return Panel(
        key,
        f"Table {found.name}",
        "The settings of the run, as written beside its table.",
        body=listing(pairs),
    )


def certify_command(settings: dict[str, Any], out: str) -> str:
    """Return the command that makes a table of ours again, from the settings beside it."""
    examples = settings.get("examples", {})
    parts = [
        "sfumato certify",
        f"--model {shlex.quote(str(settings.get('model', '?')))}",
        f"--data {shlex.quote(str(settings.get('data', '?')))}",
        f"--beta {settings.get('beta', '?')}",
        f"--plan {shlex.quote(str(settings.get('plan', '?')))}",
        f"--confidence {settings.get('confidence', '?')}",
        f"--seed {settings.get('seed', '?')}",
    ]
    if settings.get("noise", "gaussian") != "gaussian":
        parts.append(f"--noise {shlex.quote(str(settings['noise']))}")
    if isinstance(examples, dict) and (count := int(examples.get("count", 0))) > 0:
        span = int(examples.get("last", 0)) - int(examples.get("first", 0))
        skip = span // (count - 1) if count > 1 else 1
        parts.append(f"--first {count} --skip {max(1, skip)}")
    if settings.get("label_known"):
        parts.append("--label-known")
    if settings.get("precision", "float32") != "float32":
        parts.append(f"--precision {shlex.quote(str(settings['precision']))}")
    return " ".join([*parts, f"--out {shlex.quote(out)}"])


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {part}" for name, part in value.items())
    return str(value)


def _file_sha256(found: CertifiedSet) -> str:
    try:
        return hashlib.sha256(found.origin.read_bytes()).hexdigest()
    except OSError as error:
        raise DataError(f"{found.origin}: cannot be read ({error.strerror or error})") from error
