"""How tasks run: in this process, in worker processes, or on a cluster. It does not know what they do."""
