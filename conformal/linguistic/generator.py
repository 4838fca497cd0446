"""What this room asks of a language model, as structural protocols: texts in, texts or log-probabilities out.

`ModelTexts` gives both from the claim pipeline's `Generator`; nothing here knows how a model is reached. Both are deterministic
given their arguments where the model is. A model that fails raises ModelError: that is an error, not an abstention.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

from conformal.pipeline.errors import ModelError
from conformal.pipeline.model import Decoding
from conformal.pipeline.model import Generator as AnsweringModel


class Generator(Protocol):
    """A model that continues prompts."""

    def generate(self, prompts: Sequence[str], *, max_tokens: int, temperature: float, seed: int) -> list[str]:
        """One answer a prompt, in order, without the prompt. temperature 0 is greedy."""
        ...


class OptionScorer(Protocol):
    """A model that tells how probable given continuations are."""

    def option_logprobs(self, prompts: Sequence[str], options: Sequence[Sequence[str]]) -> list[tuple[float, ...]]:
        """For every prompt, log P(option | prompt) in nats, summed over the option's tokens, one a given option."""
        ...


class ModelTexts:
    """A model of the claim pipeline as Generator and OptionScorer. Raises ModelError."""

    def __init__(self, model: AnsweringModel) -> None:
        self._model = model

    @property
    def name(self) -> str:
        """The model and, where known, the first digits of its weights' digest."""
        facts = self._model.facts()
        return facts.name if facts.digest is None else f"{facts.name}@{facts.digest[:12]}"

    def generate(self, prompts: Sequence[str], *, max_tokens: int, temperature: float, seed: int) -> list[str]:
        found = self._model.answer(prompts, Decoding(max_new_tokens=max_tokens, temperature=temperature, seed=seed))
        return [answer.text for answer in found]

    def option_logprobs(self, prompts: Sequence[str], options: Sequence[Sequence[str]]) -> list[tuple[float, ...]]:
        rows = []
        for prompt, texts in zip(prompts, options, strict=True):
            scored = self._model.score_texts(prompt, texts)
            if any(not one.logprobs for one in scored):
                raise ModelError("an answer option has no token in this model's vocabulary, so that it cannot be scored")
            rows.append(tuple(math.fsum(one.logprobs) for one in scored))
        return rows
