"""A deterministic model for tests of probes: one token a byte, a random bigram law, and memory that a test plants.

`plant_fact(key, value, strength)`: wherever `key` stands in the context, `value` is continued with raised probability.
`plant_text(text, strength)`: after the last `WINDOW` bytes of any part of the text, so is the text.
With strength w the next byte of the memory has probability w + (1 - w) * (bigram law), so that without memory all values of a
format are scored by the bigram law alone.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from privacy.errors import ModelAccessError, ProbeCancelledError
from privacy.probes.model import Access, Cancelled, Decoding, ModelFacts, Progress

VOCAB = 256
WINDOW = 12
SEPARATORS = b" \"'\n:"
_PLAIN = b" eeeetttaaooiinnsshhrrddllucmfywgpbvk0123456789.,-@()\n\"'" + bytes(range(32, 127))


def _bigrams(seed: int) -> npt.NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    counts = np.bincount(np.frombuffer(_PLAIN, dtype=np.uint8), minlength=VOCAB) + 0.01
    weights = np.exp(rng.normal(0.0, 1.0, (VOCAB, VOCAB))) * counts
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


@dataclass
class FakeModel:
    """Implements `ProbedModel`. `calls` counts sequences scored or prompts answered, by method."""

    seed: int = 0
    access: Access = Access.FULL
    top_k: int = 5
    name: str = "fake"
    facts_planted: list[tuple[bytes, bytes, float]] = field(default_factory=list)
    texts_planted: list[tuple[bytes, float]] = field(default_factory=list)
    cancelled: Cancelled | None = None
    calls: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._table = _bigrams(self.seed)

    def plant_fact(self, key: str, value: str, strength: float) -> FakeModel:
        self.facts_planted.append((key.encode(), value.encode(), strength))
        return self

    def plant_text(self, text: str, strength: float) -> FakeModel:
        self.texts_planted.append((text.encode(), strength))
        return self

    # ------------------------------------------------------------ ProbedModel

    def facts(self) -> ModelFacts:
        digest = hashlib.sha256(f"{self.name}/{self.seed}".encode()).hexdigest() if self.access.covers(Access.FULL) else None
        return ModelFacts(self.name, digest, self.access, self.top_k, True, VOCAB)

    def tokenize(self, text: str) -> tuple[int, ...]:
        return tuple(text.encode())

    def detokenize(self, token_ids: Sequence[int]) -> str:
        return bytes(token_ids).decode("utf-8", "replace")

    def score(self, sequences: Sequence[Sequence[int]]) -> list[tuple[float, ...]]:
        self._needs(Access.FULL, "score", len(sequences))
        return [self._log_probs(bytes(one[:1]), bytes(one[1:])) for one in sequences]

    def score_candidates(
        self, prompts: Sequence[Sequence[int]], candidates: Sequence[Sequence[Sequence[int]]], progress: Progress | None = None
    ) -> list[list[tuple[float, ...]]]:
        self._needs(Access.FULL, "score_candidates", sum(map(len, candidates)))
        if len(prompts) != len(candidates) or not all(map(len, prompts)):
            raise ModelAccessError("every prompt is not empty and has its candidates")
        out = []
        for at, (prompt, own) in enumerate(zip(prompts, candidates)):
            out.append([self._log_probs(bytes(prompt), bytes(candidate)) for candidate in own])
            if progress is not None:
                progress((at + 1) / len(prompts), "candidates scored")
        return out

    def token_moments(self, sequences: Sequence[Sequence[int]]) -> list[tuple[tuple[float, float], ...]]:
        self._needs(Access.WEIGHTS, "token_moments", len(sequences))
        return [tuple(_moments(self._law(bytes(one[:at]))) for at in range(1, len(one))) for one in sequences]

    def next_laws(self, prompts: Sequence[Sequence[int]]) -> list[npt.NDArray[np.float64]]:
        self._needs(Access.WEIGHTS, "next_laws", len(prompts))
        return [np.log(self._law(bytes(prompt))) for prompt in prompts]

    def next_tokens(self, prompts: Sequence[Sequence[int]]) -> list[Mapping[int, float]]:
        self._needs(Access.TOP_K, "next_tokens", len(prompts))
        out: list[Mapping[int, float]] = []
        for prompt in prompts:
            law = self._law(bytes(prompt))
            best = np.argsort(-law, kind="stable")[: self.top_k]
            out.append({int(token): math.log(law[token]) for token in best})
        return out

    def write(self, prompts: Sequence[str], samples: int, decoding: Decoding) -> list[list[str]]:
        self._needs(Access.TEXT, "write", len(prompts) * samples)
        return [
            [self.detokenize(self._generate(prompt.encode(), decoding, f"{i}/{j}")) for j in range(samples)]
            for i, prompt in enumerate(prompts)
        ]

    def write_tokens(self, prompts: Sequence[Sequence[int]], decoding: Decoding) -> list[tuple[int, ...]]:
        self._needs(Access.FULL, "write_tokens", len(prompts))
        return [tuple(self._generate(bytes(prompt), decoding, f"{i}")) for i, prompt in enumerate(prompts)]

    # ------------------------------------------------------------ the law

    def _needs(self, needed: Access, method: str, count: int) -> None:
        if not self.access.covers(needed):
            raise ModelAccessError(f"{self.name} gives {self.access.value} access, {method} needs {needed.value}")
        if self.cancelled is not None and self.cancelled():
            raise ProbeCancelledError("cancelled")
        self.calls[method] = self.calls.get(method, 0) + count

    def _memories(self, context: bytes) -> list[tuple[int, float]]:
        """(next byte, strength) of every memory that the context wakes."""
        found = []
        for key, value, strength in self.facts_planted:
            if key not in context:
                continue
            for done in range(min(len(value) - 1, len(context)), -1, -1):
                if context.endswith(value[:done]) and (done or context[-1:] in (bytes([s]) for s in SEPARATORS)):
                    found.append((value[done], strength))
                    break
        for text, strength in self.texts_planted:
            at = text.find(context[-WINDOW:]) if len(context) >= WINDOW else -1
            if at >= 0 and at + WINDOW < len(text):
                found.append((text[at + WINDOW], strength))
        return found

    def _probability(self, context: bytes, token: int) -> float:
        p = float(self._table[context[-1], token])
        for remembered, strength in self._memories(context):
            p = (1 - strength) * p + strength * (remembered == token)
        return p

    def _law(self, context: bytes) -> npt.NDArray[np.float64]:
        law = self._table[context[-1]].copy()
        for remembered, strength in self._memories(context):
            law *= 1 - strength
            law[remembered] += strength
        return law

    def _log_probs(self, prompt: bytes, tokens: bytes) -> tuple[float, ...]:
        return tuple(math.log(self._probability(prompt + tokens[:at], token)) for at, token in enumerate(tokens))

    def _generate(self, prompt: bytes, decoding: Decoding, stream: str) -> bytes:
        rng, written = random.Random(f"{self.seed}/{decoding.seed}/{stream}"), bytearray()
        for _ in range(decoding.max_new_tokens):
            written.append(_choose(self._law(prompt + written), decoding, rng))
        return bytes(written)


def _moments(law: npt.NDArray[np.float64]) -> tuple[float, float]:
    logs = np.log(law)
    mean = float((law * logs).sum())
    return mean, float(np.sqrt((law * (logs - mean) ** 2).sum()))


def _choose(law: npt.NDArray[np.float64], decoding: Decoding, rng: random.Random) -> int:
    """Temperature, then top-k, then top-p; temperature 0 is the likeliest token."""
    order = np.argsort(-law, kind="stable")
    if decoding.temperature == 0:
        return int(order[0])
    weights = law[order] ** (1 / decoding.temperature)
    if decoding.top_k:
        weights = weights[: decoding.top_k]
    weights = weights / weights.sum()
    kept = int(np.searchsorted(np.cumsum(weights), decoding.top_p)) + 1 if decoding.top_p < 1 else weights.size
    weights = weights[:kept] / weights[:kept].sum()
    return int(order[min(int(np.searchsorted(np.cumsum(weights), rng.random())), kept - 1)])
