"""vLLM's Gumbel dialect: marked texts are found and located, repeats count once, bad configurations are named."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from tests.unit.watermark.gumbel_texts import gumbel_text
from watermark.detection import DetectOptions
from watermark.errors import ConfigError
from watermark.families import detect, find_dialect, open_scheme
from watermark.primitives.philox import uniforms, vocabulary_uniforms
from watermark.schemes.gumbel_config import read_config
from watermark.schemes.vllm_gumbel import DIALECT, sufficient_tokens

KEY = 0x9E3779B97F4A7C15
SINGLE: dict[str, Any] = {"scheme": "gumbel", "key": KEY}
DUAL: dict[str, Any] = {"scheme": "dual_key_gumbel", "key": KEY, "alpha": 0.1}


def test_row_equals_single_uniforms() -> None:
    for width in (1, 4, 6):
        context = np.arange(width) * 7919 - 1
        row = vocabulary_uniforms(context, 1003, KEY)
        each = uniforms(np.tile(context, (1003, 1)), np.arange(1003), KEY)
        assert row.dtype == np.float32 and np.array_equal(row, each)
        assert row.min() > 0 and row.max() < 1


@pytest.mark.parametrize("config", [SINGLE, DUAL])
def test_marked_text(config: dict[str, Any]) -> None:
    scheme = open_scheme("vllm-gumbel", config)
    text = gumbel_text(config, 120, seed=1)
    found = scheme.detect(text, DetectOptions())
    assert found.decision == "watermarked" and found.log_p is not None and found.log_p < math.log(1e-9)
    wrong = open_scheme("vllm-gumbel", {**config, "key": KEY ^ 1}).detect(text, DetectOptions())
    assert wrong.decision != "watermarked"
    clean = np.random.default_rng(2).integers(0, 500, 400)
    mixed = scheme.detect(np.concatenate([clean[:200], text, clean[200:]]), DetectOptions(spans=True, tokens=True))
    assert len(mixed.spans) == 1
    assert abs(mixed.spans[0].start - 200) < 25 and abs(mixed.spans[0].end - 320) < 25
    assert len(mixed.tokens) == 520 and scheme.detect(clean, DetectOptions(spans=True)).spans == ()


@pytest.mark.parametrize("config", [SINGLE, DUAL])
def test_repeats_count_once(config: dict[str, Any]) -> None:
    """One sentence a hundred times, chosen so that its own p is small: the repetition makes it no smaller."""
    once = gumbel_text(config, 30, seed=3)
    for deduplicate in (True, False):
        scheme = open_scheme("vllm-gumbel", {**config, "deduplicate_contexts": deduplicate})
        found = scheme.detect(np.tile(once, 100), DetectOptions())
        assert found.num_distinct == 34  # 30, and the four contexts across the first seam
        assert found.num_tokens_scored == (34 if deduplicate else 3000)
        assert bool(found.warnings) != deduplicate
        assert found.p_value is not None and found.p_value > 1e-40
        assert deduplicate or found.reference_p_value == 0.0


def test_chunks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = np.random.default_rng(6).integers(0, 30, 300)
    whole = open_scheme("vllm-gumbel", {**DUAL, "context_width": 2}).detect(ids, DetectOptions(tokens=True))
    monkeypatch.setattr("watermark.schemes.vllm_gumbel.CHUNK", 7)
    assert open_scheme("vllm-gumbel", {**DUAL, "context_width": 2}).detect(ids, DetectOptions(tokens=True)) == whole
    assert whole.num_distinct < 300


def test_same_context_other_token_counts_without_deduplication() -> None:
    ids = np.array([1, 2, 1, 3, 1, 2])
    config = {**SINGLE, "context_width": 1}
    assert detect("vllm-gumbel", config, ids.tolist()).num_distinct == 4  # -1, 1, 2, 3 precede something
    assert detect("vllm-gumbel", {**config, "deduplicate_contexts": False}, ids.tolist()).num_distinct == 5


def test_short_texts_are_inconclusive() -> None:
    empty = detect("vllm-gumbel", SINGLE, [])
    assert empty.p_value is None and empty.reference_p_value is None and empty.decision == "inconclusive"
    short = detect("vllm-gumbel", SINGLE, gumbel_text(SINGLE, 12, seed=5).tolist())
    assert short.p_value is not None and short.p_value < 1e-3 and short.decision == "inconclusive"
    assert 16 <= sufficient_tokens((1.0,), 1e-3) < sufficient_tokens((0.9, 0.1), 1e-3) < sufficient_tokens((0.9, 0.1), 1e-9)


def test_hazards_and_secrecy() -> None:
    assert DIALECT.open(SINGLE).hazards() == ()
    assert len(DIALECT.open({**SINGLE, "key": 42, "deduplicate_contexts": False}).hazards()) == 2
    assert len(DIALECT.open({**DUAL, "alpha": 1}).hazards()) == 1
    assert str(KEY) not in repr(read_config(SINGLE)) and str(read_config(DUAL).keys[0]) not in repr(read_config(DUAL))


def test_new_configurations() -> None:
    dialect = find_dialect("vllm-gumbel")
    first, second = dialect.new_config({}), dialect.new_config({"scheme": "dual_key_gumbel", "alpha": 0.2})
    assert first["key"] != second["key"] and second["alpha"] == 0.2 and "alpha" not in first
    assert dialect.secrets() == ("key",)
    with pytest.raises(ConfigError):
        dialect.new_config({"key": 5})


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"key": -1}, "key"), ({"key": 1 << 64}, "key"), ({"key": "5"}, "key"), ({"key": 1.0}, "key"), ({"key": None}, "key"),
        ({"context_width": 0}, "context_width"), ({"context_width": 65}, "context_width"), ({"context_width": True}, "width"),
        ({"alpha": 0.1}, "alpha"), ({"scheme": "dual_key_gumbel", "alpha": 1.5}, "alpha"),
        ({"scheme": "dual_key_gumbel", "alpha": math.nan}, "alpha"), ({"scheme": "sbw"}, "scheme"),
        ({"p_value_threshold": "x"}, "p_value_threshold"), ({"deduplicate_contexts": 1}, "deduplicate_contexts"),
        ({"vocab_size": 0}, "vocab_size"), ({"gamma": 0.5}, "gamma"),
    ],
)  # fmt: skip
def test_bad_configurations(change: dict[str, Any], word: str) -> None:
    with pytest.raises(ConfigError) as caught:
        DIALECT.open({**SINGLE, **change})
    assert word in str(caught.value) and str(KEY) not in str(caught.value)
