"""SynthID-Text: bit for bit against transformers where it is installed, the exact null against enumeration, and bad input."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

from watermark.detection import DetectOptions
from watermark.errors import ConfigError, TokenError
from watermark.families import as_tokens, detect, find_dialect
from watermark.nulls.key_shift import log_tail_over_shifts, scores_of_all_shifts
from watermark.schemes.synthid import DIALECT, depth_weights

KEYS = [654, 400, 836, 123, 340, 443, 597, 160, 57, 1 << 62, -5, (1 << 63) - 1]


def tokens(seed: int, length: int, vocab: int = 50257) -> Any:
    rng = np.random.default_rng(seed)
    return rng.integers(0, vocab, length) if seed % 2 else rng.zipf(1.3, length) % vocab


def sample_text(scheme: Any, seed: int, length: int, vocab: int = 400, sigma: float = 3.0) -> Any:
    """A text drawn through the tournament of the reference's processor, from Gaussian logits."""
    rng = np.random.default_rng(seed)
    width = scheme.config.ngram_len - 1
    text = [0] * width
    for _ in range(length):
        logits = sigma * rng.standard_normal(vocab)
        p = np.exp(logits - logits.max())
        p /= p.sum()
        for g in scheme.row(np.array(text[-width:]), vocab).T:
            p = p * (1 + g - (g * p).sum())
        p = np.maximum(p, 0)
        text.append(int(rng.choice(vocab, p=p / p.sum())))
    return np.array(text[width:])


@pytest.mark.parametrize(
    ("ngram_len", "size", "seed", "history"),
    [(5, 65536, 0, 1024), (2, 1 << 10, 7, 3), (3, 1000, 2**33 + 5, 16), (8, 65537, 1, 64)],
)
def test_equals_transformers(ngram_len: int, size: int, seed: int, history: int) -> None:
    torch = pytest.importorskip("torch")
    process = pytest.importorskip("transformers.generation.logits_process")
    reference = process.SynthIDTextWatermarkLogitsProcessor(ngram_len, KEYS, size, seed, history, torch.device("cpu"))
    config = {
        "ngram_len": ngram_len,
        "keys": KEYS,
        "sampling_table_size": size,
        "sampling_table_seed": seed,
        "context_history_size": history,
        "eos_token_id": 11,
    }
    scheme = DIALECT.open(config)
    assert np.array_equal(scheme.table, reference.sampling_table.numpy())
    for case, length in ((1, 40), (2, 300), (4, ngram_len)):
        ids = np.concatenate([tokens(case, length, 60), tokens(case, length, 60)])
        batch = torch.tensor(ids[None])
        g = reference.compute_g_values(batch)[0].numpy()
        mask = reference.compute_context_repetition_mask(batch)[0].numpy()
        mask = mask * reference.compute_eos_token_mask(batch, 11)[0, ngram_len - 1 :].numpy()
        contexts, hashed = scheme.hashes(ids)
        assert np.array_equal(scheme.sample(hashed), g)
        assert np.array_equal(scheme.masks(ids, contexts), mask.astype(bool))
        found = scheme.detect(ids, DetectOptions())
        assert found.num_tokens_scored == mask.sum()
        if mask.sum():
            mean = (g * mask[:, None]).sum() / (g.shape[1] * mask.sum())
            weighted = (g * depth_weights(g.shape[1]) * mask[:, None]).sum() / (g.shape[1] * mask.sum())
            assert found.statistic == pytest.approx(mean, rel=1e-12)
            assert found.details["weighted_mean"] == pytest.approx(weighted, rel=1e-12)
    context = torch.tensor([[3, 1, 4, 1, 5, 9, 2][: ngram_len - 1]])
    keys, _ = reference._compute_keys(context, torch.arange(97)[None])
    assert np.array_equal(scheme.row(context[0].numpy(), 97), reference.sample_g_values(keys)[0].numpy())


def test_shift_scores_are_what_every_key_gives() -> None:
    """One depth, a table of 64: the closed list of scores equals scoring under each of the 64 keys."""
    ids = tokens(2, 200, 50)
    base = {"ngram_len": 3, "sampling_table_size": 64, "sampling_table_seed": 3, "context_history_size": 8}
    ones = [detect("synthid", {**base, "keys": [key]}, ids.tolist()).test["ones"][0] for key in range(64)]
    p_values = np.array([detect("synthid", {**base, "keys": [key]}, ids.tolist()).p_value for key in range(64)], dtype=float)
    assert len(set(ones)) > 5
    order = np.array(ones)
    for key in range(64):
        assert p_values[key] == pytest.approx((order >= order[key]).mean(), abs=1e-12)


def test_several_depths_equal_enumeration() -> None:
    rng = np.random.default_rng(4)
    null = scores_of_all_shifts(rng.integers(0, 16, 30), rng.integers(0, 2, 16).astype(float))
    weights = np.array([5, 3, 1])
    sums = [int(null[list(c)] @ weights) for c in itertools.product(range(16), repeat=3)]
    for shifts in ((0, 0, 0), (3, 9, 14), (7, 7, 1), tuple([int(np.argmax(null))] * 3)):
        observed = null[list(shifts)]
        exact = np.mean(np.array(sums) >= int(observed @ weights))
        log_p, step = log_tail_over_shifts(null, observed, weights)
        assert step == 1
        assert math.exp(log_p) == pytest.approx(exact, rel=1e-9)


def test_coarse_lattices_only_enlarge_p(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    null = scores_of_all_shifts(rng.integers(0, 256, 5000), rng.integers(0, 2, 256).astype(float))
    weights = np.arange(10, 0, -1)
    observed = np.sort(null)[-60:-50]
    exact, _ = log_tail_over_shifts(null, observed, weights)
    monkeypatch.setattr("watermark.nulls.key_shift.MAX_LATTICE", 2000)
    coarse, step = log_tail_over_shifts(null, observed, weights)
    assert step > 1 and exact < coarse < exact / 2


def test_marked_text_is_found_and_located() -> None:
    keys = np.random.default_rng(8).integers(0, 1 << 62, (2, 20)).tolist()
    config = {"ngram_len": 5, "keys": keys[0]}
    scheme = DIALECT.open(config)
    marked = sample_text(scheme, 1, 120)
    clean = tokens(1, 300, 400)
    assert scheme.detect(marked, DetectOptions()).decision == "watermarked"
    assert scheme.detect(clean, DetectOptions()).log_p > math.log(1e-6)
    other = DIALECT.open({**config, "keys": keys[1]})
    assert other.detect(marked, DetectOptions()).log_p > math.log(1e-6)
    mixed = np.concatenate([clean[:200], marked, clean[200:]])
    found = scheme.detect(mixed, DetectOptions(spans=True, tokens=True))
    assert len(found.spans) == 1 and abs(found.spans[0].start - 200) < 20 and abs(found.spans[0].end - 320) < 20
    assert len(found.tokens) == mixed.size and found.tokens[0].counted is False
    means = [token.score for token in found.tokens]
    assert np.mean(means[204:320]) > np.mean(means[4:200]) + 0.1


def test_repeats_count_once() -> None:
    scheme = DIALECT.open({"ngram_len": 5, "keys": np.random.default_rng(9).integers(0, 1 << 62, 30).tolist()})
    once = tokens(3, 50)
    repeated = scheme.detect(np.tile(once, 40), DetectOptions())
    assert repeated.num_distinct == 50  # 46 n-grams and those across the seam
    assert repeated.p_value is not None and repeated.p_value > 1e-6


def test_nothing_to_score() -> None:
    config = {"ngram_len": 5, "keys": [1, 2], "eos_token_id": 0}
    for ids in ([], [1, 2, 3, 4], [0, 1, 2, 3, 4, 5, 6]):
        found = detect("synthid", config, ids)
        assert found.p_value is None and found.decision == "inconclusive" and found.warnings
    odd = detect("synthid", {"ngram_len": 2, "keys": [5], "sampling_table_size": 1000}, list(range(100)))
    assert odd.statistic is not None and odd.p_value is None and "power of two" in odd.warnings[0]


def test_too_many_g_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("watermark.schemes.synthid.MAX_G_VALUES", 100)
    with pytest.raises(TokenError):
        detect("synthid", {"ngram_len": 5, "keys": [1, 2]}, list(range(51)))


def test_repeated_keys_and_weak_keys_are_named() -> None:
    scheme = DIALECT.open({"ngram_len": 5, "keys": [7, 7 + 65536, 9]})
    assert scheme.detect(tokens(1, 60), DetectOptions()).test["depths"] == [0, 2]
    assert any("same key" in sentence for sentence in scheme.hazards())
    assert not any("uniformly" in sentence for sentence in DIALECT.open(DIALECT.new_config({})).hazards())
    assert any("uniformly" in sentence for sentence in DIALECT.open({"ngram_len": 5, "keys": [654, 400]}).hazards())


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"keys": []}, "keys"), ({"keys": ["a"]}, "keys[0]"), ({"keys": [1 << 63]}, "keys[0]"), ({"keys": [True]}, "keys[0]"),
        ({"keys": [1] * 257}, "256"), ({"ngram_len": 1}, "ngram_len"), ({"ngram_len": None}, "ngram_len"),
        ({"sampling_table_size": 1 << 25}, "sampling_table_size"), ({"context_history_size": 0}, "context_history_size"),
        ({"debug_mode": 1}, "debug_mode"), ({"eos_token_id": -1}, "eos_token_id"), ({"colour": 1}, "colour"),
        ({"scheme": "gumbel"}, "scheme"),
    ],
)  # fmt: skip
def test_bad_configurations(change: dict[str, Any], word: str) -> None:
    with pytest.raises(ConfigError) as caught:
        DIALECT.open({"ngram_len": 5, "keys": [99991, 2], **change})
    assert word in str(caught.value)
    assert "99991" not in str(caught.value)


def test_new_configurations() -> None:
    config = find_dialect("synthid").new_config({"depth": 9, "ngram_len": 4})
    assert len(config["keys"]) == 9 and config["ngram_len"] == 4
    assert repr(DIALECT.open(config).config).find(str(config["keys"][0])) == -1
    for wrong in ({"keys": [1]}, {"depth": 0}, {"depth": 10**9}, {"depth": "3"}):
        with pytest.raises(ConfigError):
            DIALECT.new_config(wrong)
    assert as_tokens([1, 2], None).dtype == np.int64
