"""Shift-keyed detection: `python -m benchmarks.shift_keyed [--runs 20]`.

EXP-edit, 400 tokens, key length 256: Assay's null statistic (fresh key, costs, edit distances at all offsets) beside a port of
the reference's algorithm (jthickstun/watermark, levenshtein.pyx: one offset at a time, the logarithm in every cell, a fresh
matrix a call), compiled by Numba, on one core in the same run. 1,000 permutations are both statistics times 1,000.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time

import numpy as np
from numba import njit

from watermark.detection import DetectOptions
from watermark.detectors.alignment import exact_block_test
from watermark.families import open_scheme
from watermark.schemes.shift_keyed import ShiftScheme

VOCABULARY, ROWS, TOKENS = 50257, 256, 400


@njit
def _reference_distance(x: np.ndarray, y: np.ndarray, gap: float) -> float:  # pragma: no cover - compiled
    n, m = len(x), len(y)
    table = np.zeros((n + 1, m + 1), dtype=np.float32)
    for i in range(n + 1):
        for j in range(m + 1):
            if i == 0:
                table[i, j] = j * gap
            elif j == 0:
                table[i, j] = i * gap
            else:
                cost = math.log(1 - y[j - 1, x[i - 1]])
                table[i, j] = min(table[i - 1, j] + gap, table[i, j - 1] + gap, table[i - 1, j - 1] + cost)
    return table[n, m]


def reference_statistic(tokens: np.ndarray, xi: np.ndarray) -> float:
    """The least cost over offsets, rows gathered for every offset as the reference does."""
    n = len(xi)
    return min(_reference_distance(tokens, xi[(j + np.arange(len(tokens))) % n], 0.0) for j in range(n))


def seconds(call: object, runs: int) -> float:
    out = []
    for _ in range(runs):
        start = time.perf_counter()
        call()  # type: ignore[operator]
        out.append(time.perf_counter() - start)
    return statistics.median(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    runs = parser.parse_args().runs
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, VOCABULARY, TOKENS)
    config = {"vocab_size": VOCABULARY, "n": ROWS, "key_seed": 42}
    edit = open_scheme("kuditipudi-library", {**config, "scheme": "EXP-edit"})
    exact = open_scheme("kuditipudi-library", {**config, "scheme": "EXP"})
    assert isinstance(edit, ShiftScheme) and isinstance(exact, ShiftScheme)
    unique, back = np.unique(tokens, return_inverse=True)
    one_hot = np.random.default_rng(1)

    def ours() -> float:
        return edit._statistic(edit._null_costs(one_hot, len(unique))[:, back], TOKENS, 1)

    small = rng.random((ROWS, len(unique))).astype(np.float32)
    ours()
    reference_statistic(back[:20], small)
    mine, theirs = seconds(ours, runs), seconds(lambda: reference_statistic(back, small), max(2, runs // 10))
    print(
        f"EXP-edit, {TOKENS} tokens, {ROWS} rows, one null statistic: Assay {mine * 1e3:.1f} ms, reference {theirs * 1e3:.0f} ms"
    )
    print(f"1,000 permutations on one core: Assay {mine * 1e3:.1f} s, reference {theirs * 1e3:.0f} s, ratio {theirs / mine:.0f}")
    print(
        "  (extrapolated from single statistics; the reference itself, Cython, was measured at 617 s on another 2-core machine)"
    )
    costs = exact.costs(tokens, exact.key)
    print(f"EXP, exact p-value from the costs: {seconds(lambda: exact_block_test(costs, tokens, TOKENS), 50) * 1e3:.2f} ms")
    exact.detect(tokens, DetectOptions())
    print(f"EXP, whole detection with a kept key: {seconds(lambda: exact.detect(tokens, DetectOptions()), 20) * 1e3:.2f} ms")


if __name__ == "__main__":
    main()
