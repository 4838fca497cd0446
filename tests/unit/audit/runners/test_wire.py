"""Request bodies say everything; answers that lack or contradict something raise, and are never filled in."""

from __future__ import annotations

import json
from typing import Any

import pytest

from audit.runners.protocol import Capabilities, CapabilityError, Prompt, RunnerError, Sampling, Tier
from audit.runners.requirements import require
from audit.runners.wire import Dialect, choices, generation_body, read_generation, read_score, score_body

FULL = Dialect(extended=True, returns_ids=True, prompt_scores="echo", top_logprobs=5)
TWO = Sampling(max_new_tokens=2, top_logprobs=1)
GOOD: dict[str, Any] = {
    "text": "ab",
    "finish_reason": "length",
    "token_ids": [1, 2],
    "logprobs": {"tokens": ["a", "b"], "token_logprobs": [-1.0, -2.0], "top_logprobs": [{"a": -1.0}, {"c": -0.5}]},
}


def changed(**changes: Any) -> dict[str, Any]:
    return {**json.loads(json.dumps(GOOD)), **changes}


def test_every_sampling_parameter_is_sent() -> None:
    body = generation_body("m", Prompt(token_ids=(1, 2)), Sampling(max_new_tokens=3, stop=("x",)), (1 << 40) + 7, FULL)
    assert body["prompt"] == [1, 2] and body["seed"] == 7 and body["stop"] == ["x"]
    for name in ("max_tokens", "temperature", "top_p", "top_k", "min_p", "min_tokens", "n", "stream", "presence_penalty",
                 "frequency_penalty", "repetition_penalty", "repeat_penalty", "cache_prompt", "echo", "logprobs"):  # fmt: skip
        assert name in body
    chat = generation_body("m", Prompt(text="hi"), Sampling(max_new_tokens=3), 0, Dialect(completions=False))
    assert chat["messages"] == [{"role": "user", "content": "hi"}] and chat["logprobs"] is False and "top_k" not in chat


@pytest.mark.parametrize(
    ("dialect", "prompt", "sampling"),
    [
        (Dialect(), Prompt(text="a"), Sampling(1, top_k=5)),
        (Dialect(), Prompt(text="a"), Sampling(1, min_new_tokens=1)),
        (Dialect(top_logprobs=5), Prompt(text="a"), Sampling(1, top_logprobs=6)),
        (FULL, Prompt(text="a"), Sampling(1, mark=object())),  # type: ignore[arg-type]
        (Dialect(completions=False), Prompt(token_ids=(1,)), Sampling(1)),
    ],
)
def test_what_is_not_offered_is_not_asked(dialect: Dialect, prompt: Prompt, sampling: Sampling) -> None:
    with pytest.raises(CapabilityError):
        generation_body("m", prompt, sampling, 0, dialect)
    with pytest.raises(CapabilityError):
        score_body("m", [1], Dialect())


def test_good_answer() -> None:
    found = read_generation(GOOD, TWO, FULL)
    assert (found.text, found.token_ids, found.logprobs) == ("ab", (1, 2), (-1.0, -2.0))
    assert found.top_logprobs == ({"a": -1.0}, {"c": -0.5})


@pytest.mark.parametrize(
    ("choice", "kind"),
    [
        (changed(text=None), RunnerError),
        (changed(token_ids=None), CapabilityError),
        (changed(token_ids=[1, -2]), CapabilityError),
        (changed(token_ids=[1]), RunnerError),
        (changed(token_ids=[1, 2, 3]), RunnerError),
        (changed(logprobs=None), CapabilityError),
        (changed(logprobs={**GOOD["logprobs"], "token_logprobs": [-1.0]}), RunnerError),
        (changed(logprobs={**GOOD["logprobs"], "token_logprobs": [-1.0, None]}), RunnerError),
        (changed(logprobs={**GOOD["logprobs"], "token_logprobs": [-1.0, float("nan")]}), RunnerError),
        (changed(logprobs={**GOOD["logprobs"], "token_logprobs": [-1.0, 0.5]}), RunnerError),
        (changed(logprobs={**GOOD["logprobs"], "token_logprobs": [-1.0, True]}), RunnerError),
        (changed(logprobs={**GOOD["logprobs"], "top_logprobs": None}), CapabilityError),
        (changed(logprobs={**GOOD["logprobs"], "top_logprobs": [{"a": -1.0}, {}]}), CapabilityError),
    ],
)
def test_answers_that_fall_short(choice: dict[str, Any], kind: type[Exception]) -> None:
    with pytest.raises(kind):
        read_generation(choice, TWO, FULL)


def test_ids_in_place_of_tokens() -> None:
    block = {"tokens": ["token_id:7", "token_id:8"], "token_logprobs": [-1, -2], "top_logprobs": [{"token_id:9": -0.1}] * 2}
    found = read_generation(changed(logprobs=block), TWO, Dialect(ids_as_tokens=True, top_logprobs=1))
    assert found.token_ids == (7, 8) and found.top_logprobs == ({9: -0.1},) * 2
    with pytest.raises(RunnerError, match="two ways that differ"):
        read_generation(changed(logprobs=block), TWO, Dialect(ids_as_tokens=True, returns_ids=True, top_logprobs=1))
    with pytest.raises(CapabilityError):
        read_generation(GOOD, TWO, Dialect(ids_as_tokens=True, top_logprobs=1))


def score_answer(logs: list[Any], **changes: Any) -> dict[str, Any]:
    block = {"tokens": ["x"] * len(logs), "token_logprobs": logs, "top_logprobs": None}
    return {"logprobs": block, "prompt_token_ids": [4, 5, 6], **changes}


def test_scores_by_echo_and_by_prompt_logprobs() -> None:
    assert read_score(score_answer([None, -1.0, -2.0, -9.0]), {"prompt_tokens": 3}, [4, 5, 6], FULL) == (-1.0, -2.0)
    other = {"prompt_logprobs": [None, {"5": {"logprob": -1.0}, "9": {"logprob": -0.1}}, {"6": {"logprob": -2.0}}]}
    assert read_score(other, None, [4, 5, 6], Dialect(prompt_scores="prompt_logprobs")) == (-1.0, -2.0)


@pytest.mark.parametrize(
    ("choice", "usage"),
    [
        (score_answer([None, -1.0]), None),
        (score_answer([None, -1.0, -2.0, -3.0, -4.0]), None),
        (score_answer([None, -1.0, None]), None),
        (score_answer([None, -1.0, -2.0]), {"prompt_tokens": 2}),
        (score_answer([None, -1.0, -2.0], prompt_token_ids=[4, 5, 7]), None),
        (score_answer([None, -1.0, -2.0], logprobs=None), None),
    ],
)
def test_scores_that_fall_short(choice: dict[str, Any], usage: Any) -> None:
    with pytest.raises(RunnerError):
        read_score(choice, usage, [4, 5, 6], FULL)
    with pytest.raises(RunnerError):
        read_score({"prompt_logprobs": [None, {"9": {"logprob": -1}}]}, None, [4, 5], Dialect(prompt_scores="prompt_logprobs"))


@pytest.mark.parametrize("answer", [{}, {"choices": []}, {"choices": [1]}, {"choices": [{"index": 1}]}, {"choices": [{}, {}]}])
def test_choices_that_do_not_match(answer: dict[str, Any]) -> None:
    with pytest.raises(RunnerError):
        choices(answer)


def test_choices_come_in_the_order_of_their_index() -> None:
    assert [c["text"] for c in choices({"choices": [{"index": 1, "text": "b"}, {"index": 0, "text": "a"}]}, 2)] == ["a", "b"]
    with pytest.raises(RunnerError):
        choices({"choices": [{"index": 1}, {"index": 1}]}, 2)


def test_requirements_name_all_that_is_missing() -> None:
    found = Capabilities(Tier.TOP_LOGPROBS, False, False, 5, False, True, False, False)
    require(found, "a count of hits")
    require(found, "interval ranks", tier=Tier.TOP_LOGPROBS, needs=("top_logprobs", "deterministic"))
    with pytest.raises(CapabilityError) as failure:
        require(found, "exact ranks", tier=Tier.TOKENS, needs=("prompt_logprobs", "deterministic"))
    assert "exact ranks" in str(failure.value) and "T2" in str(failure.value) and "T1" in str(failure.value)
    assert "log-probabilities of a prompt" in str(failure.value) and "same seed" not in str(failure.value)
