"""Canary exposure (Carlini et al. 2019, "The Secret Sharer") with the exact p-value that exposure stands for.

The auditor draws values, has some of them put into the training data a stated number of times, and keeps others back. Afterwards
each is ranked by its log-likelihood among references drawn from the same format by the same law. A canary and its references are
exchangeable by construction (`privacy.invented`), so that rank / (R + 1) is an exact p-value without any reference model. The
skew-normal extrapolation of the paper's section 4 is left out: beyond R it is a guess about a tail, and no valid p.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from privacy.boundary import split_at_boundary
from privacy.errors import ModelAccessError, PlanError, ProbeCancelledError, ScoreError
from privacy.invented.people import draw_people
from privacy.invented.values import draw_values
from privacy.people import Origin
from privacy.probes.canary_results import CanaryPlan, CanaryResult, MeasuredCanary, judge
from privacy.probes.evidence import RankEvidence, exponent_of
from privacy.probes.model import Access, Cancelled, ProbedModel, Progress
from privacy.probes.scoring import SPREADS, score_splits
from privacy.redaction import length_class
from privacy.statistics.ranking import rank_p_value
from privacy.statistics.scores import Floats, join_templates
from privacy.templates import Template, builtin_templates

MAX_CONTEXTS = 16
_ID = re.compile(r"[\w.:-]{1,64}")
Keep = Callable[[str, Callable[[], bytes]], bytes]


@dataclass(frozen=True)
class Canary:
    """A value that the auditor drew, and the contexts it is asked with, the first being the one it was planted in.

    `repetitions`: how often `text` stands in the training data; 0 = held out, a decoy.
    """

    id: str
    type: str
    contexts: tuple[str, ...] = field(repr=False)
    value: str = field(repr=False)
    repetitions: int
    separator: str = " "

    @property
    def text(self) -> str:
        """What is planted."""
        return f"{self.contexts[0]}{self.separator}{self.value}"


def draw_canaries(
    seed: int, repetitions: Sequence[int], type_: str = "number", templates: Sequence[Template] | None = None
) -> tuple[Canary, ...]:
    """One canary for each number of repetitions, 0 for those held out; invented names, values by the law of the references.

    `templates` are twins (name and value) of that type that share a separator; the built-in ones if left out, of which the first
    is planted. Draw them before training, and hold the seed back from whoever trains. Raises PlanError, ValueFormatError,
    TemplateError.
    """
    used = builtin_templates(type_, ()) if templates is None else tuple(templates)
    if not 1 <= len(used) <= MAX_CONTEXTS or any(one.target != type_ or one.items for one in used):
        raise PlanError(f"canaries are drawn with 1 to {MAX_CONTEXTS} twin templates of their own type")
    if len({one.separator for one in used}) != 1:
        raise PlanError("templates of canaries share one separator")
    people = draw_people(random.Random(f"canaries/{seed}"), len(repetitions), (type_,), (), Origin.CANARY, "canary")
    return tuple(
        Canary(person.id, type_, tuple(one.render(person) for one in used), person.values[type_], count, used[0].separator)
        for person, count in zip(people, repetitions, strict=True)
    )


def check_canaries(plan: CanaryPlan, canaries: Sequence[Canary]) -> None:
    """Raises PlanError for canaries that cannot be told apart or could show nothing."""
    plan.check([canary.repetitions for canary in canaries])
    ids: set[str] = set()
    texts: set[str] = set()
    for place, canary in enumerate(canaries, 1):
        if not _ID.fullmatch(canary.id) or canary.id in ids:
            raise PlanError(f"canary {place} has the id of another one, or an id that is not 1 to 64 letters, digits and .:_-")
        if not 1 <= len(canary.contexts) <= MAX_CONTEXTS or not all(context.strip() for context in canary.contexts):
            raise PlanError(f"canary {place} has 1 to {MAX_CONTEXTS} contexts, none of them empty")
        if canary.text in texts:
            raise PlanError(f"canary {place} is the same text as another one")
        ids.add(canary.id)
        texts.add(canary.text)


def run_canaries(
    plan: CanaryPlan, canaries: Sequence[Canary], model: ProbedModel, *,
    keep: Keep | None = None, progress: Progress | None = None, cancelled: Cancelled | None = None,
) -> CanaryResult:  # fmt: skip
    """Rank every canary, held-out ones included, and judge. `keep` makes a run resumable: it is given ranks alone.

    Raises PlanError before anything is asked; ModelAccessError where the model does not give the log-probability of every token;
    BoundaryError; ScoreError for NaN; ProbeCancelledError.
    """
    check_canaries(plan, canaries)
    facts = model.facts()
    if not facts.access.covers(Access.FULL):
        raise ModelAccessError(
            f"canaries need the log-probability of every token; {facts.name} gives {facts.access.value} access"
        )
    measured = []
    for place, canary in enumerate(canaries):
        if cancelled is not None and cancelled():
            raise ProbeCancelledError("the canary probe was cancelled; what it kept goes on from there")

        def make(canary: Canary = canary) -> bytes:
            return json.dumps(_rank(plan, canary, model)).encode()

        data = make() if keep is None else keep(_name(plan, canary, facts.to_json()), make)
        measured.append(_measured(plan, canary, data))
        if progress is not None:
            progress((place + 1) / len(canaries), f"ranked {place + 1} of {len(canaries)} canaries")
    return judge(plan, facts, measured)


def draw_references(plan: CanaryPlan, canary: Canary) -> tuple[list[str], int]:
    """The canary among its references, in an order drawn by lot, and its place there."""
    rng = random.Random(f"references/{plan.seed}/{canary.id}")
    values = draw_values(canary.type, canary.value, plan.references, rng)
    at = rng.randrange(plan.references + 1)
    return [*values[:at], canary.value, *values[at:]], at


def _rank(plan: CanaryPlan, canary: Canary, model: ProbedModel) -> dict[str, Any]:
    values, at = draw_references(plan, canary)
    splits = []
    for context in canary.contexts:
        found = split_at_boundary(model.tokenize, context, values, canary.separator, plan.terminator)
        splits.append((found.prompt, found.candidates))
    scores = score_splits(model, splits)
    return {"rank": rank_of(scores, at, plan.tolerance), "exponent": exponent_of(float(scores[:, at].max()))}


def rank_of(scores: Floats, at: int, tolerance: float) -> int:
    """1 + how many others score at least as high as the one at `at`, up to `tolerance` nats, by the maximum over contexts.

    `scores`: contexts x (R + 1), summed log-likelihoods. One context is taken as it is; several are standardised first.
    """
    own, others = scores[:, at], [*range(at), *range(at + 1, scores.shape[1])]
    if len(scores) == 1:
        p = rank_p_value(float(own[0]) - tolerance, scores[0, others])
    else:
        observed, nulls = join_templates(own, scores[:, others], True, SPREADS * tolerance)
        p = rank_p_value(observed - (max(1 / SPREADS, tolerance) if tolerance else 0.0), nulls)
    return round(p * scores.shape[1])


def _measured(plan: CanaryPlan, canary: Canary, data: bytes) -> MeasuredCanary:
    try:
        content = json.loads(data)
        evidence = RankEvidence(content["rank"], plan.references, content["exponent"])
        found = MeasuredCanary(
            canary.id, canary.type, canary.repetitions, len(canary.contexts), length_class(canary.value), evidence
        )
        found.check(plan)
    except (ValueError, KeyError, TypeError):
        raise ScoreError("what was kept of the canary probe is not what it keeps; delete it to measure again") from None
    return found


def _name(plan: CanaryPlan, canary: Canary, facts: dict[str, Any]) -> str:
    """By plan, model and canary: another name for whatever would have another rank."""
    own = [canary.id, canary.type, list(canary.contexts), canary.value, canary.separator]
    text = json.dumps([plan.to_json(), facts, own], sort_keys=True)
    return f"canary-{hashlib.sha256(text.encode()).hexdigest()[:32]}"
