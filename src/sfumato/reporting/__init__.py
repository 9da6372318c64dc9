"""Figures of what was measured. The only package that imports a plotting library."""
