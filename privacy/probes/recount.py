"""Reading a published result again: everything that follows from ranks and counts is rebuilt, and must be what was said."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from privacy.errors import PlanError, ScoreError
from privacy.people import Origin
from privacy.probes.coarse_ranks import told
from privacy.probes.doubts import Doubt
from privacy.probes.evidence import check_samples, read_evidence
from privacy.probes.model import Access, ModelFacts
from privacy.probes.plan import MAX_PEOPLE, MAX_TEMPLATES, MAX_TYPES, ProbePlan
from privacy.probes.results import MeasuredItem, MeasuredPerson, ProbeResult, judge
from privacy.statistics.planning import check_nulls, decoys_needed

_HEX64 = re.compile(r"[0-9a-f]{64}")
_LENGTHS = re.compile(r"\d{1,3}-\d{1,3}|over \d{1,3}")
MAX_TEXT = 200


def recount(content: Mapping[str, Any], plan: ProbePlan) -> ProbeResult:
    """The result that a published one stands for. `plan`: what the run was asked to do (its seed does not matter).

    The caller still checks that the people are those of the request, by their commitments.
    Raises ScoreError where a number does not follow from the ranks or counts, where one of these is impossible (a rank outside
    1..N + 1, fewer decoys or nulls than planned), or where the form is another.
    """
    if not isinstance(content, Mapping) or not _same(content.get("plan"), plan.to_json()):
        raise ScoreError("the result is that of another plan than the one that was asked for")
    access = _access(content.get("access"), plan)
    model = read_facts(content.get("model"), "model")
    reference = None if content.get("reference") is None else read_facts(content["reference"], "reference")
    if not model.access.covers(access):
        raise ScoreError(f"the model of the result gives {model.access.value} access; nothing can be measured at {access.value}")
    decoys = _people(content.get("decoys"), plan, access, decoys=True)
    subjects = _people(content.get("people"), plan, access, decoys=False)
    _check_whole(plan, access, subjects, decoys)
    result = judge(access, model, reference, plan, [*subjects, *decoys])
    place = _difference(content, result.to_json())
    if place is not None:
        raise ScoreError(f"{place} does not follow from the ranks or counts of the result")
    return result


def _access(value: Any, plan: ProbePlan) -> Access:
    if value not in (Access.TEXT.value, Access.TOP_K.value, Access.FULL.value):
        raise ScoreError("a result was measured at the tier text, top-k or full")
    if plan.access is not None and plan.access.value != value:
        raise ScoreError(f"the plan asks for the tier {plan.access.value}; the result was measured at another")
    return Access(value)


def read_facts(value: Any, what: str) -> ModelFacts:
    """What a published result says of a model. Raises ScoreError."""
    names = set(ModelFacts.__dataclass_fields__)
    if not isinstance(value, Mapping) or set(value) != names:
        raise ScoreError(f"{what} of the result needs {', '.join(sorted(names))}")
    digest, vocabulary = value["digest"], value["vocab_size"]
    fits = (
        isinstance(value["name"], str) and len(value["name"]) <= MAX_TEXT
        and (digest is None or (isinstance(digest, str) and _HEX64.fullmatch(digest) is not None))
        and value["access"] in list(Access)
        and type(value["top_k"]) is int and value["top_k"] >= 0 and type(value["deterministic"]) is bool
        and (vocabulary is None or (type(vocabulary) is int and vocabulary > 0))
    )  # fmt: skip
    if not fits:
        raise ScoreError(f"{what} of the result is no description of a model")
    return ModelFacts(**{**value, "access": Access(value["access"])})


def _people(rows: Any, plan: ProbePlan, access: Access, decoys: bool) -> list[MeasuredPerson]:
    what = "decoys" if decoys else "people"
    if not isinstance(rows, Sequence) or isinstance(rows, str | bytes) or not 1 <= len(rows) <= MAX_PEOPLE:
        raise ScoreError(f"{what} of the result are 1 to {MAX_PEOPLE} rows")
    found = [_person(row, plan, access, f"{what} row {place}") for place, row in enumerate(rows, 1)]
    for place, person in enumerate(found, 1):
        if (person.origin is Origin.DECOY) is not decoys:
            raise ScoreError(f"{what} row {place} of the result has an origin that does not belong there")
        if decoys and person.group is not None:
            raise ScoreError(f"{what} row {place} of the result has a group; decoys have none")
    return found


def _person(row: Any, plan: ProbePlan, access: Access, where: str) -> MeasuredPerson:
    if not isinstance(row, Mapping) or not {"id", "origin", "group", "items"} <= set(row):
        raise ScoreError(f"{where} of the result needs id, origin, group and items")
    group = row["group"]
    if not all(isinstance(text, str) and 0 < len(text) <= MAX_TEXT for text in (row["id"], "x" if group is None else group)):
        raise ScoreError(f"{where} of the result has an id or a group that is no text of at most {MAX_TEXT} characters")
    if row["origin"] not in list(Origin):
        raise ScoreError(f"{where} of the result has an unknown origin")
    items = row["items"]
    if not isinstance(items, Sequence) or isinstance(items, str | bytes) or not 1 <= len(items) <= MAX_TYPES:
        raise ScoreError(f"{where} of the result needs 1 to {MAX_TYPES} items")
    measured = tuple(_item(item, plan, access, where) for item in items)
    if len({item.type for item in measured}) != len(measured):
        raise ScoreError(f"{where} of the result has a type twice")
    return MeasuredPerson(row["id"], Origin(row["origin"]), group, measured)


def _item(item: Any, plan: ProbePlan, access: Access, where: str) -> MeasuredItem:
    if not isinstance(item, Mapping) or not {"type", "commitment", "length_class", "templates", "measured", "doubt"} <= set(item):
        raise ScoreError(f"an item of {where} lacks type, commitment, length_class, templates, doubt or what was measured")
    type_, commitment, length, templates = (item[name] for name in ("type", "commitment", "length_class", "templates"))
    if type_ not in plan.types:
        raise ScoreError(f"an item of {where} has a type that the plan does not probe")
    if not isinstance(commitment, str) or not _HEX64.fullmatch(commitment):
        raise ScoreError(f"an item of {where} has no commitment of 64 hexadecimal digits")
    if not isinstance(length, str) or not _LENGTHS.fullmatch(length):
        raise ScoreError(f"an item of {where} has no class of its length")
    if type(templates) is not int or not 1 <= templates <= MAX_TEMPLATES:
        raise ScoreError(f"an item of {where} was asked with 1 to {MAX_TEMPLATES} templates")
    evidence = read_evidence(access, item["measured"])
    evidence.check(plan)
    doubt = item["doubt"]
    if doubt is not None and doubt not in list(Doubt):
        raise ScoreError(f"an item of {where} is in no doubt that there is")
    return MeasuredItem(type_, commitment, length, templates, evidence, None if doubt is None else Doubt(doubt))


def _check_whole(plan: ProbePlan, access: Access, subjects: Sequence[MeasuredPerson], decoys: Sequence[MeasuredPerson]) -> None:
    ids = [person.id for person in (*subjects, *decoys)]
    if len(set(ids)) != len(ids):
        raise ScoreError("a person stands twice in the result")
    if any(told(i.evidence, plan) != i.evidence for one in subjects if one.origin is Origin.CONSENTED for i in one.items):
        raise ScoreError("a rank of a consented value is told more finely than may be: it would tell the value")
    tests = len(subjects) * max(len(person.items) for person in subjects)
    for person in (*subjects, *decoys):
        for item, p in zip(person.items, person.p_values(plan, tests)):
            if item.doubt is not None and (person.origin is not Origin.CONSENTED or p > plan.alpha):
                raise ScoreError("a value is in doubt that is not a consented one with a small p")
    if len(decoys) != plan.decoys or len(decoys) < decoys_needed(plan.alpha):
        raise ScoreError(f"the result has {len(decoys)} decoys where {plan.decoys} were planned")
    tested = {item.type for person in subjects for item in person.items}
    if any(not tested <= {item.type for item in decoy.items} for decoy in decoys):
        raise ScoreError("a decoy was not asked for everything that people were asked for")
    try:
        if access is Access.TEXT:
            check_samples(plan, tests, plan.decoys)
        else:
            check_nulls(plan.nulls, tests, plan.alpha)
    except PlanError as error:
        raise ScoreError(str(error)) from None


def _difference(said: Any, follows: Any, place: str = "") -> str | None:
    """Where two JSON values differ, but for the last bits of a float; None where they do not."""
    if isinstance(follows, dict):
        if not isinstance(said, Mapping) or set(said) != set(follows):
            return place or "the set of members"
        steps = ((said[name], value, f"{place}.{name}".lstrip(".")) for name, value in follows.items())
    elif isinstance(follows, list):
        if not isinstance(said, Sequence) or isinstance(said, str | bytes) or len(said) != len(follows):
            return place
        steps = ((one, other, f"{place}[{i}]") for i, (one, other) in enumerate(zip(said, follows)))
    else:
        return None if _same_leaf(said, follows) else place
    return next((found for step in steps if (found := _difference(*step)) is not None), None)


def _same(said: Any, follows: Any) -> bool:
    return _difference(said, follows, "plan") is None


def _same_leaf(said: Any, follows: Any) -> bool:
    if isinstance(follows, float) and type(said) in (int, float):
        return math.isclose(said, follows, rel_tol=1e-9, abs_tol=1e-300)
    if isinstance(follows, str):
        return isinstance(said, str) and said == follows
    return type(said) is type(follows) and bool(said == follows)
