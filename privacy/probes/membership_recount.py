"""Reading a published membership result again: what is said must follow from the ranks that it states."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from privacy.errors import ScoreError
from privacy.membership.blind import Control
from privacy.membership.records import MAX_RECORDS, Role
from privacy.probes.membership_plan import MembershipPlan
from privacy.probes.membership_results import BLIND, REFERENCE_LOSS, MembershipResult, RankedRecord, blind_name, judge
from privacy.probes.published import is_same


def recount(content: Any) -> MembershipResult:
    """The result that a published one stands for. Raises ScoreError where anything that is said does not follow from the ranks,
    and PlanError for a plan that would not be run."""
    names = {"plan", "models", "records", "controls", "scores", "verdict", "decoys", "candidates", "found", "dataset", "reasons"}
    if not isinstance(content, Mapping) or set(content) != names:
        raise ScoreError(f"a membership result has the members {', '.join(sorted(names))}")
    plan = MembershipPlan.from_json(content["plan"])
    models = content["models"]
    if not isinstance(models, list) or not 0 < len(models) <= 16 or not all(isinstance(one, dict) for one in models):
        raise ScoreError("the models of a membership result are a list of the model's and its references' facts")
    records = _read_records(content["records"], plan, len(models) - 1)
    controls = [read_control(one) for one in _listed(content["controls"], 64, "controls")]
    measured = [one for one in controls if not one.name.startswith(REFERENCE_LOSS)]
    groups = [role for role in (Role.MEMBER, Role.CANDIDATE) if any(one.role is role for one in records)]
    if [one.name for one in measured] != list(map(blind_name, groups)):
        raise ScoreError("a membership result states the blind control of every group, in order")
    result = judge(plan, models, records, measured)
    for name, value in {**result.said(), "controls": [one.to_json() for one in result.controls]}.items():
        if not is_same(value, content[name]):
            raise ScoreError(f"{name}: what the membership result says does not follow from its ranks")
    return result


def _listed(value: Any, most: int, name: str) -> list[Any]:
    if not isinstance(value, list) or len(value) > most:
        raise ScoreError(f"the {name} of a result are a list of at most {most}")
    return value


def _read_records(content: Any, plan: MembershipPlan, references: int) -> list[RankedRecord]:
    rows = _listed(content, MAX_RECORDS, "records")
    columns = {*plan.scores, *(f"{REFERENCE_LOSS}:{i}" for i in range(references))}
    found, seen = [], set()
    for place, row in enumerate(rows):
        if not isinstance(row, dict) or set(row) != {"commitment", "role", "ranks"}:
            raise ScoreError(f"record {place} has commitment, role and ranks")
        commitment, role, ranks = row["commitment"], row["role"], row["ranks"]
        if not isinstance(commitment, str) or not 0 < len(commitment) <= 128 or commitment in seen:
            raise ScoreError(f"record {place}: the commitment is no string of its own")
        if role not in [one.value for one in Role if one is not Role.POPULATION]:
            raise ScoreError(f"record {place}: no such role")
        if not isinstance(ranks, dict) or set(ranks) - {BLIND} != columns:
            raise ScoreError(f"record {place} needs a rank under every score")
        if not all(type(rank) is int and 1 <= rank <= len(rows) for rank in ranks.values()):
            raise ScoreError(f"record {place}: a rank lies between 1 and the number of records")
        seen.add(commitment)
        found.append(RankedRecord(commitment, Role(role), ranks))
    counts = {role: sum(one.role is role for one in found) for role in Role}
    compared = (Role.MEMBER, Role.NON_MEMBER) if counts[Role.MEMBER] else ()
    if any((BLIND in one.ranks) != (one.role in compared) for one in found):
        raise ScoreError("members and non-members have a rank under the blind classifier where there are members, others none")
    plan.check_counts({**counts, Role.POPULATION: 1}, references)
    return found


def read_control(content: Any) -> Control:
    """What `Control.to_json` gave. Raises ScoreError."""
    names = {"name", "auc", "p_value", "permutations"}
    if not isinstance(content, dict) or set(content) != names or not isinstance(content["name"], str):
        raise ScoreError("a control has name, auc, p_value and permutations")
    auc, p, permutations = content["auc"], content["p_value"], content["permutations"]
    if type(permutations) is not int or not 1 <= permutations <= 1_000_000:
        raise ScoreError("a control has at least one permutation")
    if not all(isinstance(x, float) and math.isfinite(x) for x in (auc, p)) or not 0 <= auc <= 1:
        raise ScoreError("a control's auc and p are numbers between 0 and 1")
    if not 1 / (permutations + 1) - 1e-12 <= p <= 1:
        raise ScoreError("a control's p lies between 1 / (permutations + 1) and 1")
    return Control(content["name"], auc, p, permutations)
