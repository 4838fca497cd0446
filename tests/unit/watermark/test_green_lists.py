"""Green lists: marked texts are found, repeats count once, and nothing that is known without the key counts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from tests.unit.watermark.green_texts import KEY, VOCABULARY, green_scheme, marked_text, zipf_text
from watermark.detection import DetectOptions
from watermark.detectors.green_count import GreenEvidence
from watermark.families import open_scheme
from watermark.kernels.green_list import green_rows
from watermark.primitives.known_seeds import known_seeds, lost_bits
from watermark.primitives.lm_hash import fixed_table
from watermark.primitives.prf import FACTORS, PRFS, prf_seeds, wrap64
from watermark.schemes import green_rows as rows_module
from watermark.schemes.green_list import CHUNK, KEEP_FROM

EXTENDED = ("lefthash", "minhash", "skipgram", "selfhash")
DIALECTS: list[tuple[str, dict[str, Any]]] = [
    *(("kgw-lm-extended", {"seeding_scheme": name}) for name in EXTENDED),
    *(("kgw-lm-extended", {"seeding_scheme": f"ff-{prf}-3-{salt}-{KEY}"}) for prf in PRFS for salt in (False, True)),
    ("kgw-lm-extended", {"seeding_scheme": "lefthash", "select_green_tokens": False}),
    ("kgw-lm-basic", {}),
    ("kgw-transformers", {"seeding_scheme": "lefthash", "context_width": 2}),
    ("kgw-transformers", {"seeding_scheme": "selfhash", "context_width": 3}),
]


@pytest.mark.parametrize(("family", "config"), DIALECTS, ids=lambda value: str(value).replace(str(KEY), "K"))
def test_marked_text_is_found_and_clean_text_is_not(family: str, config: dict[str, Any]) -> None:
    scheme = green_scheme(family, **config)
    marked = scheme.detect(marked_text(scheme, 150, seed=1), DetectOptions())
    assert marked.decision == "watermarked" and marked.log_p is not None and marked.log_p < math.log(1e-6)
    assert scheme.detect(zipf_text(150, seed=2), DetectOptions()).decision != "watermarked"


@pytest.mark.parametrize("name", [*EXTENDED, "legacy"])
def test_colours_are_those_of_whole_lists(name: str) -> None:
    legacy = {"select_green_tokens": False} if name == "legacy" else {}
    scheme = green_scheme("kgw-lm-extended", seeding_scheme="lefthash" if legacy else name, **legacy)
    text = zipf_text(60, seed=3)
    width, last = scheme.config.context_width, int(not scheme.config.self_salt)
    found = scheme.evidence(text)
    for position, green in zip(found.positions.tolist(), found.green.tolist()):
        context = text[position - last - width + 1 : position - last + 1]
        entries = scheme.green_list(context)
        assert green == (text[position] in entries) and len(entries) == scheme.config.list_size


def test_repeats_count_once() -> None:
    """One sentence a hundred times, chosen so that its own p is small: repetition makes it no smaller."""
    for name in EXTENDED:
        for ignore in (True, False):
            scheme = green_scheme("kgw-lm-extended", seeding_scheme=name, ignore_repeated_ngrams=ignore)
            once = marked_text(scheme, 30, seed=4)
            single, many = (scheme.detect(np.tile(once, times), DetectOptions()) for times in (1, 100))
            assert many.num_distinct <= 30 + 5 and single.log_p is not None and many.log_p is not None
            assert many.log_p > single.log_p - 10 and (ignore or many.num_tokens_scored > 2900)
        clean = green_scheme("kgw-lm-extended", seeding_scheme=name)
        two = clean.detect(np.tile([7, 11], 100), DetectOptions())
        assert two.num_distinct <= 4 and two.decision == "inconclusive"


def test_unigram_counts_a_token_once_a_list() -> None:
    for num_keys in (1, 3):
        scheme: Any = open_scheme("unigram", {"vocab_size": 500, "fraction": 0.25, "watermark_key": 77, "num_keys": num_keys})
        green = np.flatnonzero(scheme.lists().all(axis=0))
        text = np.tile(green[:5], 200)
        found = scheme.detect(text, DetectOptions())
        assert found.num_distinct <= 5 * num_keys and found.decision == "inconclusive"
        assert found.num_tokens_scored == len(text) - (num_keys > 1) and found.num_green == found.num_tokens_scored
        wide = np.random.default_rng(5).choice(np.flatnonzero(scheme.lists()[0]), 120)
        assert num_keys > 1 or scheme.detect(wide, DetectOptions()).decision == "watermarked"
        lists = scheme.lists()
        drawn, colours = zipf_text(200, seed=6), scheme.green_mask(zipf_text(200, seed=6))
        start = int(num_keys > 1)
        previous = drawn[:-1] % num_keys if num_keys > 1 else np.zeros(200, dtype=int)
        assert np.array_equal(colours, lists[previous, drawn[start:]]) and lists.sum(axis=1).tolist() == [125] * num_keys


def green_under(seed: int, vocab_size: int) -> Any:
    row = green_rows(np.array([seed], dtype=np.uint32), vocab_size, vocab_size // 4)
    found = np.flatnonzero(np.unpackbits(row, axis=1, count=vocab_size)[0])
    return np.random.default_rng(0).permutation(found[found > 0])


def attack(zeros: int, others: int, targets: Any) -> Any:
    """Runs of token 0 between tokens that are green under a list that everybody knows."""
    groups = targets[: len(targets) // others * others].reshape(-1, others)
    return np.concatenate([np.zeros((len(groups), zeros), dtype=np.int64), groups], axis=1).ravel()


@pytest.mark.parametrize(
    ("name", "zeros", "others", "seed"),
    [
        ("lefthash", 1, 1, 0), ("minhash", 4, 1, 250535), ("minhash", 1, 3, 250535), ("minhash", 2, 2, 250535),
        ("skipgram", 1, 5, 250535), ("skipgram", 5, 1, 250535), ("ff-additive_prf-3-False", 3, 1, 0),
        ("ff-multiplicative_prf-3-False", 1, 2, 0), ("ff-minfunc_prf-3-False", 1, 2, 0), ("ff-position_prf-3-False", 3, 1, 0),
        ("ff-anchored_skipgram_prf-2-False", 2, 1, 250535**2 & 0xFFFFFFFF), ("ff-simple_skip_prf-2-False", 1, 2, 250535),
        ("ff-minskipgram_prf-3-False", 2, 2, 250535**2 & 0xFFFFFFFF),
    ],
)  # fmt: skip
def test_lists_that_need_no_key_do_not_count(name: str, zeros: int, others: int, seed: int) -> None:
    """A text of pairs that are green under the list of token 0 carries nobody's mark, whatever the key."""
    vocab_size, rng = 4001, np.random.default_rng(7)
    text = attack(zeros, others, green_under(seed, vocab_size)[:600])
    found = []
    for _ in range(6):
        key = int(rng.integers(1 << 61)) | 1
        named = {"seeding_scheme": f"{name}-{key}"} if name.startswith("ff") else {"seeding_scheme": name, "hash_key": key}
        scheme: Any = open_scheme("kgw-lm-extended", {"vocab_size": vocab_size, **named})
        evidence: GreenEvidence = scheme.evidence(text)
        assert (evidence.scored & ~evidence.counted).sum() >= 60  # the reference counts them
        log_p = scheme.detect(text, DetectOptions()).log_p
        found.append(0.0 if log_p is None else log_p)
    assert np.median(found) > math.log(0.05) and min(found) > math.log(1e-4)


def test_products_with_powers_of_two_do_not_count() -> None:
    """A context whose hashes are multiples of 2^16 gives the seed 0 or 2^32 - 1 under any key."""
    low = int(np.argmax((fixed_table()[:50272] + 1) % (1 << 16) == 0))
    assert low == 7771
    share = np.mean([np.isin(np.arange(50272), green_under(seed, 50272)) for seed in (0, 0xFFFFFFFF)], axis=0)
    targets = np.flatnonzero(share == 1.0)[:300]
    text = np.concatenate([np.array([[low] * 4]).repeat(300, axis=0), targets[:, None]], axis=1).ravel()
    name = f"ff-anchored_minhash_prf-4-False-{KEY}"
    scheme = green_scheme("kgw-lm-extended", vocab_size=50272, seeding_scheme=name)
    found = scheme.detect(text, DetectOptions())
    assert found.z_score is not None and found.z_score > 4  # what the reference would have said
    assert found.p_value is not None and found.p_value > 1e-3


def test_honest_seeds_are_kept() -> None:
    rng = np.random.default_rng(8)
    contexts = rng.integers(1, 50272, (20_000, 4))
    for name in PRFS:
        for key in (15485863, KEY, (1 << 63) - 25):
            left_out = known_seeds(name, contexts, key, prf_seeds(name, contexts, key)).mean()
            assert left_out < (0.01 if name in ("multiplicative_prf", "noncomm_prf") else 1e-3), (name, key)


def test_which_factors_leave_too_few_lists() -> None:
    contexts = np.array([[0, 0], [1, 0], [1 << 13, 0], [1 << 21, 1 << 21], [3, 5]])
    seeds = prf_seeds("additive_prf", contexts, 15485863)
    assert known_seeds("additive_prf", contexts, 15485863, seeds).tolist() == [True, False, False, True, False]
    assert known_seeds("additive_prf", contexts, KEY, seeds).tolist() == [True, False, False, False, False]
    assert lost_bits(np.array([0, 0xFFFFFFFF, 1 << 20, (1 << 20) - 1, 1 << 19, 5], dtype=np.uint32), 1).tolist() == [
        True, True, True, True, False, False,
    ]  # fmt: skip
    assert lost_bits(np.array([0, 1 << 20, 5], dtype=np.uint32), 1 << 40).tolist() == [True, False, False]


def test_unbounded_products() -> None:
    """Wide factors, as contexts of many tokens give them: Python's integers are the truth."""
    rng = np.random.default_rng(9)
    contexts = np.concatenate([rng.integers(0, 1 << 22, (200, 6)), np.full((1, 6), 1 << 21), np.array([[1 << 21] * 3 + [1] * 3])])
    for key in (3, 15485863, KEY, (1 << 63) - 1):
        for name in FACTORS:
            factors = [
                wrap64(math.prod(row)) if "multi" in name else sum(row) if "add" in name else min(row)
                for row in contexts.tolist()
            ]
            expected = [(key * factor % ((1 << 64) - 1)) & 0xFFFFFFFF for factor in factors]
            assert prf_seeds(name, contexts, key).tolist() == expected
    assert prf_seeds("multiplicative_prf", np.array([[1 << 21, 1 << 21, 1 << 21]]), 3).tolist() == [
        (3 * -(1 << 63) % ((1 << 64) - 1)) & 0xFFFFFFFF
    ]


def test_kept_lists_answer_like_the_permutation(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(10)
    seeds, tokens = rng.integers(0, 40, 3000).astype(np.uint32), rng.integers(0, VOCABULARY, 3000)
    for legacy in (False, True):
        direct = green_scheme("kgw-lm-basic", select_green_tokens=not legacy).is_green(seeds, tokens)
        kept = green_scheme("kgw-lm-basic", select_green_tokens=not legacy)
        kept.remember(np.arange(20, dtype=np.uint32))
        assert len(kept._rows) == 20 and np.array_equal(kept.is_green(seeds, tokens), direct)
        kept.remember(np.arange(40, dtype=np.uint32))
        assert len(kept._rows) == 40 and np.array_equal(kept.is_green(seeds, tokens), direct)
    monkeypatch.setattr(rows_module, "MAX_BYTES", 30 * ((VOCABULARY + 7) // 8))
    small = green_scheme("kgw-lm-basic")
    expected = green_scheme("kgw-lm-basic").is_green(seeds, tokens)
    for start in range(0, 40, 8):
        small.remember(np.arange(start, start + 8, dtype=np.uint32))
        assert min(start + 8, 30) <= len(small._rows) <= 30 and np.array_equal(small.is_green(seeds, tokens), expected)
    frequent = green_scheme("kgw-lm-basic")
    frequent.remember(np.repeat(np.arange(40, dtype=np.uint32), np.r_[[1] * 10, [2] * 30]))
    kept_seeds, _ = frequent._rows.look_up(np.arange(40, dtype=np.uint32), np.zeros(40, dtype=np.int64))
    assert kept_seeds.tolist() == [False] * 10 + [True] * 30


def test_whole_lists_are_kept_from_a_while_on() -> None:
    scheme, fresh = (green_scheme("kgw-lm-extended", seeding_scheme="lefthash") for _ in range(2))
    for seed in range(KEEP_FROM // 500 + 3):
        scheme.detect(zipf_text(1000, seed=seed), DetectOptions())
    assert len(scheme._rows) > 100 and not len(fresh._rows)
    text = zipf_text(1000, seed=99)
    assert scheme.detect(text, DetectOptions(tokens=True)) == fresh.detect(text, DetectOptions(tokens=True))


def test_chunks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    scheme = green_scheme("kgw-lm-extended", seeding_scheme="selfhash")
    text = zipf_text(300, seed=11)
    whole = scheme.detect(text, DetectOptions(tokens=True))
    monkeypatch.setattr("watermark.schemes.green_list.CHUNK", 7)
    assert CHUNK > 1000 and scheme.detect(text, DetectOptions(tokens=True)) == whole


def test_spans_of_a_mixed_text() -> None:
    for name in EXTENDED:
        scheme = green_scheme("kgw-lm-extended", seeding_scheme=name)
        text = np.concatenate([zipf_text(200, seed=12), marked_text(scheme, 120, seed=13), zipf_text(200, seed=14)])
        spans = scheme.detect(text, DetectOptions(spans=True)).spans
        assert len(spans) == 1 and abs(spans[0].start - 200) < 40 and abs(spans[0].end - 320) < 40
        assert scheme.detect(text[:200], DetectOptions(spans=True)).spans == ()


def test_a_leading_bos_is_dropped() -> None:
    text = zipf_text(80, seed=15)
    plain, with_bos = green_scheme("kgw-lm-basic"), green_scheme("kgw-lm-basic", bos_token_id=2)
    given = np.concatenate([[2], text])
    found = with_bos.evidence(given)
    assert np.array_equal(found.green, plain.evidence(text).green) and found.positions[0] == 2
    assert len(plain.evidence(given).green) == len(found.green) + 1
    assert len(with_bos.evidence(np.array([2])).green) == 0
