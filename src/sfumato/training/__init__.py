"""Training base classifiers: one loop, and one file per method."""
