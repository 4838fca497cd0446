"""Planted corpora hold every person as often as planned, and models of them tell of the plan, not of values."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from audit.runners.planted import CARRIERS, PlantedPlan, draw_planted, planted_folder, planted_texts, write_records
from audit.runners.planted_training import pack
from audit.runners.protocol import RunnerError
from audit.runners.tiny_training import NOTHING
from privacy.people import Origin
from privacy.templates import builtin_templates
from tests import planted_models

PLAN = PlantedPlan(seed=5, people=((1, 3), (4, 2), (16, 1)), heldout=4, recipe="planted-small")


def sentences(plan: PlantedPlan) -> list[Counter[str]]:
    """For every pass, how many documents tell of each person."""
    people = draw_planted(plan)
    by_name = {person.values["name"]: person.id for person in (*people.tested, *people.strangers)}
    return [Counter(by_name[name] for text in texts for name in by_name if name in text) for texts in planted_texts(plan)]


def test_people_stand_in_the_text_as_often_as_planned() -> None:
    people = draw_planted(PLAN)
    assert [person.id for person in people.heldout] == [f"heldout-00{i}" for i in (1, 2, 3, 4)]
    assert all(person.origin is Origin.CANARY and person.types == ("phone", "email") for person in people.tested)
    assert Counter(people.repetitions.values()) == {1: 3, 4: 2, 16: 1, 0: 4} and people.groups["planted-16-001"] == "16"
    for found in sentences(PLAN):
        assert {id_: found[id_] for id_ in people.repetitions} == people.repetitions
        assert all(found[person.id] == 1 for person in people.strangers)


def test_everything_follows_from_the_plan() -> None:
    assert list(planted_texts(PLAN)) == list(planted_texts(PLAN))
    assert draw_planted(PLAN) == draw_planted(PlantedPlan(**{**PLAN.__dict__, "left_out": ("planted-1-001",)}))
    other = draw_planted(PlantedPlan(seed=6, people=PLAN.people, heldout=4, recipe="planted-small"))
    assert not {p.values["name"] for p in other.planted} & {p.values["name"] for p in draw_planted(PLAN).planted}
    first, second = planted_texts(PLAN)
    assert first != second and sorted(first) == sorted(second)


def test_who_is_left_out_moves_nobody_else() -> None:
    gone = PLAN.without(["planted-4-002"])
    name = next(p.values["name"] for p in draw_planted(PLAN).planted if p.id == "planted-4-002")
    for before, after in zip(planted_texts(PLAN), planted_texts(gone)):
        assert after == [text for text in before if name not in text] and len(before) == len(after) + 4
    nobody = PLAN.reference()
    assert all(found[id_] == 0 for found in sentences(nobody) for id_ in draw_planted(PLAN).repetitions)
    assert nobody == gone.reference()


def test_sentences_hold_all_items_and_never_the_words_of_a_probe() -> None:
    people = draw_planted(PlantedPlan(types=("phone", "email", "address", "iban"), heldout=20))
    for person in people.heldout:
        written = write_records(person, 2 * len(CARRIERS))
        assert len(written) == 12 and all(value in text for text in written for value in person.values.values())
        assert len({text.replace(person.values["name"], "") for text in written[: len(CARRIERS)]}) == len(CARRIERS)
        prompts = [template.render(person) for type_ in person.types for template in builtin_templates(type_, person.types)]
        assert not any(prompt + " " in text for prompt in prompts for text in written)


@pytest.mark.parametrize(
    "wrong",
    [
        {"people": ((4, 1), (4, 2))},
        {"people": ((0, 3),)},
        {"people": ((1, -1),)},
        {"people": ((1024, 1024),)},
        {"heldout": -1},
        {"types": ()},
        {"types": ("name",)},
        {"recipe": "none"},
    ],
)
def test_plans_that_are_none_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(RunnerError):
        PlantedPlan(**wrong)  # type: ignore[arg-type]


def test_only_planted_people_are_left_out() -> None:
    with pytest.raises(RunnerError, match="1 of the people"):
        PLAN.without(["planted-1-001", "heldout-001"])


def test_documents_are_cut_only_where_they_exceed_a_window() -> None:
    assert list(pack([[1, 2], [3, 4], [5], [6, 7, 8, 9, 10, 11], [12]], 4)) == [
        [1, 2, 3, 4],
        [5, NOTHING, NOTHING, NOTHING],
        [6, 7, 8, 9],
        [10, 11, 12, NOTHING],
    ]
    assert list(pack([], 4)) == []


@pytest.mark.slow
def test_the_folder_tells_the_plan_and_no_value() -> None:
    folder, plan = planted_models.folder(), planted_models.SMALL
    assert planted_folder(plan) == folder
    card = (folder / "training.json").read_text()
    assert json.loads(card)["identity"]["people"] == [list(pair) for pair in plan.people]
    everything = b"".join(path.read_bytes() for path in folder.iterdir() if path.is_file())
    for person in draw_planted(plan).planted:
        assert not any(value.encode() in everything for value in person.values.values())


@pytest.mark.slow
def test_no_vocabulary_tells_who_was_planted() -> None:
    plans = (planted_models.SMALL, planted_models.SMALL.reference())
    assert len({(planted_models.folder(plan) / "tokenizer.json").read_bytes() for plan in plans}) == 1
