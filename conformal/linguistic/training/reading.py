"""The reader that trains: the probabilities a paragraph states in numbers, taken at their word. Standard library only."""

from __future__ import annotations

import re

from conformal.linguistic.training.questions import normal_form

MAX_TEXT_CHARACTERS = 20_000
MAX_STATED = 64
# A text is cut where a statement begins, so that matching takes linear time; an answer may hold full stops ("St. Gallen").
_OPENING = re.compile(r"\b(?:answer is|could be|it is) ", re.IGNORECASE)
_STATED = re.compile(r"(.{1,200}?),? with (\d{1,3}(?:\.\d{1,3})?) ?(?:%|per ?cent) confidence", re.IGNORECASE)


def read_stated(text: str) -> dict[str, float]:
    """Answer (normal form) to stated probability. A percentage above 100 is not read.

    A text that contradicts itself states nothing: one answer at two probabilities, or a total above 105 % (5 points may be
    rounding). Reading such a text charitably teaches a policy to write it: other readers then find no answer in it.
    Only the first 20,000 characters and the first 64 answers are looked at.
    """
    found: dict[str, float] = {}
    for part in _OPENING.split(text[:MAX_TEXT_CHARACTERS])[1:]:
        match = _STATED.match(part)
        if match is None:
            continue
        form, probability = normal_form(match[1]), float(match[2]) / 100.0
        if not form or probability > 1.0 or (form not in found and len(found) == MAX_STATED):
            continue
        if found.setdefault(form, probability) != probability:
            return {}
    return found if sum(found.values()) <= 1.05 + 1e-9 else {}
