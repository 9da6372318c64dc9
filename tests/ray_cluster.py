"""A real Ray cluster of several raylets on this machine, for tests."""

import os
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from processes import descendants, kill, title

SOURCES = f"{Path(__file__).parents[1] / 'src'}{os.pathsep}{Path(__file__).parent}"
_MEMORY = 100 * 2**20  # bytes of the object store of each node


@contextmanager
def cluster_of(nodes: int, *, cpus: int = 1, connect: bool = True):
    """Start a head that takes no tasks and ``nodes`` others; this process becomes a driver of it."""
    import ray
    from ray.cluster_utils import Cluster

    environment = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "PYTHONPATH": SOURCES,
        # a lost node is noticed at once
        "RAY_health_check_initial_delay_ms": "0",
        "RAY_health_check_period_ms": "500",
        "RAY_health_check_failure_threshold": "4",
    }
    with mock.patch.dict(os.environ, environment):
        cluster = Cluster(
            initialize_head=True,
            head_node_args={
                "num_cpus": 0,
                "object_store_memory": _MEMORY,
                "include_dashboard": False,
                "include_log_monitor": False,
            },
        )
        try:
            for _ in range(nodes):
                cluster.add_node(num_cpus=cpus, object_store_memory=_MEMORY)
            if connect:
                ray.init(address=cluster.address, logging_level="ERROR", log_to_driver=False)
            yield cluster
        finally:
            ray.shutdown()
            cluster.shutdown()


def raylet_of(node) -> int:
    """Return the process number of a node's raylet."""
    return node.all_processes["raylet"][0].process.pid


def one_more(cluster):
    """Return another node of one core."""
    return cluster.add_node(num_cpus=1, object_store_memory=_MEMORY)


def unplug(cluster, node) -> None:
    """Kill a node's raylet and all that runs under it, as if its machine had lost its power."""
    raylet = raylet_of(node)
    for process in [*descendants(raylet), raylet]:
        kill(process)
    cluster.worker_nodes.discard(node)


def workers_of(node) -> list[int]:
    """Return the processes of the node that are at work on a task of ours; Ray shows its name."""
    return [
        process
        for process in descendants(raylet_of(node))
        if title(process).startswith(("ray::training", "ray::alpha", "ray::task"))
    ]
