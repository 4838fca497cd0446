"""The HTTP runner against a real server of the tiny model, sound and with faults: nothing is scored that was not given."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpx
import numpy as np
import pytest

pytest.importorskip("torch")

from audit.errors import CancelledError
from audit.runners.endpoint import Limits
from audit.runners.openai_runner import OpenAIRunner
from audit.runners.opening import open_runner
from audit.runners.protocol import CapabilityError, Prompt, RunnerError, Sampling, Tier
from audit.runners.server import create_app
from tests import tiny_model
from tests.integration import faulty_server as faults
from tests.integration.faulty_server import Fault, served, with_fault

QUICK = Limits(timeout_s=60, attempts=4, first_pause_s=0.01)
TEXTS = ("The", "A class definition", "If the object is not")


@contextmanager
def connected(fault: Fault | None = None, limits: Limits = QUICK, **options: Any) -> Iterator[OpenAIRunner]:
    app = create_app(tiny_model.runner(), "tiny")
    with served(app if fault is None else with_fault(app, fault)) as root:
        runner = OpenAIRunner(f"{root}/v1", allow_private=True, limits=limits, **options)
        try:
            yield runner
        finally:
            runner.close()


@pytest.fixture(scope="module")
def sound() -> Iterator[OpenAIRunner]:
    with connected() as runner:
        yield runner


def rows() -> list[tuple[int, ...]]:
    return [tiny_model.runner().tokenize(text) for text in TEXTS]


def test_sound_server_is_found_to_be_sound(sound: OpenAIRunner) -> None:
    found = sound.capabilities()
    assert found.tier == Tier.TOKENS and found.deterministic and found.order_independent and found.token_prompts
    assert found.top_logprobs == 20 and found.max_context == 1024 and not found.logits_processors
    assert all(line.startswith("yes") for line in found.details)
    assert sound.attestation().model_digest is None and sound.attestation().model.startswith("tiny at http://127.0.0.1")


def test_same_answers_as_in_process(sound: OpenAIRunner) -> None:
    local = tiny_model.runner()
    for text in TEXTS:
        assert sound.tokenize(text) == local.tokenize(text)
        assert sound.detokenize(local.tokenize(text)) == text
    for mine, theirs in zip(local.score(rows()), sound.score(rows()), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-4)
    greedy = Sampling(max_new_tokens=8, temperature=0.0, top_logprobs=3)
    prompts = [Prompt(text=TEXTS[0]), *(Prompt(token_ids=row) for row in rows()[1:])]
    for mine, theirs in zip(local.generate(prompts, greedy), sound.generate(prompts, greedy), strict=True):
        assert (mine.text, mine.token_ids, mine.finish_reason) == (theirs.text, theirs.token_ids, theirs.finish_reason)
        np.testing.assert_allclose(mine.logprobs, theirs.logprobs, atol=1e-4)
        assert [set(entry) for entry in mine.top_logprobs or ()] == [set(entry) for entry in theirs.top_logprobs or ()]


def test_sampling_is_by_seed_and_place(sound: OpenAIRunner) -> None:
    prompts, sampling = [Prompt(text=TEXTS[0])] * 3, Sampling(max_new_tokens=12, seed=5, top_k=100, stop=("zzzz",))
    first, again = sound.generate(prompts, sampling), sound.generate(prompts, sampling)
    assert [a.token_ids for a in first] == [a.token_ids for a in again]
    assert len({answer.token_ids for answer in first}) == 3


def test_what_no_endpoint_gives(sound: OpenAIRunner) -> None:
    with pytest.raises(CapabilityError, match="T4"):
        sound.next_token_logprobs([(1,)])
    with pytest.raises(CapabilityError, match="mark"):
        sound.generate([Prompt(text="a")], Sampling(1, mark=object()))  # type: ignore[arg-type]
    with pytest.raises(RunnerError, match="empty"):
        sound.score([()])


def test_exchanges_are_kept(sound: OpenAIRunner) -> None:
    before = sound.exchanges.count
    sound.score(rows()[:1])
    entry = json.loads(sound.exchanges.read().splitlines()[-1])
    assert sound.exchanges.count == before + 1
    assert entry["request"]["prompt"] == list(rows()[0]) and entry["request"]["temperature"] == 0.0
    assert entry["response"]["choices"] and entry["status"] == 200 and entry["attempt"] == 1


@pytest.mark.parametrize(
    ("fault", "tier", "lost"),
    [
        (faults.DropsPromptLogprobs(), Tier.TOP_LOGPROBS, {"prompt_logprobs", "order_independent"}),
        (faults.ZeroPromptLogprobs(), Tier.TOKENS, set()),  # the other way, prompt_logprobs, is sound and is taken
        (faults.NullLogprobs(), Tier.CHAT, {"prompt_logprobs", "order_independent", "top_logprobs"}),
        (faults.ReordersBatches(), Tier.TOP_LOGPROBS, {"order_independent"}),
        (faults.IgnoresSeed(), Tier.TOKENS, {"deterministic"}),
        (faults.ConstantSeed(), Tier.TOKENS, {"deterministic"}),
        (faults.TruncatesPrompts(False), Tier.TOP_LOGPROBS, {"token_prompts", "prompt_logprobs", "order_independent"}),
        (faults.TruncatesPrompts(True), Tier.TOP_LOGPROBS, {"prompt_logprobs", "order_independent"}),
        (faults.ReadsIdsAsText(), Tier.TOP_LOGPROBS, {"token_prompts", "prompt_logprobs", "order_independent"}),
        (faults.Refuses("return_token_ids"), Tier.TOKENS, set()),
        (
            faults.Refuses("return_token_ids", "return_tokens_as_token_ids"),
            Tier.TOP_LOGPROBS,
            {"returns_token_ids", "prompt_logprobs", "order_independent"},
        ),
        (faults.Refuses("echo", "prompt_logprobs"), Tier.TOP_LOGPROBS, {"prompt_logprobs", "order_independent"}),
        (
            faults.Refuses(paths=("/v1/completions",)),
            Tier.TOP_LOGPROBS,
            {"token_prompts", "returns_token_ids", "prompt_logprobs", "order_independent"},
        ),
        (faults.Busy(), Tier.TOKENS, set()),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Fault) else "",
)
def test_faults_lower_what_is_found(fault: Fault, tier: Tier, lost: set[str]) -> None:
    with connected(fault) as runner:
        found = runner.capabilities()
        names = ("token_prompts", "returns_token_ids", "top_logprobs", "prompt_logprobs", "deterministic", "order_independent")
        assert {name for name in names if not getattr(found, name)} == lost, found.details
        assert found.tier == tier
        if tier < Tier.TOKENS:
            with pytest.raises(CapabilityError, match="scoring texts needs"):
                runner.score(rows())


def test_ids_that_are_tokenized_anew_are_noticed() -> None:
    with connected(faults.TokenizesAnew(tiny_model.runner().detokenize)) as runner:
        assert not runner.capabilities().token_prompts
        with pytest.raises(CapabilityError):
            runner.generate([Prompt(token_ids=(1, 2))], Sampling(1))


@pytest.mark.parametrize("ignored", [("top_k",), ("min_p", "top_k", "min_tokens")])
def test_ignored_parameters_are_not_relied_on(ignored: Sequence[str]) -> None:
    with connected(faults.Ignores(*ignored)) as runner:
        assert not runner.findings.dialect.extended
        with pytest.raises(CapabilityError, match="top_k"):
            runner.generate([Prompt(text="a")], Sampling(1, top_k=5))


def test_plain_openai_server_is_asked_plainly() -> None:
    with connected(faults.Refuses("top_k", "min_p", "repeat_penalty", "repetition_penalty")) as runner:
        assert runner.capabilities().tier == Tier.TOKENS and not runner.findings.dialect.extended
        assert len(runner.generate([Prompt(text="a")], Sampling(4))[0].token_ids or ()) == 4


def test_chat_is_used_where_there_is_nothing_else() -> None:
    with connected(faults.Refuses(paths=("/v1/completions",))) as runner:
        (answer,) = runner.generate([Prompt(text=TEXTS[1])], Sampling(max_new_tokens=6, top_logprobs=2))
        assert answer.text and answer.token_ids is None
        assert len(answer.logprobs or ()) == 6 and all(len(entry) == 2 for entry in answer.top_logprobs or ())


def test_fall_after_the_probe_is_never_scored() -> None:
    fault = faults.DropsPromptLogprobs(after=1_000)
    with connected(fault) as runner:
        assert runner.capabilities().tier == Tier.TOKENS
        fault.after = 0
        with pytest.raises(CapabilityError, match="log-probabilities for a prompt"):
            runner.score(rows())


def test_garbage_is_an_error() -> None:
    with connected(faults.Garbage(after=0)) as runner, pytest.raises(RunnerError, match="JSON"):
        runner.capabilities()
    fault = faults.Garbage(after=10_000)
    with connected(fault) as runner:
        assert runner.capabilities().tier == Tier.TOKENS
        fault.after = 0
        with pytest.raises(RunnerError, match="JSON"):
            runner.score(rows())


def test_slow_server() -> None:
    with (
        pytest.raises(RunnerError, match="no answer within"),
        connected(faults.OnlySlow(), Limits(timeout_s=0.1, attempts=2, first_pause_s=0.01)),
    ):
        pass


def test_cancel_while_the_server_works(sound: OpenAIRunner) -> None:
    assert sound.capabilities().deterministic
    started = time.monotonic()
    with pytest.raises(CancelledError):
        sound.generate([Prompt(text="a")] * 40, Sampling(max_new_tokens=100), cancelled=lambda: time.monotonic() - started > 0.2)
    assert time.monotonic() - started < 60


def test_address_and_model_are_checked(sound: OpenAIRunner) -> None:
    root = sound.endpoint.target.name
    with pytest.raises(RunnerError, match="private network"):
        open_runner(f"{root}#tiny")
    with pytest.raises(RunnerError, match="does not offer 'other'"):
        open_runner(f"{root}#other", allow_private=True)
    opened = open_runner(f"{root}#tiny", allow_private=True)
    assert opened.attestation().model == f"tiny at {root}"
    opened.close()
    assert threading.active_count() < 100


# ---------------------------------------------------------------------- the server itself


class OnlyToken:
    """A mark that writes token 300 and nothing else."""

    def logits_processor(self, prompt_length: int, seeds: Sequence[int]) -> Any:
        def process(ids: Any, scores: Any) -> Any:
            scores = scores.clone()
            scores[:, :300], scores[:, 301:] = -float("inf"), -float("inf")
            return scores

        return process


def test_server_with_a_mark_and_a_key() -> None:
    app = create_app(tiny_model.runner(), "marked", mark=OnlyToken(), api_key="abc")
    with served(app) as root:
        with pytest.raises(RunnerError, match="API key"):
            OpenAIRunner(f"{root}/v1", allow_private=True, limits=QUICK)
        runner = OpenAIRunner(f"{root}/v1", allow_private=True, limits=QUICK, api_key="abc")
        assert runner.generate([Prompt(text="a")], Sampling(5))[0].token_ids == (300,) * 5
        runner.close()


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"model": "other", "prompt": "a"}, 404, "no model"),
        ({"model": "tiny"}, 400, "prompt"),
        ({"model": "tiny", "prompt": ""}, 400, "empty"),
        ({"model": "tiny", "prompt": [99_999]}, 400, "vocabulary"),
        ({"model": "tiny", "prompt": "a", "max_tokens": 5_000}, 400, "context"),
        ({"model": "tiny", "prompt": "a", "logit_bias": {}}, 400, "logit_bias"),
        ({"model": "tiny", "prompt": "a", "presence_penalty": 1}, 400, "presence_penalty"),
        ({"model": "tiny", "prompt": "a", "stream": True}, 400, "stream"),
        ({"model": "tiny", "prompt": "a", "max_tokens": 0}, 400, "echo"),
        ({"model": "tiny", "prompt": ["a"] * 300}, 400, "prompt"),
    ],
)
def test_server_refuses_in_words(sound: OpenAIRunner, body: dict[str, Any], status: int, message: str) -> None:
    answer = httpx.post(f"{sound.endpoint.target.name}/completions", json=body)
    assert answer.status_code == status
    assert message in answer.json()["error"]["message"]


def test_server_scores_a_prompt_alone(sound: OpenAIRunner) -> None:
    body = {"model": "tiny", "prompt": [list(row) for row in rows()], "max_tokens": 0, "echo": True, "logprobs": 1}
    answer = httpx.post(f"{sound.endpoint.target.name}/completions", json=body).json()
    for row, choice, score in zip(rows(), answer["choices"], tiny_model.runner().score(rows()), strict=True):
        np.testing.assert_allclose(choice["logprobs"]["token_logprobs"][1:], score, atol=1e-4)
        assert len(choice["logprobs"]["tokens"]) == len(row) and choice["text"] == tiny_model.runner().detokenize(row)
