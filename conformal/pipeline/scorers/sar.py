"""Shifting attention to relevance (arXiv 2307.01379): uncertainty in which only tokens and samples that carry meaning count.

Token relevance is what a text loses in similarity without the token: R_t = 1 - sim(prompt + text, prompt + text less t),
normalised over the text; tokenSAR = sum of -log p_t R_t (section 4.1). Sentence level (4.2), the claim in place of one sample:
E = -log(p' + (1 / t) sum_j sim(claim, sample_j) p'_j), p' = exp(-tokenSAR), t = 0.001. Scores are the negatives.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from conformal.pipeline.model import Embedder, Generator, ScoredText
from conformal.pipeline.scorers.logprob import continued
from conformal.pipeline.scorers.scorer import Need, Score, ScoreError, Task, whole_samples

TEMPERATURE = 1e-3
MAX_TOKENS = 512


class TokenSarScorer:
    """Minus the relevance-weighted surprise of the claim. Similarity is the cosine of the embedder's vectors, at least 0."""

    name = "token-sar"
    needs: frozenset[Need] = frozenset({"prompt_logprobs"})

    def __init__(self, model: Generator, embedder: Embedder) -> None:
        self._model, self._embedder = model, embedder

    def describe(self) -> dict[str, Any]:
        facts = self._model.facts()
        return {"scorer": self.name, "model": facts.name, "model_digest": facts.digest, **self._embedder.describe()}

    def score(self, task: Task) -> list[Score]:
        return [None if value is None else -value for value in self.surprises(task, [claim.text for claim in task.claims])]

    def surprises(self, task: Task, texts: list[str]) -> list[Score]:
        """tokenSAR of every text as an answer to the prompt (nats, at least 0); None for a text without tokens."""
        if not texts:
            return []
        found = self._model.score_texts(continued(task.prompt), texts, pieces=True)
        return [self._surprise(task.prompt, one) for one in found]

    def _surprise(self, prompt: str, found: ScoredText) -> Score:
        count = len(found.logprobs)
        if count == 0:
            return None
        if count > MAX_TOKENS or len(found.pieces) != count:
            raise ScoreError(f"{self.name}: a text of {count} tokens; at most {MAX_TOKENS} are weighed")
        return float(np.dot(token_relevance(self._embedder, prompt, found.pieces), -np.array(found.logprobs)))


class SarScorer:
    """Sentence-level SAR of a claim among the samples; both are weighed by tokenSAR."""

    name = "sar"
    needs: frozenset[Need] = frozenset({"prompt_logprobs", "samples"})

    def __init__(self, model: Generator, embedder: Embedder) -> None:
        self._tokens, self._embedder = TokenSarScorer(model, embedder), embedder

    def describe(self) -> dict[str, Any]:
        return {**self._tokens.describe(), "scorer": self.name, "temperature": TEMPERATURE}

    def score(self, task: Task) -> list[Score]:
        claims = [claim.text for claim in task.claims]
        samples = [sample.text for sample in whole_samples(task, self.name) if sample.text.strip()]
        if not claims:
            return []
        own, others = self._tokens.surprises(task, claims), self._tokens.surprises(task, samples)
        weights = np.array([0.0 if value is None else math.exp(-value) for value in others])
        vectors = self._embedder.embed([*claims, *samples])
        likeness = np.clip(vectors[: len(claims)] @ vectors[len(claims) :].T, 0.0, 1.0)
        shared = likeness @ weights / TEMPERATURE
        return [
            None if value is None else math.log(max(math.exp(-value) + float(extra), 1e-300))
            for value, extra in zip(own, shared, strict=True)
        ]


def token_relevance(embedder: Embedder, prompt: str, pieces: tuple[str, ...]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Normalised relevance of every token (sum 1), uniform where no token changes the meaning."""
    texts = ["".join(pieces), *("".join(pieces[:i] + pieces[i + 1 :]) for i in range(len(pieces)))]
    vectors = embedder.embed([f"{prompt} {text}".strip() or " " for text in texts])
    lost = 1.0 - np.clip(vectors[1:] @ vectors[0], 0.0, 1.0)
    total = float(lost.sum())
    return np.asarray(lost / total if total > 1e-12 else np.full(len(pieces), 1.0 / len(pieces)), dtype=np.float64)
