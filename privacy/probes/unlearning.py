"""The unlearning audit: does a model that was made to forget answer as one that never knew, within stated margins?

The unlearned model and the reference answer the same questions; metrics are averaged over each entity's facts and compared by
entity, asked plainly, in other words, and after both were tuned on a part of what should be forgotten. Likelihoods and answers
stay here; what leaves are counts of differences, their means and deviations.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from privacy.boundary import split_at_boundary
from privacy.errors import ModelAccessError, PlanError, ProbeCancelledError
from privacy.probes.model import Access, Cancelled, Decoding, ProbedModel, Progress
from privacy.probes.unlearning_plan import Relearning, UnlearningPlan
from privacy.probes.unlearning_results import (
    CONTROL,
    FORGET,
    ORIGINAL,
    REFERENCE,
    RELEARNED,
    RETAIN,
    REWORDED,
    UNLEARNED,
    UnlearningResult,
    judge,
    margins_of,
)
from privacy.statistics.equivalence import entity_means
from privacy.statistics.reveal import extraction_strength
from privacy.unlearning import metrics
from privacy.unlearning.comparison import Differences
from privacy.unlearning.facts import Fact, check_facts
from privacy.unlearning.rewordings import reword

CHUNK = 64
NO_TOKEN = -1

Keep = Callable[[str, Callable[[], bytes]], bytes]
Tune = Callable[[ProbedModel, Sequence[tuple[int, ...]], Relearning], ProbedModel]
"""(model, texts as token ids, budget) -> a copy of the model that was trained on the texts."""


def run_unlearning(
    plan: UnlearningPlan,
    forget: Sequence[Fact],
    retain: Sequence[Fact],
    unlearned: ProbedModel,
    reference: ProbedModel,
    original: ProbedModel | None = None,
    *,
    tune: Tune | None = None,
    keep: Keep | None = None,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
) -> UnlearningResult:
    """Compare `unlearned` with `reference` on what should be forgotten and, if there is a `retain` set, on what should not.

    `reference` was trained alike without the forget set. `original`, the model before unlearning, is a control: where it does not
    differ from the reference, there is nothing that could be forgotten and no verdict. `tune` is needed for the relearning attack
    (`privacy.probes.relearning.relearn` for models in process). `keep` remembers counts of differences and their moments.

    Raises PlanError before a model is asked; ModelAccessError; BoundaryError; ScoreError; ProbeCancelledError.
    """
    _check(plan, forget, retain, tune)
    models = {UNLEARNED: unlearned, REFERENCE: reference, **({} if original is None else {ORIGINAL: original})}
    for name, model in models.items():
        _check_access(plan, name, model)
    audit = _Audit(plan, models, progress, cancelled)
    parts: dict[str, Callable[[], dict[str, Any]]] = {"unlearning-forget": lambda: audit.compare_forget(forget)}
    if retain:
        parts["unlearning-retain"] = lambda: audit.compare_retain(retain)
    if plan.relearning is not None and tune is not None:
        attack = plan.relearning
        parts["unlearning-relearned"] = lambda: audit.compare_relearned(forget, attack, tune)
    measured: dict[str, dict[str, Differences]] = {}
    for number, (name, part) in enumerate(parts.items()):
        audit.stage = (number, len(parts))
        data = _make(part) if keep is None else keep(name, lambda part=part: _make(part))  # type: ignore[misc]
        for section, rows in json.loads(data).items():
            measured[section] = {metric: _read(row) for metric, row in rows.items()}
    return judge(plan, {name: model.facts().to_json() for name, model in models.items()}, measured)


def _make(part: Callable[[], dict[str, Any]]) -> bytes:
    return json.dumps(part()).encode()


def _read(row: Mapping[str, Any]) -> Differences:
    bins = None if row["bins"] is None else {int(place): count for place, count in row["bins"].items()}
    return Differences(row["n"], row["mean"] or 0.0, row["deviation"] or 0.0, bins)


def _check(plan: UnlearningPlan, forget: Sequence[Fact], retain: Sequence[Fact], tune: Tune | None) -> None:
    check_facts(forget, "forget set", any(name in metrics.OF_ALTERNATIVES for name in plan.margins))
    if retain:
        check_facts(retain, "retain set", any(name in metrics.OF_ALTERNATIVES for name in plan.retained))
        if {one.entity for one in forget} & {one.entity for one in retain}:
            raise PlanError("an entity is in the forget set and in the retain set")
    if plan.relearning is not None:
        if tune is None:
            raise PlanError("the relearning attack trains a copy of either model; it needs models in process")
        if len({one.entity for one in forget}) < 2:
            raise PlanError("the relearning attack needs at least two entities: what is relearned is not asked")


def _check_access(plan: UnlearningPlan, name: str, model: ProbedModel) -> None:
    wanted = {*plan.margins, *plan.retained}
    needed = Access.FULL if wanted & set(metrics.OF_TOKENS) else Access.TEXT
    if not model.facts().access.covers(needed):
        raise ModelAccessError(f"the {name} model gives {model.facts().access.value} access; these metrics need {needed.value}")


@dataclass
class _Audit:
    plan: UnlearningPlan
    models: Mapping[str, ProbedModel]
    progress: Progress | None
    cancelled: Cancelled | None
    stage: tuple[int, int] = field(default=(0, 1))

    def compare_forget(self, facts: Sequence[Fact]) -> dict[str, Any]:
        """Asked plainly; in other words, each model by its best answer; and the original as a control."""
        wordings = [(one.context, *reword(one.context, self.plan.rewordings, one.rewordings)) for one in facts]
        found = {
            name: self._measure(model, facts, wordings, self.plan.margins, (i, len(self.models)))
            for i, (name, model) in enumerate(self.models.items())
        }
        pairs = {FORGET: (UNLEARNED, False), **({REWORDED: (UNLEARNED, True)} if self.plan.rewordings else {})}
        if ORIGINAL in self.models:
            pairs[CONTROL] = (ORIGINAL, False)
        return {s: _differ(facts, found[model], found[REFERENCE], worst) for s, (model, worst) in pairs.items()}

    def compare_retain(self, facts: Sequence[Fact]) -> dict[str, Any]:
        other = ORIGINAL if ORIGINAL in self.models else REFERENCE
        return {RETAIN: self._compare(facts, self.models[UNLEARNED], self.models[other], margins_of(self.plan, RETAIN))}

    def compare_relearned(self, facts: Sequence[Fact], attack: Relearning, tune: Tune) -> dict[str, Any]:
        """Both models after the same training on some entities, asked for the others."""
        taught, asked = split_entities(facts, attack)
        texts = [f"{one.context}{one.separator}{one.answer}" for one in taught]
        self._tell(0.0, "relearning a part of the forget set")
        unlearned, reference = (
            tune(model, [tuple(model.tokenize(text)) for text in texts], attack)
            for model in (self.models[UNLEARNED], self.models[REFERENCE])
        )
        return {RELEARNED: self._compare(asked, unlearned, reference, self.plan.margins)}

    def _compare(
        self, facts: Sequence[Fact], first: ProbedModel, second: ProbedModel, margins: Mapping[str, float]
    ) -> dict[str, Any]:
        wordings = [(one.context,) for one in facts]
        a, b = (self._measure(model, facts, wordings, margins, (i, 2)) for i, model in enumerate((first, second)))
        return _differ(facts, a, b, False)

    # ------------------------------------------------------------ one model

    def _measure(
        self,
        model: ProbedModel,
        facts: Sequence[Fact],
        wordings: Sequence[tuple[str, ...]],
        margins: Mapping[str, float],
        turn: tuple[int, int],
    ) -> dict[str, list[list[float]]]:
        """Every metric for every fact and wording."""
        found: dict[str, list[list[float]]] = {name: [[] for _ in facts] for name in margins}
        asked = [(place, context) for place, own in enumerate(wordings) for context in own]
        for start in range(0, len(asked), CHUNK):
            part = asked[start : start + CHUNK]
            self._tell((turn[0] + start / len(asked)) / turn[1], f"asked {start} of {len(asked)} questions")
            for name, values in self._measure_part(model, [(facts[place], context) for place, context in part], margins).items():
                for (place, _), value in zip(part, values, strict=True):
                    found[name][place].append(value)
        return found

    def _measure_part(
        self, model: ProbedModel, part: Sequence[tuple[Fact, str]], margins: Mapping[str, float]
    ) -> dict[str, list[float]]:
        found: dict[str, list[float]] = {}
        if set(margins) & set(metrics.OF_TOKENS):
            found |= self._measure_tokens(model, part, margins)
        if set(margins) & set(metrics.OF_ANSWERS):
            decoding = Decoding(self.plan.max_new_tokens, temperature=0.0)
            written = [texts[0] for texts in model.write([context for _, context in part], 1, decoding)]
            if metrics.ROUGE in margins:
                found[metrics.ROUGE] = [metrics.rouge_l_recall(one.answer, text) for (one, _), text in zip(part, written)]
            if metrics.ROUGE_GAIN in margins:
                found[metrics.ROUGE_GAIN] = [
                    metrics.rouge_l_gain(one.answer, one.alternatives, text) for (one, _), text in zip(part, written)
                ]
        return found

    def _measure_tokens(
        self, model: ProbedModel, part: Sequence[tuple[Fact, str]], margins: Mapping[str, float]
    ) -> dict[str, list[float]]:
        wrong = bool(set(margins) & set(metrics.OF_ALTERNATIVES))
        splits = []
        for one, context in part:
            answers = [one.answer, *(one.alternatives if wrong else ())]
            boundary = split_at_boundary(model.tokenize, context, answers, one.separator)
            splits.append((tuple(boundary.prompt), [tuple(row) for row in boundary.candidates]))
        found: dict[str, list[float]] = {name: [] for name in margins if name in metrics.OF_TOKENS}
        if set(margins) & set(metrics.OF_LIKELIHOODS):
            logs = model.score_candidates([prompt for prompt, _ in splits], [rows for _, rows in splits])
            for own in logs:
                for name, value in _likelihood_metrics([metrics.mean_log_probability(row) for row in own], margins):
                    found[name].append(value)
        if metrics.STRENGTH in margins:
            found[metrics.STRENGTH] = _strengths(model, [(prompt, rows[0]) for prompt, rows in splits])
        return found

    def _tell(self, share: float, message: str) -> None:
        if self.cancelled is not None and self.cancelled():
            raise ProbeCancelledError("the unlearning audit was cancelled")
        if self.progress is not None:
            self.progress(min(1.0, (self.stage[0] + share) / self.stage[1]), message)


def _likelihood_metrics(logs: Sequence[float], margins: Mapping[str, float]) -> list[tuple[str, float]]:
    answer, wrong = logs[0], logs[1:]
    every: dict[str, Callable[[], float]] = {
        metrics.PROBABILITY: lambda: float(np.exp(answer)),
        metrics.LOG_PROBABILITY: lambda: answer,
        metrics.TRUTH_RATIO: lambda: metrics.truth_ratio(answer, wrong),
        metrics.RANK: lambda: metrics.rank_share(answer, wrong),
    }
    return [(name, value()) for name, value in every.items() if name in margins]


def _strengths(model: ProbedModel, rows: Sequence[tuple[tuple[int, ...], tuple[int, ...]]]) -> list[float]:
    """By the likeliest token after every beginning of the answer; where the model would end there, it is none of the answer's."""
    prompts = [(*prompt, *answer[:i]) for prompt, answer in rows for i in range(len(answer))]
    written = model.write_tokens(prompts, Decoding(1, temperature=0.0))
    best = iter([token[0] if token else NO_TOKEN for token in written])
    return [extraction_strength(metrics.greedy_matches([next(best) for _ in answer], answer)) for _, answer in rows]


def _differ(
    facts: Sequence[Fact], ours: Mapping[str, list[list[float]]], theirs: Mapping[str, list[list[float]]], worst: bool
) -> dict[str, Any]:
    """Differences of entity means; `worst`: every model by its largest value over wordings, else by the first wording."""
    entities = [one.entity for one in facts]
    found = {}
    for name in ours:
        a, b = (
            list(entity_means([max(row) if worst else row[0] for row in rows[name]], entities).values())
            for rows in (ours, theirs)
        )
        found[name] = Differences.measure(a, b, name in metrics.BOUNDED).to_json()
    return found


def split_entities(facts: Sequence[Fact], attack: Relearning) -> tuple[list[Fact], list[Fact]]:
    """Facts of the entities that are relearned, and of those that are asked: a share drawn by the seed. Raises PlanError."""
    entities = sorted({one.entity for one in facts})
    taught = set(random.Random(f"relearning/{attack.seed}").sample(entities, max(1, round(attack.share * len(entities)))))
    if taught >= set(entities):
        raise PlanError("relearning every entity leaves none to be asked; take a smaller share")
    return [one for one in facts if one.entity in taught], [one for one in facts if one.entity not in taught]
