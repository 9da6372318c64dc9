"""Boundaries kept on disk: planned once, found again by all of their parameters.

One small JSON file per test, named by a digest of its parameters and the format version, written to a
temporary name and moved into place. If a file is damaged, truncated or for other parameters, it is computed
again. Numbers are stored so that they come back bit for bit.
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
    # float.hex keeps every bit of the parameters.
    parameters = {"q0": q0.hex(), "level": level.hex(), "cost": float(cost).hex(), "looks": list(looks)}
    key = json.dumps({"format": FORMAT, "kind": "bayes", **parameters}, sort_keys=True)
    path = directory / f"{_digest(key)[:32]}.json"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        body = json.loads(path.read_text(encoding="utf-8"))
        digest = body.pop("digest")
        if body["key"] == key and digest == _digest(json.dumps(body, sort_keys=True)):
            certify, give_up = tuple(body["certify"]), tuple(body["give_up"])
            return Boundaries(looks, certify, give_up, q0, level, float.fromhex(body["crossing"]))
    planned = bayes_boundaries(q0, level, looks, cost)
    body = {
        "key": key,
        "certify": planned.certify,
        "give_up": planned.give_up,
        "crossing": planned.crossing.hex(),
    }
    with contextlib.suppress(OSError):
        write_text(path, json.dumps({**body, "digest": _digest(json.dumps(body, sort_keys=True))}))
    return planned


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
