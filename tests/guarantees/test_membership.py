"""Membership: innocent models are called "memorised" in at most alpha of runs, where texts differ too; planted ones are found."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from audit.runners.planted import draw_planted, write_records
from privacy.membership.blind import Control, blind_control
from privacy.membership.rates import tpr_at_fpr
from privacy.membership.records import Record, Role
from privacy.probes.membership import run_membership
from privacy.probes.membership_plan import MembershipPlan
from privacy.probes.membership_results import RankedRecord, blind_name, dense_ranks, judge
from privacy.redaction import Redactor
from privacy.statistics.binomial import binomial_sf
from privacy.statistics.validity import Word
from tests import planted_models
from tests.guarantees.test_privacy_levels import hold

ALPHA = 0.05
PLAN = MembershipPlan(scores=("loss",), fpr=(0.01, 0.05), assignment="coins", dataset=False)
COMMIT = Redactor(b"k" * 32).commit


def judged(rng: np.random.Generator, shifts: dict[Role, Sequence[float]], plan: MembershipPlan = PLAN):  # type: ignore[no-untyped-def]
    """A run on heavy-tailed scores rounded into ties, shifted one by one; its texts are alike."""
    roles = [role for role, own in shifts.items() for _ in own]
    scores = np.round(
        rng.standard_t(4, len(roles)) + np.concatenate([np.asarray(own, dtype=float) for own in shifts.values()]), 1
    )
    rows = [RankedRecord(f"{i:04}", role, {"loss": rank}) for i, (role, rank) in enumerate(zip(roles, dense_ranks(scores)))]
    alike = [Control(blind_name(role), 0.5, 1.0, 199) for role in (Role.MEMBER, Role.CANDIDATE) if shifts.get(role)]
    return judge(plan, [{}], rows, alike)


def members_err(rng: np.random.Generator) -> bool:
    found = judged(rng, {Role.MEMBER: [0] * 100, Role.NON_MEMBER: [0] * 240})
    return found.verdict.word is Word.MEMORISED


CANDIDATES = {Role.NON_MEMBER: [0.0] * 250, Role.DECOY: [0.0] * 100}


def candidates_err(rng: np.random.Generator) -> bool:
    """Ten innocent candidates: is any of them accused?"""
    return judged(rng, {Role.CANDIDATE: [0] * 10, **CANDIDATES}).found > 0


def false_share(rng: np.random.Generator) -> float:
    """Of ten candidates four were trained on: the share of false ones among those found."""
    shifts = [50.0] * 4 + [0.0] * 6
    found = judged(rng, {Role.CANDIDATE: shifts, **CANDIDATES})
    accused = [one.commitment for one in found.candidates if one.verdict.word is Word.MEMORISED]
    return sum(int(one) >= 4 for one in accused) / max(1, len(accused))


def dataset_errs(rng: np.random.Generator) -> bool:
    plan = MembershipPlan(scores=("loss",), fpr=(0.05,), assignment="coins")
    found = judged(rng, {Role.MEMBER: [0] * 40, Role.NON_MEMBER: [0] * 60}, plan)
    return found.dataset.verdict.word is Word.MEMORISED


def texts(rng: np.random.Generator, count: int, words: Sequence[str]) -> list[str]:
    return [" ".join(rng.choice(words, 14)) for _ in range(count)]


WORDS = [f"word{i}" for i in range(40)]


def blind_errs(rng: np.random.Generator) -> bool:
    """Texts of one source."""
    return blind_control(texts(rng, 20, WORDS), texts(rng, 40, WORDS), permutations=19).p_value <= ALPHA


EVENTS = {
    "100 innocent members, two levels": members_err,
    "10 innocent candidates": candidates_err,
    "dataset inference on ranks": dataset_errs,
    "blind control, texts of one source": blind_errs,
}


@pytest.mark.guarantee
@pytest.mark.slow
@pytest.mark.parametrize("name", EVENTS)
def test_level(name: str) -> None:
    print(f"\n| {name} | {hold(EVENTS[name], ALPHA, 300 if 'blind' in name else 1000):.4f} |")


@pytest.mark.guarantee
@pytest.mark.slow
def test_false_discovery_rate() -> None:
    rng = np.random.default_rng(12)
    shares = np.array([false_share(rng) for _ in range(1000)])
    print(f"\n| 4 of 10 candidates were trained on: false share | {shares.mean():.4f} |")
    assert shares.mean() <= ALPHA + 3 * shares.std() / len(shares) ** 0.5


@pytest.mark.parametrize("name", EVENTS)
def test_level_slice(name: str) -> None:
    hold(EVENTS[name], ALPHA, 12 if "blind" in name else 40, seed=3)


def test_members_are_found() -> None:
    """A level of zero would hold too."""
    rng = np.random.default_rng(5)
    found = judged(rng, {Role.MEMBER: [3.0] * 100, Role.NON_MEMBER: [0] * 240})
    assert found.verdict.word is Word.MEMORISED
    assert judged(rng, {Role.CANDIDATE: [50.0] * 10, **CANDIDATES}).found == 10


# ---------------------------------------------------------------- texts that differ


class Taste:
    """A model trained on nothing of these: it likes some words."""

    def facts(self):  # type: ignore[no-untyped-def]
        from privacy.probes.model import Access, ModelFacts

        return ModelFacts("taste", None, Access.FULL, 0, True, None)

    def tokenize(self, text: str) -> tuple[int, ...]:
        return tuple(int(word[4:]) for word in text.split())

    def score(self, rows: Sequence[Sequence[int]]) -> list[tuple[float, ...]]:
        return [tuple(-1.0 - (token % 8) / 2 for token in row[1:]) for row in rows]


def shifted_run(rng: np.random.Generator) -> tuple[Word, bool]:
    """Members were written with more of the words that the model likes. Our verdict, and whether rates alone would accuse."""
    liked = [word for word in WORDS if int(word[4:]) % 8 < 4]
    members, others = texts(rng, 60, [*WORDS, *liked, *liked]), texts(rng, 120, WORDS)
    rows = [Record(f"m{i}", text, Role.MEMBER) for i, text in enumerate(members)]
    rows += [Record(f"n{i}", text, Role.NON_MEMBER) for i, text in enumerate(others)]
    plan = MembershipPlan(scores=("loss",), fpr=(0.05,), assignment="coins", dataset=False)
    found = run_membership(plan, rows, Taste(), commit=COMMIT)  # type: ignore[arg-type]
    scores = [np.mean(Taste().score([Taste().tokenize(text)])[0]) for text in (*members, *others)]
    naive = tpr_at_fpr(scores[:60], scores[60:], 0.05)
    assert found.verdict is not None
    return found.verdict.word, naive.interval[0] > 0.05


@pytest.mark.guarantee
@pytest.mark.slow
def test_texts_that_differ_accuse_nobody() -> None:
    rng = np.random.default_rng(8)
    words, naive = zip(*(shifted_run(rng) for _ in range(50)))
    accused = sum(word is Word.MEMORISED for word in words)
    print(f"\n| members of another source, 50 runs: memorised, rates alone | {accused / 50:.3f} | {np.mean(naive):.3f} |")
    assert binomial_sf(accused, 50, ALPHA) > 1e-3 and np.mean(naive) > 0.5


def test_texts_that_differ_slice() -> None:
    rng = np.random.default_rng(9)
    assert Word.MEMORISED not in {shifted_run(rng)[0] for _ in range(2)}


# ---------------------------------------------------------------- planted memories


@pytest.mark.slow
def test_planted_records_are_recognised() -> None:
    """Sentences of people who stand 16 and 64 times in the training text, among sentences of people held out."""
    from audit.runners.probed_model import RunnerModel

    people = draw_planted(planted_models.SMALL)
    trained = [person for person in people.planted if people.repetitions[person.id] >= 16]
    rows = [Record(one.id, write_records(one, 1)[0], Role.MEMBER) for one in trained]
    rows += [Record(one.id, write_records(one, 1)[0], Role.NON_MEMBER) for one in people.heldout]
    models = [RunnerModel(planted_models.runner(plan)) for plan in (planted_models.SMALL, planted_models.SMALL.reference())]
    # Drawn from one source: a control that objects once in twenty runs would only object by chance.
    plan = MembershipPlan(scores=("reference", "loss", "zlib", "min-k:0.2", "min-k++:0.2"), fpr=(0.05,), shift_alpha=0.01)
    found = run_membership(plan, rows, models[0], models[1:], commit=COMMIT)
    assert found.verdict is not None and found.verdict.word is Word.MEMORISED, found.reasons
    assert found.scores[0].levels[0].rate.tpr > 0.8
    innocent = run_membership(plan, rows, models[1], models[1:], commit=COMMIT)
    assert innocent.verdict is not None and innocent.verdict.word is not Word.MEMORISED
