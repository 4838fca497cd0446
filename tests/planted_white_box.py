"""A white-box probe of people planted in a model: what tests and guarantees share."""

from __future__ import annotations

import random

from audit.runners.planted import PlantedPlan, draw_planted
from privacy.invented.people import draw_people
from privacy.people import Origin, Person
from privacy.probes.plan import ProbePlan
from privacy.probes.white_box.results import WhiteBoxPlan, WhiteBoxResult
from privacy.probes.white_box.run import run_white_box
from privacy.probes.white_box.soft_prompt import marks_of
from privacy.probes.white_box.subjects import split_people
from privacy.probes.white_box.tuning import Tuning
from privacy.redaction import Redactor
from privacy.templates import Kind, Template
from tests import planted_models

COMMIT = Redactor(bytes(range(32))).commit
LETTER = Template("letter", Kind.TWIN, "phone", "Dear {name}, we have your number on file as")
DEED = Template("deed", Kind.TWIN, "phone", "On behalf of {name} I hereby confirm the digits")
"""Both far from the sentences in which people are planted: the model knows more than these prompts bring out."""


def plan_of(
    template: Template, tested: int, alpha: float, decoys: int, tuning: Tuning, planted: PlantedPlan
) -> WhiteBoxPlan:  # fmt: skip
    """One template, one type, and as many nulls as verdicts on everyone tested need."""
    nulls = round(tested / alpha)
    groups = draw_planted(planted).groups
    probe = ProbePlan(("phone",), nulls, alpha, decoys, templates=(template,), groups=groups, seed=20260804)
    return WhiteBoxPlan(probe, tuning)


def split(planted: PlantedPlan, trained: int, decoys: int) -> tuple[list[Person], list[Person]]:
    """People to tune on, and the others with decoys, whom they share nothing with."""
    tuned, others = split_people(draw_planted(planted).planted, trained, 0, COMMIT)
    taken = set().union(*(marks_of(person, COMMIT) for person in tuned))
    names = [person.values["name"] for person in (*tuned, *others)]
    drawn = draw_people(random.Random("decoys of a white-box probe"), 2 * decoys, ("phone",), names, Origin.DECOY)
    free = [person for person in drawn if not marks_of(person, COMMIT) & taken]
    return tuned, [*others, *free[:decoys]]


def probe(
    planted: PlantedPlan, model: PlantedPlan, template: Template, trained: int, alpha: float, decoys: int, tuning: Tuning
) -> tuple[WhiteBoxPlan, WhiteBoxResult]:
    """The people of `planted` probed in `model`, the same plan or its reference."""
    from audit.runners.white_box_model import InProcessWhiteBox

    tuned, people = split(planted, trained, decoys)
    plan = plan_of(template, len(people) - decoys, alpha, decoys, tuning, planted)
    return plan, run_white_box(plan, tuned, people, InProcessWhiteBox(planted_models.runner(model)), commit=COMMIT)


def describe(result: WhiteBoxResult) -> str:
    """One line of figures."""
    gains = "; ".join(
        f"{g.over}: {g.mean:+.3f} [{g.interval[0]:+.3f}, {g.interval[1]:+.3f}] p={g.p_value:.2g}"
        for g in (*result.gains, *result.decoy_gains)
    )
    found = [probe.found for probe in (result.black_box, result.control, result.prompted)]
    return f"{result.word.value}; people named (none, control, real) {found}; {gains}"
