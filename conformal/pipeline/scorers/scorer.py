"""What every scorer is given and gives."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from conformal.pipeline.errors import MissingCapabilityError, PipelineError
from conformal.pipeline.model import Answer, ModelFacts
from conformal.pipeline.splitters.claim import Claim

Need = Literal["samples", "prompt_logprobs", "top_logprobs"]
Score = float | None


@dataclass(frozen=True)
class Task:
    """One output to score. `samples` are further answers to the same prompt, None where the model failed to give one; `scores`
    are those of the scorers before this one."""

    id: str
    prompt: str
    output: str
    claims: tuple[Claim, ...]
    samples: tuple[Answer | None, ...] = ()
    scores: Mapping[str, Sequence[float | None]] = field(default_factory=dict)


class ScoreError(PipelineError):
    """This output cannot be scored: its claims stay without a score, and are never kept."""


class Scorer(Protocol):
    """Gives every claim of an output a score. The same task gives the same scores, whatever was scored before."""

    @property
    def name(self) -> str: ...

    @property
    def needs(self) -> frozenset[Need]: ...

    def describe(self) -> dict[str, Any]:
        """Everything that a score depends on, for the manifest: settings, prompts and models with their digests."""
        ...

    def score(self, task: Task) -> list[Score]:
        """One a claim, larger = more confident. Raises ScoreError, ModelError: then no claim of the output has a score."""
        ...


def check_needs(scorers: Sequence[Scorer], facts: ModelFacts, samples: int) -> None:
    """Before any work. Raises MissingCapabilityError naming scorer and what is missing, PipelineError for a repeated name."""
    names = [scorer.name for scorer in scorers]
    repeated = {name for name in names if names.count(name) > 1}
    if repeated:
        raise PipelineError(f"the scorer {sorted(repeated)[0]} is named twice")
    for scorer in scorers:
        if "samples" in scorer.needs and samples < 1:
            raise MissingCapabilityError(f"the score {scorer.name} needs further samples; ask for some, 5 for instance")
        if "prompt_logprobs" in scorer.needs and not facts.prompt_logprobs:
            raise MissingCapabilityError(
                f"the score {scorer.name} needs log-probabilities of a given text, which {facts.name} does not offer"
            )
        if "top_logprobs" in scorer.needs and not (facts.top_logprobs or facts.prompt_logprobs):
            raise MissingCapabilityError(f"the score {scorer.name} needs log-probabilities, which {facts.name} does not offer")


def checked(scores: Sequence[Score], task: Task, name: str) -> list[Score]:
    """Finite scores, None for anything else. Raises ScoreError when there is not one a claim."""
    if len(scores) != len(task.claims):
        raise ScoreError(f"the scorer {name} gave {len(scores)} scores for {len(task.claims)} claims")
    return [float(value) if value is not None and math.isfinite(value) else None for value in scores]


def whole_samples(task: Task, name: str) -> list[Answer]:
    """The samples, all of them. Raises ScoreError when one is missing: a sum over fewer would be another score."""
    missing = sum(sample is None for sample in task.samples)
    if missing or not task.samples:
        raise ScoreError(f"{name}: {missing} of {len(task.samples)} samples are missing")
    return [sample for sample in task.samples if sample is not None]
