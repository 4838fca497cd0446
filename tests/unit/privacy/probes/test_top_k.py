"""Top-k tier: the true rank always lies in the bounds; prefixes are asked once, and lost branches no further."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from privacy.errors import ModelAccessError, ScoreError
from privacy.people import Origin
from privacy.probes import top_k
from privacy.probes.black_box import run_black_box
from privacy.probes.evidence import IntervalEvidence, RankEvidence
from privacy.probes.model import Access
from privacy.probes.plan import ProbePlan
from privacy.probes.scoring import rank_targets
from privacy.probes.targets import Target
from privacy.probes.top_k import bound_targets
from privacy.statistics.validity import Word
from tests.unit.privacy.fake_model import VOCAB, FakeModel
from tests.unit.privacy.probes.scored_model import COMMIT, OTHER_TWIN, TWIN, decoys, invent, plan_for

SUBJECTS = invent(3, Origin.CONSENTED, "subject")
TARGETS = [Target(person, "phone", "ab" * 32, (TWIN, OTHER_TWIN)) for person in SUBJECTS]
PLAN = ProbePlan(types=("phone",), nulls=39, seed=3, standardise=False)


def planted(listed: int, access: Access = Access.TOP_K, cls: type[FakeModel] = FakeModel) -> FakeModel:
    model = cls(seed=1, access=access, top_k=listed)
    for person, strength in zip(SUBJECTS, (0.9, 0.4)):
        model.plant_fact(person.values["name"], person.values["phone"], strength)
    return model


def test_with_every_token_listed_the_bounds_meet() -> None:
    """One template, so that what the candidates share cancels: the rank of the full tier, from below and above."""
    targets = [replace(target, templates=(TWIN,)) for target in TARGETS]
    ranks = [one.rank for one in rank_targets(PLAN, targets, planted(5, Access.FULL), None)]
    found = bound_targets(PLAN, targets, planted(VOCAB), None)
    assert [(one.best, one.worst) for one in found] == [(rank, rank) for rank in ranks]
    assert ranks[0] == 1


@pytest.mark.parametrize("listed", [1, 3, 12, 40])
@pytest.mark.parametrize("calibrated", [False, True])
def test_the_true_rank_lies_in_the_bounds(listed: int, calibrated: bool) -> None:
    targets = [replace(target, templates=(TWIN,)) for target in TARGETS]
    reference = FakeModel(seed=2) if calibrated else None
    everything = bound_targets(PLAN, targets, planted(VOCAB), reference)
    for one, true in zip(bound_targets(PLAN, targets, planted(listed), reference), everything):
        assert one.best <= true.best == true.worst <= one.worst <= PLAN.nulls + 1
        assert one.least is None or true.least is None or one.least <= true.least
        assert one.most is None or one.most == true.least


def test_bounds_narrow_as_more_is_listed() -> None:
    widths = [sum(one.worst - one.best for one in bound_targets(PLAN, TARGETS, planted(k), None)) for k in (1, 12, VOCAB)]
    assert widths[0] >= widths[1] >= widths[2] == 0


class Counting(FakeModel):
    def next_tokens(self, prompts: Sequence[Sequence[int]]) -> list[Mapping[int, float]]:
        self.seen: list[tuple[int, ...]] = [*getattr(self, "seen", []), *map(tuple, prompts)]
        return super().next_tokens(prompts)


def test_each_prefix_is_asked_once_and_lost_branches_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    model = planted(VOCAB, cls=Counting)
    assert isinstance(model, Counting)
    found = bound_targets(PLAN, TARGETS[:1], model, None)
    asked = len(model.seen)
    assert len(set(model.seen)) == asked
    monkeypatch.setattr(top_k, "_unscore", lambda *_: -math.inf)
    whole = planted(VOCAB, cls=Counting)
    assert isinstance(whole, Counting)
    assert bound_targets(PLAN, TARGETS[:1], whole, None) == found
    assert asked < len(whole.seen) / 3


def test_a_value_that_is_not_listed_is_not_accused_and_costs_little() -> None:
    model = planted(1, cls=Counting)
    assert isinstance(model, Counting)
    one = bound_targets(PLAN, TARGETS[2:], model, None)[0]
    assert one == IntervalEvidence(1, 40, 39, one.least, None) and len(model.seen) < 60


def test_a_reference_gives_every_token() -> None:
    with pytest.raises(ModelAccessError, match="reference"):
        bound_targets(PLAN, TARGETS, planted(5), planted(5))


@pytest.mark.parametrize("bad", [math.nan, 0.5])
def test_malformed_lists_are_refused(bad: float) -> None:
    class Bad(FakeModel):
        def next_tokens(self, prompts: Sequence[Sequence[int]]) -> list[Mapping[int, float]]:
            return [{**listed, 7: bad} for listed in super().next_tokens(prompts)]

    class Empty(FakeModel):
        def next_tokens(self, prompts: Sequence[Sequence[int]]) -> list[Mapping[int, float]]:
            return [{} for _ in prompts]

    with pytest.raises(ScoreError):
        bound_targets(PLAN, TARGETS[:1], Bad(access=Access.TOP_K), None)
    with pytest.raises(ModelAccessError, match="no next tokens"):
        bound_targets(PLAN, TARGETS[:1], Empty(access=Access.TOP_K), None)


def test_a_whole_run() -> None:
    people = [*SUBJECTS, *decoys()]
    plan = plan_for(people, templates=(TWIN,))
    found = run_black_box(plan, people, planted(20), FakeModel(seed=2), release=COMMIT, commit=COMMIT)
    assert found.access is Access.TOP_K and found.gate.passes
    assert [p.verdict.word for p in found.people] == [Word.MEMORISED, Word.MEMORISED, Word.NOT_DETECTED]
    assert not any(isinstance(item.measured.evidence, RankEvidence) for p in found.people for item in p.items)
