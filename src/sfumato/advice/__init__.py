"""Advice before training: interference, geometry, the Parzen surrogate, the kappa rule, and what they say."""
