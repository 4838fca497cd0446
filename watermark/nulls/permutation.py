"""Monte-Carlo p-values: the observed statistic among statistics of keys drawn like the real one.

Under H0 the key that was used and the keys drawn here are exchangeable given the text, so p = (1 + #{null <= observed}) / (R + 1)
is valid whatever the statistic. Stopping at the h-th exceedance, with p = h / L after L draws, is valid too and ends early on
unmarked text (Besag & Clifford, Biometrika 78, 1991). Neither can be 0.
"""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from watermark.errors import CancelledError

EXCEEDANCES = 10
MAX_RUNS = 1_000_000
ASK_EVERY = 0.5


def least_p_value(runs: int) -> float:
    """The smallest p-value that at most `runs` draws can give."""
    return 1 / (max(0, min(runs, MAX_RUNS)) + 1)


@dataclass(frozen=True)
class PermutationResult:
    """`exceedances` of `draws` null statistics were at most the observed one; `stopped` early, or after all runs."""

    p_value: float
    draws: int
    exceedances: int
    stopped: bool


def permutation_test(
    observed: float,
    draw: Callable[[np.random.Generator], float],
    runs: int,
    seed: int | None = None,
    threads: int = 1,
    exceedances: int = EXCEEDANCES,
    cancelled: Callable[[], bool] | None = None,
) -> PermutationResult:
    """Test `observed` (small speaks against H0) with at most `runs` statistics of fresh keys.

    Draw number i uses the generator seeded with (seed, i), so that the result does not depend on `threads`; without a seed, 128
    bits of fresh entropy are used. `cancelled` is asked about every half second; raises CancelledError when it says so.
    """
    entropy = secrets.randbits(128) if seed is None else abs(seed)
    found = done = 0
    asked = time.monotonic()
    for value in _statistics(draw, entropy, min(runs, MAX_RUNS), threads):
        done += 1
        found += value <= observed
        if found == exceedances and done < runs:
            return PermutationResult(found / done, done, found, True)
        if cancelled is not None and time.monotonic() - asked >= ASK_EVERY:
            if cancelled():
                raise CancelledError("the Monte-Carlo test was stopped")
            asked = time.monotonic()
    return PermutationResult((found + 1) / (done + 1), done, found, False)


def _statistics(draw: Callable[[np.random.Generator], float], entropy: int, runs: int, threads: int) -> Iterator[float]:
    def one(index: int) -> float:
        return draw(np.random.default_rng([entropy & ((1 << 64) - 1), entropy >> 64, index]))

    if threads <= 1:
        yield from map(one, range(runs))
        return
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[float]] = deque()
        try:
            for index in range(runs):
                waiting.append(pool.submit(one, index))
                if len(waiting) >= 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
