"""Speed of conformalising claims, beside a loop over claims in plain Python: `python -m benchmarks.conformal [--repeat 5]`.

8,000 outputs with 230,000 claims at 20 levels (conformity scores, thresholds, laws, and the filter at each), from arrays and from
a ledger of JSON lines; 1,000 random halves of 50 outputs. The loop computes the conformity score of an output as the published
method states it: walk the claims from the highest score down until one is false. Both must give the same thresholds.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import numpy as np

from benchmarks.measure import Spread, machine, timed
from conformal.calibration import Calibrator, Summary, Threshold, half_splits
from conformal.claims import ClaimTable
from conformal.labels import LabelPolicy
from conformal.levels import marginal_rank
from conformal.losses import ALL_TRUE
from conformal.reading import read_claims

T = TypeVar("T")
OUTPUTS, CLAIMS, LEVELS = 8_000, 230_000, tuple(Fraction(i, 40) for i in range(1, 21))
SMALL, SPLITS = 50, 1_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=5)
    repeat = parser.parse_args().repeat
    print("\n".join(machine(("numpy",))))
    table = synthetic_table(OUTPUTS, CLAIMS, seed=1)
    took, found = measured(lambda: conformalise(fresh(table)), repeat)
    print(f"{OUTPUTS} outputs, {CLAIMS} claims, {len(LEVELS)} levels, from arrays: {took}; wanted at most 2 s")
    took, thresholds = measured(lambda: plain_thresholds(table), 1)
    print(f"    the same in loops of plain Python: {took}")
    assert thresholds == [threshold.value for threshold, _ in found]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.jsonl"
        write_ledger(table, path)
        took, _ = measured(lambda: read_claims(path), repeat)
        print(f"    reading {path.stat().st_size / 2**20:.0f} MiB of JSON lines before that: {took}")
    small = synthetic_table(SMALL, SMALL * 8, seed=2)
    built = Calibrator.build(small, small.score("s"), small.truth(LabelPolicy()), ALL_TRUE)
    took, halves = measured(lambda: half_splits(built, Fraction(1, 10), SPLITS, seed=0), repeat)
    print(f"{SPLITS} random halves of {SMALL} outputs: {took}; wanted at most 5 s")
    took, removed = measured(lambda: plain_half_splits(small, Fraction(1, 10), SPLITS, seed=0), 1)
    print(f"    the same in loops of plain Python: {took}")
    assert math.isclose(removed, halves["removed_mean"], abs_tol=1e-9)


def measured(call: Callable[[], T], repeat: int) -> tuple[str, T]:
    """Seconds on the clock and of the processor, and the last result. The second is what other work hardly disturbs."""
    clock, processor = [], []
    for _ in range(repeat):
        before = time.process_time()
        seconds, result = timed(call)
        clock.append(seconds)
        processor.append(time.process_time() - before)
    return f"{Spread(tuple(clock)).text(3)} s, processor time {Spread(tuple(processor)).text(3)} s", result


def synthetic_table(outputs: int, claims: int, seed: int) -> ClaimTable:
    """Claims spread over the outputs at random; a false claim has a lower score, on average. One tie-free score `s`."""
    rng = np.random.default_rng(seed)
    sizes = 1 + rng.multinomial(claims - outputs, np.full(outputs, 1 / outputs))
    truth = rng.random(claims) < 0.93
    return ClaimTable(
        ids=tuple(str(i) for i in range(outputs)),
        offsets=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        scores={"s": rng.normal(size=claims) + 1.5 * truth},
        labels=tuple("Y" if true else "N" for true in truth),
        groups=(None,) * outputs,
    )


def fresh(table: ClaimTable) -> ClaimTable:
    """The same table without anything that was computed from it before."""
    return ClaimTable(table.ids, table.offsets, table.scores, table.labels, table.groups)


def conformalise(table: ClaimTable) -> list[tuple[Threshold, Summary]]:
    built = Calibrator.build(table, table.score("s"), table.truth(LabelPolicy()), ALL_TRUE)
    found = [built.threshold(alpha) for alpha in LEVELS]
    return [(threshold, built.summarise(threshold.value)) for threshold in found]


def plain_conformity(claims: list[tuple[float, bool]]) -> float:
    for score, true in sorted(claims, reverse=True):
        if not true:
            return score
    return -math.inf


def plain_claims(table: ClaimTable) -> list[list[tuple[float, bool]]]:
    scores, truth = table.score("s").tolist(), table.truth(LabelPolicy()).tolist()
    bounds = table.offsets.tolist()
    return [list(zip(scores[low:high], truth[low:high])) for low, high in pairwise(bounds)]


def plain_quantile(conformity: list[float], alpha: Fraction) -> float:
    rank = marginal_rank(len(conformity), alpha)
    return math.inf if rank is None else sorted(conformity)[rank - 1]


def plain_filter(outputs: list[list[tuple[float, bool]]], threshold: float) -> tuple[float, float]:
    """Shares of outputs that are all true after the filter, and of claims it removes (mean over outputs)."""
    right, removed = 0, 0.0
    for claims in outputs:
        kept = [true for score, true in claims if score > threshold]
        right += all(kept)
        removed += 1 - len(kept) / len(claims)
    return right / len(outputs), removed / len(outputs)


def plain_thresholds(table: ClaimTable) -> list[float]:
    """As the published code works: r is computed anew at every level, then every output is filtered."""
    outputs, found = plain_claims(table), []
    for alpha in LEVELS:
        found.append(plain_quantile([plain_conformity(claims) for claims in outputs], alpha))
        plain_filter(outputs, found[-1])
    return found


def plain_half_splits(table: ClaimTable, alpha: Fraction, splits: int, seed: int) -> float:
    """Mean share of claims removed from the second halves."""
    outputs, rng, removed = plain_claims(table), np.random.default_rng(seed), 0.0
    for _ in range(splits):
        order = rng.permutation(len(outputs)).tolist()
        half = len(outputs) // 2
        threshold = plain_quantile([plain_conformity(outputs[i]) for i in order[:half]], alpha)
        removed += plain_filter([outputs[i] for i in order[half:]], threshold)[1] / splits
    return removed


def write_ledger(table: ClaimTable, path: Path) -> None:
    """Texts of the length that claims have."""
    labels, scores = table.labels or (), table.scores["s"].tolist()
    with path.open("w", encoding="utf-8") as file:
        for i, identity in enumerate(table.ids):
            rows = range(int(table.offsets[i]), int(table.offsets[i + 1]))
            claims = [
                {"text": f"Claim {j} says one thing, so or not.", "scores": {"s": scores[j]}, "label": labels[j]} for j in rows
            ]
            record = {"id": identity, "prompt": f"Question {i}?", "output": "Text. " * len(claims), "claims": claims}
            file.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
