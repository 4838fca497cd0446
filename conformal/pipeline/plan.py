"""What a run does: model, splitter, scorers, and back-off if there is a threshold. Its manifest names all of it by digest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from conformal.documents import digest
from conformal.pipeline.backoff import BackOff
from conformal.pipeline.errors import PipelineError
from conformal.pipeline.merge_check import MergeCheck, WordCheck
from conformal.pipeline.merging import JoiningMerger, Merger
from conformal.pipeline.model import Decoding, Generator
from conformal.pipeline.questions import Question
from conformal.pipeline.scorers.scorer import Scorer, check_needs
from conformal.pipeline.splitters.claim import Splitter

FORMAT = "assay-factuality-run/1"
MAX_SAMPLES = 100
MAX_BATCH = 4096


@dataclass(frozen=True)
class Plan:
    """`decoding` draws the answers, `sampling` the further samples, `samples` a prompt; both have their seed replaced by streams
    under `seed`. Prompts are asked in batches of `batch`, which belongs to the run: the shape of a batch moves rounding."""

    model: Generator
    splitter: Splitter
    scorers: tuple[Scorer, ...]
    decoding: Decoding
    sampling: Decoding
    samples: int = 0
    seed: int = 0
    batch: int = 8
    backoff: BackOff | None = None
    merger: Merger = field(default_factory=JoiningMerger)
    check: MergeCheck = field(default_factory=WordCheck)

    def validate(self) -> None:
        """Before any work. Raises PipelineError, MissingCapabilityError."""
        if not 0 <= self.samples <= MAX_SAMPLES or not 1 <= self.batch <= MAX_BATCH:
            raise PipelineError(f"a run draws 0 to {MAX_SAMPLES} samples a prompt, in batches of 1 to {MAX_BATCH}")
        if not self.scorers:
            raise PipelineError("a run needs a scorer; position or random ask nothing of the model")
        check_needs(self.scorers, self.model.facts(), self.samples)
        if self.backoff is not None:
            self.components(self.backoff.score)

    @property
    def needs_samples(self) -> bool:
        return any("samples" in scorer.needs for scorer in self.scorers)

    def components(self, score: str) -> dict[str, str]:
        """SHA-256 of what a certificate for that score has to agree with.

        `model` is the digest of its weights where they are known, of its name otherwise; `prompt` covers how answers are drawn,
        `scorer` also the samples it looks at. Raises PipelineError if the run has no such score.
        """
        facts = self.model.facts()
        scorer = next((scorer for scorer in self.scorers if scorer.name == score), None)
        if scorer is None:
            names = ", ".join(scorer.name for scorer in self.scorers)
            raise PipelineError(f"the threshold is of the score {score}, the run has {names}")
        drawn = {**self.sampling.to_json(), "seed": None, "samples": self.samples} if "samples" in scorer.needs else None
        return {
            "model": facts.digest or digest({"remote": facts.name}),
            "prompt": digest({**self.decoding.to_json(), "seed": None, "chat_template": facts.chat_template}),
            "splitter": digest(self.splitter.describe()),
            "scorer": digest({"scorer": scorer.describe(), "samples": drawn}),
        }

    def identity(self) -> dict[str, Any]:
        """Model, decoding, splitter and scorers, apart from prompts and threshold."""
        return {
            "model": self.model.facts().to_json(),
            "decoding": {**self.decoding.to_json(), "seed": None},
            "sampling": {**self.sampling.to_json(), "seed": None} if self.needs_samples else None,
            "samples": self.samples if self.needs_samples else 0,
            "splitter": self.splitter.describe(),
            "scorers": {scorer.name: scorer.describe() for scorer in self.scorers},
        }

    def manifest(self, questions: Sequence[Question]) -> dict[str, Any]:
        """Everything that decides what the run writes."""
        identity = self.identity()
        return {
            "format": FORMAT,
            **identity,
            "seed": self.seed,
            "batch": self.batch,
            "prompts": {"count": len(questions), "digest": digest([[q.id, q.prompt, q.group] for q in questions])},
            "components": {scorer.name: self.components(scorer.name) for scorer in self.scorers},
            "backoff": self.backoff.to_json() if self.backoff else None,
            "merger": self.merger.describe() if self.backoff else None,
            "check": self.check.describe() if self.backoff else None,
        }
