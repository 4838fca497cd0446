"""What probes ask of a model, as a protocol; the adapter for a real one stands where models are run. Needs no torch.

Nothing that passes through here is kept: prompts and candidates hold personal values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Protocol

Progress = Callable[[float, str], None]
Cancelled = Callable[[], bool]


class Access(StrEnum):
    """What a model gives, best last. Each probe names the least that it needs."""

    TEXT = "text"
    """Sampled text only."""
    TOP_K = "top-k"
    """Log-probabilities of the k likeliest next tokens, token ids as prompts."""
    FULL = "full"
    """The log-probability of every supplied token."""
    WEIGHTS = "weights"
    """Parameters and gradients, in process."""

    def covers(self, needed: Access) -> bool:
        """Whether what needs `needed` can run with this access."""
        order = list(Access)
        return order.index(self) >= order.index(needed)


@dataclass(frozen=True)
class ModelFacts:
    """Which model it is and what it was found to offer. `digest` is None for a remote model."""

    name: str
    digest: str | None
    access: Access
    top_k: int
    deterministic: bool
    vocab_size: int | None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Decoding:
    """How answers are drawn; part of the definition of every likelihood that is turned into a number of queries."""

    max_new_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class ProbedModel(Protocol):
    """A model under a probe. Every call raises ModelAccessError when the model does not offer it, and ProbeCancelledError."""

    def facts(self) -> ModelFacts: ...

    def tokenize(self, text: str) -> tuple[int, ...]:
        """Token ids without special tokens."""
        ...

    def detokenize(self, token_ids: Sequence[int]) -> str: ...

    def score(self, sequences: Sequence[Sequence[int]]) -> list[tuple[float, ...]]:
        """Log-probability (nats) of every token but the first. Needs FULL."""
        ...

    def token_moments(self, sequences: Sequence[Sequence[int]]) -> list[tuple[tuple[float, float], ...]]:
        """At every token but the first, mean and standard deviation of the log-probability (nats) of a token drawn from the
        model's own distribution there. Needs the whole distribution: a model in process."""
        ...

    def score_candidates(
        self, prompts: Sequence[Sequence[int]], candidates: Sequence[Sequence[Sequence[int]]], progress: Progress | None = None
    ) -> list[list[tuple[float, ...]]]:
        """For every prompt (not empty), the log-probabilities (nats) of the tokens of each of its candidates. Needs FULL."""
        ...

    def next_tokens(self, prompts: Sequence[Sequence[int]]) -> list[Mapping[int, float]]:
        """For every prompt, the listed next tokens with their log-probabilities (nats), at least one. Needs TOP_K."""
        ...

    def write(self, prompts: Sequence[str], samples: int, decoding: Decoding) -> list[list[str]]:
        """`samples` answers to each prompt, without the prompt. Sample j of prompt i has a random stream of its own."""
        ...

    def write_tokens(self, prompts: Sequence[Sequence[int]], decoding: Decoding) -> list[tuple[int, ...]]:
        """One answer to each prompt of token ids, as token ids. Needs FULL (token ids in and out)."""
        ...
