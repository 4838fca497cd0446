"""The values that a black-box probe measures, each with its templates, and how they are scored with one boundary for all."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from privacy.boundary import Boundary, split_at_boundary
from privacy.errors import BoundaryError, PlanError
from privacy.invented.values import draw_values
from privacy.people import Person
from privacy.probes.model import ProbedModel
from privacy.probes.plan import MAX_TEMPLATES, ProbePlan
from privacy.templates import Template, builtin_templates

TERMINATOR = "\n"


@dataclass(frozen=True)
class Target:
    """One value of one person, its commitment, and the templates that ask for it."""

    person: Person
    type: str
    commitment: str
    templates: tuple[Template, ...] = field(repr=False)

    @property
    def value(self) -> str:
        return self.person.values[self.type]

    def contexts(self) -> list[str]:
        """The rendered templates: what stands before the value. They hold the person's other values."""
        return [template.render(self.person) for template in self.templates]


@dataclass(frozen=True)
class Candidates:
    """The value at `at` among its nulls, in an order drawn by lot, so that no place in a batch tells it apart."""

    at: int
    values: tuple[str, ...] = field(repr=False)


def templates_of(plan: ProbePlan, person: Person, type_: str) -> tuple[Template, ...]:
    """The templates for one value: the plan's for its type, or the built-in ones for what else is known. Raises PlanError."""
    if plan.templates is None:
        found = tuple(builtin_templates(type_, [other for other in plan.items(person) if other != type_]))
    else:
        known = set(plan.items(person))
        found = tuple(one for one in plan.templates if one.target == type_ and known.issuperset(one.items))
    if not 1 <= len(found) <= MAX_TEMPLATES:
        raise PlanError(f"{len(found)} templates ask for the type {type_} of what is known; 1 to {MAX_TEMPLATES} are needed")
    return found


def draw_candidates(plan: ProbePlan, target: Target) -> Candidates:
    """The value and `plan.nulls` generated ones of its format; they depend on the plan's seed, the person's id and the type."""
    rng = random.Random(f"{plan.seed}/{target.person.id}/{target.type}")
    values = draw_values(target.type, target.value, plan.nulls, rng, plan.region)
    if len(values) != plan.nulls:
        raise PlanError(f"{len(values)} nulls of the type {target.type} were drawn where {plan.nulls} are needed")
    at = rng.randrange(plan.nulls + 1)
    return Candidates(at, (*values[:at], target.value, *values[at:]))


Split = tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]
"""A prompt, and what follows it for every candidate: token ids."""


def split_all(model: ProbedModel, target: Target, candidates: Candidates) -> Iterator[Split]:
    """For every template, prompt and candidates as this model's tokens, with one boundary. Raises BoundaryError."""
    for template, context in zip(target.templates, target.contexts()):
        boundary = _split(model, context, candidates, template.separator)
        yield tuple(boundary.prompt), tuple(tuple(row) for row in boundary.candidates)


def _split(model: ProbedModel, context: str, candidates: Candidates, separator: str) -> Boundary:
    """Where one candidate begins another, all are scored with a line break after them."""
    try:
        return _split_with(model, context, candidates, separator, "")
    except BoundaryError:
        return _split_with(model, context, candidates, separator, TERMINATOR)


def _split_with(model: ProbedModel, context: str, candidates: Candidates, separator: str, terminator: str) -> Boundary:
    """A model that has `tokenize_all` (an endpoint, which is asked for each text) reads all texts at once."""
    together: Callable[[Sequence[str]], Sequence[tuple[int, ...]]] | None = getattr(model, "tokenize_all", None)
    if together is None:
        return split_at_boundary(model.tokenize, context, candidates.values, separator, terminator)
    texts = [context, *(context + separator + value + terminator for value in candidates.values)]
    known = dict(zip(texts, together(texts), strict=True))
    return split_at_boundary(known.__getitem__, context, candidates.values, separator, terminator)


def in_groups(targets: Sequence[Target], plan: ProbePlan, rows: int) -> Iterator[list[Target]]:
    """Targets whose candidates are scored together: at most `rows` of them, or one target alone."""
    group: list[Target] = []
    size = 0
    for target in targets:
        own = len(target.templates) * (plan.nulls + 1)
        if group and size + own > rows:
            yield group
            group, size = [], 0
        group.append(target)
        size += own
    if group:
        yield group
