"""Likelihood under a declared decoding: equal to what sampling does, and refused where a list leaves it open."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from privacy.errors import ModelAccessError, PlanError, ScoreError
from privacy.probes.decoded_likelihood import (
    check_decoding,
    is_likeliest,
    is_plain,
    next_lists,
    step_log_probability,
)
from privacy.probes.model import Access, Decoding, ModelFacts
from tests.unit.privacy.fake_model import VOCAB, FakeModel

LAW = np.array([0.4, 0.25, 0.15, 0.1, 0.06, 0.04])
LOGS = np.log(LAW)
DECODINGS = [
    Decoding(1), Decoding(1, 0.5), Decoding(1, 2.0), Decoding(1, top_k=3), Decoding(1, 0.7, top_k=2), Decoding(1, top_p=0.6),
    Decoding(1, top_p=0.65), Decoding(1, 1.5, top_p=0.5), Decoding(1, 0.8, 0.7, 4), Decoding(1, 0.0), Decoding(1, top_k=99),
]  # fmt: skip


def expected(decoding: Decoding) -> list[float]:
    """Slow twin: the law after temperature, top-k and top-p, over tokens that already stand in falling order."""
    if decoding.temperature == 0:
        return [1.0, 0, 0, 0, 0, 0]
    weights = [p ** (1 / decoding.temperature) for p in LAW]
    if decoding.top_k:
        weights = [w if i < decoding.top_k else 0 for i, w in enumerate(weights)]
    weights = [w / sum(weights) for w in weights]
    kept, total = [], 0.0
    for weight in weights:
        kept.append(weight if total < decoding.top_p else 0.0)
        total += weight
    return [w / sum(kept) for w in kept]


@pytest.mark.parametrize("decoding", DECODINGS)
def test_the_law_of_a_decoding(decoding: Decoding) -> None:
    shuffled = [3, 0, 5, 1, 4, 2]  # token ids in falling order of probability
    array = np.empty(6)
    array[shuffled] = LOGS
    for token, wanted in zip(shuffled, expected(decoding)):
        for listed in (array, dict(enumerate(array.tolist()))):
            assert math.exp(step_log_probability(listed, token, decoding, 6)) == pytest.approx(wanted)


@pytest.mark.parametrize(
    "decoding", [Decoding(1, 0.6), Decoding(1, 1.3, top_k=4), Decoding(1, 1.0, top_p=0.5), Decoding(1, 0.9, 0.8, 9)]
)
def test_it_is_the_rate_at_which_samples_come(decoding: Decoding) -> None:
    model = FakeModel(top_k=VOCAB)
    prompt = model.tokenize("is ")
    drawn = Counter(model.write_tokens([prompt] * 4000, decoding))
    (listed,) = next_lists(model, [prompt])
    for (token,), count in drawn.most_common(5):
        rate = math.exp(step_log_probability(listed, token, decoding, VOCAB))
        assert count == pytest.approx(4000 * rate, abs=5 * math.sqrt(4000 * rate))
    assert sum(math.exp(step_log_probability(listed, t, decoding, VOCAB)) for t in range(VOCAB)) == pytest.approx(1)


def test_impossible_tokens_have_probability_zero() -> None:
    listed = dict(enumerate(LOGS.tolist()))
    assert step_log_probability(listed, 5, Decoding(3, top_k=2), 6) == -math.inf
    assert step_log_probability(listed, 99, Decoding(3), 6) == -math.inf
    assert step_log_probability(listed, 0, Decoding(3, 0.0), 6) == 0.0


def test_lists_that_leave_the_probability_open_are_refused() -> None:
    best = {0: LOGS[0], 1: LOGS[1], 2: LOGS[2]}
    assert math.exp(step_log_probability(best, 1, Decoding(1), 6)) == pytest.approx(0.25)
    assert math.exp(step_log_probability(best, 1, Decoding(1, 0.5, top_k=2), 6)) == pytest.approx(0.25**2 / (0.4**2 + 0.25**2))
    assert math.exp(step_log_probability(best, 0, Decoding(1, top_p=0.5), 6)) == pytest.approx(0.4 / 0.65)
    assert step_log_probability(best, 5, Decoding(1, top_p=0.5), 6) == -math.inf
    assert step_log_probability(best, 5, Decoding(1, top_k=3), 6) == -math.inf
    for token, decoding in (
        (5, Decoding(1)), (1, Decoding(1, 0.5)), (1, Decoding(1, top_k=4)), (1, Decoding(1, top_p=0.9)),
        (5, Decoding(1, top_p=0.9)),
    ):  # fmt: skip
        with pytest.raises(ModelAccessError):
            step_log_probability(best, token, decoding, 6)


def test_a_model_in_process_gives_the_whole_law() -> None:
    few, whole = FakeModel(top_k=5), FakeModel(top_k=5, access=Access.WEIGHTS)
    prompts = [few.tokenize(text) for text in ("is ", "the ", "x")]
    assert [len(listed) for listed in next_lists(few, prompts)] == [5, 5, 5]
    laws = list(next_lists(whole, prompts))
    assert [len(law) for law in laws] == [VOCAB] * 3 and whole.calls == {"next_laws": 3}
    assert step_log_probability(laws[1], 101, Decoding(1, 0.5), VOCAB) < 0
    with pytest.raises(ModelAccessError):
        step_log_probability(next(next_lists(few, prompts)), 101, Decoding(1, 0.5), VOCAB)


def test_what_is_no_distribution_is_refused() -> None:
    for wrong in ({}, {0: math.nan}, {0: 0.0, 1: 0.0}, {0: -math.inf}, {0: 5.0}):
        with pytest.raises(ScoreError):
            step_log_probability(wrong, 0, Decoding(1, top_k=1), None)


def test_ties_at_the_top_are_no_greedy_answer_and_ties_at_the_cut_stay() -> None:
    tied = {0: math.log(0.4), 1: math.log(0.4), 2: math.log(0.2)}
    assert not is_likeliest(tied, 0) and not is_likeliest(tied, 1) and not is_likeliest(tied, 9)
    assert step_log_probability(tied, 0, Decoding(1, 0.0), 3) == -math.inf
    assert math.exp(step_log_probability(tied, 1, Decoding(1, top_k=1), 3)) == pytest.approx(0.5)


def facts(access: Access = Access.FULL, top_k: int = 5, vocab: int | None = 100) -> ModelFacts:
    return ModelFacts("m", None, access, top_k, True, vocab)


def test_decodings_are_checked_before_anything_is_asked() -> None:
    assert is_plain(Decoding(7)) and not is_plain(Decoding(7, top_k=1))
    for decoding in (Decoding(1), Decoding(1, 0.0), Decoding(1, 0.3, top_k=5), Decoding(1, top_p=0.5)):
        check_decoding(decoding, facts())
    check_decoding(Decoding(1, 0.3), facts(Access.WEIGHTS))
    check_decoding(Decoding(1, 0.3), facts(top_k=100))
    for decoding in (Decoding(1, 0.3), Decoding(1, 0.3, 0.9), Decoding(1, top_k=6)):
        with pytest.raises(ModelAccessError):
            check_decoding(decoding, facts())
    for decoding in (Decoding(1, -1.0), Decoding(1, math.nan), Decoding(1, top_p=0.0), Decoding(1, top_k=-1)):
        with pytest.raises(PlanError):
            check_decoding(decoding, facts())
