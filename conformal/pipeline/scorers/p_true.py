"""P(True): the model's own probability that the claim is true, asked as a choice of two (Kadavath et al., arXiv 2207.05221)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from conformal.pipeline.model import Generator
from conformal.pipeline.prompts import P_TRUE
from conformal.pipeline.scorers.scorer import Need, Score, Task


class PTrueScorer:
    """P(A) / (P(A) + P(B)) for "(A) True (B) False".

    From log-probabilities of the two letters as continuations, or, where the model gives only those of its likeliest first
    tokens, from these: a letter that is not among them counts as the least likely of them if that makes the claim less
    credible, and as impossible otherwise; without either letter there is no score.
    """

    name = "p-true"
    needs: frozenset[Need] = frozenset({"top_logprobs"})

    def __init__(self, model: Generator) -> None:
        self._model = model

    def describe(self) -> dict[str, Any]:
        facts = self._model.facts()
        return {"scorer": self.name, **P_TRUE.describe(), "model": facts.name, "model_digest": facts.digest}

    def score(self, task: Task) -> list[Score]:
        prompts = [P_TRUE.fill(question=task.prompt, claim=claim.text) for claim in task.claims]
        if not self._model.facts().prompt_logprobs:
            return [_from_first_tokens(found) for found in self._model.first_tokens(prompts)] if prompts else []
        out: list[Score] = []
        for prompt in prompts:
            a, b = (sum(found.logprobs) for found in self._model.score_texts(prompt, ["A", "B"]))
            out.append(_share(a, b))
        return out


def _from_first_tokens(found: Mapping[str, float]) -> Score:
    letters: dict[str, float] = {}
    for token, logprob in found.items():
        letter = token.strip().strip("()")
        if letter in ("A", "B"):
            letters[letter] = float(logprob) if letter not in letters else _add(letters[letter], float(logprob))
    if not letters:
        return None
    if "A" not in letters:
        return 0.0
    return _share(letters["A"], letters.get("B", min(found.values())))


def _add(a: float, b: float) -> float:
    return max(a, b) + math.log1p(math.exp(-abs(a - b)))


def _share(a: float, b: float) -> float:
    return 1.0 / (1.0 + math.exp(min(700.0, b - a)))
