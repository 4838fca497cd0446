"""What a run of a watermark audit is given besides parameters, key and model: the same for the service and the command line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from audit.registry import Cancelled, Progress

Keep = Callable[[str, Callable[[], bytes]], bytes]


def make_at_once(name: str, make: Callable[[], bytes]) -> bytes:
    """A `Keep` that keeps nothing."""
    return make()


@dataclass(frozen=True)
class RunContext:
    """`request` is the digest that binds the evidence, `entropy` what everything random comes from. `keep` may remember parts
    that depend on the request only (see `audit.service_kinds.Resources.keep`)."""

    request: str
    entropy: bytes
    progress: Progress = lambda fraction, message: None
    cancelled: Cancelled = lambda: False
    keep: Keep = make_at_once

    def part(self, first: float, last: float) -> Progress:
        """Progress of a part of the work, which runs from one fraction of the whole to another."""
        return lambda fraction, message: self.progress(first + fraction * (last - first), message)
