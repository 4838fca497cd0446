"""A runner as the claim pipeline sees it (`conformal.pipeline.model.Generator`): texts in, texts and log-probabilities out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

from audit.errors import CancelledError
from audit.runners.protocol import Cancelled, Prompt, Runner, RunnerError, Sampling
from conformal.pipeline.errors import ModelError, RunCancelledError
from conformal.pipeline.model import Answer, Decoding, ModelFacts, ScoredText

FIRST_TOKENS = 20


class RunnerGenerator:
    """`chat` puts prompts into the chat template of a model in process; endpoints apply their own. Leaves the runner open."""

    def __init__(self, runner: Runner, *, chat: bool = False, cancelled: Cancelled | None = None) -> None:
        """Raises ModelError when `chat` is asked of a runner without templates."""
        self._runner, self._cancelled = runner, cancelled
        self._chat: Callable[..., Any] | None = getattr(runner, "chat_prompt", None) if chat else None
        if chat and self._chat is None:
            raise ModelError("chat templates are applied to models in process only; an endpoint applies its own")
        self._facts: ModelFacts | None = None

    def facts(self) -> ModelFacts:
        if self._facts is None:
            with _as_model_errors():
                found, attested = self._runner.capabilities(), self._runner.attestation()
            self._facts = ModelFacts(
                name=attested.model,
                digest=attested.model_digest,
                top_logprobs=min(found.top_logprobs, FIRST_TOKENS),
                prompt_logprobs=found.prompt_logprobs and found.token_prompts,
                deterministic=found.deterministic,
                chat_template=self._chat is not None,
                numerics=f"{attested.dtype} on {attested.device}",
            )
        return self._facts

    def answer(self, prompts: Sequence[str], decoding: Decoding) -> list[Answer]:
        sampling = Sampling(
            max_new_tokens=decoding.max_new_tokens,
            temperature=decoding.temperature,
            top_p=decoding.top_p,
            seed=decoding.seed,
        )
        with _as_model_errors():
            found = self._runner.generate([self._prompt(text) for text in prompts], sampling, cancelled=self._cancelled)
        return [Answer(one.text, one.finish_reason, one.logprobs) for one in found]

    def first_tokens(self, prompts: Sequence[str]) -> list[Mapping[str, float]]:
        sampling = Sampling(max_new_tokens=1, temperature=0.0, top_logprobs=self.facts().top_logprobs)
        with _as_model_errors():
            found = self._runner.generate([self._prompt(text) for text in prompts], sampling, cancelled=self._cancelled)
            return [self._as_text(one.top_logprobs[0] if one.top_logprobs else {}) for one in found]

    def _as_text(self, top: Mapping[Any, float]) -> dict[str, float]:
        return {self._runner.detokenize([key]) if isinstance(key, int) else str(key): value for key, value in top.items()}

    def score_texts(self, prompt: str, texts: Sequence[str], pieces: bool = False) -> list[ScoredText]:
        with _as_model_errors():
            head = self._head(prompt)
            tails = [self._runner.tokenize(text) for text in texts]
            scored = [place for place, tail in enumerate(tails) if tail]
            found = dict(
                zip(scored, self._runner.score([head + tails[p] for p in scored], cancelled=self._cancelled), strict=True)
            )
            return [
                ScoredText(
                    logprobs=tuple(found[place][len(head) - 1 :]) if tail else (),
                    pieces=self._pieces(tail) if pieces else (),
                )
                for place, tail in enumerate(tails)
            ]

    def _head(self, prompt: str) -> tuple[int, ...]:
        """Token ids of a prompt, never none: the first token of what follows has to be conditioned on something."""
        if self._chat is not None:
            return tuple(self._chat([{"role": "user", "content": prompt}]))
        return self._runner.tokenize(prompt) or self._runner.tokenize("\n")

    def _pieces(self, tail: Sequence[int]) -> tuple[str, ...]:
        """Tokens as the text each adds, so that joining them gives the text back whatever a lone token decodes to."""
        whole = [self._runner.detokenize(tail[:end]) if end else "" for end in range(len(tail) + 1)]
        return tuple(after[len(before) :] for before, after in pairwise(whole))

    def _prompt(self, text: str) -> Prompt:
        if self._chat is not None:
            return Prompt(token_ids=tuple(self._chat([{"role": "user", "content": text}])))
        return Prompt(text=text)


@contextmanager
def _as_model_errors() -> Iterator[None]:
    try:
        yield
    except CancelledError as error:
        raise RunCancelledError(str(error)) from error
    except RunnerError as error:
        raise ModelError(str(error)) from error
