"""One step of sampling: filters as transformers has them, draws from the right distribution, exact stops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from audit.runners.protocol import CapabilityError, RunnerError, Sampling  # noqa: E402
from audit.runners.sampling import Sampler, filter_logits  # noqa: E402
from audit.runners.sampling_rules import check_sampling, row_seed  # noqa: E402

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def letters(ids: Sequence[int]) -> str:
    return "".join(LETTERS[i] for i in ids)


def sampler(sampling: Sampling, rows: int = 1, ends: frozenset[int] = frozenset()) -> Sampler:
    return Sampler(sampling, [row_seed(sampling.seed, i) for i in range(rows)], 1, ends, letters)


def write(words: Sequence[str], **options: Any) -> list[Any]:
    """What a greedy sampler answers to a model that spells `words` ('.' is the end token, id 25)."""
    one = sampler(Sampling(max_new_tokens=99, temperature=0, **options), len(words), frozenset({25}))
    ids = torch.zeros((len(words), 1), dtype=torch.long)
    for step in range(max(map(len, words))):
        logits = torch.zeros((len(words), 26))
        for row, word in enumerate(words):
            letter = word[step] if step < len(word) else "q"
            logits[row, 25 if letter == "." else LETTERS.index(letter)] = 5.0
        ids = torch.cat([ids, one.next_tokens(ids, logits)], 1)
        if one.all_done:
            break
    return one.answers()


@pytest.mark.parametrize("top_k", [0, 1, 5])
@pytest.mark.parametrize("top_p", [1.0, 0.9, 0.3, 1e-9])
def test_filters_keep_what_transformers_keeps(top_k: int, top_p: float) -> None:
    logits = torch.randn((20, 50), generator=torch.Generator().manual_seed(1)) * 3
    expected = logits / 0.7
    if top_k:
        expected = transformers.TopKLogitsWarper(top_k)(None, expected)
    if top_p < 1:
        expected = transformers.TopPLogitsWarper(top_p)(None, expected)
    found = filter_logits(logits, Sampling(max_new_tokens=1, temperature=0.7, top_k=top_k, top_p=top_p))
    torch.testing.assert_close(found, expected)


def test_draws_follow_the_distribution_and_never_hit_zero() -> None:
    weights = np.array([0.0, 0.5, 0.0, 0.3, 0.2, 0.0])
    rows = 4_000
    logits = torch.tensor(np.log(weights + 1e-300), dtype=torch.float32).masked_fill(torch.tensor(weights) == 0, -torch.inf)
    drawn = sampler(Sampling(max_new_tokens=1, seed=5), rows).next_tokens(
        torch.zeros((rows, 1), dtype=torch.long), logits.expand(rows, -1)
    )
    counts = np.bincount(drawn[:, 0].numpy(), minlength=6)
    assert counts[weights == 0].sum() == 0
    chi_square = ((counts - rows * weights)[weights > 0] ** 2 / (rows * weights[weights > 0])).sum()
    assert chi_square < 13.8  # 0.999 quantile, two degrees of freedom; the seed is fixed


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("bad", [float("nan"), -float("inf")])
def test_scores_that_are_not_numbers_are_refused(temperature: float, bad: float) -> None:
    with pytest.raises(RunnerError, match="not finite"):
        sampler(Sampling(max_new_tokens=1, temperature=temperature)).next_tokens(
            torch.zeros((1, 1), dtype=torch.long), torch.full((1, 4), bad)
        )


def test_stop_text_ends_a_row_and_is_cut_off() -> None:
    stopped, ended, running = write(["abcxyd", "ab.qqq", "abcdef"], stop=("xy",))
    assert (stopped.text, stopped.token_ids, stopped.finish_reason) == ("abc", (0, 1, 2), "stop")
    assert (ended.text, ended.finish_reason, len(ended.logprobs)) == ("ab", "stop", 2)
    assert (running.text, running.finish_reason) == ("abcdef", "length")


def test_end_and_stop_wait_for_min_new_tokens() -> None:
    (answer,) = write(["xyabxyc"], stop=("xy",), min_new_tokens=3)
    assert answer.text == "xyab"
    (answer,) = write(["..abc."], min_new_tokens=3)
    assert len(answer.token_ids) == 5 and 25 not in answer.token_ids


def test_end_after_an_early_stop_text_cuts_nothing() -> None:
    (answer,) = write(["xyab."], stop=("xy",), min_new_tokens=4)
    assert answer.text == "xyab" and answer.token_ids == (23, 24, 0, 1)


def test_row_seeds_do_not_collide() -> None:
    assert len({row_seed(seed, row) for seed in range(50) for row in range(50)}) == 2_500


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens"),
        ({"min_new_tokens": 9}, "min_new_tokens"),
        ({"temperature": float("nan")}, "temperature"),
        ({"temperature": -1.0}, "temperature"),
        ({"top_p": 0.0}, "top_p"),
        ({"top_p": 1.5}, "top_p"),
        ({"top_k": -1}, "top_k"),
        ({"stop": ("",)}, "stop"),
        ({"stop": ("a",) * 17}, "stop"),
    ],
)
def test_parameters_out_of_range_are_named(options: dict[str, Any], word: str) -> None:
    with pytest.raises(RunnerError, match=word):
        check_sampling(Sampling(**{"max_new_tokens": 8, **options}))


def test_too_many_top_logprobs_is_a_matter_of_capability() -> None:
    with pytest.raises(CapabilityError):
        check_sampling(Sampling(max_new_tokens=1, top_logprobs=1_001))
