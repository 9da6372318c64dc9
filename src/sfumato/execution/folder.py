"""A temporary folder that is gone when its process has ended, however it ended.

A killed process cleans up nothing, so another one makes the folder and removes it: a small Python process
that waits for the end of its standard input, which the operating system closes with its parent. If that
one is killed as well, the next one that starts removes the folder.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from sfumato.errors import OutputError
from sfumato.files import try_lock

_PREFIX = "sfumato-workers-"
_OWNED = "owned"  # a file in the folder, locked as long as the folder is in use
_PATIENCE = 10.0  # seconds that the other process has to remove the folder


class KeptFolder:
    """A folder of this process alone, under a name that nobody can guess. ``path`` is where it is.

    Raises:
        OutputError: it cannot be made.
    """

    def __init__(self) -> None:
        source, place = str(Path(__file__).parents[2]), tempfile.gettempdir()
        code = "import sys; sys.path.append(sys.argv[1])\nfrom sfumato.execution.folder import keep; keep()"
        # a session of its own, so that what ends this process and its workers does not end it
        self._keeper = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", code, source, place],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        answer, complaint = self._keeper.stdout, self._keeper.stderr
        assert answer is not None
        assert complaint is not None
        name = answer.readline().rstrip("\n")
        if not name:
            said = complaint.read().splitlines()
            self.remove()
            raise OutputError(
                f"{place}: no temporary folder can be made there ({said[-1] if said else 'no reason given'})"
            )
        self.path = Path(name)

    def remove(self) -> None:
        """Remove the folder and what is in it."""
        for pipe in (self._keeper.stdin, self._keeper.stdout, self._keeper.stderr):
            if pipe is not None:
                pipe.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._keeper.wait(_PATIENCE)
        if hasattr(self, "path"):
            # the other process may have been killed
            shutil.rmtree(self.path, ignore_errors=True)


def keep() -> None:
    """Make a folder in the place given last, print its path, and remove it when standard input ends."""
    place = Path(sys.argv[-1])
    for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.SIG_IGN)
    _remove_abandoned(place)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
    with (folder / ".owned").open("w") as owned:
        try_lock(owned)
        # under its name it is locked from the start
        (folder / ".owned").rename(folder / _OWNED)
        with contextlib.suppress(OSError):  # the parent may have ended by now
            print(folder, flush=True)
            sys.stdin.read()
        shutil.rmtree(folder, ignore_errors=True)


def _remove_abandoned(place: Path) -> None:
    """Remove folders of this user whose processes were all killed; links are not followed."""
    for folder in place.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if folder.is_symlink() or folder.lstat().st_uid != os.getuid():
                continue
            descriptor = os.open(folder / _OWNED, os.O_RDWR | os.O_NOFOLLOW)
            with os.fdopen(descriptor, "r+") as owned:
                if try_lock(owned):
                    shutil.rmtree(folder, ignore_errors=True)
