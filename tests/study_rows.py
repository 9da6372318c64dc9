"""The rows of a study, for comparing one with another and for damaging them."""

import sqlite3

import numpy as np

from sfumato.studies.store import FILE


def rows_of(folder):
    """Return everything that results are made of, by content: no numbers that depend on the order."""
    with sqlite3.connect(folder / FILE) as db:
        images = db.execute(
            "SELECT key, example, label, predicted, votes, first_votes, first_hits FROM images "
            "JOIN cells ON cell = id ORDER BY key, example"
        ).fetchall()
        members = db.execute(
            "SELECT settings, kind, alpha, beta, seed, key FROM members JOIN cells ON cell = id ORDER BY "
            "settings, kind, alpha, beta, seed"
        ).fetchall()
        models = db.execute("SELECT key, alpha, seed, weights_sha256 FROM models ORDER BY key").fetchall()
        path = db.execute("SELECT * FROM path ORDER BY chain, position").fetchall()
        # all but the time
        certificates = db.execute(
            "SELECT key, example, label, predict, radius, votes, stopped_by, p_lower, p_upper, confidence, "
            "plan FROM certificates JOIN cells ON cell = id ORDER BY key, example"
        ).fetchall()
    db.close()
    return images, members, models, path, certificates


def edited(folder, *statements):
    """Change the file as damage would: behind the back of the seals."""
    with sqlite3.connect(folder / FILE) as db:
        for statement in statements:
            db.execute(statement)
    db.close()


def votes(predicted):
    """Return rows of images 0, 1, ... of class 3 with these predictions."""
    return np.array([[example, 3, found, 60, 50, 40] for example, found in enumerate(predicted)])
