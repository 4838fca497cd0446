"""Canary exposure: exact p-values, refusals before anything is asked, and results that follow from ranks."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from privacy.errors import BoundaryError, ModelAccessError, PlanError, ProbeCancelledError, ScoreError
from privacy.probes.canaries import Canary, draw_canaries, draw_references, rank_of, run_canaries
from privacy.probes.canary_results import CanaryPlan, CanaryResult, recount
from privacy.probes.model import Access
from privacy.redaction import find_residue
from privacy.statistics.reveal import exposure
from privacy.statistics.validity import Word
from privacy.templates import Kind, Template
from tests.unit.privacy.fake_model import FakeModel

ONE = (Template("t", Kind.TWIN, "number", "The secret number of {name} is"),)
PLAN = CanaryPlan(references=199, seed=8)
REPETITIONS = [0] * 60 + [1] * 4 + [64] * 4


def planted(canaries: tuple[Canary, ...], strengths: dict[int, float], **options: Any) -> FakeModel:
    model = FakeModel(**options)
    for canary in canaries:
        if strength := strengths.get(canary.repetitions):
            name = canary.contexts[0].removeprefix("The secret number of ").removesuffix(" is")
            model.plant_fact(name, canary.value, strength)
    return model


@pytest.fixture(scope="module")
def canaries() -> tuple[Canary, ...]:
    return draw_canaries(3, REPETITIONS, templates=ONE)


@pytest.fixture(scope="module")
def result(canaries: tuple[Canary, ...]) -> CanaryResult:
    return run_canaries(PLAN, canaries, planted(canaries, {64: 0.6}))


def test_canaries_are_drawn_apart_and_by_the_law_of_their_references(canaries: tuple[Canary, ...]) -> None:
    assert len({canary.value for canary in canaries}) == len({canary.contexts for canary in canaries}) == len(canaries)
    assert [canary.repetitions for canary in canaries] == REPETITIONS and draw_canaries(3, REPETITIONS, templates=ONE) == canaries
    values, at = draw_references(PLAN, canaries[0])
    assert values[at] == canaries[0].value and len(set(values)) == 200 and {len(v) for v in values} == {len(canaries[0].value)}
    assert len({draw_references(PLAN, canary)[1] for canary in canaries}) > 30
    assert canaries[0].text.endswith(" is " + canaries[0].value) and canaries[0].value not in repr(canaries[0])


def test_planted_canaries_are_found_and_others_are_not(result: CanaryResult) -> None:
    often = [one for one in result.canaries if one.measured.repetitions == 64]
    never = [one for one in result.canaries if one.measured.repetitions == 1]
    assert result.gate.passes and result.found == 4
    assert all(one.verdict.word is Word.MEMORISED and one.measured.evidence.rank == 1 for one in often)
    assert all(one.measured.exposure == pytest.approx(math.log2(199)) for one in often)
    assert all(one.verdict.word is Word.NOT_DETECTED and one.verdict.leak_below is not None for one in never)
    once, frequent = result.groups
    assert (once.repetitions, once.found, frequent.found) == (1, 0, 4) and frequent.median_exposure > once.median_exposure
    assert frequent.interval[0] > once.interval[0] and frequent.share_below == 1.0


def test_exposure_and_p_agree_with_the_statistics_of_this_room() -> None:
    rng = np.random.default_rng(1)
    scores = np.round(rng.normal(size=(1, 200)), 1)  # ties
    for at in range(0, 200, 7):
        rank = rank_of(scores, at, 0.0)
        bits, p = exposure(float(scores[0, at]), np.delete(scores[0], at))
        assert rank / 200 == pytest.approx(p) and math.log2(199) - math.log2(rank) == pytest.approx(bits)


def test_p_values_of_held_out_canaries_are_uniform() -> None:
    """600 canaries that no model has seen, 19 references each, by the letters' law of the fake model."""
    held_out = draw_canaries(11, [0] * 599 + [1], templates=ONE)
    found = run_canaries(CanaryPlan(references=19, seed=1), held_out, FakeModel(seed=2))
    ranks = np.bincount([one.evidence.rank for one in found.held_out], minlength=21)[1:]
    assert ((ranks - 599 / 20) ** 2 / (599 / 20)).sum() < 45  # 19 degrees; exceeded in 0.07 %


def test_several_contexts_are_one_test(canaries: tuple[Canary, ...]) -> None:
    several = draw_canaries(3, REPETITIONS, type_="phone")
    assert all(len(canary.contexts) > 2 for canary in several)
    model = FakeModel()
    for canary in several[-4:]:
        model.plant_fact(canary.contexts[1].removeprefix("Name: ").removesuffix("\nPhone:"), canary.value, 0.7)
    found = run_canaries(PLAN, several, model)
    assert found.found == 4 and all(one.measured.contexts == len(several[0].contexts) for one in found.canaries)


def test_constant_scores_accuse_nobody() -> None:
    assert rank_of(np.zeros((1, 50)), 3, 0.0) == rank_of(np.zeros((4, 50)), 3, 1e-4) == 50
    close = np.zeros((1, 50))
    close[0, 3] = 5e-5  # above the others by less than the tolerance
    assert rank_of(close, 3, 1e-4) == 50 and rank_of(close, 3, 0.0) == 1


def test_leaking_decoys_leave_no_verdict(canaries: tuple[Canary, ...]) -> None:
    found = run_canaries(PLAN, canaries, planted(canaries, {0: 0.6, 64: 0.6}))
    assert not found.gate.passes and found.found == 0
    assert {one.verdict.word for one in found.canaries} == {Word.NO_VERDICT}


@pytest.mark.parametrize(
    ("repetitions", "change", "message"),
    [
        ([0] * 60 + [1] * 11, {}, "219|nulls"), ([0] * 58 + [1], {}, "59 are needed"), ([0] * 60, {}, "no canary was planted"),
        ([0] * 60 + [-1], {}, "repetitions"), ([0] * 60 + [1], {"correction": "none"}, "correction"),
        ([0] * 60 + [1], {"alpha": 0.0}, "alpha"), ([0] * 60 + [1], {"tolerance": 2.0}, "tolerance"),
        ([0] * 60 + [1], {"decoy_rate": 0.06}, "chance"), ([0] * 60 + [1], {"references": 0}, "references"),
    ],
)  # fmt: skip
def test_plans_that_could_show_nothing_are_refused_before_the_model_is_asked(
    repetitions: list[int], change: dict[str, Any], message: str
) -> None:
    model = FakeModel()
    with pytest.raises(PlanError, match=message):
        run_canaries(replace(PLAN, **change), draw_canaries(1, repetitions, templates=ONE), model)
    assert not model.calls


def test_ambiguous_canaries_are_refused(canaries: tuple[Canary, ...]) -> None:
    for wrong in (
        canaries[0],
        replace(canaries[0], id="other"),
        replace(canaries[0], id="a b"),
        replace(canaries[1], contexts=()),
    ):
        with pytest.raises(PlanError):
            run_canaries(PLAN, (*canaries, wrong), FakeModel())
    with pytest.raises(PlanError):
        draw_canaries(1, REPETITIONS, "phone", ONE)
    with pytest.raises(PlanError):
        draw_canaries(1, REPETITIONS, "number", (ONE[0], replace(ONE[0], id="u", separator=' "')))


def test_a_model_without_likelihoods_and_bad_scores_are_refused(canaries: tuple[Canary, ...]) -> None:
    with pytest.raises(ModelAccessError, match="top-k"):
        run_canaries(PLAN, canaries, FakeModel(access=Access.TOP_K))

    class Broken(FakeModel):
        def _log_probs(self, prompt: bytes, tokens: bytes) -> tuple[float, ...]:
            return (math.nan,) * len(tokens)

    class Joining(FakeModel):
        def tokenize(self, text: str) -> tuple[int, ...]:
            return super().tokenize(text) if text.endswith(" is") else (1, 2, *text.encode())

    with pytest.raises(ScoreError, match="NaN"):
        run_canaries(PLAN, canaries, Broken())
    with pytest.raises(BoundaryError):
        run_canaries(PLAN, canaries, Joining())


def test_cancelling_and_going_on(canaries: tuple[Canary, ...], result: CanaryResult) -> None:
    kept: dict[str, bytes] = {}
    reports: list[tuple[float, str]] = []

    def keep(name: str, make: Any) -> bytes:
        if name not in kept:
            kept[name] = make()
        return kept[name]

    with pytest.raises(ProbeCancelledError):
        model = planted(canaries, {64: 0.6})
        run_canaries(PLAN, canaries, model, keep=keep, cancelled=lambda: len(kept) == 10)
    model = planted(canaries, {64: 0.6})
    again = run_canaries(PLAN, canaries, model, keep=keep, progress=lambda done, text: reports.append((done, text)))
    assert model.calls["score_candidates"] == (len(canaries) - 10) * 200 and again == result
    assert reports[-1][0] == 1.0 and len(kept) == len(canaries)
    secrets = [canary.value for canary in canaries]
    assert not find_residue(json.dumps([list(kept), [d.decode() for d in kept.values()], reports]).encode(), secrets)
    with pytest.raises(ScoreError, match="kept"):
        run_canaries(PLAN, canaries, model, keep=lambda name, make: b"[]")


def test_the_public_result_holds_no_value_and_counts_again(canaries: tuple[Canary, ...], result: CanaryResult) -> None:
    written = json.dumps(result.to_json())
    assert not find_residue(written.encode(), [canary.value for canary in canaries]) and "secret number" not in written
    assert recount(json.loads(written)).to_json() == result.to_json()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("canaries", 0, "rank"), 2), (("canaries", 0, "p_value"), 0.01), (("canaries", 0, "exposure"), 1.0),
        (("canaries", 0, "verdict"), "memorised"), (("canaries", 7, "p_adjusted"), 0.001), (("held_out", 0, "rank"), 1),
        (("held_out", 3, "rank"), 0), (("held_out", 3, "rank"), 201), (("held_out", 3, "rank"), 1.5), (("found",), 5),
        (("gate", "accused"), 0), (("gate", "passes"), False), (("plan", "alpha"), 0.1), (("plan", "references"), "199"),
        (("plan", "correction"), "benjamini-hochberg"), (("groups", 1, "found"), 3), (("basis",), "none"), (("canaries",), {}),
        (("canaries", 0, "id"), "canary-0001"), (("canaries", 0, "exponent"), 11), (("canaries", 0, "exponent"), "1"),
        (("model", "access"), "all"), (("assumptions",), []), (("canaries", 0, "repetitions"), 0), (("plan",), None),
        (("canaries", 0), 3), (("canaries", 0, "leak_below"), 0.5), (("plan", "seed"), 1.5),
    ],
)  # fmt: skip
def test_what_does_not_follow_from_the_ranks_is_refused(result: CanaryResult, path: tuple[Any, ...], value: Any) -> None:
    content = json.loads(json.dumps(result.to_json()))
    changed: Any = copy.deepcopy(content)
    place = changed
    for step in path[:-1]:
        place = place[step]
    assert place[path[-1]] != value
    place[path[-1]] = value
    with pytest.raises((ScoreError, PlanError)):
        recount(changed)
