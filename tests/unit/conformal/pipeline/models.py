"""Models of the tests: they answer by rules, so that every stage can be looked at by itself."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from conformal.pipeline.errors import ModelError
from conformal.pipeline.model import Answer, Decoding, Floats, ModelFacts, ScoredText, Verdict, derive_seed

Reply = Callable[[str, Decoding], str]


def facts_of(first_words: str) -> str:
    """What the prompt was, by its first words."""
    for start, kind in (("Cut the answer", "split"), ("For every numbered", "support"), ("Write a fluent", "merge")):
        if first_words.startswith(start):
            return kind
    return "answer"


def json_after(prompt: str, label: str) -> Any:
    """The JSON value that a filled prompt has after a label such as "Text (as a JSON string): "."""
    found = re.search(rf"^{label}[^\n]*?: (.*)$", prompt, re.MULTILINE)
    assert found is not None, prompt
    return json.loads(found.group(1))


@dataclass
class ScriptedModel:
    """Answers by `replies[kind]`; `fails(kind, prompt, decoding)` says where it breaks down."""

    replies: Mapping[str, Reply]
    fails: Callable[[str, str, Decoding], bool] = lambda kind, prompt, decoding: False
    prompt_logprobs: bool = True
    top_logprobs: int = 5
    name: str = "scripted"
    calls: list[tuple[str, int]] = field(default_factory=list)

    def facts(self) -> ModelFacts:
        return ModelFacts(self.name, "0" * 64, self.top_logprobs, self.prompt_logprobs, True)

    def answer(self, prompts: Sequence[str], decoding: Decoding) -> list[Answer]:
        out = []
        for row, prompt in enumerate(prompts):
            kind = facts_of(prompt)
            self.calls.append((kind, decoding.seed))
            if self.fails(kind, prompt, decoding):
                raise ModelError("the model is out of order")
            seed = derive_seed(decoding.seed, row) if decoding.temperature else 0
            out.append(Answer(self.replies[kind](prompt, Decoding(decoding.max_new_tokens, decoding.temperature, seed=seed))))
        return out

    def first_tokens(self, prompts: Sequence[str]) -> list[Mapping[str, float]]:
        return [{"A": -0.5, "B": -1.5, "C": -3.0} for _ in prompts]

    def score_texts(self, prompt: str, texts: Sequence[str], pieces: bool = False) -> list[ScoredText]:
        """Every word costs a tenth of its length in nats."""
        words = [re.findall(r"\S+\s*", text) for text in texts]
        return [ScoredText(tuple(-len(word) / 10 for word in row), tuple(row) if pieces else ()) for row in words]


class WordEmbedder:
    """A bag of words over hashed places."""

    def describe(self) -> dict[str, Any]:
        return {"encoder": "words", "encoder_digest": "1" * 64}

    def embed(self, texts: Sequence[str]) -> Floats:
        out = np.zeros((len(texts), 256))
        for row, text in enumerate(texts):
            for word in re.findall(r"\w+", text.lower()):
                out[row, derive_seed(0, word) % 256] += 1
        return out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-12)


class EqualityEntailment:
    """A text entails itself and each of its sentences, contradicts what it holds with "not", and says nothing else."""

    def __init__(self, longest: int = 10_000) -> None:
        self.longest = longest

    def describe(self) -> dict[str, Any]:
        return {"encoder": "equality", "encoder_digest": "2" * 64}

    def verdicts(self, pairs: Sequence[tuple[str, str]]) -> list[Verdict | None]:
        return [self._verdict(*pair) if len(pair[0]) <= self.longest else None for pair in pairs]

    @staticmethod
    def _verdict(premise: str, hypothesis: str) -> Verdict:
        if hypothesis in premise:
            return "entails"
        return "contradicts" if hypothesis.replace(" is ", " is not ") in premise else "neutral"
