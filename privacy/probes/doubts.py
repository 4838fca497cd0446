"""Why a value of a real person may rank first although the model remembers nothing: looked at before anybody is accused.

Nulls are invented, a consented value is not, so that exchangeability with them is an assumption. Two ways in which it fails are
looked for in every value that would be accused, and leave an association only: the value follows from the prompt (an e-mail
address made of the name, a relative of the same surname), or it is as likely with other names (a common street, a value shorter
than its nulls, a reference model that knows less of the world). Canaries need none of this: they were drawn like their nulls.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from enum import StrEnum

import numpy as np

from privacy.errors import BoundaryError, PrivacyError
from privacy.invented.values import draw_values, invent_value
from privacy.matching.folding import bare, fold
from privacy.people import Person
from privacy.probes.model import Access, ProbedModel
from privacy.probes.plan import ProbePlan
from privacy.probes.scoring import SPREADS, ask
from privacy.probes.targets import Candidates, Split, Target, split_all
from privacy.probes.top_k import ListedTokens, after_shared
from privacy.statistics.planning import nulls_needed
from privacy.statistics.ranking import rank_p_value
from privacy.statistics.scores import Floats, calibrate, join_templates

MAX_NAMES = {Access.FULL: 999, Access.TOP_K: 199}
"""Other names that a value is asked with, at most: each costs as much as a null, and nothing of a prompt is shared."""
ASKED_AT_ONCE = 64
COMPARED = 32
"""Generated values that tell which parts of a value all values of its format have."""
_LETTERS, _DIGITS = 4, 4
_BEGINNING = 3
_PLACEHOLDER = re.compile(r"\{[^{}]*\}")
_BETWEEN_DIGITS = re.compile(r"(?<=[0-9])[ ()./-]+(?=[0-9])")


class Doubt(StrEnum):
    """Why a rank accuses nobody."""

    FOLLOWS = "follows from the prompt"
    ANY_NAME = "as likely with other names"


def find_doubt(
    plan: ProbePlan, target: Target, tests: int, access: Access, model: ProbedModel, reference: ProbedModel | None
) -> Doubt | None:
    """The first that applies, where there are so many tests. The text tier compares with other names by its controls.

    Raises what scoring raises.
    """
    if follows_from_prompt(plan, target):
        return Doubt.FOLLOWS
    if access is Access.TEXT:
        return None
    return Doubt.ANY_NAME if fits_any_name(plan, target, tests, access, model, reference) else None


# ---------------------------------------------------------------- what the prompt says


def follows_from_prompt(plan: ProbePlan, target: Target) -> bool:
    """Whether the value shares words, initials or digits with its prompts that most generated values of its format lack."""
    said = [target.person.values[type_] for type_ in _said(target)]
    if plan.templates is not None:  # wordings of a user may hint at the value; the built-in ones do not
        said += [_PLACEHOLDER.sub(" ", template.text) for template in target.templates]
    found = _shared(target.value, said, target.person.values["name"])
    if not found:
        return False
    rng = random.Random(f"{plan.seed}/doubts/{target.person.id}/{target.type}")
    try:
        others = draw_values(target.type, target.value, COMPARED, rng, plan.region)
    except PrivacyError:
        return True  # no other values to compare with
    usual = [_shared(other, said, target.person.values["name"]) for other in others]
    return any(2 * sum(piece in own for own in usual) < len(usual) for piece in found)


def _said(target: Target) -> list[str]:
    """Types that the prompts name."""
    return list(dict.fromkeys(("name", *(type_ for template in target.templates for type_ in template.items))))


def _shared(value: str, said: Sequence[str], name: str) -> frozenset[str]:
    """Pieces of what is said that the value holds: beginnings of words, stretches of words, short words, digits, initials."""
    words, digits = _runs(value)
    found: set[str] = set()
    for text in said:
        theirs, numbers = _runs(text)
        for word in theirs:
            pieces = [word[:_BEGINNING], *(word[i : i + _LETTERS] for i in range(len(word) - _LETTERS + 1))]
            found |= {p for p in pieces if len(p) >= _BEGINNING and any(p in own for own in words)}
            found |= {word} & set(words)
        for number in numbers:
            pieces = [number[i : i + _DIGITS] for i in range(len(number) - _DIGITS + 1)]
            found |= {p for p in pieces if any(p in own for own in digits)}
    initials = "".join(word[0] for word in _runs(name)[0])
    return frozenset(found | {f"initials {own}" for own in words if len(own) <= len(initials) and _is_within(own, initials)})


def _runs(text: str) -> tuple[list[str], list[str]]:
    """Runs of letters, and of digits whatever stands between these."""
    folded = bare(fold(text).text)
    return re.findall(r"[^\W\d_]+", folded), re.findall(r"[0-9]+", _BETWEEN_DIGITS.sub("", folded))


def _is_within(letters: str, initials: str) -> bool:
    """Whether the letters are among the initials, in either order."""
    return any(letters == order[i : i + len(letters)] for order in (initials, initials[::-1]) for i in range(len(order)))


# ---------------------------------------------------------------- other names


def fits_any_name(
    plan: ProbePlan, target: Target, tests: int, access: Access, model: ProbedModel, reference: ProbedModel | None
) -> bool:
    """Whether the value scores no higher with its own name and items than with invented ones: it must rank first among as many as
    an accusation needs nulls (at most MAX_NAMES). A string keeps its length and its words here, whatever these are among values
    of its format: where the model knows nobody, an accusation stays as rare as it should be even if these favour it."""
    names = min(MAX_NAMES[access], nulls_needed(tests, plan.alpha))
    try:
        lows, highs = _bounds(plan, [target, *_other_people(plan, target, names)], access, model, reference)
    except BoundaryError:
        return True  # the tokenizer joins other names with the value: nothing can be compared
    if not np.isfinite(highs).all() or np.isneginf(lows[:, 0]).all():
        return True
    slack = plan.tolerance
    if access is Access.FULL and plan.standardise:
        observed, rest = join_templates(lows[:, 0], highs[:, 1:], True, SPREADS * plan.tolerance)
        slack = max(1 / SPREADS, plan.tolerance) if plan.tolerance else 0.0
    else:
        observed, rest = float(lows[:, 0].max()), highs[:, 1:].max(axis=0)
    return rank_p_value(observed - slack, rest) > 1.5 / (names + 1)


def _other_people(plan: ProbePlan, target: Target, count: int) -> Iterator[Target]:
    """The same value asked of invented people, with items of the same formats."""
    rng = random.Random(f"{plan.seed}/names/{target.person.id}/{target.type}")
    own = target.person.values
    columns = {type_: _others(type_, own[type_], count, rng, plan.region) for type_ in _said(target)}
    for place in range(count):
        values = {**own, **{type_: column[place] for type_, column in columns.items()}}
        yield replace(target, person=Person(target.person.id, values, target.person.origin))


def _others(type_: str, like: str, count: int, rng: random.Random, region: str | None) -> list[str]:
    try:
        return draw_values(type_, like, count, rng, region)
    except PrivacyError:  # no such format, or too few values of it
        return [invent_value(type_, rng) for _ in range(count)] if type_ == "name" else [like] * count


def _bounds(
    plan: ProbePlan, targets: Sequence[Target], access: Access, model: ProbedModel, reference: ProbedModel | None
) -> tuple[Floats, Floats]:
    """The score of the value after each template, for each of these people: from, and to (templates x people)."""
    (first, *_) = targets
    others = _others(first.type, first.value, COMPARED, random.Random(f"{plan.seed}/shared"), plan.region)
    candidates = Candidates(0, (first.value, *(other for other in others if other != first.value)))
    splits = _split(model, targets, candidates, access)
    shape = (len(targets), len(first.templates))
    lengths = np.array([float(len(tails[0])) for _, tails in splits]).reshape(shape).T
    if access is Access.TOP_K:
        tokens = ListedTokens(model)
        found = np.array([tokens.bound_all(prompt, tails[0]) for prompt, tails in splits])
        lows, highs = (found[:, side].reshape(shape).T for side in (0, 1))
    else:
        lows = highs = _scores(model, splits).reshape(shape).T
    if reference is None:
        return lows, highs
    theirs = _scores(reference, _split(reference, targets, candidates, access)).reshape(shape).T
    if access is Access.FULL:
        return (calibrate(lows, theirs, lengths),) * 2
    return (lows - theirs) / lengths, (highs - theirs) / lengths


def _split(model: ProbedModel, targets: Sequence[Target], candidates: Candidates, access: Access) -> list[Split]:
    """People one after the other, each with all templates."""
    return [_alone(split, access) for one in targets for split in split_all(model, one, candidates)]


def _scores(model: ProbedModel, splits: Sequence[Split]) -> Floats:
    parts = [ask(model, splits[i : i + ASKED_AT_ONCE]) for i in range(0, len(splits), ASKED_AT_ONCE)]
    return np.array([row[0] for part in parts for row in part])


def _alone(split: Split, access: Access) -> Split:
    """The value alone; where few tokens are listed, without the tokens that all values of its format begin with."""
    prompt, tails = after_shared(split) if access is Access.TOP_K else split
    return prompt, tails[:1]
