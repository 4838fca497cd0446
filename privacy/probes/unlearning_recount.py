"""Reading a published unlearning result again: what is said must follow from the differences that it states."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from privacy.errors import ScoreError
from privacy.probes.published import is_same
from privacy.probes.unlearning_plan import UnlearningPlan
from privacy.probes.unlearning_results import (
    CONTROL,
    FORGET,
    ORIGINAL,
    REFERENCE,
    RELEARNED,
    RETAIN,
    REWORDED,
    UNLEARNED,
    UnlearningResult,
    judge,
    margins_of,
)
from privacy.statistics.binomial import MAX_TRIALS
from privacy.statistics.equivalence import MIN_ENTITIES
from privacy.unlearning.comparison import BINS, DIGITS, Differences
from privacy.unlearning.metrics import BOUNDED

_MEMBERS = {"plan", "models", "sections", "verdict", "utility", "reasons"}
_PLACE = re.compile(r"0|-?[1-9][0-9]{0,2}")
MAX_DIFFERENCE = 10_000
_ROUNDING = 1e-5 + 10.0**-DIGITS


def recount(content: Any) -> UnlearningResult:
    """The result that a published one stands for. Raises ScoreError where anything does not follow from the differences, where
    these are impossible, or where a section is missing that the plan asks for; PlanError for a plan that would not be run."""
    if not isinstance(content, Mapping) or set(content) != _MEMBERS:
        raise ScoreError(f"an unlearning result has the members {', '.join(sorted(_MEMBERS))}")
    plan, models, sections = UnlearningPlan.from_json(content["plan"]), content["models"], content["sections"]
    if not isinstance(models, dict) or not {UNLEARNED, REFERENCE} <= set(models) <= {UNLEARNED, REFERENCE, ORIGINAL}:
        raise ScoreError("the models of an unlearning result are the unlearned one, the reference, and perhaps the original")
    needed = {FORGET}
    needed |= {REWORDED} if plan.rewordings else set()
    needed |= {RELEARNED} if plan.relearning is not None else set()
    needed |= {CONTROL} if ORIGINAL in models else set()
    if not isinstance(sections, dict) or not needed <= set(sections) <= needed | {RETAIN}:
        raise ScoreError("an unlearning result has the sections that its plan asks for, no others")
    result = judge(plan, models, {name: _read_section(plan, name, rows) for name, rows in sections.items()})
    if not is_same(result.to_json(), dict(content)):
        raise ScoreError("what the unlearning result says does not follow from its differences")
    return result


def _read_section(plan: UnlearningPlan, section: str, rows: Any) -> dict[str, Differences]:
    wanted = list(margins_of(plan, section))
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ScoreError(f"{section}: a section is a list of comparisons")
    if sorted(str(row.get("metric")) for row in rows) != sorted(wanted):
        raise ScoreError(f"{section}: a section compares every metric of the plan once")
    found = {row["metric"]: _read_differences(f"{section}, {row['metric']}", row) for row in rows}
    if len({one.n for one in found.values()}) != 1:
        raise ScoreError(f"{section}: every metric is compared on the same entities")
    return found


def _read_differences(name: str, row: Mapping[str, Any]) -> Differences:
    n, bins = row.get("n"), row.get("bins")
    if type(n) is not int or not 1 <= n <= MAX_TRIALS:
        raise ScoreError(f"{name}: the number of entities lies between 1 and {MAX_TRIALS}")
    if n < MIN_ENTITIES:
        if any(row.get(member) is not None for member in ("mean", "deviation", "bins")):
            raise ScoreError(f"{name}: of fewer than {MIN_ENTITIES} entities nothing but the number is told")
        return Differences(n, 0.0, 0.0, None)
    mean, deviation = (_read_number(name, row.get(member)) for member in ("mean", "deviation"))
    if deviation < 0:
        raise ScoreError(f"{name}: the deviation of the differences is at least 0")
    if row["metric"] not in BOUNDED:
        if bins is not None:
            raise ScoreError(f"{name}: a metric without bounds has no bins")
        return Differences(n, mean, deviation, None)
    if not isinstance(bins, dict) or not all(_PLACE.fullmatch(str(k)) and -BINS <= int(k) <= BINS for k in bins):
        raise ScoreError(f"{name}: the bins are places from -{BINS} to {BINS}")
    if not all(type(count) is int and count > 0 for count in bins.values()) or sum(bins.values()) != n:
        raise ScoreError(f"{name}: the bins hold as many differences as there are entities")
    found = Differences(n, mean, deviation, {int(k): count for k, count in bins.items()})
    _check_moments(name, found)
    return found


def _read_number(name: str, value: Any) -> float:
    if type(value) not in (int, float) or not abs(value) <= MAX_DIFFERENCE:
        raise ScoreError(f"{name}: mean and deviation of the differences are numbers up to {MAX_DIFFERENCE}")
    return float(value)


def _check_moments(name: str, found: Differences) -> None:
    """Mean and deviation lie where the bins allow: within their edges, and within half a bin of the deviation of the middles."""
    if not found.lower.mean() - _ROUNDING <= found.mean <= found.upper.mean() + _ROUNDING:
        raise ScoreError(f"{name}: the mean of the differences does not fit their bins")
    middles = (found.lower + found.upper) / 2
    reach = 0.5 / BINS * math.sqrt(found.n / (found.n - 1)) + _ROUNDING
    if abs(float(np.std(middles, ddof=1)) - found.deviation) > reach:
        raise ScoreError(f"{name}: the deviation of the differences does not fit their bins")
