"""Adapters: models of other tools as classifiers. Each imports its package only when it is used."""
