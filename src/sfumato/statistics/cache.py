"""Boundaries kept on disk: planned once, found again by all of their parameters.

One small JSON file per test, named by a digest of its parameters and the format version, written to a
temporary name and moved into place. A file that is damaged, truncated or answers another question is
derived anew. Numbers are stored so that they come back bit for bit.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from functools import lru_cache
from pathlib import Path

from sfumato.files import cache_folder, write_text
from sfumato.statistics.planner import bayes_boundaries
from sfumato.statistics.sequential import Boundaries

FORMAT = 1


def cached_boundaries(
    q0: float, level: float, looks: tuple[int, ...], cost: float, directory: Path | None = None
) -> Boundaries:
    """Return ``bayes_boundaries`` of these parameters, from disk where they were planned before.

    ``directory`` defaults to ``cache_folder("boundaries")``. A folder that cannot be written is no error: the
    boundaries are then planned again next time.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     first = cached_boundaries(0.3, 0.001, (32, 64), 1e5, Path(folder))
    ...     again = cached_boundaries(0.3, 0.001, (32, 64), 1e5, Path(folder))
    ...     len(list(Path(folder).iterdir())), first == again
    (1, True)

    Raises:
        SettingError: as ``bayes_boundaries``.
    """
    return _remembered(q0, level, looks, cost, directory or cache_folder("boundaries"))


@lru_cache(maxsize=1024)
def _remembered(q0: float, level: float, looks: tuple[int, ...], cost: float, directory: Path) -> Boundaries:
    key = _key(q0, level, looks, cost)
    path = directory / f"{_digest(key)[:32]}.json"
    found = _read(path, key)
    if found is not None:
        return found
    planned = bayes_boundaries(q0, level, looks, cost)
    with contextlib.suppress(OSError):
        _write(path, key, planned)
    return planned


def _key(q0: float, level: float, looks: tuple[int, ...], cost: float) -> str:
    # float.hex keeps every bit of the parameters.
    parameters = {"q0": q0.hex(), "level": level.hex(), "cost": float(cost).hex(), "looks": list(looks)}
    return json.dumps({"format": FORMAT, "kind": "bayes", **parameters}, sort_keys=True)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _body(key: str, boundaries: Boundaries) -> dict[str, object]:
    return {
        "key": key,
        "certify": list(boundaries.certify),
        "give_up": list(boundaries.give_up),
        "crossing": boundaries.crossing.hex(),
    }


def _write(path: Path, key: str, boundaries: Boundaries) -> None:
    body = _body(key, boundaries)
    text = json.dumps({**body, "digest": _digest(json.dumps(body, sort_keys=True))})
    write_text(path, text)


def _read(path: Path, key: str) -> Boundaries | None:
    """Return the boundaries stored at ``path`` if they are intact and answer exactly ``key``."""
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
        digest = body.pop("digest")
        if body["key"] != key or digest != _digest(json.dumps(body, sort_keys=True)):
            return None
        wanted = json.loads(key)
        boundaries = Boundaries(
            tuple(wanted["looks"]),
            tuple(int(b) for b in body["certify"]),
            tuple(int(a) for a in body["give_up"]),
            float.fromhex(wanted["q0"]),
            float.fromhex(wanted["level"]),
            float.fromhex(body["crossing"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    lengths = {len(boundaries.looks), len(boundaries.certify), len(boundaries.give_up)}
    return boundaries if len(lengths) == 1 and boundaries.crossing <= boundaries.level else None
