"""Back-off and merging fail closed: no score, no claim; a bad merge is replaced by the claims; never the original text."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformal.pipeline.backoff import ABSTENTION, ThresholdBackOff
from conformal.pipeline.errors import ModelError, PipelineError
from conformal.pipeline.merge_check import JudgeCheck, WordCheck
from conformal.pipeline.merging import JoiningMerger, PromptedMerger, merge_checked
from conformal.pipeline.scorers.judges import EntailmentJudge, PromptedJudge
from conformal.pipeline.splitters.claim import Claim
from tests.unit.conformal.pipeline.models import EqualityEntailment, ScriptedModel, json_after

THREE = (Claim("a"), Claim("b", (0,)), Claim("c", (1,)))


def test_kept_by_the_rule() -> None:
    assert ThresholdBackOff("s", 0.5).kept(THREE, [0.5, 0.6, 0.4]) == [False, True, False]
    assert ThresholdBackOff("s", 0.5, ">=").kept(THREE, [0.5, 0.6, 0.4]) == [True, True, False]
    assert ThresholdBackOff("s", math.inf).kept(THREE, [9.0, 9.0, 9.0]) == [False] * 3


def test_closure_drops_what_rests_on_a_dropped_claim() -> None:
    assert ThresholdBackOff("s", 0.5, closed=True).kept(THREE, [0.4, 0.9, 0.9]) == [False, False, False]
    assert ThresholdBackOff("s", 0.5, closed=True).kept(THREE, [0.9, 0.9, 0.4]) == [True, True, False]


@pytest.mark.parametrize("threshold", [-math.inf, -1.0, 0.0])
@pytest.mark.parametrize("comparator", [">", ">="])
@pytest.mark.parametrize("score", [None, math.nan, -math.inf, math.inf])
def test_no_score_no_claim(threshold: float, comparator: Any, score: float | None) -> None:
    assert ThresholdBackOff("s", threshold, comparator).kept(THREE, [score, 1.0, 1.0]) == [False, True, True]
    assert ThresholdBackOff("s", threshold, comparator, closed=True).kept(THREE, [score, 1.0, 1.0]) == [False] * 3


@given(st.lists(st.one_of(st.none(), st.floats()), min_size=3, max_size=3), st.floats(allow_nan=False), st.booleans())
def test_a_higher_threshold_keeps_less(scores: list[float | None], threshold: float, closed: bool) -> None:
    low, high = ThresholdBackOff("s", threshold, closed=closed), ThresholdBackOff("s", threshold + 1, closed=closed)
    assert all(not more or less for less, more in zip(low.kept(THREE, scores), high.kept(THREE, scores), strict=True))


def test_groups_without_a_threshold_abstain() -> None:
    backoff = ThresholdBackOff("s", math.inf, groups={"x": 0.5})
    assert backoff.kept(THREE, [1.0] * 3, "x") == [True] * 3
    assert backoff.kept(THREE, [1.0] * 3, "y") == backoff.kept(THREE, [1.0] * 3) == [False] * 3


def test_settings_that_make_no_sense_are_refused() -> None:
    for bad in ({"threshold": math.nan}, {"threshold": 0.0, "comparator": "<"}, {"threshold": 0.0, "groups": {"a": math.nan}}):
        with pytest.raises(PipelineError):
            ThresholdBackOff("s", **bad)


def test_nothing_kept_is_the_literal_abstention() -> None:
    merged = merge_checked(JoiningMerger(), WordCheck(), "q", [])
    assert merged.text == ABSTENTION and merged.abstained


def writer(text: str) -> PromptedMerger:
    return PromptedMerger(ScriptedModel({"merge": lambda prompt, decoding: text}))


CLAIMS = ["Rome is old.", "Paris is not small"]
CHECKS = (WordCheck(), JudgeCheck(EntailmentJudge(EqualityEntailment())))


@pytest.mark.parametrize("check", CHECKS)
def test_joined_claims_pass_every_check(check: Any) -> None:
    merged = merge_checked(JoiningMerger(), check, "q", CLAIMS)
    assert merged.text == "Rome is old. Paris is not small." and not (merged.added or merged.omitted or merged.replaced)


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize(
    ("text", "added", "omitted"),
    [
        ("Rome is old. Paris is not small. Oslo is cold.", ("Oslo is cold.",), ()),
        ("Rome is old. Paris is small.", ("Paris is small.",), ("Paris is not small",)),
        ("Rome is old.", (), ("Paris is not small",)),
        ("Paris is old. Rome is not small.", ("Paris is old.", "Rome is not small."), tuple(CLAIMS)),
    ],
)
def test_a_merge_that_says_something_else_is_replaced(check: Any, text: str, added: Any, omitted: Any) -> None:
    merged = merge_checked(writer(text), check, "q", CLAIMS)
    assert merged.text == "Rome is old. Paris is not small." and merged.replaced
    if isinstance(check, WordCheck) and text == "Rome is old. Paris is small.":
        added = ()  # a "not" that was dropped shows as the claim that is missing
    assert (merged.added, merged.omitted) == (added, omitted)


@pytest.mark.parametrize("reply", ["", "   "])
def test_no_merge_no_text_of_the_models(reply: str) -> None:
    merged = merge_checked(writer(reply), WordCheck(), "q", CLAIMS)
    assert merged.text == "Rome is old. Paris is not small." and merged.replaced is not None and "could not" in merged.replaced


def test_a_judge_that_cannot_judge_is_a_violation() -> None:
    judge = PromptedJudge(ScriptedModel({"support": lambda prompt, decoding: "no idea"}))
    merged = merge_checked(JoiningMerger(), JudgeCheck(judge), "q", CLAIMS)
    assert len(merged.added) == 2 and merged.omitted == tuple(CLAIMS)


def test_the_merger_is_given_the_facts_alone() -> None:
    seen: list[str] = []

    def reply(prompt: str, decoding: Any) -> str:
        seen.append(prompt)
        return "Rome is old. Paris is not small."

    merged = merge_checked(PromptedMerger(ScriptedModel({"merge": reply})), WordCheck(), "Which?", CLAIMS)
    assert json_after(seen[0], "Facts") == CLAIMS and json_after(seen[0], "Question") == "Which?" and not merged.replaced


def test_a_check_that_fails_replaces_too() -> None:
    class Broken:
        name = "broken"

        def describe(self) -> dict[str, Any]:
            return {}

        def judge(self, text: str, claims: Any) -> Any:
            raise ModelError("out of order")

    merged = merge_checked(writer("Rome is old."), JudgeCheck(Broken()), "q", CLAIMS)
    assert merged.text.startswith("Rome is old. Paris") and "out of order" in (merged.replaced or "")
