"""A stand-in whose log-likelihoods a test chooses: one token a byte, the whole of a value's score at its last token. Fast."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from privacy.errors import ModelAccessError
from privacy.people import Origin, Person
from privacy.probes.model import Access, Decoding, ModelFacts, Progress
from privacy.probes.plan import ProbePlan
from privacy.redaction import Redactor
from privacy.templates import Kind, Template

Law = Callable[[str, str], float]
"""(context, value) -> ln q."""
TWIN = Template("twin", Kind.TWIN, "phone", "The phone of {name} is")
OTHER_TWIN = Template("other-twin", Kind.TWIN, "phone", "{name} can be called at")
COMMIT = Redactor(b"k" * 32).commit


def noise(text: str) -> float:
    """A uniform number in [0, 1) that depends on the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


def blind(context: str, value: str) -> float:
    """A law that knows nobody."""
    return -20.0 - 5 * noise(f"{context}|{value}")


def knowing(known: Mapping[str, str], gain: float, law: Law = blind) -> Law:
    """A law that finds a name's value likelier by `gain` nats."""

    def found(context: str, value: str) -> float:
        return law(context, value) + gain * any(name in context and own == value for name, own in known.items())

    return found


@dataclass
class ScoredModel:
    """Implements what full-tier probes use of `ProbedModel`. Context and value are set apart by the last separator that ends in
    one of the contexts that `TWIN` and `OTHER_TWIN` give."""

    law: Law = blind
    access: Access = Access.FULL
    name: str = "scored"
    asked: int = 0
    merges: bool = False
    contexts: list[str] = field(default_factory=list)

    def facts(self) -> ModelFacts:
        return ModelFacts(self.name, hashlib.sha256(self.name.encode()).hexdigest(), self.access, 5, True, 256)

    def tokenize(self, text: str) -> tuple[int, ...]:
        if self.merges:  # one token for the whole of a text: no boundary is ever kept
            return (1000 + int(noise(text) * 1e9),)
        return tuple(text.encode())

    def detokenize(self, token_ids: Sequence[int]) -> str:
        return bytes(token_ids).decode()

    def score_candidates(
        self, prompts: Sequence[Sequence[int]], candidates: Sequence[Sequence[Sequence[int]]], progress: Progress | None = None
    ) -> list[list[tuple[float, ...]]]:
        self.asked += sum(map(len, candidates))
        found = []
        for prompt, tails in zip(prompts, candidates):
            context = bytes(prompt).decode()
            self.contexts.append(context)
            found.append([(*[0.0] * (len(tail) - 1), self.law(context, bytes(tail).decode().strip())) for tail in tails])
        return found

    def score(self, sequences: Sequence[Sequence[int]]) -> list[tuple[float, ...]]:
        raise ModelAccessError("not needed")

    def token_moments(self, sequences: Sequence[Sequence[int]]) -> list[tuple[tuple[float, float], ...]]:
        raise ModelAccessError("not needed")

    def next_tokens(self, prompts: Sequence[Sequence[int]]) -> list[Mapping[int, float]]:
        raise ModelAccessError("not needed")

    def write(self, prompts: Sequence[str], samples: int, decoding: Decoding) -> list[list[str]]:
        raise ModelAccessError("not needed")

    def write_tokens(self, prompts: Sequence[Sequence[int]], decoding: Decoding) -> list[tuple[int, ...]]:
        raise ModelAccessError("not needed")


def invent(count: int, origin: Origin, prefix: str, seed: int = 1) -> list[Person]:
    """People with different names and phones, without the room's own generator."""
    rng = random.Random(f"{prefix}/{seed}")
    exchanges = rng.sample(range(200, 990), count)
    return [
        Person(
            f"{prefix}-{i}",
            {"name": f"{prefix.title()} Nr{_word(i)}", "phone": f"212-{exchange}-01{rng.randrange(100):02}"},
            origin,
        )
        for i, exchange in enumerate(exchanges)
    ]


def _word(number: int) -> str:
    return "".join(chr(ord("a") + int(digit)) for digit in f"{number:03}")


def decoys(count: int = 59) -> list[Person]:
    return invent(count, Origin.DECOY, "decoy")


def known_to(people: Sequence[Person]) -> dict[str, str]:
    return {person.values["name"]: person.values["phone"] for person in people}


def plan_for(people: Sequence[Person], **changes: object) -> ProbePlan:
    """A plan with just as many nulls as it takes."""
    plan = ProbePlan(types=("phone",), templates=(TWIN, OTHER_TWIN), seed=7)
    tests = plan.tests(people)
    return replace(plan, **{"nulls": tests * 20 - 1, **changes})  # type: ignore[arg-type]
