"""Invented canaries and their nulls over many draws: ranks are uniform, families of canaries are accused at the stated level, and
extraction that chance alone decides is called memory at most as often as stated."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from privacy.invented.values import TYPES, draw_values, invent_value
from privacy.membership.records import Role
from privacy.probes.canary_results import CanaryPlan, MeasuredCanary
from privacy.probes.canary_results import judge as judge_canaries
from privacy.probes.evidence import RankEvidence
from privacy.probes.extraction_plan import ExtractionPlan
from privacy.probes.extraction_results import MeasuredRecord, judge
from privacy.probes.model import Access, ModelFacts
from privacy.statistics.binomial import clopper_pearson_lower
from privacy.statistics.validity import Word

pytestmark = pytest.mark.guarantee
FACTS = ModelFacts("a function of the characters", None, Access.FULL, 0, True, None)
RUNS = 1000


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])


def _digit_sum(text: str) -> int:
    return sum(int(c) for c in text if c.isdecimal()) + len(text)


SCORERS: dict[str, Callable[[str], Any]] = {"alphabetical": str, "digit sum and length": _digit_sum, "hash": _hash}


def _rank(value: str, nulls: list[str], score: Callable[[str], Any]) -> int:
    return 1 + sum(score(null) >= score(value) for null in nulls)


@pytest.mark.parametrize("type_", TYPES)
def test_ranks_of_canaries_are_uniform(type_: str) -> None:
    """4,000 canaries among 19 nulls each. Chi-square with 19 degrees: 50 is exceeded in 0.01 %. Ties are broken by a coin for the
    uniform law; counted against the accusation, as the probe does, p-values may only be larger."""
    rng, coins, canaries = random.Random(f"guarantee/{type_}"), random.Random(2), 4000
    exact = {name: np.zeros(20) for name in SCORERS}
    small = dict.fromkeys(SCORERS, 0)
    for _ in range(canaries):
        value = invent_value(type_, rng)
        nulls = draw_values(type_, value, 19, rng)
        for name, score in SCORERS.items():
            keys = [(score(text), coins.random()) for text in (value, *nulls)]
            exact[name][sum(other > keys[0] for other in keys[1:])] += 1
            small[name] += _rank(value, nulls, score) == 1
    for name, counts in exact.items():
        assert ((counts - canaries / 20) ** 2 / (canaries / 20)).sum() < 50, name
        assert clopper_pearson_lower(small[name], canaries, 1e-4) <= 0.05, name


def test_families_of_canaries_are_accused_at_the_stated_level() -> None:
    """1,000 runs of five planted canaries that no model remembers, each among 99 references, Holm at 5 %."""
    plan, accused, without = CanaryPlan(references=99), 0, 0
    for run in range(RUNS):
        rng = random.Random(f"family/{run}")
        rows = []
        for place in range(64):
            if place < 5:
                value = invent_value("phone", rng)
                rank = _rank(value, draw_values("phone", value, 99, rng), _hash)
            else:  # held out: nothing but a uniform rank is needed
                rank = rng.randint(1, 100)
            rows.append(MeasuredCanary(f"c{place}", "phone", int(place < 5), 1, "9-16", RankEvidence(rank, 99, None)))
        found = judge_canaries(plan, FACTS, rows)
        accused += found.found > 0
        without += not found.gate.passes
    assert clopper_pearson_lower(accused, RUNS, 1e-4) <= 0.05 and accused > 10
    assert without < RUNS * 0.1


@pytest.mark.parametrize("predictable", [0.02, 0.3, 0.9])
def test_extraction_by_chance_is_rarely_called_memory(predictable: float) -> None:
    """1,000 runs of 200 texts, a share of which any model continues; coins decide which were trained on, and nothing else."""
    plan, called = replace(ExtractionPlan(assignment="coins", strength=False), suffix_tokens=1, prefix_tokens=1), 0
    for run in range(RUNS):
        rng = random.Random(f"extraction/{predictable}/{run}")
        rows = []
        for place in range(200):
            right = rng.random() < predictable
            role = Role.MEMBER if rng.random() < 0.5 else Role.NON_MEMBER
            rows.append(MeasuredRecord(f"r{place}", role, int(right), 0, None, None, right, place + 1, None))
        called += judge(plan, FACTS, None, rows, 0, 0).verdict.word is Word.MEMORISED
    assert clopper_pearson_lower(called, RUNS, 1e-4) <= 0.05 and (called > 5 or predictable == 0.02)
