"""Audits of prompts made from private demonstrations: verbatim overlap, answers in use, and a lower bound on epsilon."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Sequence

import numpy as np
import pytest

from privacy.dp_bounds.one_run import CutOffs
from privacy.errors import BoundaryError, ModelAccessError, PlanError, PrivacyError, ProbeCancelledError, ScoreError
from privacy.probes.model import Access, Decoding, ModelFacts
from privacy.probes.prompt_leak import Demonstration, LeakPlan, audit_answers, audit_prompt, recount
from privacy.probes.prompt_membership import (
    MembershipPlan,
    PromptRuns,
    audit_membership,
    lira_scores,
    recount_membership,
    score_canaries,
)
from privacy.probes.prompt_overlap import WrittenText, split_words
from privacy.redaction import Redactor, find_residue
from privacy.statistics.validity import Basis, Word

WORDS = [f"{first}{second}" for first in ("am", "ba", "ce", "de", "em") for second in ("ber", "sin", "dar", "lta", "ra")]
COMMIT = Redactor(bytes(range(32))).commit
PLAN = LeakPlan(drawn_by_auditor=True, decoding=Decoding(max_new_tokens=8), samples=2)


def demonstrations(count: int, name: str, seed: int) -> list[Demonstration]:
    rng = random.Random(seed)
    return [Demonstration(f"{name}-{i}", f"Review {name}: " + " ".join(rng.choices(WORDS, k=12))) for i in range(count)]


USED, UNUSED = demonstrations(10, "d", 1), demonstrations(59 + 199, "d", 2)
UNUSED = [Demonstration(f"u-{one.id}", one.text) for one in UNUSED]
PROMPT = "Say whether the review is kind.\n" + "\n".join(one.text.upper() for one in USED[:3]) + "\nNow the next review:"


class Echo:
    """Writes its prompt's lines back, or nothing of them. Scores a canary by the words it shares with the prompt."""

    def __init__(self, leaks: bool = True) -> None:
        self.leaks, self.ids = leaks, {}

    def facts(self) -> ModelFacts:
        return ModelFacts("echo", None, Access.FULL, 0, True, None)

    def write(self, prompts: Sequence[str], samples: int, decoding: Decoding) -> list[list[str]]:
        rng = random.Random(1000 + decoding.seed)
        return [
            [rng.choice(prompt.splitlines()) if self.leaks else " ".join(rng.choices(WORDS, k=12)) for _ in range(samples)]
            for prompt in prompts
        ]

    def tokenize(self, text: str) -> tuple[int, ...]:
        return tuple(self.ids.setdefault(word, len(self.ids)) for word in text.replace("\n", " \n ").split(" ") if word)

    def score_candidates(
        self, prompts: Sequence[Sequence[int]], candidates: Sequence[Sequence[Sequence[int]]], progress: object = None
    ) -> list[list[tuple[float, ...]]]:
        return [
            [tuple(-1.0 if token in prompt else -2.0 for token in row) for row in group]
            for prompt, group in zip(prompts, candidates)
        ]


def test_longest_run_and_ngrams() -> None:
    text = WrittenText(["One two three, four!", "five six"], 2)
    assert text.longest_run(split_words("two THREE ,four five six")) == 4
    assert text.longest_run(split_words("four five")) == 1  # no run goes from one text into the next
    assert text.shared(split_words("two three six")) == 0.5
    assert text.shared(split_words("six")) == 1 and text.shared(split_words("seven")) == 0
    assert text.scores(["", "one two"]).tolist() == [[0, 2], [0, 1]]


def test_repeated_demonstrations_are_found_and_no_others() -> None:
    result = audit_prompt(PLAN, PROMPT, USED, UNUSED, commit=COMMIT)
    assert [one.verdict.word for one in result.demonstrations] == [Word.MEMORISED] * 3 + [Word.NOT_DETECTED] * 7
    assert result.nulls == 199 and result.basis is Basis.EXACT and result.gate.passes and result.found == 3
    assert [one.rank for one in result.demonstrations[:3]] == [1] * 3
    assert all(one.run == 8 for one in result.demonstrations[:3])


def test_without_coins_of_the_auditor_it_is_an_association_only() -> None:
    result = audit_prompt(dataclasses.replace(PLAN, drawn_by_auditor=False), PROMPT, USED, UNUSED, commit=COMMIT)
    assert {one.verdict.word for one in result.demonstrations} == {Word.ASSOCIATION}


def test_decoys_in_the_prompt_leave_no_verdict() -> None:
    order = np.random.default_rng([PLAN.seed, 3]).permutation(len(UNUSED))
    prompt = PROMPT + "\n".join(UNUSED[i].text for i in order[:20])
    result = audit_prompt(PLAN, prompt, USED, UNUSED, commit=COMMIT)
    assert not result.gate.passes and {one.verdict.word for one in result.demonstrations} == {Word.NO_VERDICT}


def test_answers_in_use() -> None:
    leaky = audit_answers(PLAN, PROMPT, USED, UNUSED, Echo(), commit=COMMIT)
    assert (
        leaky.where == "answers"
        and leaky.found >= 1
        and not any(d.verdict.word is Word.MEMORISED for d in leaky.demonstrations[3:])
    )
    quiet = audit_answers(PLAN, PROMPT, USED, UNUSED, Echo(leaks=False), commit=COMMIT)
    assert quiet.found == 0 and quiet.gate.passes
    with pytest.raises(ProbeCancelledError):
        audit_answers(PLAN, PROMPT, USED, UNUSED, Echo(), commit=COMMIT, cancelled=lambda: True)


def test_the_published_result_holds_no_text_and_follows_from_its_ranks() -> None:
    result = audit_answers(PLAN, PROMPT, USED, UNUSED, Echo(), commit=COMMIT)
    written = json.dumps(result.to_json())
    assert not find_residue(written.encode(), [one.text for one in (*USED, *UNUSED)]) and PROMPT not in written
    assert recount(json.loads(written), PLAN).to_json() == result.to_json()
    for change in ({"found": 0}, {"basis": "calibrated"}, {"nulls": 400}, {"where": "elsewhere"}, {"demonstrations": []}):
        with pytest.raises(ScoreError):
            recount({**json.loads(written), **change}, PLAN)
    for change in ({"run": 3}, {"run": -1}, {"commitment": "a text"}, {"id": "x" * 999}, {"rank": 1e999}, {"rank": 900}):
        forged = json.loads(written)
        forged["demonstrations"][0].update(change)
        with pytest.raises(ScoreError):
            recount(forged, PLAN)
    forged = json.loads(written)
    forged["demonstrations"][9]["rank"] = 1
    with pytest.raises(ScoreError):
        recount(forged, PLAN)


def test_audits_that_could_show_nothing_are_refused() -> None:
    cases: list[tuple[LeakPlan, list[Demonstration], list[Demonstration]]] = [
        (PLAN, USED, UNUSED[:-1]),  # 198 nulls for ten tests
        (PLAN, [], UNUSED),
        (PLAN, [*USED, Demonstration("again", USED[0].text.lower())], UNUSED),
        (PLAN, USED, [*UNUSED, Demonstration("x", USED[0].text)]),
        (PLAN, [*USED[:-1], Demonstration("d-9", " ")], UNUSED),
        (dataclasses.replace(PLAN, decoys=58), USED, UNUSED),
        (dataclasses.replace(PLAN, decoy_rate=0.05), USED, UNUSED),
    ]
    for plan, used, unused in cases:
        with pytest.raises(PlanError) as caught:
            audit_prompt(plan, PROMPT, used, unused, commit=COMMIT)
        assert not find_residue(str(caught.value).encode(), [one.text for one in used])


# ---------------------------------------------------------------- membership


def engineered(runs: int, canaries: Sequence[Demonstration], seed: int, leak: float) -> PromptRuns:
    """Prompts that take words of their demonstrations, each with probability `leak`."""
    rng = np.random.default_rng(seed)
    coins = rng.random((runs, len(canaries))) < 0.5
    prompts = []
    for row in coins:
        words = [w for inside, one in zip(row, canaries) if inside for w in one.text.split(" ") if rng.random() < leak]
        prompts.append("Decide kindly \n " + " ".join(words or ["now"]))
    return PromptRuns(tuple(prompts), coins)


def distinct(count: int) -> list[Demonstration]:
    return [Demonstration(f"c{i}", " ".join(f"w{i}x{j}" for j in range(6))) for i in range(count)]


@pytest.mark.parametrize(("leak", "refuted"), [(0.5, True), (0.0, False)])
def test_membership_bounds_epsilon(leak: float, refuted: bool) -> None:
    canaries, model = distinct(40), Echo()
    reference, audited = engineered(8, canaries, 5, leak), engineered(5, canaries, 6, leak)
    audited.check(len(canaries))
    known, new = (score_canaries(model, runs.prompts, canaries) for runs in (reference, audited))
    scores = lira_scores(new, known, reference.included)
    result = audit_membership(MembershipPlan(claimed=2.0, delta=1e-6), scores, audited.included, reference_runs=8)
    assert result.refuted is refuted and (result.epsilon > 2.5 if refuted else result.epsilon < 0.8)
    assert (result.p_claim <= 0.05) is refuted
    again = recount_membership(json.loads(json.dumps(result.to_json())), result.plan)
    assert again == result
    for change in (
        {"correct": 200},
        {"searched": 1},
        {"cut_offs": [7, 0], "guesses": 7},
        {"verdict": "private"},
        {"canaries": 0},
        {"canaries": 1e999},
    ):
        with pytest.raises(ScoreError):
            recount_membership({**result.to_json(), **change}, result.plan)


def test_membership_with_fixed_cut_offs_and_bad_input() -> None:
    coins = np.arange(40).reshape(4, 10) % 2 == 0
    scores = coins * 1.0
    found = audit_membership(MembershipPlan(1.0, cut_offs=CutOffs(20, 20)), scores, coins)
    assert found.searched == 1 and found.run.correct == 40 and found.refuted
    for bad in (
        lambda: MembershipPlan(-1.0),
        lambda: MembershipPlan(1.0, delta=1.0),
        lambda: audit_membership(MembershipPlan(1.0), scores[0], coins),
        lambda: audit_membership(MembershipPlan(1.0), scores * np.nan, coins),
        lambda: audit_membership(MembershipPlan(1.0), scores, coins[:2]),
        lambda: lira_scores(scores, scores, np.ones_like(coins)),
        lambda: lira_scores(scores, scores[:, :3], coins[:, :3]),
        lambda: PromptRuns(("a",), coins).check(10),
        lambda: PromptRuns(("a", "b", "c", " "), coins).check(10),
        lambda: score_canaries(Echo(), [], distinct(1)),
    ):
        with pytest.raises(PrivacyError):
            bad()


class Merging(Echo):
    """Joins everything to one token: no boundary is left."""

    def tokenize(self, text: str) -> tuple[int, ...]:
        return (self.ids.setdefault(text, len(self.ids)),)


class Refusing(Echo):
    def score_candidates(self, *_: object, **__: object) -> list[list[tuple[float, ...]]]:
        raise ModelAccessError("no log-probabilities")


def test_models_that_cannot_be_scored() -> None:
    with pytest.raises(BoundaryError):
        score_canaries(Merging(), ["a prompt"], distinct(2))
    with pytest.raises(ModelAccessError):
        score_canaries(Refusing(), ["a prompt"], distinct(2))
    with pytest.raises(ProbeCancelledError):
        score_canaries(Echo(), ["a prompt"], distinct(2), cancelled=lambda: True)
    seen: list[float] = []
    scores = score_canaries(Echo(), ["w0x0 w0x1", "other"], distinct(2), progress=lambda done, _: seen.append(done))
    assert seen == [0.5, 1.0] and scores.tolist() == [[-10, -12], [-12, -12]]
