"""How tasks run: in this process, in worker processes, or on a cluster. It knows nothing of what they do."""
