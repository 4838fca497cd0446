"""Soft prompts on a model in process: gradients against differences, scores after them against plain passes."""

from __future__ import annotations

import dataclasses
import random

import numpy as np
import pytest

from audit.errors import CancelledError
from audit.runners.protocol import CapabilityError, RunnerError
from privacy.errors import ModelAccessError, ProbeCancelledError
from privacy.probes.model import Access
from privacy.probes.white_box.model import Example
from tests import tiny_model

pytest.importorskip("torch")
TOLERANCE = 1e-4
INITIAL = [5, 90, 100, 30, 7]


def rows(count: int, length: int, seed: int) -> list[list[int]]:
    rng = random.Random(seed)
    return [[rng.randrange(tiny_model.runner().vocab_size) for _ in range(length)] for _ in range(count)]


def test_scores_after_a_soft_prompt_are_those_of_a_plain_pass() -> None:
    soft_prompts = tiny_model.runner().soft_prompts()
    soft = soft_prompts.embed(INITIAL) + np.float32(0.01)
    prompts = rows(3, 7, 1)
    candidates = [[row[: 1 + i % 5] for i, row in enumerate(rows(12, 5, 2 + place))] for place in range(3)]
    candidates[1] = rows(200, 5, 9)  # more than one tree
    found = soft_prompts.score(soft, prompts, candidates)
    scorer = soft_prompts._scorer
    assert scorer is not None and scorer.fast
    for prompt, group, scores in zip(prompts, candidates, found):
        plain = scorer._plain(prompt, group, None)
        assert max(abs(a - b) for x, y in zip(plain, scores) for a, b in zip(x, y)) < TOLERANCE
        assert [len(row) for row in scores] == [len(row) for row in group]
    again = soft_prompts.score(soft, prompts[:1], candidates[:1])  # the kept keys and values are as they were
    assert max(abs(a - b) for x, y in zip(again[0], found[0]) for a, b in zip(x, y)) < TOLERANCE


def test_embeddings_of_tokens_as_a_soft_prompt_are_these_tokens() -> None:
    runner = tiny_model.runner()
    soft_prompts, prompts, candidates = runner.soft_prompts(), rows(2, 6, 3), [rows(9, 4, 4), rows(5, 3, 5)]
    soft = soft_prompts.score(soft_prompts.embed(INITIAL), prompts, candidates)
    hard = runner.score_candidates([[*INITIAL, *prompt] for prompt in prompts], candidates)
    bare = soft_prompts.score(None, prompts, candidates)
    assert bare == runner.score_candidates(prompts, candidates)
    for one, other in zip(soft, hard):
        assert max(abs(a - b) for x, y in zip(one, other) for a, b in zip(x, y)) < TOLERANCE


def test_loss_and_gradient() -> None:
    soft_prompts = tiny_model.runner().soft_prompts()
    soft = soft_prompts.embed(INITIAL)
    examples = [Example(i, tuple(c[:4]), tuple(c[4 : 6 + i % 3])) for i, c in enumerate(rows(5, 9, 6))]
    loss, gradient = soft_prompts.gradient(soft, examples)
    scores = soft_prompts.score(soft, [e.context for e in examples], [[e.value] for e in examples])
    assert loss == pytest.approx(-np.mean([sum(group[0]) for group in scores]), abs=TOLERANCE)
    assert soft_prompts.loss(soft, examples) == pytest.approx(loss, abs=TOLERANCE)
    direction = np.random.default_rng(0).normal(size=soft.shape).astype(np.float32)
    step = 1e-2 / np.linalg.norm(direction)
    slope = (soft_prompts.loss(soft + step * direction, examples) - soft_prompts.loss(soft - step * direction, examples)) / (
        2 * step
    )
    assert slope == pytest.approx(float(np.sum(gradient * direction)), rel=0.05, abs=0.02)
    assert all(parameter.grad is None for parameter in tiny_model.runner()._model.parameters())


def test_bad_input() -> None:
    runner = tiny_model.runner()
    soft_prompts = runner.soft_prompts()
    soft, narrow = soft_prompts.embed(INITIAL), np.zeros((3, soft_prompts.width + 1), dtype=np.float32)
    for wrong in (
        lambda: soft_prompts.score(narrow, [[1]], [[[2]]]),
        lambda: soft_prompts.gradient(narrow, [Example(0, (1,), (2,))]),
        lambda: soft_prompts.loss(soft, []),
        lambda: soft_prompts.score(soft, [[]], [[[2]]]),
        lambda: soft_prompts.score(soft, [[1]], [[[]]]),
        lambda: soft_prompts.score(soft, [[1], [2]], [[[2]]]),
        lambda: soft_prompts.score(soft, [[runner.vocab_size]], [[[2]]]),
        lambda: soft_prompts.score(soft, [[1] * runner.context], [[[2]]]),
        lambda: soft_prompts.loss(soft, [Example(0, (1,) * runner.context, (2,))]),
    ):
        with pytest.raises(RunnerError):
            wrong()
    with pytest.raises(CancelledError):
        soft_prompts.score(soft, [[1, 2]], [[[2]]], cancelled=lambda: True)
    from audit.runners.soft_prompts import SoftPrompts

    with pytest.raises(CapabilityError):
        SoftPrompts(runner, runner._torch, runner._model, {"input_ids"})


def test_the_model_as_the_probe_sees_it() -> None:
    from audit.runners.white_box_model import InProcessWhiteBox

    runner = tiny_model.runner()
    model = InProcessWhiteBox(runner)
    facts = model.facts()
    assert facts.access is Access.WEIGHTS and facts.digest == runner.attestation().model_digest
    assert model.detokenize(model.tokenize("a short text")) == "a short text"
    soft = model.embed(INITIAL)
    example = Example(0, (1, 2), (3,))
    assert model.prompted_gradient(soft, [example])[0] == pytest.approx(model.prompted_loss(soft, [example]), abs=TOLERANCE)
    assert len(model.vocabulary()) >= 2000 and "2" not in repr(dataclasses.replace(example, subject=1))
    with pytest.raises(ModelAccessError):
        model.score_prompted(soft, [[]], [[[1]]])
    with pytest.raises(ProbeCancelledError):
        InProcessWhiteBox(runner, cancelled=lambda: True).score_prompted(soft, [[1]], [[[1]]])
