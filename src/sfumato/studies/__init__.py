"""Many classifiers and many noises, measured together."""
