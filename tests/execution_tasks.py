"""Tasks for the tests of executors; a module of its own, so that workers can import them."""

import itertools
import os
import time

from sfumato.execution.base import Task

_BUILDS = itertools.count()


def add(here, a, b):
    return a + b


def total(here, shared, extra):
    return float(here.value(shared).sum()) + extra


def where(here, shared):
    """Return the process, and whether the shared array is the process's own copy."""
    return os.getpid(), here.value(shared).flags.owndata


def cores(here):
    return sorted(os.sched_getaffinity(0))


def steps(here, count):
    for step in range(count):
        here.report(step)
        time.sleep(0.05)
    return count


def report_until(here, flag, seconds):
    """Report 0, 1, 2, ... until the flag is there."""
    deadline, step = time.monotonic() + seconds, 0
    while not flag.exists() and time.monotonic() < deadline:
        here.report(step)
        step += 1
        time.sleep(0.05)
    return step


def fail(here, message):
    from sfumato.errors import DataError

    raise DataError(message)


def built(here, key):
    """Return which call of this process built the value of the key."""
    return here.built(key, lambda: next(_BUILDS))


def die_once(here, flag):
    """Kill the worker process at the first call."""
    if not flag.exists():
        flag.touch()
        os.kill(os.getpid(), 9)
    return os.getpid()


def die(here):
    os.kill(os.getpid(), 9)


def wait_for(here, flag, seconds):
    """Say which process this is, and return when the flag is there."""
    flag.with_suffix(f".{os.getpid()}").touch()
    deadline = time.monotonic() + seconds
    while not flag.exists():
        if time.monotonic() > deadline:
            raise TimeoutError(flag)
        time.sleep(0.02)
    return os.getpid()


def run(executor, calls, needs=()):
    """Run (function, *arguments) each; return what came of them, in the order of the calls."""
    found = {}
    rest = iter(enumerate(calls))

    def next_task():
        for number, (function, *arguments) in rest:
            return Task(
                f"task {number}",
                function,
                tuple(arguments),
                lambda done, number=number: found.__setitem__(number, done),
                needs=needs,
            )
        return None

    executor.run(next_task)
    return [found[number] for number in sorted(found)]


class Unsendable(Exception):
    """An exception that no pickle takes, and whose text cannot be had."""

    def __reduce__(self):
        raise TypeError("stays here")

    def __str__(self):
        raise ValueError("no words")


def leave(here, code):
    raise SystemExit(code)


def fail_unsendably(here):
    raise Unsendable
