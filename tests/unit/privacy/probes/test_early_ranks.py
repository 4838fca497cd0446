"""Ranks that stop early are exact p-values too, cost a fraction, and are read again only as the plan allows."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace

import numpy as np
import pytest

from privacy.errors import BoundaryError, PlanError, ScoreError
from privacy.people import Origin, Person
from privacy.probes import early_ranks
from privacy.probes.black_box import run_black_box
from privacy.probes.early_ranks import rank_until_plain
from privacy.probes.evidence import RankEvidence
from privacy.probes.plan import ProbePlan
from privacy.probes.recount import recount
from privacy.probes.scoring import rank_targets
from privacy.probes.targets import Target
from privacy.statistics.validity import Word
from tests.unit.privacy.probes.scored_model import (
    COMMIT,
    OTHER_TWIN,
    TWIN,
    ScoredModel,
    blind,
    decoys,
    invent,
    knowing,
    known_to,
    noise,
    plan_for,
)

PLAN = ProbePlan(types=("phone",), nulls=199, stop_after=5, seed=2)


def test_nobody_known_gets_p_values_that_are_super_uniform() -> None:
    """Phones drawn like their nulls, coarse scores (ties), two templates of different scale: P(p <= u) <= u."""
    rng, plan = random.Random(4), replace(PLAN, nulls=99, stop_after=4)
    people = [
        Person(f"c{i}", {"name": f"Nobody {i}", "phone": f"212-555-{rng.randrange(10_000):04}"}, Origin.CANARY)
        for i in range(200)
    ]
    targets = [Target(person, "phone", "", (TWIN, OTHER_TWIN)) for person in people]
    coarse = ScoredModel(lambda context, value: -20.0 - round(8 * noise(context + value)) * (0.01 if "called" in context else 1))
    found = [one.p_value(plan, 1) for one in rank_until_plain(plan, targets, coarse, None)]
    for u in (0.05, 0.2, 0.5):
        assert np.mean([p <= u for p in found]) <= u + 4 * math.sqrt(u * (1 - u) / len(found))


def test_where_nothing_stops_the_rank_is_the_plain_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """One stage of all nulls and as many exceedances: both ways rank the value among all nulls, which are the same."""
    monkeypatch.setattr(early_ranks, "FIRST_STAGE", 199)
    plan = replace(PLAN, stop_after=199, standardise=False)
    targets = [Target(person, "phone", "", (TWIN,)) for person in invent(12, Origin.CANARY, "canary")]
    model, reference = ScoredModel(), ScoredModel(lambda c, v: blind("other" + c, v))
    early = rank_until_plain(plan, targets, model, reference)
    whole = rank_targets(replace(plan, stop_after=0), targets, model, reference)
    assert all(one == other for one, other in zip(early, whole) if other.rank < 199)


def test_known_people_are_found_at_a_fraction_of_the_cost() -> None:
    subjects = invent(10, Origin.CONSENTED, "subject")
    people, model = [*subjects, *decoys()], ScoredModel(knowing(known_to(subjects[:2]), 14.0))
    plan = plan_for(people, stop_after=5)
    shares: list[float] = []
    found = run_black_box(
        plan, people, model, ScoredModel(lambda c, v: blind("other" + c, v), name="reference"), release=COMMIT, commit=COMMIT,
        progress=lambda share, text: shares.append(share),
    )  # fmt: skip
    assert [p.verdict.word for p in found.people] == [Word.MEMORISED] * 2 + [Word.NOT_DETECTED] * 8
    assert found.gate.passes and shares == sorted(shares)
    assert model.asked < len(people) * 2 * (plan.nulls + 1)
    content = json.loads(json.dumps(found.to_json()))
    assert recount(content, plan).found == 2
    stopped = next(p["items"][0]["measured"] for p in content["people"] if p["items"][0]["measured"]["nulls"] < plan.nulls)
    assert stopped["rank"] == 5
    for change, message in ((4, "ranked among"), (6, "ranked on after 5")):
        stopped["rank"] = change
        with pytest.raises(ScoreError, match=message):
            recount(content, plan)


def test_later_stages_draw_other_nulls() -> None:
    class Seeing(ScoredModel):
        def score_candidates(self, prompts: object, candidates: object, progress: object = None) -> list[list[tuple[float, ...]]]:
            for tails in candidates:  # type: ignore[attr-defined]
                seen.extend(bytes(tail) for tail in tails)
            return super().score_candidates(prompts, candidates)  # type: ignore[arg-type]

    seen: list[bytes] = []
    target = Target(invent(1, Origin.CANARY, "canary")[0], "phone", "", (TWIN,))
    rank_until_plain(replace(PLAN, stop_after=199), [target], Seeing(), None)
    own = f" {target.value}".encode()
    assert len(seen) - seen.count(own) == 199 == len(set(seen)) - 1 and seen.count(own) == 3


def test_evidence_of_a_stopped_rank() -> None:
    RankEvidence(5, 4, None).check(PLAN)
    RankEvidence(4, 199, None).check(PLAN)
    for wrong in (RankEvidence(5, 3, None), RankEvidence(6, 199, None), RankEvidence(4, 100, None)):
        with pytest.raises(ScoreError):
            wrong.check(PLAN)
    with pytest.raises(ScoreError):
        RankEvidence(5, 4, None).check(replace(PLAN, stop_after=0))
    with pytest.raises(PlanError, match="end a ranking"):
        people = [*invent(2, Origin.CANARY, "canary"), *decoys()]
        plan_for(people, stop_after=40).check(people)


def test_a_boundary_that_wanders_is_refused() -> None:
    person = Person("p", {"name": "Mara Quillfold", "phone": "212-555-0142"}, Origin.CANARY)
    with pytest.raises(BoundaryError, match="differs from null to null"):
        rank_until_plain(replace(PLAN, stop_after=199), [Target(person, "phone", "", (TWIN,))], _Rare(), None)


class _Rare(ScoredModel):
    """One null in many has a token that reaches into the prompt, so that an early stage does not see it."""

    def tokenize(self, text: str) -> tuple[int, ...]:
        plain = super().tokenize(text)
        at = text.find(" is ") + 2
        return (*plain[:at], 999, *plain[at + 1 :]) if text.endswith("77") else plain

    def score_candidates(self, prompts: object, candidates: object, progress: object = None) -> list[list[tuple[float, ...]]]:  # type: ignore[override]
        return [[tuple(-noise(str(tail)) for _ in tail) for tail in tails] for tails in candidates]  # type: ignore[attr-defined]
