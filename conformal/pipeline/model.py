"""What the pipeline asks of models, as protocols; adapters for real ones stand where models are run. Needs no torch.

Every call is deterministic given its arguments as far as the model is (`ModelFacts.deterministic`), and raises ModelError, or
RunCancelledError.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

Progress = Callable[[float, str], None]
Cancelled = Callable[[], bool]
Verdict = Literal["entails", "neutral", "contradicts"]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Decoding:
    """How an answer is drawn; temperature 0 is greedy."""

    max_new_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Answer:
    """One answer, without its prompt. `logprobs` are of its tokens (nats), where the model gives them."""

    text: str
    finish_reason: str = "stop"
    logprobs: tuple[float, ...] | None = None


@dataclass(frozen=True)
class ModelFacts:
    """Which model it is and what it offers, as found rather than as claimed. `digest` is None for a remote model; `numerics`
    are dtype and device, which move rounding."""

    name: str
    digest: str | None
    top_logprobs: int
    prompt_logprobs: bool
    deterministic: bool
    chat_template: bool = False
    numerics: str = "unknown"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class ScoredText:
    """Log-probabilities (nats) of the tokens of a text after a prompt; `pieces`, if asked for, are the tokens as text."""

    logprobs: tuple[float, ...]
    pieces: tuple[str, ...] = ()


class Generator(Protocol):
    """A model that answers prompts."""

    def facts(self) -> ModelFacts: ...

    def answer(self, prompts: Sequence[str], decoding: Decoding) -> list[Answer]:
        """One answer a prompt, in order; row i of a call is drawn from a stream of its own under the decoding's seed."""
        ...

    def first_tokens(self, prompts: Sequence[str]) -> list[Mapping[str, float]]:
        """For every prompt: likeliest first tokens of an answer, as text, with log-probabilities. Needs `top_logprobs`."""
        ...

    def score_texts(self, prompt: str, texts: Sequence[str], pieces: bool = False) -> list[ScoredText]:
        """Every text scored as a continuation of the prompt. Needs `prompt_logprobs`."""
        ...


class Entailment(Protocol):
    """Says of a premise and a hypothesis whether the one entails or contradicts the other."""

    def describe(self) -> dict[str, Any]:
        """Name and digests, for the manifest."""
        ...

    def verdicts(self, pairs: Sequence[tuple[str, str]]) -> list[Verdict | None]:
        """One a pair (premise, hypothesis); None where it cannot say (too long, malformed reply)."""
        ...


class Embedder(Protocol):
    """Turns texts into unit vectors."""

    def describe(self) -> dict[str, Any]: ...

    def embed(self, texts: Sequence[str]) -> Floats:
        """(n x d), rows of length 1. Raises ModelError, also for a text that is too long: nothing is cut silently."""
        ...


def derive_seed(seed: int, *parts: str | int) -> int:
    """31 bits of SHA-256 over a seed and a path of names: streams that never coincide and do not depend on order of work."""
    text = "\x1f".join(["assay-pipeline", str(seed), *map(str, parts)])
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:4], "big") >> 1
