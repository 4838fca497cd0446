"""What the black-box probe finds in models with planted memories: shared by the guarantees and the benchmark.

Everyone in a plan is probed on one type of item, decoys with them; shares are told by how often a person stands in the text.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from audit.runners.planted import PlantedPlan, draw_planted, planted_folder
from audit.runners.probed_model import RunnerModel
from audit.runners.transformers_runner import TransformersRunner
from privacy.invented.people import draw_people
from privacy.people import Origin
from privacy.probes.black_box import Keep, run_black_box
from privacy.probes.plan import ProbePlan
from privacy.probes.results import ProbeResult
from privacy.redaction import Redactor
from privacy.statistics.binomial import clopper_pearson
from privacy.statistics.multiplicity import holm
from privacy.statistics.planning import nulls_needed
from privacy.statistics.validity import Word
from privacy.templates import builtin_templates
from watermark.figures import Line, Panel, render

MEASURED = PlantedPlan(seed=20260803, people=((1, 20), (4, 20), (16, 20), (64, 20)), heldout=200)
ALPHA, DECOYS, STOP_AFTER = 0.05, 59, 30
KEY = bytes(32)
"""All people are invented, so that the key of their commitments is no secret."""


@dataclass(frozen=True)
class Share:
    """Of `people` who stand in the text `repetitions` times: `found` by the verdict (false-discovery rate alpha over all people
    of the run), `sure` by Holm over all people (no false accusation at all with probability 1 - alpha), `apart` with a smaller p
    than anybody held out (no false accusation among these, as it came out)."""

    repetitions: int
    people: int
    found: int
    sure: int
    apart: int


def open_model(plan: PlantedPlan) -> RunnerModel:
    """The model of a plan on one thread, trained now if need be."""
    import torch

    torch.set_num_threads(1)
    return RunnerModel(TransformersRunner(planted_folder(plan), device="cpu"))


def probe_people(
    plan: PlantedPlan, type_: str, calibrated: bool = False, keep: Keep | None = None
) -> ProbeResult:  # fmt: skip
    """The black-box probe of everyone in a plan on one type of item, by two built-in templates that give the name alone, at the
    smallest number of nulls that the number of people allows. Ranks beyond STOP_AFTER are not drawn to the end."""
    drawn = draw_planted(plan)
    strangers = draw_people(random.Random(f"decoys/{plan.seed}"), DECOYS, plan.types, [p.values["name"] for p in drawn.tested])
    people = [replace(person, origin=Origin.CONSENTED) for person in drawn.tested] if calibrated else list(drawn.tested)
    twins = builtin_templates(type_, ())
    probe = ProbePlan(
        types=(type_,),
        nulls=nulls_needed(len(people), ALPHA),
        stop_after=STOP_AFTER,
        alpha=ALPHA,
        decoys=DECOYS,
        templates=(twins[0], twins[2]),
        groups=drawn.groups,
        seed=plan.seed,
    )
    commit = Redactor(KEY).commit
    reference = open_model(plan.reference()) if calibrated else None
    model = open_model(plan)
    return run_black_box(probe, [*people, *strangers], model, reference, release=commit, commit=commit, keep=keep)


def shares(result: ProbeResult) -> list[Share]:
    """By number of repetitions, those held out (0) first."""
    sure = holm([person.p_value for person in result.people]) <= result.plan.alpha
    counts = sorted({int(person.group or 0) for person in result.people})
    smallest = min(person.p_value for person in result.people if person.group == "0")
    rows = []
    for count in counts:
        own = [i for i, person in enumerate(result.people) if int(person.group or 0) == count]
        found = sum(result.people[i].verdict.word is Word.MEMORISED for i in own)
        apart = sum(result.people[i].p_value < smallest for i in own)
        rows.append(Share(count, len(own), found, sum(bool(sure[i]) for i in own), apart))
    return rows


def table(rows: Sequence[Share]) -> list[str]:
    lines = ["| times in the text | verdict | family-wise | p below all held out |", "|---|---|---|---|"]
    for row in rows:
        found, sure, apart = (f"{k} of {row.people} {_interval(k, row.people)}" for k in (row.found, row.sure, row.apart))
        lines.append(f"| {row.repetitions or '0 (held out)'} | {found} | {sure} | {apart} |")
    return lines


def _interval(k: int, n: int) -> str:
    low, high = clopper_pearson(k, n)
    return f"({low:.3f} - {high:.3f})"


@dataclass(frozen=True)
class Curve:
    """One measurement, as the figure shows it."""

    label: str
    rows: Sequence[Share]

    def line(self, member: str, colour: int) -> Line:
        """The share of people found (`found` or `sure`), with its intervals as a band; x is 1 + log4 of the repetitions."""
        counts = [(_place(row.repetitions), getattr(row, member), row.people) for row in self.rows]
        points = tuple((x, k / n) for x, k, n in counts)
        return Line(self.label, points, tuple((x, *clopper_pearson(k, n)) for x, k, n in counts), colour)


def _place(repetitions: int) -> float:
    return 1 + math.log(repetitions, 4) if repetitions else 0.0


def draw(curves: Sequence[Curve]) -> str:
    """Two panels of SVG: by the verdict, and at the family-wise level."""
    titles = {"found": f"By the verdict (false-discovery rate {ALPHA:g})", "sure": f"Family-wise, level {ALPHA:g}"}
    panels = [
        Panel(
            title, "1 + log4 of times in the text (0: held out)", "share of people found",
            tuple(curve.line(member, i) for i, curve in enumerate(curves)), x_range=(0.0, 5.0),
        )
        for member, title in titles.items()
    ]  # fmt: skip
    return render(panels, "People found in planted models", columns=2)
