"""Marks at generation: equal to the references where those run, and read back by the detector of the same key."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.unit.watermark.markov_model import VOCABULARY, chain, write  # noqa: E402
from watermark.detection import DetectOptions  # noqa: E402
from watermark.errors import ConfigError  # noqa: E402
from watermark.families import open_scheme  # noqa: E402
from watermark.generation.marks import open_mark  # noqa: E402
from watermark.primitives.mersenne import generator, randperm  # noqa: E402

V = {"vocab_size": VOCABULARY}
LM = "kgw-lm-extended"
SCHEMES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    # family, configuration, what makes the key another one
    "basic": ("kgw-lm-basic", {**V, "gamma": 0.5, "delta": 2.0, "hash_key": 32452843}, {"hash_key": 15485863}),
    "last G": ("kgw-lm-basic", {**V, "delta": 2.0, "hash_key": 7919, "select_green_tokens": False}, {"hash_key": 104729}),
    "hard": ("kgw-lm-basic", {**V, "delta": "Infinity", "hash_key": 32452843}, {"hash_key": 15485863}),
    "minhash": (LM, {**V, "seeding_scheme": "ff-minhash_prf-4-False-32452843", "delta": 2.0}, {"seeding_scheme": "minhash"}),
    "skipgram": (LM, {**V, "seeding_scheme": "skipgram", "delta": 2.0}, {"seeding_scheme": "ff-skipgram_prf-5-False-7919"}),
    "selfhash": (
        LM,
        {**V, "seeding_scheme": "selfhash", "delta": 2.0},
        {"seeding_scheme": "ff-anchored_minhash_prf-4-True-7919"},
    ),
    "transformers": ("kgw-transformers", {**V, "bias": 2.0, "hashing_key": 32452843}, {"hashing_key": 15485863}),
    "transformers selfhash": (
        "kgw-transformers",
        {**V, "bias": 2.5, "hashing_key": 32452843, "seeding_scheme": "selfhash", "context_width": 4},
        {"hashing_key": 15485863},
    ),
    "unigram": ("unigram", {**V, "fraction": 0.5, "strength": 3.0, "watermark_key": 5}, {"watermark_key": 6}),
    "unigram of 3 keys": ("unigram", {**V, "strength": 3.0, "num_keys": 3, "watermark_key": 5}, {"watermark_key": 9}),
    "exp": ("kuditipudi-library", {**V, "scheme": "EXP", "key_seed": 5}, {"key_seed": 6}),
    "its": ("kuditipudi-library", {**V, "scheme": "ITS", "key_seed": 5}, {"key_seed": 6}),
    "demo": ("kuditipudi-demo-python", {**V, "scheme": "EXP-edit", "gamma": 0.0, "key": 43}, {"key": 44}),
    "gumbel": ("vllm-gumbel", {"scheme": "gumbel", "key": (1 << 63) + 5}, {"key": 12345678901234567}),
    "gumbel of 2 keys": ("vllm-gumbel", {"scheme": "dual_key_gumbel", "key": (1 << 63) + 5}, {"key": 12345678901234567}),
    "synthid": ("synthid", {"ngram_len": 5, "keys": [3**k for k in range(1, 31)]}, {"keys": [5**k for k in range(1, 28)]}),
}


@pytest.mark.parametrize("name", SCHEMES)
def test_what_is_written_is_read_with_its_key_only(name: str) -> None:
    family, config, other = SCHEMES[name]
    texts = write(open_mark(family, config), 200, rows=2)
    options = DetectOptions(seed=1, runs=999)
    right, wrong = open_scheme(family, config), open_scheme(family, {**config, **other})
    limit = math.log(0.001) if name in ("its", "demo") else math.log(1e-6)
    for text in texts:
        assert right.detect(text, options).log_p <= limit  # type: ignore[operator]
        assert wrong.detect(text, options).p_value > 0.001  # type: ignore[operator]


@pytest.mark.parametrize("scheme", ["lefthash", "selfhash"])
@pytest.mark.parametrize("width", [1, 3])
def test_green_lists_equal_those_of_transformers(scheme: str, width: int) -> None:
    from transformers import WatermarkLogitsProcessor

    config = {"vocab_size": 300, "greenlist_ratio": 0.25, "bias": 2.5, "hashing_key": 15485863, "context_width": width}
    names = {name: value for name, value in config.items() if name != "vocab_size"}
    reference = WatermarkLogitsProcessor(300, "cpu", seeding_scheme=scheme, **names)
    mark = open_mark("kgw-transformers", {**config, "seeding_scheme": scheme})
    ids = torch.randint(300, (4, 6), generator=torch.Generator().manual_seed(1))
    for step in range(3):
        scores = torch.randn(4, 300, generator=torch.Generator().manual_seed(step))
        assert torch.equal(mark.logits_processor(2, [0] * 4)(ids, scores), reference(ids, scores))
        ids = torch.cat([ids, ids[:, :1] + step], dim=1)
    assert torch.equal(mark.logits_processor(1, [0])(ids[:1, : width - 1], scores[:1]), scores[:1])


@pytest.mark.parametrize("history", [1024, 3])
@pytest.mark.parametrize("skip", [False, True])
def test_the_tournament_equals_that_of_transformers(history: int, skip: bool) -> None:
    from transformers import SynthIDTextWatermarkLogitsProcessor

    config = {
        "ngram_len": 3, "keys": [7, -12345678901234567, (1 << 62) + 3, 99], "sampling_table_size": 1 << 10,
        "sampling_table_seed": 4, "context_history_size": history, "skip_first_ngram_calls": skip,
    }  # fmt: skip
    reference = SynthIDTextWatermarkLogitsProcessor(**config, device=torch.device("cpu"))
    processor = open_mark("synthid", config).logits_processor(4, [0, 1])
    draws = torch.Generator().manual_seed(2)
    ids, repeated = torch.randint(9, (2, 4), generator=draws), 0
    for _ in range(20):
        scores = torch.randn(2, 40, generator=draws) * 3
        scores[:, 30:] = -torch.inf
        wanted = reference(ids, scores)
        found = processor(ids, scores)
        assert torch.allclose(found, wanted, rtol=1e-4, atol=1e-4)
        repeated += int(torch.equal(found[0], scores[0]))
        ids = torch.cat([ids, torch.randint(2, (2, 1), generator=draws)], dim=1)  # two tokens: contexts come again
    assert repeated > 2


@pytest.mark.parametrize("select_first", [True, False])
def test_selfhash_tries_the_first_41_candidates(select_first: bool) -> None:
    """Beside the loop of the reference: candidates from the likeliest down, each boosted where its own list holds it."""
    config = {**V, "seeding_scheme": "selfhash", "gamma": 0.25, "delta": 2.0, "select_green_tokens": select_first}
    scheme: Any = open_scheme(LM, config)
    ids, scores = torch.tensor([[5, 6, 7, 8]]), torch.randn(1, VOCABULARY, generator=torch.Generator().manual_seed(3))
    wanted = scores.clone()
    for token in scores[0].argsort(descending=True)[:41].tolist():
        seed = scheme.seed_of(np.array([6, 7, 8, token]))
        order = randperm(generator(seed), VOCABULARY)
        size = VOCABULARY // 4
        if token in (order[:size] if select_first else order[-size:]):
            wanted[0, token] += 2.0
    assert torch.equal(open_mark(LM, config).logits_processor(2, [0])(ids, scores), wanted)


def test_a_hard_mark_leaves_green_tokens_unless_none_is_possible() -> None:
    family, config, _ = SCHEMES["hard"]
    scheme: Any = open_scheme(family, config)
    processor = open_mark(family, config).logits_processor(1, [0, 0])
    green = scheme.green_list(np.array([3]))
    scores = torch.zeros(2, VOCABULARY)
    scores[1, green] = -torch.inf
    found = processor(torch.tensor([[3], [3]]), scores)
    assert np.array_equal(torch.isfinite(found[0]).nonzero()[:, 0].numpy(), green)
    assert torch.equal(found[1], scores[1])


def test_exponential_minimum_sampling_by_its_definition() -> None:
    config = {**V, "scheme": "EXP", "key_seed": 5, "n": 16}
    scheme: Any = open_scheme("kuditipudi-library", config)
    mark = open_mark("kuditipudi-library", config)
    offset = mark.writer.start(9)
    scores = chain()[:1]
    p = torch.softmax(scores.double(), dim=1)[0].numpy()
    chosen = mark.logits_processor(3, [9])(torch.zeros(1, 3 + 20, dtype=torch.long), scores).argmax().item()
    assert chosen == np.argmax(np.log(scheme.key.matrix()[(offset + 20) % 16].astype(float)) / p)


@pytest.mark.parametrize("name", ["exp", "its", "gumbel"])
def test_one_token_over_keys_has_the_distribution_of_the_model(name: str) -> None:
    stats = pytest.importorskip("scipy.stats")
    family, config, other = SCHEMES[name]
    scores = torch.log(torch.tensor([[0.4, 0.3, 0.0, 0.2, 0.1]]))
    member = next(iter(other))
    counts = np.zeros(5)
    for key in range(1500):
        sized = {"vocab_size": 5, "n": 4} if family.startswith("kud") else {}
        mark = open_mark(family, {**config, **sized, member: 1_000_003 * key})
        counts[int(mark.logits_processor(1, [key])(torch.tensor([[1]]), scores).argmax())] += 1
    assert counts[2] == 0
    kept = counts[[0, 1, 3, 4]]
    assert stats.chisquare(kept, np.array([0.4, 0.3, 0.2, 0.1]) * 1500).pvalue > 1e-3


def test_every_row_starts_at_an_offset_of_its_own() -> None:
    family, config, _ = SCHEMES["exp"]
    mark = open_mark(family, config)
    assert len({mark.writer.start(seed) for seed in range(200)}) > 100
    assert mark.writer.start(3) == mark.writer.start(3)


@pytest.mark.parametrize("name", ["selfhash", "gumbel of 2 keys", "synthid", "its", "unigram of 3 keys"])
def test_a_row_does_not_depend_on_its_batch(name: str) -> None:
    family, config, _ = SCHEMES[name]
    mark = open_mark(family, config)
    draws = torch.Generator().manual_seed(4)
    ids = torch.randint(VOCABULARY, (3, 12), generator=draws)
    together, alone = mark.logits_processor(4, [7, 8, 9]), mark.logits_processor(4, [8])
    for length in range(4, 13):
        scores = chain()[ids[:, length - 1]]
        row = alone(ids[1:2, :length], scores[1:2])[0]
        assert torch.allclose(together(ids[:, :length], scores)[1], row, atol=1e-5)


def test_a_context_that_came_before_is_sampled_freely() -> None:
    ids = torch.tensor([[9, 1, 1, 1, 1, 1, 1]])
    scores = torch.zeros(1, 50)
    for deduplicate in (True, False):
        config = {"scheme": "gumbel", "key": 1 << 60, "context_width": 2, "deduplicate_contexts": deduplicate}
        processor = open_mark("vllm-gumbel", config).logits_processor(1, [0])
        free = [bool(torch.isfinite(processor(ids[:, : 1 + step], scores)).all()) for step in range(7)]
        assert free == [deduplicate and step > 2 for step in range(7)]


def test_filters_before_the_mark_are_kept() -> None:
    def best_three(scores: Any) -> Any:
        return scores.masked_fill(scores < scores.topk(3).values[:, -1:], -torch.inf)

    likely = chain().topk(3).indices
    for name in ("exp", "its", "gumbel", "synthid", "selfhash", "hard"):
        family, config, _ = SCHEMES[name]
        for text in write(open_mark(family, config), 30, rows=1, filters=best_three):
            assert all(token in likely[before] for before, token in pairwise(text))


def test_wider_scores_are_taken_and_narrower_ones_refused() -> None:
    wide = torch.zeros(1, VOCABULARY + 8)
    for name, (family, config, _) in SCHEMES.items():
        mark = open_mark(family, config)
        found = mark.logits_processor(4, [0])(torch.ones(1, 8, dtype=torch.long), wide)
        assert found.shape == wide.shape and not torch.isnan(found).any(), name
        if mark.writer.vocab_size is not None:
            assert (found[:, VOCABULARY:] <= 0).all()
            with pytest.raises(ConfigError, match="512"):
                mark.logits_processor(4, [0])(torch.ones(1, 8, dtype=torch.long), wide[:, :500])


def test_rows_and_seeds_must_agree_and_settings_be_possible() -> None:
    with pytest.raises(ConfigError, match="one seed a row"):
        open_mark(*SCHEMES["exp"][:2]).logits_processor(1, [0])(torch.zeros(2, 1, dtype=torch.long), torch.zeros(2, VOCABULARY))
    with pytest.raises(ConfigError, match="power of two"):
        open_mark("synthid", {"ngram_len": 3, "keys": [1, 2], "sampling_table_size": 1000})
    with pytest.raises(ConfigError, match="debug_mode"):
        open_mark("synthid", {"ngram_len": 3, "keys": [1, 2], "debug_mode": True})
    with pytest.raises(ConfigError, match="too large"):
        open_mark("kuditipudi-library", {"scheme": "EXP", "vocab_size": 1 << 20, "n": 1024, "key_seed": 1})


@pytest.mark.parametrize("name", ["exp", "its", "gumbel", "gumbel of 2 keys"])
def test_drawing_gives_the_token_that_the_scores_leave(name: str) -> None:
    family, config, _ = SCHEMES[name]
    mark = open_mark(family, config)
    called, drawing = mark.logits_processor(3, [1, 2]), mark.logits_processor(3, [1, 2])
    ids = torch.randint(VOCABULARY, (2, 3), generator=torch.Generator().manual_seed(1))
    for _ in range(10):
        scores = chain()[ids[:, -1]]
        tokens = drawing.draw(ids, scores)
        assert torch.equal(called(ids, scores).argmax(dim=1), tokens)
        ids = torch.cat([ids, tokens[:, None]], dim=1)


@pytest.mark.parametrize(
    "name", ["minhash", "unigram", "selfhash", "transformers selfhash", "synthid", "hard selfhash", "repeated context"]
)
def test_drawing_follows_the_distribution_of_the_scores(name: str) -> None:
    stats = pytest.importorskip("scipy.stats")
    others = {
        "hard selfhash": (LM, {**V, "seeding_scheme": "selfhash", "delta": "Infinity"}),
        "repeated context": ("vllm-gumbel", {"scheme": "gumbel", "key": 1 << 60, "context_width": 1}),
    }
    family, config = others[name] if name in others else SCHEMES[name][:2]
    mark = open_mark(family, config)
    rows = 4000
    ids = torch.full((rows, 6), 7)
    line = chain()[7].clone()
    line[line < line.topk(60).values[-1]] = -torch.inf
    scores = line.expand(rows, -1).contiguous()
    drawing, called = mark.logits_processor(2, list(range(rows))), mark.logits_processor(2, [0])
    if name == "repeated context":
        drawing.draw(ids, scores), called(ids[:1], scores[:1])
    p = torch.softmax(called(ids[:1], scores[:1])[0].double(), dim=0).numpy()
    counts = np.bincount(drawing.draw(ids, scores).numpy(), minlength=VOCABULARY)
    assert counts[p == 0].sum() == 0
    often = p > 0.005
    seen, wanted = np.r_[counts[often], counts[~often].sum()], np.r_[p[often], p[~often].sum()] * rows
    kept = wanted > 1e-9
    assert stats.chisquare(seen[kept], wanted[kept]).pvalue > 1e-3


def test_rows_draw_by_their_own_seeds() -> None:
    for name in ("selfhash", "synthid", "minhash", "unigram"):
        mark = open_mark(*SCHEMES[name][:2])
        ids, scores = torch.full((3, 6), 7), torch.zeros(3, VOCABULARY)
        tokens = mark.logits_processor(2, [5, 6, 5]).draw(ids, scores).tolist()
        assert tokens[0] == tokens[2] != tokens[1]
