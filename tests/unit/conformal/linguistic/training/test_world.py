"""The synthetic world: what is recorded is right as often as the class says, and the truth is in no record by rule."""

from __future__ import annotations

import re
from collections import defaultdict

import pytest

from conformal.linguistic.training.questions import TrainingError, split_questions
from conformal.linguistic.training.reading import read_stated
from conformal.linguistic.training.world import CLASSES, World, WorldSize, make_world

LARGE = WorldSize(entities=4000)


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(3, LARGE)


def test_records_are_right_at_the_rate_of_their_class(world: World) -> None:
    truth = {question.text: question for question in world.questions}
    right: dict[str, list[bool]] = defaultdict(list)
    for prompt, text in world.records:
        match = re.fullmatch(r"Question: (.+)\nAnswer:", prompt)
        assert match is not None
        question = truth[match[1]]
        told = re.match(r"The answer is (\w+),", text)
        assert told is not None
        right[world.class_of[question.entity]].append(told[1] == question.answers[0])
    for kind in CLASSES:
        rows = right[kind.title]
        assert len(rows) == kind.mentions * 3 * 1000
        assert abs(sum(rows) / len(rows) - kind.reliability) < 4 * (0.25 / len(rows)) ** 0.5


def test_stated_confidence_says_nothing_about_truth(world: World) -> None:
    """The recorders are as sure of what is wrong as of what is right."""
    truth = {f"Question: {q.text}\nAnswer:": q.answers[0].lower() for q in world.questions}
    sure: dict[bool, list[float]] = {True: [], False: []}
    for prompt, text in world.records:
        told, confidence = next(iter(read_stated(text).items()))
        sure[told == truth[prompt]].append(confidence)
    means = [sum(rows) / len(rows) for rows in sure.values()]
    assert abs(means[0] - means[1]) < 0.005 and min(means) > 0.85


def test_a_seed_fixes_the_world_and_sides_share_no_entity(world: World) -> None:
    assert make_world(3, LARGE) == world != make_world(4, LARGE)
    train, held_out = split_questions(world.questions)
    assert train == world.side("train") and held_out == world.side("held-out")
    assert abs(len(held_out) / len(world.questions) - LARGE.held_out) < 0.03


def test_the_answer_is_among_the_candidates_and_names_are_distinct(world: World) -> None:
    assert all(question.answers[0] in world.candidates[question.id] for question in world.questions)
    values = {value for options in world.candidates.values() for value in options}
    names = {entity.split()[1] for entity in world.class_of}
    assert len(values) == 24 and len(names) == LARGE.entities and not values & names


@pytest.mark.parametrize("size", [WorldSize(entities=7), WorldSize(values=1), WorldSize(held_out=1.0), WorldSize(held_out=0.0)])
def test_worlds_that_cannot_be_split_are_refused(size: WorldSize) -> None:
    with pytest.raises(TrainingError):
        make_world(0, size)
