"""What the white-box probe asks of a model beyond other probes: embeddings, a gradient, scores after a soft prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from privacy.probes.model import ModelFacts, Progress

Soft = npt.NDArray[np.float32]
"""A soft prompt: L_s x d, placed before the embedded prompt."""


@dataclass(frozen=True)
class Example:
    """One value after its context, as token ids; `subject` is a running number. Printing one shows no token."""

    subject: int
    context: tuple[int, ...] = field(repr=False)
    value: tuple[int, ...] = field(repr=False)


class WhiteBoxModel(Protocol):
    """A model in process. Every call raises ModelAccessError where the model does not offer it, and ProbeCancelledError."""

    def facts(self) -> ModelFacts: ...

    def tokenize(self, text: str) -> tuple[int, ...]:
        """Token ids without special tokens."""
        ...

    def detokenize(self, token_ids: Sequence[int]) -> str: ...

    def embed(self, token_ids: Sequence[int]) -> Soft:
        """Input embeddings (tokens x d)."""
        ...

    def vocabulary(self) -> Mapping[str, int]:
        """Token ids by the tokenizer's own spelling of a token."""
        ...

    def prompted_loss(self, soft: Soft, examples: Sequence[Example]) -> float:
        """Mean over examples of -log p(value | soft prompt, context), in nats, summed over the value's tokens."""
        ...

    def prompted_gradient(self, soft: Soft, examples: Sequence[Example]) -> tuple[float, Soft]:
        """The same, and its gradient with respect to the soft prompt."""
        ...

    def score_prompted(
        self,
        soft: Soft | None,
        prompts: Sequence[Sequence[int]],
        candidates: Sequence[Sequence[Sequence[int]]],
        progress: Progress | None = None,
    ) -> list[list[tuple[float, ...]]]:
        """For every prompt (not empty), the log-probabilities (nats) of the tokens of each of its candidates after the soft
        prompt and that prompt; without a soft prompt, after the prompt alone."""
        ...
