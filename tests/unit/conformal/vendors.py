"""Synthetic vendors: labelled outputs whose scores tell true claims from false ones, more or less."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import numpy as np

from conformal.claims import ClaimTable, read_ledger

COMPONENTS = dict(zip(("model", "prompt", "splitter", "scorer", "labeller"), (c * 64 for c in "abcde")))
ISSUED = datetime(2026, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 2, 1, tzinfo=UTC)


def records(seed: int, n: int, name: str = "calibration", drift: float = 0.0, premises: bool = False) -> list[dict[str, Any]]:
    """n outputs of 1 to 5 claims, three quarters true; `drift` lifts the scores of false claims. Groups a and b alternate."""
    rng = np.random.default_rng(seed)
    found = []
    for i in range(n):
        claims: list[dict[str, Any]] = []
        for j in range(int(rng.integers(1, 6))):
            true = bool(rng.random() < 0.75)
            score = float(rng.normal(1.5 if true else drift))
            claim = {"text": f"claim {j} of {name} {i}", "scores": {"s": score}, "label": "Y" if true else "N"}
            claims.append({**claim, "premises": [j - 1]} if premises and j else claim)
        texts = {"prompt": f"Tell me about number {i} of {name}.", "output": f"All there is to say about {i}."}
        found.append({"id": f"{name}-{i}", **texts, "claims": claims, "group": "ab"[i % 2]})
    return found


def table(outputs: list[dict[str, Any]]) -> ClaimTable:
    return read_ledger(json.dumps(output) for output in outputs)
