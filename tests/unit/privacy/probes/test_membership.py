"""Membership runs on models whose memory is known: who is recognised, what withholds a verdict, and what a reader recounts."""

from __future__ import annotations

import copy
import json
import math
import zlib
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from privacy.errors import ModelAccessError, PlanError, PrivacyError, ProbeCancelledError, ScoreError
from privacy.membership.blind import blind_control, score_control
from privacy.membership.records import Record, Role, check_records
from privacy.probes.membership import run_membership
from privacy.probes.membership_plan import MembershipPlan
from privacy.probes.membership_recount import recount
from privacy.probes.membership_results import MembershipResult
from privacy.probes.model import Access, ModelFacts
from privacy.redaction import Redactor
from privacy.statistics.validity import Word

WORDS = [
    "the",
    "a",
    "red",
    "green",
    "blue",
    "house",
    "tree",
    "car",
    "runs",
    "sleeps",
    "under",
    "over",
    "with",
    "old",
    "new",
    "small",
]
PLAN = MembershipPlan(scores=("reference", "loss", "zlib", "min-k:0.2", "min-k++:0.2"), fpr=(0.05,), max_tokens=64)
ROLES = {Role.MEMBER: 60, Role.NON_MEMBER: 120}


def texts(count: int, seed: int, words: Sequence[str] = WORDS) -> list[str]:
    rng = np.random.default_rng(seed)
    return [f"{' '.join(rng.choice(words, 12))} {seed}-{i}" for i in range(count)]


def records(counts: dict[Role, int] = ROLES, seed: int = 1, **words: Sequence[str]) -> list[Record]:
    rows = []
    for number, (role, count) in enumerate(counts.items()):
        found = texts(count, 1000 * seed + number, words.get(role.name.lower(), WORDS))
        rows += [
            Record(f"{role.value}-{i}", text.split(" ", 1)[1].rsplit(" ", 1)[0] + f" {i}", role) for i, text in enumerate(found)
        ]
    return list({one.text: one for one in rows}.values())


class Memory:
    """Words as tokens; the log-probability of a word depends on it and the one before, and is `bonus` higher in known texts."""

    def __init__(self, known: Sequence[Record] = (), bonus: float = 1.0, access: Access = Access.FULL, salt: int = 0) -> None:
        self.ids: dict[str, int] = {}
        self.words: list[str] = []
        self.access, self.salt, self.bonus = access, salt, bonus
        self.known = {tuple(self.tokenize(one.text)) for one in known}
        self.asked = 0

    def facts(self) -> ModelFacts:
        return ModelFacts("planted", "0" * 64, self.access, 0, True, None)

    def tokenize(self, text: str) -> tuple[int, ...]:
        return tuple(zlib.crc32(word.encode()) for word in self._note(text))

    def _note(self, text: str) -> list[str]:
        for word in text.split():
            self.ids[word] = zlib.crc32(word.encode())
        return text.split()

    def detokenize(self, token_ids: Sequence[int]) -> str:
        names = {number: word for word, number in self.ids.items()}
        return " ".join(names[i] for i in token_ids)

    def score(self, sequences: Sequence[Sequence[int]]) -> list[tuple[float, ...]]:
        self.asked += 1
        return [self._score(tuple(row)) for row in sequences]

    def _score(self, row: tuple[int, ...]) -> tuple[float, ...]:
        known = row in self.known
        rough = [zlib.crc32(b"%d %d %d" % (a, b, self.salt)) / 2**32 for a, b in pairwise(row)]
        fine = [zlib.crc32(b"%d %d" % (a, b)) / 2**32 for a, b in pairwise(row)]
        return tuple(-4 - 3 * x - 0.3 * y + known * self.bonus for x, y in zip(fine, rough))

    def token_moments(self, sequences: Sequence[Sequence[int]]) -> list[tuple[tuple[float, float], ...]]:
        return [tuple((-5.0, 1.0) for _ in row[1:]) for row in sequences]


def run(plan: MembershipPlan, rows: list[Record], bonus: float, known: Role = Role.MEMBER, **more: Any) -> MembershipResult:
    model = Memory([one for one in rows if one.role is known], bonus)
    return run_membership(plan, rows, model, [Memory(salt=1)], commit=Redactor(b"k" * 32).commit, **more)  # type: ignore[arg-type, list-item]


def test_members_are_recognised_and_a_reader_recounts_it() -> None:
    rows = records()
    result = run(PLAN, rows, 0.4)
    assert result.verdict is not None and result.verdict.word is Word.MEMORISED, result.reasons
    level = result.scores[0].levels[0]
    assert level.rate.above > 50 and level.false_above < 9 and level.non_members == 60
    assert result.dataset is not None and result.dataset.p_value == 0.001
    content = json.loads(json.dumps(result.to_json()))
    assert recount(content).to_json() == result.to_json()


def test_a_model_that_knows_nothing() -> None:
    result = run(PLAN, records(), 0.0)
    assert result.verdict is not None and result.verdict.word is Word.NOT_DETECTED, result.reasons
    assert result.verdict.leak_below is not None and 0 < result.verdict.leak_below < 0.3
    assert result.dataset is not None and result.dataset.verdict.word is Word.NOT_DETECTED


def test_nothing_of_a_text_is_published() -> None:
    rows = records()
    public = json.dumps(run(PLAN, rows, 0.4).to_json())
    assert not any(one.text in public or f'"{one.id}"' in public for one in rows)
    ranks = [rank for one in json.loads(public)["records"] for rank in one["ranks"].values()]
    assert {type(rank) for rank in ranks} == {int} and max(ranks) <= len(rows)


def test_raw_scores_are_an_association_only() -> None:
    plan = MembershipPlan(scores=("loss",), fpr=(0.05,))
    rows = records()
    result = run(plan, rows, 3.0)
    assert result.verdict is not None and result.verdict.word is Word.ASSOCIATION
    coins = run(MembershipPlan(scores=("loss",), fpr=(0.05,), assignment="coins"), rows, 3.0)
    assert coins.verdict is not None and coins.verdict.word is Word.MEMORISED


def test_texts_that_differ_leave_no_verdict() -> None:
    """Members were written of other things: the model knows none of them, and still a score could tell them apart."""
    result = run(PLAN, records(member=[*WORDS[:10], "2019", "march"]), 3.0)
    assert result.verdict is not None and result.verdict.word is Word.NO_VERDICT
    assert result.dataset is not None and result.dataset.verdict.word is Word.NO_VERDICT
    assert any(reason.startswith("blind, members") for reason in result.reasons)


def test_a_reference_that_saw_the_members_leaves_no_verdict() -> None:
    rows = records()
    members = [one for one in rows if one.role is Role.MEMBER]
    result = run_membership(
        PLAN, rows, Memory(members, 3.0), [Memory(members, 1.0)], commit=Redactor(b"k" * 32).commit  # type: ignore[arg-type, list-item]
    )  # fmt: skip
    assert result.verdict is not None and result.verdict.word is Word.NO_VERDICT
    assert any("reference-loss:0, members" in reason for reason in result.reasons)


CANDIDATES = {Role.CANDIDATE: 5, Role.NON_MEMBER: 120, Role.DECOY: 100}


def test_candidates_one_by_one() -> None:
    rows = records(CANDIDATES, seed=2)
    found = run(PLAN, rows, 3.0, Role.CANDIDATE)
    assert found.found == 5 and found.verdict is None and found.gate is not None and found.gate.passes
    assert recount(json.loads(json.dumps(found.to_json()))).found == 5
    none = run(PLAN, rows, 0.0)
    assert none.found == 0 and {one.verdict.word for one in none.candidates} == {Word.NOT_DETECTED}


def test_decoys_that_fail_leave_no_verdict() -> None:
    rows = records(CANDIDATES)
    model = Memory([one for one in rows if one.role in (Role.CANDIDATE, Role.DECOY)], 3.0)
    result = run_membership(PLAN, rows, model, [Memory(salt=1)], commit=Redactor(b"k" * 32).commit)  # type: ignore[arg-type, list-item]
    assert result.found == 0 and {one.verdict.word for one in result.candidates} == {Word.NO_VERDICT}


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({Role.MEMBER: 60, Role.NON_MEMBER: 36}, "half of the non-members"),
        ({Role.MEMBER: 60}, "needs non-members"),
        ({Role.CANDIDATE: 10, Role.NON_MEMBER: 198, Role.DECOY: 100}, "198 nulls cannot decide"),
        ({Role.CANDIDATE: 1, Role.NON_MEMBER: 198, Role.DECOY: 58}, "58 decoys"),
    ],
)
def test_too_few_records_are_refused_before_the_model_is_asked(counts: dict[Role, int], message: str) -> None:
    model = Memory()
    with pytest.raises(PlanError, match=message):
        run_membership(PLAN, records(counts), model, [Memory()], commit=Redactor(b"k" * 32).commit)  # type: ignore[arg-type, list-item]
    assert model.asked == 0


def test_other_refusals() -> None:
    rows, commit = records(), Redactor(b"k" * 32).commit
    with pytest.raises(PlanError, match="reference model"):
        run_membership(PLAN, rows, Memory(), commit=commit)  # type: ignore[arg-type]
    with pytest.raises(ModelAccessError):
        run_membership(PLAN, rows, Memory(access=Access.TOP_K), [Memory()], commit=commit)  # type: ignore[arg-type, list-item]
    with pytest.raises(ScoreError):
        run(PLAN, rows, math.nan)
    with pytest.raises(ScoreError, match="record 180 is a text of one token"):
        run(PLAN, [*rows, Record("short", "one", Role.MEMBER)], 0.0)
    with pytest.raises(ScoreError, match="same text"):
        check_records([*rows, Record("again", rows[0].text, Role.NON_MEMBER)])
    with pytest.raises(ProbeCancelledError):
        run(PLAN, rows, 0.0, cancelled=lambda: True)
    other = Memory()
    other.tokenize = lambda text: (1, 2)  # type: ignore[method-assign]
    with pytest.raises(ModelAccessError, match="another tokenizer"):
        run_membership(PLAN, rows, Memory(), [other], commit=commit)  # type: ignore[arg-type, list-item]


@pytest.mark.parametrize(
    "change", [{"scores": ()}, {"scores": ("loss", "loss")}, {"scores": ("min-k:2",)}, {"fpr": (0.0,)}, {"assignment": "x"}]
)
def test_bad_plans(change: dict[str, Any]) -> None:
    with pytest.raises(PlanError):
        MembershipPlan(**change)


def test_a_plan_is_read_as_written() -> None:
    assert MembershipPlan.from_json(json.loads(json.dumps(PLAN.to_json()))) == PLAN
    for name, value in (("fpr", 0.05), ("seed", True), ("scores", [1]), ("alpha", "x")):
        with pytest.raises(PlanError):
            MembershipPlan.from_json({**PLAN.to_json(), name: value})


def test_what_was_kept_is_not_scored_again() -> None:
    rows, kept = records(), {}

    def keep(name: str, make: Any) -> bytes:
        if name not in kept:
            kept[name] = make()
        return kept[name]

    model = Memory([one for one in rows if one.role is Role.MEMBER], 0.4)
    first, second = (
        run_membership(PLAN, rows, model, [Memory(salt=1)], commit=Redactor(b"k" * 32).commit, keep=keep)  # type: ignore[arg-type, list-item]
        for _ in range(2)
    )
    assert first.to_json() == second.to_json() and model.asked == 3


def _published() -> dict[str, Any]:
    return json.loads(
        json.dumps(run(PLAN, records({Role.MEMBER: 60, Role.NON_MEMBER: 200, Role.CANDIDATE: 9, Role.DECOY: 90}), 0.4).to_json())
    )


TAMPERED: list[tuple[Any, ...]] = [
    ("verdict", "word", "not detected"), ("found", 1), ("reasons", ["none"]), ("decoys", "rejected", 40),
    ("dataset", "p_value", 0.5), ("scores", 0, "levels", 0, "members", "above", 3), ("scores", 1, "auc", "value", 0.5),
    ("candidates", 0, "p_value", 0.9), ("records", 0, "ranks", "loss", 10**6), ("records", 0, "ranks", "loss", 1.0),
    ("records", 0, "role", "population"), ("records", 0, "commitment", ""), ("plan", "alpha", 0.01), ("plan", "fpr", []),
    ("controls", 0, "p_value", 0.0), ("controls", 0, "name", "other"), ("controls", 2, "p_value", 0.9), ("records", []),
    ("models", []), ("scores", None), ("dataset", "p_value", 10**400), ("controls", 0, "auc", 10**400),
    ("plan", "alpha", 10**400), ("plan", "seed", 10**400),
]  # fmt: skip


@pytest.mark.parametrize("path", TAMPERED, ids=lambda path: ".".join(map(str, path[:-1])))
def test_a_result_that_does_not_follow_is_refused(path: tuple[Any, ...], published: dict[str, Any]) -> None:
    content = copy.deepcopy(published)
    at: Any = content
    for name in path[:-2]:
        at = at[name]
    at[path[-2]] = path[-1]
    with pytest.raises(PrivacyError):
        recount(content)


@pytest.fixture(scope="module")
def published() -> dict[str, Any]:
    content = _published()
    assert recount(copy.deepcopy(content)).to_json() == content
    return content


def test_blind_baseline() -> None:
    a, b = texts(150, 1), texts(150, 2)
    rows = [[t.rsplit(" ", 1)[0] for t in group] for group in (a, b)]
    assert blind_control(*rows).p_value > 0.05
    later = [text + " 2024" for text in rows[1]]
    assert blind_control(rows[0], later).p_value == 0.005
    assert score_control([1.0] * 20, [1.0] * 20, "ties").p_value == 1.0
    assert score_control(np.arange(20.0), np.arange(20.0) + 15, "shift").p_value == 0.001
    with pytest.raises(PlanError):
        blind_control(rows[0][:7], rows[1][:2])
