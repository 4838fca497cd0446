"""Models behind an OpenAI-compatible HTTP endpoint: vLLM, SGLang, llama.cpp, hosted ones.

One prompt a request, so that a retry repeats one answer and no server can mix up a batch. What may be asked is what the probe
found; an answer that falls short of that later raises, and is never scored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from audit.runners.endpoint import Call, Endpoint, Limits, RefusedError
from audit.runners.exchanges import ExchangeLog
from audit.runners.probe import Findings, choose_model, probe
from audit.runners.protocol import (
    Attestation,
    Cancelled,
    Capabilities,
    CapabilityError,
    Generation,
    Progress,
    Prompt,
    RunnerError,
    Sampling,
    Tier,
)
from audit.runners.requirements import require
from audit.runners.sampling_rules import MAX_PROMPTS, MAX_TEXT_CHARS, check_sampling, row_seed
from audit.runners.wire import choices, generation_body, read_generation, read_score, score_body


class OpenAIRunner:
    """`url` is the base (`https://HOST/v1`), `model` may be left out where the endpoint has only one.

    The probe runs when capabilities are first needed. `exchanges` holds every request and answer, or none of them where prompts
    are personal (`ExchangeLog.none()`); the runner has no other memory of them. Raises RunnerError when the
    address is not allowed, nothing answers, or there is no such model.
    """

    def __init__(
        self,
        url: str,
        model: str | None = None,
        *,
        api_key: str | None = None,
        allow_private: bool = False,
        limits: Limits | None = None,
        exchanges: ExchangeLog | None = None,
    ) -> None:
        self.endpoint = Endpoint(url, api_key=api_key, allow_private=allow_private, limits=limits or Limits(), log=exchanges)
        try:
            self.model, _ = choose_model(self.endpoint, model)
        except BaseException:
            self.endpoint.close()
            raise
        self._findings: Findings | None = None

    @property
    def exchanges(self) -> ExchangeLog:
        """Evidence of all that was asked and answered."""
        return self.endpoint.log

    @property
    def findings(self) -> Findings:
        """Of the probe, which runs at the first call."""
        if self._findings is None:
            self._findings = probe(self.endpoint, self.model)
        return self._findings

    def capabilities(self) -> Capabilities:
        return self.findings.capabilities

    def attestation(self) -> Attestation:
        """A remote model proves nothing about itself: no digest, only its name and address."""
        return Attestation(f"{self.model} at {self.endpoint.target.name}", None, "remote", "unknown")

    # ------------------------------------------------------------------ text and tokens

    def tokenize(self, text: str) -> tuple[int, ...]:
        """By the server's /tokenize (vLLM). Raises CapabilityError where there is none."""
        return self.tokenize_all([text])[0]

    def tokenize_all(self, texts: Sequence[str], cancelled: Cancelled | None = None) -> list[tuple[int, ...]]:
        """Several texts, asked side by side. Raises CapabilityError where there is no /tokenize, CancelledError."""
        self._check_count(texts)
        longest = max(map(len, texts), default=0)
        if longest > MAX_TEXT_CHARS:
            raise RunnerError(f"a text of {longest} characters is longer than {MAX_TEXT_CHARS}")
        calls: list[Call] = [
            ("POST", "//tokenize", {"model": self.model, "prompt": text, "add_special_tokens": False}) for text in texts
        ]
        found = []
        for answer in self._ask_tokenizer(calls, cancelled):
            tokens = answer.get("tokens")
            if not isinstance(tokens, list) or not all(type(token) is int and token >= 0 for token in tokens):
                raise RunnerError("the endpoint's /tokenize answered no token ids")
            found.append(tuple(tokens))
        return found

    def detokenize(self, token_ids: Sequence[int]) -> str:
        """By the server's /detokenize (vLLM). Raises CapabilityError where there is none."""
        text = self._ask_tokenizer([("POST", "//detokenize", {"model": self.model, "tokens": list(token_ids)})])[0].get("prompt")
        if not isinstance(text, str):
            raise RunnerError("the endpoint's /detokenize answered no text")
        return text

    def _ask_tokenizer(self, calls: Sequence[Call], cancelled: Cancelled | None = None) -> list[dict[str, Any]]:
        try:
            return self.endpoint.ask_all(calls, cancelled=cancelled)
        except RefusedError as error:
            raise CapabilityError(f"the endpoint offers no {calls[0][1][2:]}; name a tokenizer ({str(error)[:100]})") from None

    # ------------------------------------------------------------------ generation and scores

    def generate(
        self,
        prompts: Sequence[Prompt],
        sampling: Sampling,
        progress: Progress | None = None,
        cancelled: Cancelled | None = None,
    ) -> list[Generation]:
        check_sampling(sampling)
        self._check_count(prompts)
        dialect = self.findings.dialect
        if any(prompt.token_ids is not None for prompt in prompts):
            require(self.capabilities(), "generating from token ids", needs=("token_prompts",))
        path = "/completions" if dialect.completions else "/chat/completions"
        calls: list[Call] = [
            ("POST", path, generation_body(self.model, prompt, sampling, row_seed(sampling.seed, row), dialect))
            for row, prompt in enumerate(prompts)
        ]
        answers = self.endpoint.ask_all(calls, _reporter(progress, len(calls), "generated"), cancelled)
        return [read_generation(choices(answer)[0], sampling, dialect) for answer in answers]

    def score(
        self, sequences: Sequence[Sequence[int]], progress: Progress | None = None, cancelled: Cancelled | None = None
    ) -> list[tuple[float, ...]]:
        require(self.capabilities(), "scoring texts", tier=Tier.TOKENS, needs=("prompt_logprobs",))
        self._check_count(sequences)
        if any(len(row) == 0 for row in sequences):
            raise RunnerError("an empty sequence has no tokens to score")
        dialect = self.findings.dialect
        calls: list[Call] = [("POST", "/completions", score_body(self.model, list(row), dialect)) for row in sequences]
        answers = self.endpoint.ask_all(calls, _reporter(progress, len(calls), "scored"), cancelled)
        return [read_score(choices(a)[0], a.get("usage"), row, dialect) for a, row in zip(answers, sequences, strict=True)]

    def next_token_logprobs(self, prompts: Sequence[Sequence[int]]) -> Any:
        raise CapabilityError("full next-token distributions need a model in process (tier T4), not an endpoint")

    def _check_count(self, rows: Sequence[Any]) -> None:
        if len(rows) > MAX_PROMPTS:
            raise RunnerError(f"{len(rows)} prompts are more than {MAX_PROMPTS}; split them")

    def close(self) -> None:
        self.endpoint.close()


def _reporter(progress: Progress | None, total: int, did: str) -> Callable[[int], None] | None:
    if progress is None:
        return None
    return lambda count: progress(count / total, f"{did} {count} of {total} texts")
