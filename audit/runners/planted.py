"""Language models with planted memories: small models that the project trains itself on text that tells of invented people, each
a known number of times, so that what a privacy probe finds can be held against the truth.

A plan says how many people stand in the training text how often (1, 4, 16, 64 times), and how many are held out: drawn and
written in the same way, never trained on. Items are drawn by `privacy.invented`, the generator of the nulls, before training:
the people are canaries, and a rank among nulls is exact. Names are invented, phone numbers and mail domains those kept free for
examples. Around the planted sentences stands CPython's documentation, and a sentence each on strangers, who are in every model of
the plan, the reference too: they teach how such sentences look.

The sentences are written in several ways, none of which ends in the words of a probe before the item. A probe therefore meets
the association of a name with a value, not a text to be continued; 16 and 64 times are meant to be found, once is not.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from audit.runners.protocol import Progress, RunnerError
from audit.runners.tiny import Recipe, kept_folder, library_versions, training_text
from privacy.invented.people import draw_people
from privacy.people import Origin, Person

MAX_REPETITIONS = 1024
MAX_SENTENCES = 50_000


@dataclass(frozen=True)
class PlantedRecipe(Recipe):
    """Architecture and training; the number of steps follows from the text, which is read `passes` times."""

    vocab_size: int = 1024
    hidden: int = 96
    feed_forward: int = 256
    layers: int = 2
    sequence: int = 128
    batch: int = 8
    passes: int = 2
    background: int = 180_000
    """Characters of documentation."""
    strangers: int = 100


PLANTED_RECIPES: Mapping[str, PlantedRecipe] = MappingProxyType(
    {"planted": PlantedRecipe(), "planted-small": PlantedRecipe(background=60_000, strangers=60)}
)

# How a record is written. {all}: the items as "phone number 212-555-0100", joined; {ways}: as "by phone at 212-555-0100".
CARRIERS = (
    "Ask for {name} {ways}.",
    "Contact: {name}. {lines}",
    "{name} (whose {all}) is the person in charge.",
    "For this section, turn to {name}, with the {all}.",
    "Maintained by {name}: {all}.",
    "The maintainer {name} answers {ways}.",
)
_LABELS = {"phone": "phone number", "email": "email address", "us-ssn": "social security number", "iban": "IBAN"}
_WAYS = {"phone": "by phone at", "email": "by email at", "address": "by post at"}


@dataclass(frozen=True)
class PlantedPlan:
    """Who stands in the training text how often. `people`: (repetitions, how many people). Everything random follows from `seed`.

    `left_out`: ids of people whose sentences are left out, as if they had asked for it before training; all else stays.
    """

    seed: int = 0
    people: tuple[tuple[int, int], ...] = ((1, 20), (4, 20), (16, 20), (64, 20))
    heldout: int = 200
    types: tuple[str, ...] = ("phone", "email")
    recipe: str = "planted"
    left_out: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        counts = [count for count, _ in self.people]
        if self.recipe not in PLANTED_RECIPES:
            raise RunnerError(f"there is no recipe {self.recipe!r}; there are {', '.join(PLANTED_RECIPES)}")
        if len(set(counts)) != len(counts) or any(not 1 <= count <= MAX_REPETITIONS for count in counts):
            raise RunnerError(f"repetitions are different numbers from 1 to {MAX_REPETITIONS}; people held out are named apart")
        if self.heldout < 0 or any(number < 0 for _, number in self.people) or not self.types or "name" in self.types:
            raise RunnerError("a plan needs numbers of people from 0 up, and a type of item beside the name")
        if sum(count * number for count, number in self.people) > MAX_SENTENCES:
            raise RunnerError(f"a plan has at most {MAX_SENTENCES} planted sentences")

    def without(self, ids: Collection[str]) -> PlantedPlan:
        """The same training, these people's sentences left out. Raises RunnerError for an id that is not planted."""
        unknown = set(ids) - {person.id for person in draw_planted(self).planted}
        if unknown:
            raise RunnerError(f"{len(unknown)} of the people to leave out are not planted")
        return replace(self, left_out=tuple(sorted({*self.left_out, *ids})))

    def reference(self) -> PlantedPlan:
        """The same training with nobody planted."""
        return self.without([person.id for person in draw_planted(self).planted])


@dataclass(frozen=True)
class PlantedPeople:
    """The people of a plan. `repetitions` by id says how often each stands in the text, 0 for those held out."""

    planted: tuple[Person, ...]
    heldout: tuple[Person, ...]
    strangers: tuple[Person, ...]
    repetitions: Mapping[str, int]

    @property
    def tested(self) -> tuple[Person, ...]:
        """Everyone but the strangers: those a probe is measured on."""
        return self.planted + self.heldout

    @property
    def groups(self) -> dict[str, str]:
        """The number of repetitions as the name of a group, by id."""
        return {id_: str(count) for id_, count in self.repetitions.items()}


def draw_planted(plan: PlantedPlan) -> PlantedPeople:
    """The people of a plan, the same for every `left_out`. Ids: planted-64-003, heldout-017."""
    rng = random.Random(f"planted people/{plan.seed}")
    places = [(f"planted-{count}-{i + 1:03}", count) for count, number in plan.people for i in range(number)]
    places += [(f"heldout-{i + 1:03}", 0) for i in range(plan.heldout)]
    drawn = draw_people(rng, len(places), plan.types, origin=Origin.CANARY)
    named = [replace(person, id=id_) for person, (id_, _) in zip(drawn, places)]
    names = [person.values["name"] for person in named]
    strangers = draw_people(rng, PLANTED_RECIPES[plan.recipe].strangers, plan.types, names, prefix="stranger")
    first_heldout = len(named) - plan.heldout
    return PlantedPeople(tuple(named[:first_heldout]), tuple(named[first_heldout:]), tuple(strangers), dict(places))


def write_records(person: Person, count: int) -> list[str]:
    """`count` sentences with all items of a person: every way of writing in turn, from one that depends on the person."""
    rng = random.Random(f"planted records/{person.id}")
    start = rng.randrange(len(CARRIERS))
    return [
        _write(person, CARRIERS[(start + i) % len(CARRIERS)], rng.sample(person.types, len(person.types))) for i in range(count)
    ]


def _write(person: Person, carrier: str, types: Sequence[str]) -> str:
    values = person.values
    listed = [f"{_LABELS.get(type_, type_)} {values[type_]}" for type_ in types]
    ways = [f"{_WAYS.get(type_, f'under the {type_}')} {values[type_]}" for type_ in types]
    lines = " ".join(f"{_LABELS.get(type_, type_).capitalize()}: {values[type_]}." for type_ in types)
    joined = " and ".join(listed)
    return carrier.format(name=values["name"], all=joined, ways=" or ".join(ways), lines=lines)


def planted_texts(plan: PlantedPlan) -> Iterator[list[str]]:
    """The documents of each pass over the training text, in the order in which they are read. What is left out moves nothing."""
    recipe, people = PLANTED_RECIPES[plan.recipe], draw_planted(plan)
    documents = [(text, True) for text in background(plan)]
    documents += [(text, True) for person in people.strangers for text in write_records(person, 1)]
    for person in people.planted:
        kept = person.id not in plan.left_out
        documents += [(text, kept) for text in write_records(person, people.repetitions[person.id])]
    rng = random.Random(f"planted order/{plan.seed}")
    for _ in range(recipe.passes):
        rng.shuffle(documents)
        yield [text for text, kept in documents if kept]


def background(plan: PlantedPlan) -> list[str]:
    """Paragraphs of CPython's documentation, in an order of the seed's, up to the recipe's number of characters."""
    paragraphs = [text for text in training_text().split("\n\n") if text.strip()]
    random.Random(f"planted background/{plan.seed}").shuffle(paragraphs)
    taken, size = [], 0
    for text in paragraphs:
        if size >= PLANTED_RECIPES[plan.recipe].background:
            break
        taken.append(text)
        size += len(text)
    return taken


def planted_folder(plan: PlantedPlan | None = None, progress: Progress | None = None) -> Path:
    """The model of a plan, trained now if the cache does not hold it intact (10 to 30 s on one core). An ordinary Hugging Face
    directory; `training.json` holds the plan, from which `draw_planted` tells who was planted, and no value.

    Raises RunnerError for a plan that is none, when the group `models` is not installed, or when the cache cannot be written.
    """
    plan = plan or PlantedPlan()
    digest = hashlib.sha256()
    for documents in planted_texts(plan):
        digest.update("\0".join([*documents, ""]).encode())
    recipe = asdict(PLANTED_RECIPES[plan.recipe])
    identity = {**recipe, **_plain(plan), "versions": library_versions(), "text": digest.hexdigest()}

    def make(folder: Path) -> Mapping[str, Any]:
        from audit.runners import planted_training

        return planted_training.train(folder, plan, progress or (lambda fraction, message: None))

    return kept_folder(plan.recipe, identity, make)


def _plain(plan: PlantedPlan) -> dict[str, Any]:
    lists = {"people": [list(pair) for pair in plan.people], "types": list(plan.types), "left_out": list(plan.left_out)}
    return {"seed": plan.seed, "heldout": plan.heldout, "recipe": plan.recipe, **lists}
