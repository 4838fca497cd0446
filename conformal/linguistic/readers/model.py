"""Readers that ask a model through the protocols of `generator`: by log-probability of the options, or by sampling.

The text is data: it stands between markers that it cannot contain, and the reply is matched against the options, never run
or parsed as code. A reply that names no option, or several, is an abstention of that sample and is counted.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from conformal.linguistic.generator import Generator, OptionScorer
from conformal.linguistic.readers.protocol import Case, ReaderError, Reading

TEMPLATE = """Read the text between the markers. Answer the question from the text alone: ignore what you know otherwise, and \
trust the text's own confidence.
<<<TEXT
{text}
TEXT>>>
Question: {question}
Possible answers:
{options}
Answer:"""
MAX_SAMPLES = 256
MAX_REPLY = 500
_TRIM = re.compile(r"^[\s\"'(\[*-]+|[\s\"')\].,;:!*]+$")


def prompt_of(case: Case) -> str:
    """The prompt both readers send. Markers inside the text are broken up."""
    text = case.text.replace("<<<", "< < <").replace(">>>", "> > >")
    options = "\n".join(f"- {' '.join(option.split())}" for option in case.options)
    return TEMPLATE.format(text=text, question=" ".join(case.question.split()), options=options)


def template_digest() -> str:
    """SHA-256 of the prompt template."""
    return hashlib.sha256(TEMPLATE.encode()).hexdigest()


class OptionReader:
    """The model's probabilities of the given options, renormalised over them: one scoring pass, no sampling.

    `normalise_length` divides an option's log-probability by its number of words, which longer options need; whichever is
    chosen is part of the reader's name. A question whose scores are not finite is a non-answer.
    """

    def __init__(self, scorer: OptionScorer, model: str, normalise_length: bool = False) -> None:
        self._scorer, self._model, self._by_length = scorer, model, normalise_length

    @property
    def name(self) -> str:
        return f"options/1:{self._model}" + (",per word" if self._by_length else "")

    def describe(self) -> Mapping[str, Any]:
        return {"name": self.name, "model": self._model, "per_word": self._by_length, "prompt_sha256": template_digest()}

    def read(self, cases: Sequence[Case]) -> list[Reading]:
        prompts = [prompt_of(case) for case in cases]
        rows = self._scorer.option_logprobs(prompts, [[f" {option}" for option in case.options] for case in cases])
        if len(rows) != len(cases):
            raise ReaderError(f"{self.name}: {len(rows)} rows of scores for {len(cases)} questions")
        return [self._reading(case, row) for case, row in zip(cases, rows)]

    def _reading(self, case: Case, row: Sequence[float]) -> Reading:
        if len(row) != len(case.options) or any(math.isnan(value) or value > 1e-6 for value in row):
            raise ReaderError(f"{self.name}, question {case.id[:60]!r}: scores that are no log-probabilities of the options")
        scores = [value / len(option.split()) if self._by_length else value for value, option in zip(row, case.options)]
        top = max(scores)
        if top == -math.inf:
            return Reading(None, "every option is impossible to the model")
        weights = [math.exp(score - top) for score in scores]
        total = sum(weights)
        return Reading(tuple(weight / total for weight in weights))


class SampledReader:
    """The share of sampled replies that name each option. `samples` 1 to 256; replies that name none or several abstain.

    The distribution is over the samples that answered; fewer than half of them is a non-answer. `alpha` is added to every
    option's count (Dirichlet), so that no probability is 0 merely because few samples were drawn; 0 switches it off.
    """

    def __init__(
        self, generator: Generator, model: str, samples: int = 10, temperature: float = 1.0, seed: int = 0, alpha: float = 0.0
    ) -> None:
        if not 1 <= samples <= MAX_SAMPLES or not 0.0 <= alpha <= 100.0 or not math.isfinite(temperature) or temperature < 0:
            raise ReaderError(f"a sampled reader takes 1 to {MAX_SAMPLES} samples, a temperature and an alpha from 0 up")
        self._generator, self._model = generator, model
        self._samples, self._temperature, self._seed, self._alpha = samples, temperature, seed, alpha

    @property
    def name(self) -> str:
        return f"sampled/1:{self._model},m={self._samples},T={self._temperature:g},alpha={self._alpha:g},seed={self._seed}"

    def describe(self) -> Mapping[str, Any]:
        return {"name": self.name, "model": self._model, "samples": self._samples, "prompt_sha256": template_digest()}

    def read(self, cases: Sequence[Case]) -> list[Reading]:
        counts = [[0] * len(case.options) for case in cases]
        prompts = [prompt_of(case) for case in cases]
        for turn in range(self._samples):
            seed = self._seed * MAX_SAMPLES + turn
            replies = self._generator.generate(prompts, max_tokens=32, temperature=self._temperature, seed=seed)
            if len(replies) != len(cases):
                raise ReaderError(f"{self.name}: {len(replies)} replies for {len(cases)} questions")
            for row, case, reply in zip(counts, cases, replies):
                option = match_option(reply, case.options)
                if option is not None:
                    row[option] += 1
        return [self._reading(row) for row in counts]

    def _reading(self, row: list[int]) -> Reading:
        answered = sum(row)
        notes = (f"{self._samples - answered} of {self._samples} samples abstained",) if answered < self._samples else ()
        if 2 * answered < self._samples or not answered:
            return Reading(None, "fewer than half of the samples named one option", notes)
        total = answered + self._alpha * len(row)
        return Reading(tuple((count + self._alpha) / total for count in row), "", notes)


def match_option(reply: str, options: Sequence[str]) -> int | None:
    """The one option that the first line of a reply is or names as whole words; None for none or several."""
    lines = reply[:MAX_REPLY].strip().splitlines()
    if not lines:
        return None
    line = _form(lines[0])
    exact = [i for i, option in enumerate(options) if _form(option) == line]
    if len(exact) == 1:
        return exact[0]
    named = [i for i, option in enumerate(options) if re.search(rf"(?<!\w){re.escape(_form(option))}(?!\w)", line)]
    # An option inside a longer one that is named is not named by itself.
    named = [i for i in named if not any(i != j and _form(options[i]) in _form(options[j]) for j in named)]
    return named[0] if len(named) == 1 else None


def _form(text: str) -> str:
    return _TRIM.sub("", " ".join(text.casefold().split()))
