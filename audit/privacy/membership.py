"""`privacy.membership`: was a model trained on private records? Ranks among non-members, blind controls, decoys.

The claim that is judged is "these records are not recognised as trained on".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from audit.errors import EvidenceError
from audit.params import Fields
from audit.privacy.model_audit import ModelAudit, Run
from audit.privacy.params import (
    MODEL,
    REFERENCE,
    Asked,
    Registered,
    check_facts,
    check_plan,
    check_records,
    model_conditions,
    read_members,
    read_models,
)
from audit.privacy.texts import AUTHORITY, as_records, judge_word
from audit.registry import Check, Outcome
from privacy.membership.records import Role
from privacy.probes.membership_plan import MembershipPlan
from privacy.probes.model import Access

NAME = "privacy.membership"
_MEMBERS = (
    "scores", "fpr", "alpha", "shift_alpha", "assignment", "max_tokens", "dataset", "rmia_gamma", "rmia_offline_a",
)  # fmt: skip
GROUPS = (Role.MEMBER, Role.CANDIDATE, Role.DECOY, Role.POPULATION)
_BOUND = (
    "a model behind an address tells no digest; that the reference saw none of the records is looked at by a control, not proved",
    "blind controls are measured with the texts and stated by the signer; the rest follows from ranks",
    "not recognised means: not by these scores, on so many records; it does not show that they were not trained on",
)


@dataclass(frozen=True)
class MembershipAsked(Asked):
    """`plan` has no seed yet."""

    plan: MembershipPlan


class PrivacyMembership(ModelAudit):
    """The registered kind."""

    name = NAME
    title = "Whether a model was trained on private records: ranks among non-members, blind controls, decoys"
    format = "assay-privacy-membership/1"
    members = frozenset(("records", "result"))

    def read(self, params: Mapping[str, Any]) -> MembershipAsked:
        fields = Fields(params, NAME)
        models, records = read_models(fields, Access.FULL), fields.digest("records")
        plan = MembershipPlan(**read_members(fields, MembershipPlan(), *_MEMBERS))
        fields.done()
        return MembershipAsked(models, (), (records,), plan)

    def measure(self, asked: MembershipAsked, run: Run) -> Mapping[str, Any]:
        from privacy.probes.membership import run_membership

        (commitment,) = asked.records
        records = run.open_records(commitment)
        result = run_membership(
            replace(asked.plan, seed=run.seed("splits")),
            as_records(records, (Role.NON_MEMBER,), GROUPS),
            run.models[MODEL],
            [run.models[REFERENCE]] if REFERENCE in run.models else [],
            commit=run.redactor(records).commit,
            keep=run.keep,
            progress=run.progress,
            cancelled=run.cancelled,
        )
        return {"records": commitment, "result": result.to_json()}

    def judge(self, asked: MembershipAsked, content: Mapping[str, Any], registered: Registered) -> Outcome:
        from privacy.probes.membership_recount import recount
        from privacy.probes.recount import read_facts

        check_records([content["records"]], asked)
        check_plan(content["result"], replace(asked.plan, seed=_seed_of(content["result"])).to_json())
        result = recount(content["result"])
        roles = [MODEL, REFERENCE][: len(result.models)]
        check_facts({role: read_facts(facts, role) for role, facts in zip(roles, result.models)}, asked.models, registered)
        words = [one.verdict.word for one in result.candidates] + ([] if result.verdict is None else [result.verdict.word])
        verdict, claim = judge_word("4 claim", "these records are not recognised as trained on", words)
        counts = {role: sum(one.role is role for one in result.records) for role in Role}
        shown = content["result"]
        checks = (
            Check("1 records", True, ", ".join(f"{count} {role.value}" for role, count in counts.items() if count)),
            Check("2 recount", True, f"everything said follows from the ranks of {len(result.records)} records"),
            Check("3 controls", None if result.reasons else True, "; ".join(result.reasons)[:300] or "no control objects"),
            claim,
        )
        outputs = {name: value for name, value in shown.items() if name not in ("records", "plan", "models")}
        conditions = (*model_conditions(registered), AUTHORITY, *_BOUND)
        return Outcome(verdict, checks, {**outputs, "alpha": asked.plan.alpha}, conditions)


def _seed_of(result: Any) -> int:
    """The seed that the run drew, as the result tells it. Raises EvidenceError."""
    plan = result.get("plan") if isinstance(result, Mapping) else None
    seed = plan.get("seed") if isinstance(plan, Mapping) else None
    if type(seed) is not int or not 0 <= seed < 1 << 53:
        raise EvidenceError("the result names no seed of its splits")
    return seed
