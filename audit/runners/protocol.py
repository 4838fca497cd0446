"""What every model runner offers: tokenise, generate in batches, score, attest. Needs no torch to import.

Rules (every adapter): all sampling parameters are explicit; a missing capability raises CapabilityError, never a default
value; generation is deterministic given the seed wherever the capability says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Protocol

from audit.errors import AuditError

Progress = Callable[[float, str], None]
Cancelled = Callable[[], bool]


class RunnerError(AuditError):
    """A model could not be loaded or reached, or answered something malformed."""

    slug = "runner"


class CapabilityError(RunnerError):
    """The runner was asked for something the model behind it does not offer. Names what is missing and the tier needed."""

    slug = "missing-capability"


class Tier(IntEnum):
    """What a model offers, from chat text only to weights in process."""

    CHAT = 0
    TOP_LOGPROBS = 1
    TOKENS = 2  # completions on token ids with log-probabilities of the prompt
    CONTROLLED = 3  # TOKENS, deterministic, with custom logits processors
    IN_PROCESS = 4


@dataclass(frozen=True)
class Capabilities:
    """What was found, not what was claimed. `details` are the probe's findings, one public line each. `end_tokens` are those that
    end an answer, and never stand in one, where they are known."""

    tier: Tier
    token_prompts: bool
    returns_token_ids: bool
    top_logprobs: int
    prompt_logprobs: bool
    deterministic: bool
    order_independent: bool
    logits_processors: bool
    vocab_size: int | None = None
    max_context: int | None = None
    details: tuple[str, ...] = ()
    end_tokens: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        lists = {"details": list(self.details), "end_tokens": list(self.end_tokens)}
        return {**self.__dict__, "tier": f"T{int(self.tier)}", **lists}


@dataclass(frozen=True)
class Attestation:
    """Which model answered: digest over its weight files (None for a remote one), versions, device."""

    model: str
    model_digest: str | None
    device: str
    dtype: str
    versions: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {**self.__dict__, "versions": dict(self.versions), "files": dict(self.files)}


class Mark(Protocol):
    """A watermark at generation: gives the transformers-style logits processor that embeds it.

    The processor is called with (input_ids of shape batch x length, scores of shape batch x vocabulary) and returns scores.
    `prompt_length` is the number of prompt columns (left-padded). `seeds`, one a row, feed the randomness a mark needs.
    A processor may also have `draw(input_ids, scores)`, one token a row: drawn from what the call would return, and quicker.
    """

    def logits_processor(self, prompt_length: int, seeds: Sequence[int]) -> Any: ...


@dataclass(frozen=True)
class Sampling:
    """Every sampling parameter, sent explicitly. temperature 0 is greedy; top_k 0 and top_p 1 switch the filters off."""

    max_new_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0
    min_new_tokens: int = 0
    stop: tuple[str, ...] = ()
    top_logprobs: int = 0
    mark: Mark | None = None


@dataclass(frozen=True)
class Prompt:
    """A text or token ids (exactly one). Printing one shows neither: prompts may be personal."""

    text: str | None = field(default=None, repr=False)
    token_ids: tuple[int, ...] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Generation:
    """One answer without its prompt. `token_ids` is None where the endpoint does not tell; `logprobs` are of those tokens,
    `top_logprobs` a mapping token (id, or text for text-only endpoints) -> log-probability at every
    position. Printing one shows no text."""

    text: str = field(repr=False)
    token_ids: tuple[int, ...] | None = field(repr=False)
    finish_reason: str
    logprobs: tuple[float, ...] | None = None
    top_logprobs: tuple[Mapping[Any, float], ...] | None = field(default=None, repr=False)


class Runner(Protocol):
    """A model that answers. Close it after use."""

    def capabilities(self) -> Capabilities: ...

    def tokenize(self, text: str) -> tuple[int, ...]:
        """Token ids without special tokens. Raises CapabilityError."""
        ...

    def detokenize(self, token_ids: Sequence[int]) -> str: ...

    def generate(
        self,
        prompts: Sequence[Prompt],
        sampling: Sampling,
        progress: Progress | None = None,
        cancelled: Cancelled | None = None,
    ) -> list[Generation]:
        """One answer a prompt, in order. Deterministic given prompts and sampling where capabilities say so, and
        independent of how prompts are batched. Raises RunnerError, CapabilityError, CancelledError (audit.errors)."""
        ...

    def score(
        self, sequences: Sequence[Sequence[int]], progress: Progress | None = None, cancelled: Cancelled | None = None
    ) -> list[tuple[float, ...]]:
        """Log-probability (natural) of every token given those before it; entry 0 is of token 1 (nothing precedes token 0).
        Raises CapabilityError below tier TOKENS."""
        ...

    def next_token_logprobs(self, prompts: Sequence[Sequence[int]]) -> Any:
        """numpy float64 array (prompts x vocabulary): the full next-token distribution. Raises CapabilityError below T4."""
        ...

    def attestation(self) -> Attestation: ...

    def close(self) -> None: ...
