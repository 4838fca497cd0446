"""Parameters of probes of people: the plan of what is measured, refused when the audit is asked for if it could show nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from audit.canonical import dump_document
from audit.errors import RequestError
from audit.params import Fields
from audit.privacy.crowd import Crowd
from privacy.invented.values import TYPES
from privacy.people import Origin, Person
from privacy.probes.model import Access, Decoding
from privacy.probes.plan import MAX_EXPONENT, MAX_NULLS, MAX_PEOPLE, MAX_SAMPLES, MAX_TYPES, ProbePlan
from privacy.statistics.planning import decoys_needed, nulls_needed
from privacy.templates import FORMAT as TEMPLATES
from privacy.templates import Template, read_templates

INVENTED = tuple(type_ for type_ in TYPES if type_ != "name")
"""Types that can be drawn, and so asked of decoys."""


def read_types(fields: Fields, crowd: Crowd) -> tuple[str, ...]:
    """The types that are probed: of what was consented to, or of what canaries are made of. Raises RequestError."""
    covered = tuple(dict.fromkeys(type_ for shape in crowd.shapes() for type_ in shape)) if crowd.consents else INVENTED
    types = fields.words("types", covered if crowd.consents else (), covered)
    if len(types) > MAX_TYPES:
        raise RequestError(f"params.types: at most {MAX_TYPES} types are probed at once")
    return types


def read_plan(fields: Fields, crowd: Crowd, types: tuple[str, ...], access: Access | None) -> ProbePlan:
    """The plan of a probe of these people, without a seed. Raises RequestError, PrivacyError."""
    alpha = fields.number("alpha", 0.05, 1e-6, 0.5)
    decoys = fields.integer("decoys", decoys_needed(alpha), 1, MAX_PEOPLE)
    rate = fields.take("decoy_rate")
    if rate is not None and (type(rate) not in (int, float) or not 0 < rate < 1):
        raise RequestError("params.decoy_rate must lie between 0 and 1: the rate of false accusations that decoys must rule out")
    plan = ProbePlan(
        types=types,
        templates=_read_templates(fields.take("templates")),
        alpha=alpha,
        decoys=decoys,
        decoy_rate=None if rate is None else float(rate),
        access=access,
        queries=tuple(sorted(fields.integers("queries", (1, 2, 3, 4, 6), 0, MAX_EXPONENT, MAX_EXPONENT))),
        samples=fields.integer("samples", 300, 1, MAX_SAMPLES),
        decoding=Decoding(
            max_new_tokens=fields.integer("max_new_tokens", 48, 1, 512), temperature=fields.number("temperature", 1.0, 0.0, 10.0)
        ),
    )
    people = _stand_ins(crowd, plan)
    plan = replace(plan, nulls=fields.integer("nulls", nulls_needed(plan.tests(people), alpha), 0, MAX_NULLS))
    plan.check(people)
    return plan


def _read_templates(value: Any) -> tuple[Template, ...] | None:
    """`templates`: the prompts to ask with, public like all parameters; None for the built-in ones. Raises RequestError."""
    if value is None:
        return None
    if not isinstance(value, list):
        raise RequestError('params.templates must be a list of {"id", "kind", "target", "text"}')
    return read_templates(dump_document({"format": TEMPLATES, "templates": value}))


def _stand_ins(crowd: Crowd, plan: ProbePlan) -> list[Person]:
    """People of the shape that a run will have, without their values, so that a plan is refused when the audit is asked for."""
    people = [Person(id_, dict.fromkeys(("name", *shape), id_)) for id_, shape in zip(crowd.ids(), crowd.shapes())]
    decoys = [
        Person(f"decoy-{n}", {"name": f"decoy {n}", **dict.fromkeys(plan.types, "decoy")}, Origin.DECOY)
        for n in range(1, plan.decoys + 1)
    ]
    return [*people, *decoys]
