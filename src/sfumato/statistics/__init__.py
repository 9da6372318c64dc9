"""From counts to guarantees. NumPy and SciPy only: nothing here knows of networks or images."""
