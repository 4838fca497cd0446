"""The p-values of the Gumbel and SynthID detectors hold: P(p <= a) <= 1.1 a over (text, key) pairs, repeats included.

For one text the number of scored tokens does not depend on the key, so that p falls as the score grows: the p-value is computed
by the detector for the highest scores of each text (three times as many as can matter), the others lie above the largest a.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.guarantees.bpe_text import awkward_texts, texts
from watermark.detection import DetectOptions
from watermark.families import open_scheme

LEVELS = (1e-2, 1e-3, 1e-4)
SINGLE: dict[str, Any] = {"scheme": "gumbel", "context_width": 4}
DUAL: dict[str, Any] = {"scheme": "dual_key_gumbel", "context_width": 4, "alpha": 0.1}
SYNTHID: dict[str, Any] = {"ngram_len": 5}
DEPTH = 12


def gumbel_pairs(config: dict[str, Any], text: Any, count: int, rng: np.random.Generator) -> list[float]:
    """The p-values of the `count` keys that can be below the largest level."""
    keys = [int(key) for key in rng.integers(0, 1 << 63, count)]
    scores = []
    for key in keys:
        values, _, counted = open_scheme("vllm-gumbel", {**config, "key": key}).scores(text)  # type: ignore[attr-defined]
        scores.append(values[counted].sum())
    return _largest(np.array(scores), lambda i: open_scheme("vllm-gumbel", {**config, "key": keys[i]}), text)


def synthid_pairs(config: dict[str, Any], text: Any, count: int, rng: np.random.Generator) -> list[float]:
    keys = rng.integers(0, 1 << 62, (count, DEPTH)).tolist()
    scores = []
    for row in keys:
        scheme: Any = open_scheme("synthid", {**config, "keys": row})
        contexts, hashed = scheme.hashes(text)
        kept = np.unique(hashed[scheme.masks(text, contexts)])
        scores.append(scheme.sample(kept).sum(axis=0) @ np.rint(np.linspace(10, 1, DEPTH)))
    return _largest(np.array(scores), lambda i: open_scheme("synthid", {**config, "keys": keys[i]}), text)


def _largest(scores: Any, scheme: Callable[[int], Any], text: Any) -> list[float]:
    order = np.argsort(-scores)[: max(10, round(3 * LEVELS[0] * scores.size))]
    p_values = [float(scheme(int(i)).detect(text, DetectOptions()).p_value) for i in order]
    # as many as are left out could not have been below the largest level: the last one computed is above it, or all are kept
    assert p_values[-1] > LEVELS[0] or order.size == scores.size
    return p_values


def judge(p_values: list[float], pairs: int, fills: bool) -> None:
    """One-sided binomial test of P(p <= a) <= 1.1 a at each level; `fills`: the test must not be far from exact either."""
    stats = pytest.importorskip("scipy.stats")
    observed = np.array(p_values)
    rates = {level: float((observed <= level).sum()) / pairs for level in LEVELS}
    for level in LEVELS:
        hits = int((observed <= level).sum())
        assert stats.binom.sf(hits - 1, pairs, 1.1 * level) > 1e-3, (level, rates)
    if fills:
        hits = int((observed <= LEVELS[0]).sum())
        assert stats.binom.cdf(hits, pairs, 0.7 * LEVELS[0]) > 1e-3, rates


def measure(pairs_of: Any, config: dict[str, Any], kinds: list[Any], pairs: int, fills: bool = True) -> None:
    rng = np.random.default_rng(20260802)
    each = -(-pairs // len(kinds))
    p_values = [p for text in kinds for p in pairs_of(config, text, each, rng)]
    judge(p_values, each * len(kinds), fills)


@pytest.mark.guarantee
@pytest.mark.slow
@pytest.mark.parametrize("deduplicate", [True, False])
@pytest.mark.parametrize("config", [SINGLE, DUAL], ids=["single", "dual"])
def test_gumbel_on_real_text(config: dict[str, Any], deduplicate: bool) -> None:
    kinds = [text for length in (50, 200) for text in texts(25, length, seed=length)]
    measure(gumbel_pairs, {**config, "deduplicate_contexts": deduplicate}, kinds, 100_000)


@pytest.mark.guarantee
@pytest.mark.slow
@pytest.mark.parametrize("deduplicate", [True, False])
@pytest.mark.parametrize("config", [SINGLE, DUAL, {**SINGLE, "context_width": 1}], ids=["single", "dual", "width 1"])
def test_gumbel_on_repeats(config: dict[str, Any], deduplicate: bool) -> None:
    kinds = list(awkward_texts(150).values())
    measure(gumbel_pairs, {**config, "deduplicate_contexts": deduplicate}, kinds, 100_000)


@pytest.mark.guarantee
@pytest.mark.slow
def test_synthid_on_real_text_and_repeats() -> None:
    measure(synthid_pairs, SYNTHID, texts(12, 150), 100_000)
    measure(synthid_pairs, SYNTHID, list(awkward_texts(150).values()), 100_000, fills=False)


@pytest.mark.parametrize("config", [SINGLE, {**DUAL, "deduplicate_contexts": False}], ids=["single", "dual"])
def test_gumbel_slice(config: dict[str, Any]) -> None:
    measure(gumbel_pairs, config, [*texts(3, 60), awkward_texts(150)["one sentence repeated"]], 4000)


def test_synthid_slice() -> None:
    measure(synthid_pairs, SYNTHID, [*texts(2, 80), awkward_texts(150)["one sentence repeated"]], 1500)


def test_span_p_values_hold_together() -> None:
    """Over clean texts, P(any reported span) <= alpha: the scan over windows and the trimming are paid for."""
    rng = np.random.default_rng(3)
    options = DetectOptions(alpha=0.1, spans=True)
    wrong = 0
    for text in texts(500, 120, seed=5):
        scheme = open_scheme("vllm-gumbel", {**SINGLE, "key": int(rng.integers(1 << 63))})
        wrong += bool(scheme.detect(text, options).spans)
    assert wrong <= 72  # mean at most 50, three standard deviations above


def test_counting_repeats_would_fail() -> None:
    """The measurement sees what it is for: the reference's figure on a repeated sentence is far below its nominal level."""
    text = awkward_texts(150)["one sentence repeated"]
    rng = np.random.default_rng(1)
    options = DetectOptions()
    keys = [int(key) for key in rng.integers(0, 1 << 63, 600)]
    found = [
        open_scheme("vllm-gumbel", {**SINGLE, "key": key, "deduplicate_contexts": False}).detect(text, options) for key in keys
    ]
    reference = np.array([detection.reference_p_value for detection in found], dtype=float)
    assert (reference <= 0.01).mean() > 0.05
    with pytest.raises(AssertionError):
        judge(reference.tolist(), reference.size, fills=False)
