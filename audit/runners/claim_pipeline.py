"""From names of splitters and scorers to a plan of the claim pipeline on opened runners. Encoders are loaded only if needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from audit.runners.protocol import Cancelled, Runner, RunnerError
from audit.runners.text_model import RunnerGenerator
from conformal.pipeline.backoff import BackOff
from conformal.pipeline.merge_check import JudgeCheck, MergeCheck, WordCheck
from conformal.pipeline.merging import JoiningMerger, PromptedMerger
from conformal.pipeline.model import Decoding, Generator
from conformal.pipeline.plan import Plan
from conformal.pipeline.scorers.derived import combined_scorer, fitted_scorer
from conformal.pipeline.scorers.frequency import FrequencyScorer
from conformal.pipeline.scorers.judges import EmbeddingJudge, EntailmentJudge, PromptedJudge
from conformal.pipeline.scorers.logprob import LogprobScorer
from conformal.pipeline.scorers.p_true import PTrueScorer
from conformal.pipeline.scorers.position import PositionScorer
from conformal.pipeline.scorers.prompted_entailment import PromptedEntailment
from conformal.pipeline.scorers.random import RandomScorer
from conformal.pipeline.scorers.sar import SarScorer, TokenSarScorer
from conformal.pipeline.scorers.scorer import Scorer
from conformal.pipeline.scorers.semantic_entropy import SemanticEntropyScorer
from conformal.pipeline.splitters.prompted import PromptedSplitter
from conformal.pipeline.splitters.rules import RuleSplitter
from conformal.scores.fitted import FittedScore

if TYPE_CHECKING:
    from audit.runners.encoders import NliEncoder, TextEmbedder


@dataclass(frozen=True)
class Encoders:
    """Directories of the encoders, loaded at first use. Raises RunnerError where one is needed and none is named."""

    nli_folder: Path | None = None
    embedder_folder: Path | None = None
    device: str = "auto"

    @cached_property
    def nli(self) -> NliEncoder:
        from audit.runners.encoders import NliEncoder

        if self.nli_folder is None:
            raise RunnerError("judging by entailment needs the directory of a cross-encoder")
        return NliEncoder(self.nli_folder, self.device)

    @cached_property
    def embedder(self) -> TextEmbedder:
        from audit.runners.encoders import TextEmbedder

        if self.embedder_folder is None:
            raise RunnerError("judging by vectors needs the directory of a sentence encoder")
        return TextEmbedder(self.embedder_folder, self.device)


def build_plan(
    runner: Runner,
    helper: Runner,
    *,
    splitter: str,
    scorers: Sequence[str | FittedScore],
    samples: int = 5,
    max_new_tokens: int = 512,
    temperature: float = 0.0,
    sample_temperature: float = 1.0,
    seed: int = 0,
    batch: int = 8,
    merge: str = "join",
    check: str = "words",
    helper_tokens: int = 1024,
    chat: bool = False,
    encoders: Encoders | None = None,
    backoff: BackOff | None = None,
    cancelled: Cancelled | None = None,
) -> Plan:
    """`runner` answers, and is asked for log-probabilities; `helper`, which may be the same, splits, judges and merges, in at
    most `helper_tokens` new tokens (splitting, merging).

    A fitted score is one of the scorers, after its inputs. Raises RunnerError for an encoder that cannot be loaded,
    ConformalErrors for settings and unknown names.
    """
    encoders = encoders or Encoders()
    model = RunnerGenerator(runner, chat=chat, cancelled=cancelled)
    aide = model if helper is runner else RunnerGenerator(helper, chat=chat, cancelled=cancelled)
    if splitter not in ("rules", "llm") or merge not in ("join", "llm"):
        raise RunnerError("claims are split by rules or llm, and merged by join or llm")
    opened: list[Scorer] = []
    for one in scorers:
        if isinstance(one, str):
            opened.append(open_scorer(one, model, aide, encoders, seed) or combined_scorer(one, opened))
        else:
            opened.append(fitted_scorer(one, opened))
    return Plan(
        model=model,
        splitter=RuleSplitter() if splitter == "rules" else PromptedSplitter(aide, helper_tokens),
        scorers=tuple(opened),
        decoding=Decoding(max_new_tokens, temperature),
        sampling=Decoding(max_new_tokens, sample_temperature),
        samples=samples,
        seed=seed,
        batch=batch,
        backoff=backoff,
        merger=JoiningMerger() if merge == "join" else PromptedMerger(aide, helper_tokens),
        check=_open_check(check, aide, encoders),
    )


def open_scorer(name: str, model: Generator, helper: Generator, encoders: Encoders, seed: int) -> Scorer | None:
    """A scorer by its name, None if it has none of these. Raises RunnerError."""
    match name:
        case "frequency-llm":
            return FrequencyScorer(PromptedJudge(helper))
        case "frequency-nli":
            return FrequencyScorer(EntailmentJudge(encoders.nli))
        case "frequency-embedding":
            return FrequencyScorer(EmbeddingJudge(encoders.embedder))
        case "p-true":
            return PTrueScorer(model)
        case "logprob":
            return LogprobScorer(model)
        case "token-sar":
            return TokenSarScorer(model, encoders.embedder)
        case "sar":
            return SarScorer(model, encoders.embedder)
        case "semantic-entropy":
            return SemanticEntropyScorer(encoders.nli if encoders.nli_folder else PromptedEntailment(helper))
        case "position":
            return PositionScorer()
        case "random":
            return RandomScorer(seed)
    return None


def _open_check(name: str, helper: Generator, encoders: Encoders) -> MergeCheck:
    match name:
        case "words":
            return WordCheck()
        case "llm":
            return JudgeCheck(PromptedJudge(helper))
        case "nli":
            return JudgeCheck(EntailmentJudge(encoders.nli))
    raise RunnerError(f"there is no check {name[:60]!r}; there are words, llm and nli")
