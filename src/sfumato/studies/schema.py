"""The tables and views of a study's results file, in every version that is read.

``docs/results-elsewhere.md`` describes them for readers from other programs. Tables are linked by ``cell``:
a number for one network at one smoothing noise under settings that determine its rows. The views answer for
the settings of the last run, and hold nothing of their own.
"""

from __future__ import annotations

VERSION = 5
"""Of the tables and views below, kept as the file's ``user_version``.

1 had no seals, 2 certificates as texts, 3 no counts of certificates, 4 no views.
"""

_TABLES = """
CREATE TABLE current (
    only INTEGER PRIMARY KEY CHECK (only = 0), settings TEXT NOT NULL, data TEXT NOT NULL,
    unit TEXT NOT NULL, votes INTEGER NOT NULL, images INTEGER NOT NULL,
    certification TEXT NOT NULL, certified INTEGER NOT NULL
) STRICT;
CREATE TABLE path (
    chain TEXT NOT NULL, position INTEGER NOT NULL, alpha REAL NOT NULL, parent REAL,
    PRIMARY KEY (chain, alpha)
) STRICT;
CREATE TABLE models (
    key TEXT PRIMARY KEY, alpha REAL NOT NULL, seed INTEGER NOT NULL, weights_sha256 TEXT NOT NULL
) STRICT;
CREATE TABLE cells (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE members (
    settings TEXT NOT NULL, kind TEXT NOT NULL, alpha REAL NOT NULL, beta REAL NOT NULL,
    seed INTEGER NOT NULL, cell INTEGER NOT NULL, PRIMARY KEY (settings, kind, alpha, beta, seed)
) STRICT;
CREATE TABLE images (
    cell INTEGER NOT NULL, example INTEGER NOT NULL, label INTEGER NOT NULL, predicted INTEGER NOT NULL,
    votes INTEGER NOT NULL, first_votes INTEGER NOT NULL, first_hits INTEGER NOT NULL,
    PRIMARY KEY (cell, example)
) STRICT, WITHOUT ROWID;
CREATE TABLE proposals (
    search TEXT NOT NULL, position INTEGER NOT NULL, alpha REAL NOT NULL, PRIMARY KEY (search, position)
) STRICT, WITHOUT ROWID;
CREATE TABLE seals (
    name TEXT NOT NULL, part TEXT NOT NULL, rows INTEGER NOT NULL, digest INTEGER NOT NULL,
    PRIMARY KEY (name, part)
) STRICT, WITHOUT ROWID;
"""
_CERTIFICATES = {
    2: """
CREATE TABLE certificates (
    cell INTEGER NOT NULL, example INTEGER NOT NULL, row TEXT NOT NULL, PRIMARY KEY (cell, example)
) STRICT, WITHOUT ROWID;
""",
    3: """
CREATE TABLE certificates (
    cell INTEGER NOT NULL, example INTEGER NOT NULL, label INTEGER NOT NULL, predict INTEGER NOT NULL,
    radius REAL NOT NULL, seconds REAL NOT NULL, votes INTEGER, stopped_by TEXT NOT NULL, p_lower REAL,
    p_upper REAL, confidence REAL, plan TEXT NOT NULL, PRIMARY KEY (cell, example)
) STRICT, WITHOUT ROWID;
""",
}
_CERTIFICATES[4] = _CERTIFICATES[3].replace(
    "plan TEXT NOT NULL,", "plan TEXT NOT NULL, counts TEXT NOT NULL,"
)

_VIEWS = """
CREATE VIEW predictions AS
SELECT m.alpha, m.beta, m.seed, i.example, i.label, i.predicted, i.predicted <> i.label AS wrong, i.votes,
    i.first_votes, i.first_hits
FROM current AS c
JOIN members AS m ON m.settings = c.settings AND m.kind = 'risk'
JOIN images AS i ON i.cell = m.cell AND i.example < c.images;
CREATE VIEW risks AS
SELECT alpha, beta, seed, count(*) AS images, sum(wrong) AS errors, avg(wrong) AS risk,
    1.0 - avg(1.0 * first_hits / first_votes) AS soft_risk, avg(votes) AS votes
FROM predictions GROUP BY alpha, beta, seed HAVING count(*) = (SELECT images FROM current);
CREATE VIEW best_alphas AS
SELECT beta, alpha, risk, seeds FROM (
    SELECT *, row_number() OVER (PARTITION BY beta ORDER BY risk, alpha) AS place FROM (
        SELECT beta, alpha, avg(risk) AS risk, count(*) AS seeds FROM risks GROUP BY beta, alpha
    )
) WHERE place = 1;
CREATE VIEW certified AS
SELECT m.alpha, m.beta, m.seed, f.example, f.label, f.predict,
    f.predict >= 0 AND f.predict = f.label AS correct, f.radius, f.votes, f.seconds, f.stopped_by,
    f.p_lower, f.p_upper, f.confidence, f.plan, f.counts
FROM current AS c
JOIN members AS m ON m.settings = c.certification AND m.kind = 'certificates'
JOIN certificates AS f ON f.cell = m.cell AND f.example < c.certified;
CREATE VIEW kept AS
SELECT m.settings, m.kind, m.alpha, m.beta, m.seed,
    CASE m.kind WHEN 'risk' THEN (SELECT count(*) FROM images AS i WHERE i.cell = m.cell)
        ELSE (SELECT count(*) FROM certificates AS f WHERE f.cell = m.cell) END AS images,
    EXISTS (SELECT 1 FROM current AS c WHERE m.settings IN (c.settings, c.certification)) AS present
FROM members AS m;
"""

# The columns of each table; for a small one also the places of those that no two rows share.
SMALL = {
    "current": ("only, settings, data, unit, votes, images, certification, certified", (0,)),
    "path": ("chain, position, alpha, parent", (0, 2)),
    "models": ("key, alpha, seed, weights_sha256", (0,)),
    "cells": ("id, key", (0,)),
    "members": ("settings, kind, alpha, beta, seed, cell", (0, 1, 2, 3, 4)),
    "proposals": ("search, position, alpha", (0, 1)),
}
LARGE = {
    "images": "cell, example, label, predicted, votes, first_votes, first_hits",
    "certificates": "cell, example, label, predict, radius, seconds, votes, stopped_by, p_lower, p_upper, "
    "confidence, plan, counts",
}


def statements(version: int) -> list[str]:
    """Return the SQL that makes the tables and views of a version; none of version 0, an empty file.

    >>> [len(statements(version)) for version in (0, 4, 5)]
    [0, 9, 14]
    """
    if not version:
        return []
    made = _TABLES + _CERTIFICATES[min(version, 4)] + (_VIEWS if version >= 5 else "")
    return [statement.strip() for statement in made.split(";") if statement.strip()]
