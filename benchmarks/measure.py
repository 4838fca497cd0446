"""Timing, peak memory and a description of the machine, shared by the benchmarks. Standard library only.

Runs under any Python interpreter, so that a program in another virtual environment can be measured in the same way.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

T = TypeVar("T")
ROOT = Path(__file__).resolve().parents[1]
# What the kernels and SHA-256 can use; its absence explains most differences between machines.
NOTABLE_FLAGS = ("avx2", "avx512f", "avx512dq", "avx512ifma", "sha_ni")


@dataclass(frozen=True)
class Spread:
    """Median, minimum and maximum of repeated measurements."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return median(self.values)

    def scaled(self, factor: float) -> Spread:
        return Spread(tuple(value * factor for value in self.values))

    def text(self, digits: int = 2) -> str:
        """`median (min - max)`."""
        low, high = min(self.values), max(self.values)
        return f"{self.median:.{digits}f} ({low:.{digits}f} - {high:.{digits}f})"


def timed(call: Callable[[], T]) -> tuple[float, T]:
    """Seconds on the wall clock, and the result."""
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def peak_bytes() -> int:
    """Largest resident set of this process so far. ru_maxrss would also count the parent before exec."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("the kernel does not report VmHWM")


def run_json(command: Sequence[str | Path], timeout_s: float = 3600.0) -> Any:
    """Run a command in the repository root; its last line on stdout is JSON. Raises RuntimeError with its last words."""
    done = subprocess.run([str(part) for part in command], cwd=ROOT, capture_output=True, text=True, timeout=timeout_s)
    lines = done.stdout.strip().splitlines()
    if done.returncode != 0 or not lines:
        raise RuntimeError(f"{command[0]} ended with status {done.returncode}: {done.stderr.strip()[-2000:]}")
    return json.loads(lines[-1])


def machine(packages: Sequence[str]) -> list[str]:
    """Processor, memory, versions and the load at this moment, a line each."""
    info = Path("/proc/cpuinfo").read_text()
    fields = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
    named = {key.strip(): value.strip() for key, value in fields.items()}
    present = named.get("flags", "").split()
    flags = ", ".join(f"{flag} {'yes' if flag in present else 'no'}" for flag in NOTABLE_FLAGS)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = ", ".join(f"{name} {_version(name)}" for name in packages)
    return [
        f"processor  {named.get('model name', platform.processor())}, {len(os.sched_getaffinity(0))} cores usable ({flags})",
        f"system     {platform.system()} {platform.release()}, {memory:.1f} GiB memory",
        f"versions   Python {platform.python_version()}, {versions}",
        f"load       {load()} (1, 5, 15 minutes)",
    ]


def load() -> str:
    return " ".join(f"{value:.2f}" for value in os.getloadavg())


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"
