"""A runner as privacy probes see it (`privacy.probes.model.ProbedModel`). What it asks is personal: no error quotes an answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from audit.runners.protocol import Cancelled, Runner
from privacy.probes.model import Decoding, ModelFacts, Progress


class RunnerModel:
    """Leaves the runner open. For an endpoint, open it so that it keeps no exchange (`ExchangeLog.none()`).

    The back end is probed before anything is scored; raises ModelAccessError with what was found.
    """

    def __init__(self, runner: Runner, cancelled: Cancelled | None = None) -> None:
        self._runner, self._cancelled = runner, cancelled

    def facts(self) -> ModelFacts:
        raise NotImplementedError

    def tokenize(self, text: str) -> tuple[int, ...]:
        raise NotImplementedError

    def detokenize(self, token_ids: Sequence[int]) -> str:
        raise NotImplementedError

    def score(self, sequences: Sequence[Sequence[int]]) -> list[tuple[float, ...]]:
        raise NotImplementedError

    def score_candidates(
        self, prompts: Sequence[Sequence[int]], candidates: Sequence[Sequence[Sequence[int]]], progress: Progress | None = None
    ) -> list[list[tuple[float, ...]]]:
        raise NotImplementedError

    def next_tokens(self, prompts: Sequence[Sequence[int]]) -> list[Mapping[int, float]]:
        raise NotImplementedError

    def write(self, prompts: Sequence[str], samples: int, decoding: Decoding) -> list[list[str]]:
        raise NotImplementedError

    def write_tokens(self, prompts: Sequence[Sequence[int]], decoding: Decoding) -> list[tuple[int, ...]]:
        raise NotImplementedError
