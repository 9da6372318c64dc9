"""Tasks for the tests of executors; a module of its own, so that workers can import them."""

import os
import time

from sfumato.execution.base import Task


def add(report, a, b):
    return a + b


def total(report, shared, extra):
    return float(shared.value().sum()) + extra


def where(report, shared):
    """Return the process, and whether the shared array is the process's own copy."""
    return os.getpid(), shared.value().flags.owndata


def cores(report):
    return sorted(os.sched_getaffinity(0))


def steps(report, count):
    for step in range(count):
        report(step)
        time.sleep(0.05)
    return count


def report_until(report, flag, seconds):
    """Report 0, 1, 2, ... until the flag is there."""
    deadline, step = time.monotonic() + seconds, 0
    while not flag.exists() and time.monotonic() < deadline:
        report(step)
        step += 1
        time.sleep(0.05)
    return step


def fail(report, message):
    from sfumato.errors import DataError

    raise DataError(message)


def die_once(report, flag):
    """Kill the worker process at the first call."""
    if not flag.exists():
        flag.touch()
        os.kill(os.getpid(), 9)
    return os.getpid()


def die(report):
    os.kill(os.getpid(), 9)


def wait_for(report, flag, seconds):
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


def leave(report, code):
    raise SystemExit(code)


def fail_unsendably(report):
    raise Unsendable
