"""Attacks on smoothed classifiers: an upper bound on robust accuracy beside the certified lower one."""
