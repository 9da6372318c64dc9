"""Exact oracles: every vote sequence of a small number of votes, fed to a plan as one image each."""

from itertools import product

import numpy as np

from sfumato.noise import Gaussian


def all_sequences(votes, classes):
    """Return all classes ** votes sequences, one per row."""
    return np.array(list(product(range(classes), repeat=votes)))


def run_on(plan, sequences, classes, **settings):
    """Run a plan with each row of votes as one image, in order; check what it demands."""
    run = plan.start(sequences.shape[0], classes, noise=Gaussian(1.0), **settings)
    tally = np.zeros((sequences.shape[0], sequences.shape[1] + 1, classes), dtype=np.int64)
    np.cumsum(np.eye(classes, dtype=np.int64)[sequences], axis=1, out=tally[:, 1:])
    rows, spent = np.arange(sequences.shape[0]), np.zeros(sequences.shape[0], dtype=np.int64)
    while (wanted := run.demand()).any():
        run.update(tally[rows, spent + wanted] - tally[rows, spent])
        spent += wanted
    decisions = run.decisions()
    assert [decision.votes for decision in decisions] == spent.tolist()
    return decisions


def weights(sequences, probabilities):
    """Return the probability of each sequence."""
    return np.prod(np.asarray(probabilities)[sequences], axis=1)


def simulate(run, probabilities, generator):
    """Feed a run with multinomial votes of the given class probabilities per image."""
    while (wanted := run.demand()).any():
        rows = np.flatnonzero(wanted)
        counts = np.zeros(probabilities.shape, dtype=np.int64)
        counts[rows] = generator.multinomial(wanted[rows], probabilities[rows])
        run.update(counts)
    return run.decisions()
