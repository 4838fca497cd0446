"""Extraction and canaries on a real model: the tiny one, with its own tokenizer, arithmetic and sampling."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from audit.runners.probed_model import RunnerModel
from privacy.membership.records import Record, Role
from privacy.probes.canaries import draw_canaries, run_canaries
from privacy.probes.canary_results import CanaryPlan
from privacy.probes.extraction import run_extraction
from privacy.probes.extraction_plan import ExtractionPlan
from privacy.statistics.validity import Basis, Word
from privacy.templates import Kind, Template
from tests import tiny_model

pytestmark = pytest.mark.slow
PLAN = ExtractionPlan(prefix_tokens=6, suffix_tokens=3, assignment="coins", samples_exponent=3)


@pytest.fixture(scope="module")
def model() -> RunnerModel:
    return RunnerModel(tiny_model.runner())


@pytest.fixture(scope="module")
def records(model: RunnerModel) -> list[Record]:
    """Twenty texts that the model writes itself, and sixty of random words."""
    rng = random.Random(1)
    words = [" ".join(rng.choice(("river", "stone", "north", "table", "glass", "seven")) for _ in range(12)) for _ in range(80)]
    words = [f"{number} {text}" for number, text in zip(rng.sample(range(1000, 10_000), 80), words)]
    own = []
    for text in words[:20]:
        prefix = model.tokenize(text)[:6]
        (rest,) = model.write_tokens([prefix], replace(PLAN.decoding, temperature=0.0))
        own.append(model.detokenize((*prefix, *rest)) + " and the rest of it is left to the reader to complete")
    roles = [Role.MEMBER] * 20 + [Role.NON_MEMBER] * 60
    return [Record(f"r{i}", text, role) for i, (text, role) in enumerate(zip((*own, *words[20:]), roles))]


def test_what_the_model_writes_itself_is_extracted(model: RunnerModel, records: list[Record]) -> None:
    found = run_extraction(PLAN, records, model, commit=lambda type_, id: id)
    assert found.basis is Basis.EXACT and found.verdict.word is Word.MEMORISED and found.rates[0].extracted >= 15
    assert all((row.matched == 3) == (row.rest_from == 0) for row in found.records)


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_exact_likelihoods_agree_between_ways_to_have_them(model: RunnerModel, records: list[Record], temperature: float) -> None:
    """By scores alone, and by whole distributions through the filters of sampling, which here cut nothing off."""
    size = model.facts().vocab_size
    plan = replace(PLAN, criterion="discoverable", temperature=temperature, strength=False)
    plain = run_extraction(plan, records, model, commit=lambda type_, id: id)
    whole = run_extraction(replace(plan, top_k=size), records, model, commit=lambda type_, id: id)
    assert [row.exponent for row in plain.records] == [row.exponent for row in whole.records]
    assert len({row.exponent for row in plain.records}) > 2


def test_canaries_that_were_never_planted_are_not_found(model: RunnerModel) -> None:
    template = Template("t", Kind.TWIN, "phone", "The phone number of {name} is")
    canaries = draw_canaries(5, [0] * 60 + [1] * 2, "phone", (template,))
    found = run_canaries(CanaryPlan(references=59, seed=1), canaries, model)
    assert found.gate.passes and found.found == 0
    assert {one.verdict.word for one in found.canaries} == {Word.NOT_DETECTED}
