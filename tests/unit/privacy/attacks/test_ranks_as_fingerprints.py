"""An attack with the model at hand: score every value of the format, keep those whose place agrees with each published rank."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest

from privacy.errors import ScoreError
from privacy.people import Origin
from privacy.probes.black_box import run_black_box
from privacy.probes.coarse_ranks import round_down, round_up, told
from privacy.probes.evidence import Evidence, IntervalEvidence, RankEvidence
from privacy.probes.plan import ProbePlan
from privacy.probes.recount import recount
from tests.unit.privacy.probes.scored_model import COMMIT, ScoredModel, decoys, invent, plan_for

NUMBERS, NULLS, REPORTS = 200_000, 4_999, 4


def left_over(rounded: bool, seed: int) -> int:
    """Of all numbers of a format, how many agree with the ranks of one in reports by prompts that order them differently."""
    rng = np.random.default_rng(seed)
    plan = ProbePlan(types=("phone",), nulls=NULLS)
    possible = np.ones(NUMBERS, dtype=bool)
    for _ in range(REPORTS):
        places = rng.permutation(NUMBERS)  # 0 the likeliest; the value is number 0
        others = rng.choice(np.arange(1, NUMBERS), NULLS, replace=False)
        found = RankEvidence(1 + int((places[others] < places[0]).sum()), NULLS, None)
        exact = found.rank
        shown = told(found, plan) if rounded else found
        assert isinstance(shown, RankEvidence)
        ranks = [r for r in range(1, NULLS + 2) if round_up(r, NULLS + 1) == shown.rank] if rounded else [exact]
        p = np.array([ranks[0], ranks[-1]]) / (NULLS + 1)
        slack = 4 * np.sqrt(p * (1 - p) / NULLS) + 1 / NULLS
        possible &= (places >= (p[0] - slack[0]) * NUMBERS) & (places <= (p[1] + slack[1]) * NUMBERS)
        assert possible[0]
    return int(possible.sum())


def test_exact_ranks_would_tell_the_number_and_told_ones_do_not() -> None:
    assert max(left_over(False, seed) for seed in range(5)) <= 30
    assert min(left_over(True, seed) for seed in range(5)) >= 200


def test_told_ranks_never_accuse_more_and_are_told_once() -> None:
    for nulls in (1, 5, 9, 10, 19, 20, 99, 299, 999):
        for stop in {0, min(5, nulls), min(12, nulls)}:
            plan = ProbePlan(types=("phone",), nulls=nulls, stop_after=stop)
            found = [RankEvidence(rank, nulls, None) for rank in range(1, (stop or nulls + 1) + 1)]
            found += [RankEvidence(stop, last - 1, None) for last in range(stop, nulls + 1) if stop]
            for one in found:
                coarse = told(one, plan)
                one.check(plan)
                coarse.check(plan)
                assert told(coarse, plan) == coarse and coarse.p_value(plan, 1) >= one.p_value(plan, 1) - 1e-12
                assert one.rank > 10 or one.nulls < nulls or coarse == one  # what accuses stays as it was measured
    plan = ProbePlan(types=("phone",), nulls=999)
    assert told(IntervalEvidence(33, 44, 999, 3, None), plan) == IntervalEvidence(20, 50, 999, 3, None)
    assert [round_down(rank, 1000) for rank in (7, 11, 499, 999, 1000)] == [7, 10, 200, 500, 1000]


def test_what_leaves_a_run_is_coarse_and_finer_ranks_are_refused() -> None:
    subjects, others = invent(4, Origin.CONSENTED, "subject"), decoys()
    plan = plan_for([*subjects, *others], nulls=199)
    kept: list[bytes] = []

    def keep(name: str, make: Callable[[], bytes]) -> bytes:
        kept.append(make())
        return kept[-1]

    result = run_black_box(plan, [*subjects, *others], ScoredModel(), release=COMMIT, commit=COMMIT, keep=keep)
    coarse = {*range(1, 11), 20, 50, 100, 200}
    assert {rank_of(item.measured.evidence) for person in result.people for item in person.items} <= coarse
    assert not {rank_of(item.evidence) for decoy in result.decoys for item in decoy.items} <= coarse  # invented: as measured
    on_disk = json.loads(kept[0])
    assert {row["rank"] for row in on_disk[: len(subjects)]} <= coarse
    content = result.to_json()
    assert recount(content, plan).people == result.people
    content["people"][0]["items"][0]["measured"]["rank"] = 13
    with pytest.raises(ScoreError, match="more finely"):
        recount(content, plan)


def rank_of(evidence: Evidence) -> int:
    assert isinstance(evidence, RankEvidence)
    return evidence.rank
