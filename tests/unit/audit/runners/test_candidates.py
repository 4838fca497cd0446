"""Candidates scored by trees equal plain scores, on several architectures, and fall back where they would not."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from audit.errors import CancelledError
from audit.runners import candidates as module
from audit.runners.candidate_trie import Trie, mask_of, split
from audit.runners.protocol import RunnerError
from audit.runners.transformers_runner import TransformersRunner
from tests.unit.watermark.small_tokenizer import train_tokenizer

torch = pytest.importorskip("torch")
transformers: Any = pytest.importorskip("transformers")
SIZE = 300
SMALL = {"vocab_size": SIZE, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
CONFIGS = {
    "llama": lambda: transformers.LlamaConfig(**SMALL, max_position_embeddings=256),
    "gpt2": lambda: transformers.GPT2Config(vocab_size=SIZE, n_embd=32, n_layer=2, n_head=2, n_positions=256),
    "neox": lambda: transformers.GPTNeoXConfig(**SMALL, max_position_embeddings=256),
    "opt": lambda: transformers.OPTConfig(
        vocab_size=SIZE, hidden_size=32, ffn_dim=64, num_hidden_layers=2, num_attention_heads=2, word_embed_proj_dim=32,
        max_position_embeddings=256,
    ),
    "qwen2": lambda: transformers.Qwen2Config(**SMALL, num_key_value_heads=1, max_position_embeddings=256),
    "bloom": lambda: transformers.BloomConfig(vocab_size=SIZE, hidden_size=32, n_layer=2, n_head=2),
    "mistral, window 4": lambda: transformers.MistralConfig(
        **SMALL, num_key_value_heads=2, sliding_window=4, max_position_embeddings=256
    ),
}  # fmt: skip


def make_runner(folder: Path, name: str) -> TransformersRunner:
    train_tokenizer(folder / "tokenizer.json")
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|end|>"}')
    torch.manual_seed(1)
    model = transformers.AutoModelForCausalLM.from_config(CONFIGS[name]())
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(3)
    model.save_pretrained(folder)
    return TransformersRunner(folder, device="cpu", batch=4)


def tokens(rng: random.Random, count: int) -> list[int]:
    return [rng.randrange(SIZE) for _ in range(count)]


def groups(rng: random.Random) -> tuple[list[list[int]], list[list[list[int]]]]:
    """Prompts and candidates that share beginnings, repeat, have one token, and are prefixes of others."""
    prompts = [tokens(rng, n) for n in (1, 9, 30, 9)]
    prompts[3][:5] = prompts[1][:5]
    found = []
    for _ in prompts:
        group = [tokens(rng, rng.randrange(1, 7)) for _ in range(9)]
        group += [[*group[0][:1], *tokens(rng, 3)], group[1], group[2][:1]]
        found.append(group)
    return prompts, found


def check(runner: TransformersRunner) -> None:
    prompts, found = groups(random.Random(2))
    scores = runner.score_candidates(prompts, found)
    for prompt, group, rows in zip(prompts, found, scores):
        for candidate, row in zip(group, rows):
            (plain,) = runner.score([[*prompt, *candidate]])
            assert row == pytest.approx(plain[-len(candidate) :], abs=1e-4)


@pytest.mark.parametrize("max_nodes", [4, 40, 512])
@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_every_way_gives_plain_scores(name: str, max_nodes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_NODES", max_nodes)
    runner = make_runner(tmp_path, name)
    check(runner)
    assert runner._candidates is not None and runner._candidates.fast


@pytest.mark.parametrize("name", [name for name in CONFIGS if name not in ("llama", "gpt2")])
def test_other_architectures_give_plain_scores_too(name: str, tmp_path: Path) -> None:
    check(make_runner(tmp_path, name))


def test_ways_that_disagree_are_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = make_runner(tmp_path, "llama")
    honest = module.CandidateScorer._run
    monkeypatch.setattr(module.CandidateScorer, "_run", lambda self, *given: honest(self, *given) * 1.01)
    check(runner)
    assert runner._candidates is not None and not runner._candidates.fast


def test_bad_input_is_refused(tmp_path: Path) -> None:
    runner = make_runner(tmp_path, "llama")
    for prompts, found, message in (
        ([[1]], [], "its own candidates"),
        ([[]], [[[1]]], "empty"),
        ([[1]], [[[]]], "empty"),
        ([[1]], [[[SIZE]]], "vocabulary"),
        ([[1] * 250], [[[1] * 10]], "context"),
    ):
        with pytest.raises(RunnerError, match=message):
            runner.score_candidates(prompts, found)
    with pytest.raises(CancelledError):
        runner.score_candidates([[1, 2]], [[[3, 4]]], cancelled=lambda: True)
    assert runner.score_candidates([], []) == [] and runner.score_candidates([[1]], [[]]) == [[]]


def scored(trie: Trie) -> list[list[tuple[int, int]]]:
    """For every row, the nodes after which its tokens stand, and the tokens."""
    pairs = iter(zip(trie.scored_after.tolist(), trie.scored_tokens.tolist()))
    return [[next(pairs) for _ in range(length)] for length in trie.lengths.tolist()]


def path(trie: Trie, node: int) -> list[int]:
    """The tokens from the root to a node."""
    nodes, above = trie.ancestors()
    return [int(trie.tokens[one]) for one in sorted(above[nodes == node].tolist(), key=lambda one: trie.depths[one])]


def test_rows_share_their_beginnings() -> None:
    trie = Trie.build([[6], [1, 2, 4], [1, 2, 3], [1, 5], [1, 2]])
    assert trie.tokens.tolist() == [1, 2] and trie.depths.tolist() == [1, 2]
    assert scored(trie) == [[(-1, 6)], [(-1, 1), (0, 2), (1, 4)], [(-1, 1), (0, 2), (1, 3)], [(-1, 1), (0, 5)], [(-1, 1), (0, 2)]]
    assert scored(Trie.build([[1, 2, 3], [1, 2, 3]], [2, 1])) == [[(1, 3)], [(0, 2), (1, 3)]]
    assert mask_of(Trie.build([[1, 2, 3], [4, 5]]), 1).tolist() == [
        [True, True, False, False],
        [True, True, True, False],
        [True, False, False, True],
    ]


@pytest.mark.parametrize("max_nodes", [1, 7, 60])
def test_trees_are_split(max_nodes: int) -> None:
    rng = random.Random(3)
    rows = [[rng.randrange(4) for _ in range(rng.randrange(1, 6))] for _ in range(80)]
    parts = list(split(rows, max_nodes))
    assert sorted(i for indices, _ in parts for i in indices.tolist()) == list(range(80)) and len(parts) > 1
    for number, (indices, trie) in enumerate(parts):
        own = [rows[i] for i in indices.tolist()]
        assert trie.size == len({tuple(row[:end]) for row in own for end in range(1, len(row))})
        assert trie.size <= max_nodes or len(own) == 1
        for row, found in zip(own, scored(trie)):
            assert [(path(trie, node), token) for node, token in found] == [(row[:i], token) for i, token in enumerate(row)]
        if number + 1 < len(parts):
            longer = [*own, rows[parts[number + 1][0][0]]]
            assert len({tuple(row[:end]) for row in longer for end in range(1, len(row))}) > max_nodes
    assert list(split([], 5)) == []
