"""Looking at other processes and killing them, for tests (Linux)."""

import os
import signal
from contextlib import suppress
from pathlib import Path


def descendants(process: int) -> list[int]:
    """Return the children of a process, their children and so on."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                # the name in brackets may hold spaces
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found, open_ = [], [process]
    while open_:
        children = parents.get(open_.pop(), [])
        found += children
        open_ += children
    return found


def title(process: int) -> str:
    """Return the command line of a process, empty if it has ended."""
    with suppress(OSError):
        return Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""


def alive(process: int) -> bool:
    """Return whether the process runs."""
    with suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def kill(process: int) -> None:
    """Kill the process at once, if it is there."""
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)


def listening(process: int) -> set[str]:
    """Return the local addresses, as the kernel writes them, at which a process waits for TCP connections."""
    mine = set()
    for entry in Path(f"/proc/{process}/fd").iterdir():
        with suppress(OSError):
            mine.add(str(entry.readlink()).removeprefix("socket:[").removesuffix("]"))
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{process}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in mine:
                found.add(fields[1].partition(":")[0])
    return found
