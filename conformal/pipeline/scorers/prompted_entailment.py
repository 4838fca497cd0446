"""Entailment by asking a model with the prompt of the support judge, for want of a cross-encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from conformal.pipeline.model import Generator, Verdict
from conformal.pipeline.scorers.judges import PromptedJudge

_VERDICTS: dict[float, Verdict] = {1.0: "entails", 0.0: "neutral", -1.0: "contradicts"}


class PromptedEntailment:
    """One prompt a pair."""

    def __init__(self, model: Generator) -> None:
        self._judge = PromptedJudge(model)

    def describe(self) -> dict[str, Any]:
        return self._judge.describe()

    def verdicts(self, pairs: Sequence[tuple[str, str]]) -> list[Verdict | None]:
        found = [self._judge.judge(premise, [hypothesis])[0] for premise, hypothesis in pairs]
        return [None if value is None else _VERDICTS[value] for value in found]
