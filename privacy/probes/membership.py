"""Membership on a model: which records it was trained on, as far as likelihoods tell, with the error of every claim controlled.

Every score is a function of token log-probabilities. They are turned into ranks before anything else is done with them, and only
ranks leave this module: with the model at hand, an exact likelihood would identify a text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from privacy.errors import ModelAccessError, ProbeCancelledError, ScoreError
from privacy.membership.blind import Control, blind_control, blind_features, out_of_fold_scores
from privacy.membership.records import Record, Role, check_records
from privacy.membership.scores import (
    loss_score,
    min_k_plus_plus_score,
    min_k_score,
    reference_score,
    rmia_score,
    token_log_probs,
    zlib_score,
)
from privacy.probes.membership_plan import MembershipPlan, share_of
from privacy.probes.membership_results import (
    BLIND,
    REFERENCE_LOSS,
    MembershipResult,
    RankedRecord,
    blind_name,
    dense_ranks,
    judge,
)
from privacy.probes.model import Access, Cancelled, ProbedModel, Progress
from privacy.statistics.scores import Floats

BATCH = 64
COMMITTED_TYPE = "record"

Commit = Callable[[str, str], str]
Keep = Callable[[str, Callable[[], bytes]], bytes]


def run_membership(
    plan: MembershipPlan,
    records: Sequence[Record],
    model: ProbedModel,
    references: Sequence[ProbedModel] = (),
    *,
    commit: Commit,
    keep: Keep | None = None,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
) -> MembershipResult:
    """Score every record under the model and its references, rank, and judge.

    `references` have the same tokenizer, and should have seen none of the records; one that saw them shows in a control and
    leaves no verdict. `commit(type, id)` names records in public. `keep` remembers the ranks, nothing else: an exact likelihood
    may not lie on a disk, so that a run that was ended before all records were ranked begins anew.

    Raises PlanError before anything is asked where the records are too few; ModelAccessError where a model gives no
    log-probabilities or has another tokenizer; ScoreError for NaN, texts of one token and duplicates; ProbeCancelledError.
    """
    counts = check_records(records)
    plan.check_counts(counts, len(references))
    for one in (model, *references):
        if not one.facts().access.covers(Access.FULL):
            raise ModelAccessError(f"membership needs the log-probability of every token; {one.facts().name} does not give it")
    steps = _Steps(progress, cancelled, 1 + len(references))
    ranked: list[RankedRecord] = []
    measured: list[Control] = []

    def make() -> bytes:
        tokens = [_tokens(plan, model, place, one.text) for place, one in enumerate(records)]
        _check_tokenizers(plan, records, tokens, references)
        seen = [_cut(plan, model, own, one) for own, one in zip(tokens, records)]
        ranked.extend(_rank(plan, seen, _score_records(plan, seen, tokens, model, references, steps), commit))
        measured.extend(_blind_controls(plan, seen, steps))
        rows = [one.to_json() for one in ranked]
        return json.dumps({"records": rows, "controls": [one.to_json() for one in measured]}).encode()

    kept = make() if keep is None else keep("membership", make)
    if not ranked:
        content = json.loads(kept)
        ranked = [RankedRecord(row["commitment"], Role(row["role"]), row["ranks"]) for row in content["records"]]
        measured = [Control(**row) for row in content["controls"]]
    return judge(plan, [one.facts().to_json() for one in (model, *references)], ranked, measured)


@dataclass(frozen=True)
class _Steps:
    """Progress over `total` equal stages."""

    progress: Progress | None
    cancelled: Cancelled | None
    total: int

    def tell(self, stage: int, share: float, message: str) -> None:
        """Raises ProbeCancelledError."""
        if self.cancelled is not None and self.cancelled():
            raise ProbeCancelledError("the membership probe was cancelled")
        if self.progress is not None:
            self.progress(min(1.0, (stage + share) / self.total), message)


@dataclass(frozen=True)
class _Scored:
    """What the models gave one record, and the text that the kept tokens stand for."""

    text: str = field(repr=False)
    logs: Floats = field(repr=False)
    references: tuple[Floats, ...]
    moments: tuple[Floats, Floats] | None


def _rank(plan: MembershipPlan, records: Sequence[Record], scored: Sequence[_Scored], commit: Commit) -> Iterator[RankedRecord]:
    population = [one for one, record in zip(scored, records) if record.role is Role.POPULATION]
    kept = [(record, one) for record, one in zip(records, scored) if record.role is not Role.POPULATION]
    rows = [one for _, one in kept]
    ranks = {name: dense_ranks(_column(plan, name, rows, population)) for name in plan.scores}
    for i in range(len(rows[0].references)):
        ranks[f"{REFERENCE_LOSS}:{i}"] = dense_ranks(np.array([loss_score(one.references[i]) for one in rows]))
    blind = _blind_ranks(plan, [record for record, _ in kept])
    for place, (record, _) in enumerate(kept):
        own = {name: column[place] for name, column in ranks.items()}
        yield RankedRecord(commit(COMMITTED_TYPE, record.id), record.role, {**own, **blind.get(place, {})})


def _blind_ranks(plan: MembershipPlan, records: Sequence[Record]) -> dict[int, dict[str, int]]:
    """By place, the rank of members and non-members under the classifier that sees texts alone."""
    at = [i for i, one in enumerate(records) if one.role in (Role.MEMBER, Role.NON_MEMBER)]
    if not any(records[i].role is Role.MEMBER for i in at):
        return {}
    labels = np.array([0.5 if records[i].role is Role.MEMBER else -0.5 for i in at])
    found = dense_ranks(out_of_fold_scores(blind_features([records[i].text for i in at]), labels, plan.seed))
    return {i: {BLIND: rank} for i, rank in zip(at, found)}


def _blind_controls(plan: MembershipPlan, records: Sequence[Record], steps: _Steps) -> Iterator[Control]:
    texts = {role: [one.text for one in records if one.role is role] for role in Role}
    for role in (Role.MEMBER, Role.CANDIDATE):
        if texts[role]:
            steps.tell(steps.total, 0.0, f"comparing the texts of {role.value}s and non-members")
            # Decoys come from the source of the candidates.
            group = texts[role] + (texts[Role.DECOY] if role is Role.CANDIDATE else [])
            yield blind_control(group, texts[Role.NON_MEMBER], blind_name(role), plan.seed)


# ---------------------------------------------------------------- what the models say


def _score_records(
    plan: MembershipPlan,
    records: Sequence[Record],
    tokens: Sequence[tuple[int, ...]],
    model: ProbedModel,
    references: Sequence[ProbedModel],
    steps: _Steps,
) -> list[_Scored]:
    logs = [_score(one, tokens, steps, stage) for stage, one in enumerate((model, *references))]
    moments = _moments(model, tokens, steps) if any(name.startswith("min-k++") for name in plan.scores) else None
    return [
        _Scored(one.text, logs[0][i], tuple(own[i] for own in logs[1:]), None if moments is None else moments[i])
        for i, one in enumerate(records)
    ]


def _tokens(plan: MembershipPlan, model: ProbedModel, place: int, text: str) -> tuple[int, ...]:
    found = tuple(model.tokenize(text))[: plan.max_tokens]
    if len(found) < 2:
        raise ScoreError(f"record {place} is a text of one token; nothing of it can be scored")
    return found


def _check_tokenizers(
    plan: MembershipPlan, records: Sequence[Record], tokens: Sequence[tuple[int, ...]], references: Sequence[ProbedModel]
) -> None:
    for place, other in enumerate(references):
        if any(tuple(other.tokenize(one.text))[: plan.max_tokens] != own for one, own in zip(records, tokens)):
            raise ModelAccessError(f"reference model {place} has another tokenizer than the model; take one with the same")


def _cut(plan: MembershipPlan, model: ProbedModel, tokens: tuple[int, ...], record: Record) -> Record:
    """The record with the text that its kept tokens stand for."""
    return replace(record, text=model.detokenize(tokens)) if len(tokens) == plan.max_tokens else record


def _score(model: ProbedModel, tokens: Sequence[tuple[int, ...]], steps: _Steps, stage: int) -> list[Floats]:
    found: list[Floats] = []
    for start in range(0, len(tokens), BATCH):
        part = tokens[start : start + BATCH]
        for own, logs in zip(part, model.score(part), strict=True):
            values = token_log_probs(logs)
            if values.size != len(own) - 1:
                raise ModelAccessError("a model gave another number of log-probabilities than there are tokens")
            found.append(values)
        steps.tell(stage, len(found) / len(tokens), f"scored {len(found)} of {len(tokens)} records")
    return found


def _moments(model: ProbedModel, tokens: Sequence[tuple[int, ...]], steps: _Steps) -> list[tuple[Floats, Floats]]:
    found = []
    for start in range(0, len(tokens), BATCH):
        steps.tell(0, 1.0, "reading the vocabulary's distribution")
        for pairs in model.token_moments(tokens[start : start + BATCH]):
            array = np.asarray(pairs, dtype=np.float64).reshape(-1, 2)
            found.append((array[:, 0], array[:, 1]))
    return found


# ---------------------------------------------------------------- scores


def _column(plan: MembershipPlan, name: str, rows: Sequence[_Scored], population: Sequence[_Scored]) -> Floats:
    if name == "rmia":
        return _rmia(plan, rows, population)
    return np.array([_score_one(name, one) for one in rows])


def _score_one(name: str, one: _Scored) -> float:
    if name == "loss":
        return loss_score(one.logs)
    if name == "zlib":
        return zlib_score(one.logs, one.text.encode("utf-8", "surrogatepass"))
    if name == "reference":
        return float(np.mean([reference_score(one.logs, other) for other in one.references]))
    share = share_of(name) or 1.0
    if one.moments is None or not name.startswith("min-k++"):
        return min_k_score(one.logs, share)
    return min_k_plus_plus_score(one.logs, *one.moments, share)


def _rmia(plan: MembershipPlan, rows: Sequence[_Scored], population: Sequence[_Scored]) -> Floats:
    """Likelihoods per token (the geometric mean), since texts differ in length."""
    points = np.array([loss_score(one.logs) for one in population])
    others = np.array([[loss_score(logs) for logs in one.references] for one in population])
    settings: Mapping[str, Any] = {"gamma": plan.rmia_gamma, "offline_a": plan.rmia_offline_a}
    return np.array(
        [rmia_score(loss_score(one.logs), [loss_score(x) for x in one.references], points, others, **settings) for one in rows]
    )
