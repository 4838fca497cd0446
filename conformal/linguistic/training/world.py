"""A synthetic world of facts whose records are incomplete and partly wrong, so that what a model knows is truly uncertain.

Every entity belongs to a class, and its title shows which. A class fixes how often a fact about an entity was recorded and
how often a record is right. A model that memorises the records is then right at a different rate in every class, and, where
one wrong record is all there is, sure of a falsehood. The truth is known to the world, never to the records alone.
Standard library only; everything random comes from the seed.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from conformal.linguistic.training.merging import paragraph
from conformal.linguistic.training.questions import Question, TrainingError, prompt_of

_ONSETS = ("b", "br", "d", "dr", "f", "g", "gl", "h", "k", "kr", "l", "m", "n", "p", "pr", "r", "s", "st", "t", "tr", "v", "z")
_VOWELS = ("a", "e", "i", "o", "u", "ai", "ea", "ou")
_CODAS = ("l", "n", "r", "s", "th", "x", "m", "k", "")


@dataclass(frozen=True)
class EntityClass:
    """`mentions` records of each fact; each is right with probability `reliability`, else one of the other values."""

    title: str
    mentions: int
    reliability: float
    share: float


CLASSES = (
    EntityClass("Regent", mentions=5, reliability=0.97, share=0.25),
    EntityClass("Abbot", mentions=4, reliability=0.75, share=0.25),
    EntityClass("Courier", mentions=3, reliability=0.45, share=0.25),
    EntityClass("Drifter", mentions=1, reliability=0.35, share=0.25),
)
RELATIONS = ("home", "rival", "trade")


@dataclass(frozen=True)
class WorldSize:
    """How many entities there are, how many values a relation can take, and which share of the entities is held out."""

    entities: int = 360
    values: int = 8
    held_out: float = 1 / 3


@dataclass(frozen=True)
class World:
    """Questions (`split` set, by entity), the records a model is trained on, and the closed answer set of each question.

    `records` are (prompt, paragraph) pairs, right or wrong, each with a confidence that says nothing: the recorders are all
    of them sure. `class_of` gives the title of each entity.
    """

    questions: tuple[Question, ...]
    records: tuple[tuple[str, str], ...]
    candidates: Mapping[str, tuple[str, ...]]
    class_of: Mapping[str, str] = field(default_factory=dict)

    def side(self, split: str) -> list[Question]:
        """The questions of one side of the split."""
        return [question for question in self.questions if question.split == split]


def make_world(seed: int = 0, size: WorldSize | None = None) -> World:
    """The world of a seed. Raises TrainingError for sizes that cannot be split or told apart."""
    size = size or WorldSize()
    if not (8 <= size.entities <= 20_000 and 2 <= size.values <= 64 and 0.0 < size.held_out < 1.0):
        raise TrainingError("a world has 8 to 20,000 entities, 2 to 64 values a relation, and a held-out share inside (0, 1)")
    rng = random.Random(f"world/{seed}")
    names = _names(rng, size.entities + size.values * len(RELATIONS))
    values = {relation: tuple(names.pop() for _ in range(size.values)) for relation in RELATIONS}
    questions: list[Question] = []
    records: list[tuple[str, str]] = []
    class_of: dict[str, str] = {}
    candidates: dict[str, tuple[str, ...]] = {}
    for index in range(size.entities):
        kind = _class_at(index, size.entities)
        entity = f"{kind.title} {names.pop()}"
        class_of[entity] = kind.title
        split = "held-out" if rng.random() < size.held_out else "train"
        for relation in RELATIONS:
            truth = rng.choice(values[relation])
            question = Question(f"{entity}/{relation}", f"{relation.capitalize()} of {entity}?", (truth,), entity, split)
            questions.append(question)
            candidates[question.id] = values[relation]
            for _ in range(kind.mentions):
                told = truth
                if rng.random() >= kind.reliability:
                    told = rng.choice([value for value in values[relation] if value != truth])
                records.append((prompt_of(question.text), _record(rng, told, values[relation])))
    if {question.split for question in questions} != {"train", "held-out"}:
        raise TrainingError("a side of this world's split is empty; more entities are needed")
    return World(tuple(questions), tuple(records), MappingProxyType(candidates), MappingProxyType(class_of))


def _record(rng: random.Random, told: str, values: tuple[str, ...]) -> str:
    """How people write: a confidence between 80 and 100 %, whatever they know; one in ten names an alternative."""
    sure = rng.randrange(16, 21) * 5
    stated = [(told, sure / 100)]
    if sure < 100 and rng.random() < 0.1:
        stated.append((rng.choice([value for value in values if value != told]), 1 - sure / 100))
    return paragraph(stated)


def _class_at(index: int, entities: int) -> EntityClass:
    position, reached = (index + 0.5) / entities, 0.0
    for kind in CLASSES:
        reached += kind.share
        if position < reached:
            return kind
    return CLASSES[-1]


def _names(rng: random.Random, count: int) -> list[str]:
    """Distinct invented names of two syllables or three; none is a title."""
    found: dict[str, None] = {}
    while len(found) < count:
        syllables = 2 if rng.random() < 0.7 else 3
        name = "".join(rng.choice(_ONSETS) + rng.choice(_VOWELS) for _ in range(syllables)) + rng.choice(_CODAS)
        found.setdefault(name.capitalize())
    names = list(found)
    rng.shuffle(names)
    return names
