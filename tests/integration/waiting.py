"""Waiting for what happens in other processes: by what is there to see, never by how long something takes on this machine.

A gate is a file that does not exist yet. Slow work of the tests' kinds of audit goes on until the test makes it, so that a
worker is killed, an audit cancelled, in the middle of the work however busy the machine is.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

LIMIT_S = 120
POLL_S = 0.02


def wait_until(happened: Callable[[], bool], what: str) -> None:
    """Until `happened()`. Fails in the words of `what` after LIMIT_S."""
    limit = time.monotonic() + LIMIT_S
    while not happened():
        assert time.monotonic() < limit, f"{what}: not within {LIMIT_S} s"
        time.sleep(POLL_S)


def wait_for_lines(trace: Path, *lines: str) -> None:
    """Until a trace file has each of these lines, as often as they are named."""
    wait_until(
        lambda: trace.exists() and all(trace.read_text().splitlines().count(line) >= lines.count(line) for line in lines),
        f"{' and '.join(lines)} in {trace.name}",
    )


def hold(gate: str, each: Callable[[], None] = lambda: None) -> None:
    """In the service: until the gate is open, with a call of `each` every POLL_S."""
    limit = time.monotonic() + 3 * LIMIT_S
    while not Path(gate).exists() and time.monotonic() < limit:
        each()
        time.sleep(POLL_S)
