"""Cutting a sentence into clauses that stand alone, where that is safe: rules on words, for English.

A cut is made only where both halves have a subject and a finite verb, the second subject is no pronoun, and nothing before
the cut governs what comes after it (a condition, a negation, "said that"). A cut not made costs a coarser claim; a wrong one
would put words into the answer's mouth.
"""

from __future__ import annotations

import re

from conformal.pipeline.splitters.sentences import Span, quoted_positions
from conformal.pipeline.splitters.vocabulary import AUXILIARIES, DETERMINERS, GOVERNS, NOT_SUBJECTS, PRONOUNS

_JOINT = re.compile(r";\s+|,\s+(?:and|but|while|whereas|yet)\s+")
_WORD = re.compile(r"[^\W_]+(?:[-'’.][^\W_]+)*")
MIN_WORDS = 3
VERB_WITHIN = 7


def find_clauses(text: str, sentence: Span) -> list[Span]:
    """The clauses of a sentence, or the sentence alone. Joints (", and ", "; ") belong to neither half."""
    hidden = quoted_positions(text, sentence)
    out, start = [], sentence[0]
    for match in _JOINT.finditer(text, sentence[0], sentence[1]):
        if match.start() in hidden or not _may_cut(text[start : match.start()], text[match.end() : sentence[1]], match.group()):
            continue
        out.append((start, match.start()))
        start = match.end()
    return [*out, (start, sentence[1])]


def is_anaphoric(clause: str) -> bool:
    """Whether a reader needs what came before: the clause begins with a pronoun, or has one and names nobody before it."""
    for place, match in enumerate(_WORD.finditer(clause)):
        word = match.group()
        if word.lower() in PRONOUNS and word != "US":
            return True
        if (place > 0 and word[:1].isupper()) or place > VERB_WITHIN:
            return False
        if place == 0 and word[:1].isupper() and word.lower() not in DETERMINERS | NOT_SUBJECTS | GOVERNS:
            return False
    return False


def _may_cut(left: str, right: str, joint: str) -> bool:
    words = [match.group().lower() for match in _WORD.finditer(left)]
    if len(words) < MIN_WORDS or not any(map(_looks_finite, words[1:])) or GOVERNS.intersection(words):
        return False
    following = [match.group() for match in _WORD.finditer(right[:200])]
    if len(following) < MIN_WORDS or not _is_subject(following[0], joint):
        return False
    return any(_looks_finite(word.lower()) for word in following[1:VERB_WITHIN]) and not _lists_on(right)


def _is_subject(word: str, joint: str) -> bool:
    if word.lower() in PRONOUNS | NOT_SUBJECTS:
        return False
    return word[:1].isupper() or word.lower() in DETERMINERS


def _looks_finite(word: str) -> bool:
    return word in AUXILIARIES or (len(word) > 4 and word.endswith("ed"))


def _lists_on(right: str) -> bool:
    """Whether the verb comes only after a relative clause begins: "and Marie, who was born ..." names, and claims nothing."""
    head = re.split(r"\b(?:who|which|whose|where|that)\b", right, maxsplit=1)[0]
    return len(head) < len(right) and not any(_looks_finite(match.group().lower()) for match in _WORD.finditer(head))
