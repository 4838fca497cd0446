"""Scores made of other scores of the run: blends fitted on outputs of their own, and named combinations of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from conformal.claims import ClaimTable, TableBuilder
from conformal.errors import LedgerError
from conformal.losses import Floats
from conformal.pipeline.errors import PipelineError
from conformal.pipeline.scorers.scorer import Need, Score, ScoreError, Scorer, Task
from conformal.scores.fitted import FittedScore
from conformal.scores.named import named_score

NAME_DIGITS = 12


class DerivedScorer:
    """Scores an output from the scores of `inputs`, which come before it in the run. A claim that lacks one of them leaves the
    whole output without this score, since places among the claims may matter."""

    def __init__(
        self, name: str, inputs: Sequence[Scorer], described: dict[str, Any], compute: Callable[[ClaimTable], Floats]
    ) -> None:
        self.name, self._inputs, self._compute = name, tuple(inputs), compute
        self._described = described
        self.needs: frozenset[Need] = frozenset().union(*(one.needs for one in inputs))

    def describe(self) -> dict[str, Any]:
        return {**self._described, "inputs": {one.name: one.describe() for one in self._inputs}}

    def score(self, task: Task) -> list[Score]:
        if not task.claims:
            return []
        claims = []
        for place, claim in enumerate(task.claims):
            scores = {one.name: task.scores[one.name][place] for one in self._inputs}
            missing = [name for name, value in scores.items() if value is None]
            if missing:
                raise ScoreError(f"{self.name}: claim {place} has no score {missing[0]}")
            claims.append({"text": claim.text, "scores": scores, "premises": list(claim.premises)})
        builder = TableBuilder()
        builder.add({"id": task.id, "prompt": task.prompt, "output": task.output, "claims": claims}, task.id)
        try:
            return [float(value) for value in self._compute(builder.finish(task.id))]
        except LedgerError as error:
            raise ScoreError(f"{self.name}: {error}") from None


def fitted_scorer(fitted: FittedScore, before: Sequence[Scorer]) -> DerivedScorer:
    """A fitted score, named by its digest. Raises PipelineError when an input is not scored before it."""
    inputs = [_find(name, before) for name in fitted.features.inputs]
    return DerivedScorer(f"fitted-{fitted.digest[:NAME_DIGITS]}", inputs, {"scorer": "fitted", "fitted": fitted.digest}, fitted)


def combined_scorer(expression: str, before: Sequence[Scorer]) -> DerivedScorer:
    """a+b, rank(a), rank(a)+b over scores before it. Raises PipelineError for others, and for seeds: ties are broken over a whole
    ledger, which one output does not have."""
    if any(sign in expression for sign in "~:") or not ("+" in expression or expression.startswith("rank(")):
        raise PipelineError(f"{expression[:60]!r} is no score of this run; combine scores before it as a+b or rank(a)")
    parts = [part.strip() for part in expression.split("+")]
    names = [part[len("rank(") : -1] if part.startswith("rank(") and part.endswith(")") else part for part in parts]
    inputs = [_find(name, before) for name in dict.fromkeys(names)]
    return DerivedScorer(
        expression, inputs, {"scorer": "combined", "expression": expression}, lambda table: named_score(table, expression)
    )


def _find(name: str, before: Sequence[Scorer]) -> Scorer:
    for scorer in before:
        if scorer.name == name:
            return scorer
    raise PipelineError(f"the score {name[:60]!r} has to be scored first: name its scorer before what is made of it")
