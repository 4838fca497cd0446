"""Key search: the right key among many, Holm's adjustment, and the family-wise error over clean texts."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from tests.unit.watermark.gumbel_texts import gumbel_text
from watermark.detection import DetectOptions
from watermark.detectors import key_search
from watermark.detectors.key_search import holm, search_keys
from watermark.errors import CancelledError, ConfigError
from watermark.families import open_scheme


def keys_of(seed: int, count: int) -> list[int]:
    return [int(key) for key in np.random.default_rng(seed).integers(0, 1 << 63, count)]


def schemes(keys: list[int]) -> list[tuple[str, object]]:
    return [(f"key {i}", open_scheme("vllm-gumbel", {"scheme": "gumbel", "key": key})) for i, key in enumerate(keys)]


def test_the_right_key_is_found() -> None:
    keys = keys_of(1, 20)
    text = gumbel_text({"scheme": "gumbel", "key": keys[13]}, 60, seed=2)
    mixed = np.concatenate([np.arange(100), text])
    found = search_keys(schemes(keys), mixed, DetectOptions(tokens=True, spans=True))
    assert found.best.name == "key 13" and [result.name for result in found.found] == ["key 13"]
    best = found.best.detection
    assert best.log_p == pytest.approx(found.best.log_p + math.log(20)) and best.alpha == 1e-3
    assert best.test["keys"] == 20 and len(best.tokens) == 160
    assert len(best.spans) == 1 and best.spans[0].start > 80
    assert all(not result.detection.tokens for result in found.results[1:])


def test_holm() -> None:
    p = [0.01, 0.04, 0.03, None, 0.005]
    adjusted = holm([None if x is None else math.log(x) for x in p])
    assert [None if x is None else round(math.exp(x), 9) for x in adjusted] == [0.04, 0.09, 0.09, None, 0.025]
    assert holm([0.0, 0.0]) == [0.0, 0.0] and holm([-math.inf])[0] == -math.inf


def test_monte_carlo_tests_get_the_draws_they_need() -> None:
    class Recorder:
        def __init__(self) -> None:
            self.seen: list[DetectOptions] = []

        def detect(self, tokens: object, options: DetectOptions) -> object:
            self.seen.append(options)
            return replace(inner.detect(np.arange(50), options))

        def hazards(self) -> tuple[str, ...]:
            return ()

    inner = open_scheme("vllm-gumbel", {"scheme": "gumbel", "key": 5})
    recorder = Recorder()
    search_keys([("a", recorder)] * 8, np.arange(50), DetectOptions(alpha=0.01, runs=99))
    assert recorder.seen[0].runs >= 800 - 1 and recorder.seen[0].alpha == pytest.approx(0.00125)


def test_too_few_draws_for_many_keys_decide_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one key's draws can give does not suffice for a hundred: inconclusive, never "not detected"."""
    monkeypatch.setattr(key_search, "MAX_RUNS", 999)
    drawn = open_scheme("kuditipudi-library", {"scheme": "EXP-edit", "n": 16, "vocab_size": 50, "key_seed": 7})
    found = search_keys([("a", drawn)] * 100, np.arange(100) % 50, DetectOptions(alpha=0.01, runs=999, seed=1))
    best = found.best.detection
    assert best.least_p == pytest.approx(0.1) and best.decision == "inconclusive"


def test_family_wise_error_on_clean_texts() -> None:
    """With 10 keys, at alpha = 5 %, about 5 % of 200 clean texts find any key, not 40 %."""
    opened = schemes(keys_of(3, 10))
    rng = np.random.default_rng(4)
    options = DetectOptions(alpha=0.05)
    wrong = sum(bool(search_keys(opened, rng.integers(0, 1000, 40), options).found) for _ in range(200))
    assert 1 <= wrong <= 22  # mean 10, four standard deviations above


def test_refusals() -> None:
    with pytest.raises(ConfigError):
        search_keys([], np.arange(5), DetectOptions())
    with pytest.raises(CancelledError):
        search_keys(schemes([1]), np.arange(5), DetectOptions(), cancelled=lambda: True)
    short = search_keys(schemes([1, 2]), np.zeros(0, dtype=np.int64), DetectOptions(tokens=True))
    assert short.best.detection.p_value is None and short.found == ()
