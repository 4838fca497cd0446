"""How likely the model finds a claim as an answer to the prompt: the mean log-probability of the claim's tokens (nats)."""

from __future__ import annotations

from typing import Any

from conformal.pipeline.model import Generator
from conformal.pipeline.scorers.scorer import Need, Score, Task


class LogprobScorer:
    """The mean over tokens, so that long claims are not worse for being long. Needs log-probabilities of a given text."""

    name = "logprob"
    needs: frozenset[Need] = frozenset({"prompt_logprobs"})

    def __init__(self, model: Generator) -> None:
        self._model = model

    def describe(self) -> dict[str, Any]:
        facts = self._model.facts()
        return {"scorer": self.name, "mean": "tokens", "model": facts.name, "model_digest": facts.digest}

    def score(self, task: Task) -> list[Score]:
        if not task.claims:
            return []
        found = self._model.score_texts(continued(task.prompt), [claim.text for claim in task.claims])
        return [sum(one.logprobs) / len(one.logprobs) if one.logprobs else None for one in found]


def continued(prompt: str) -> str:
    """The prompt as a text that a claim continues."""
    return f"{prompt.rstrip()}\n"
