"""A reader without a model: finds the answer options in the text and takes the confidence stated in their clause.

Conventions, all counted in `notes`:

* an option is mentioned where its words stand as whole words, letter case and blanks aside; a mention inside a longer option's
  mention is the longer option's;
* a mention in a clause that states p gets p, one that is denied there ("not Paris") gets 1 - p; a bare number right behind a
  mention ("Paris (70 %)", "Paris: 70 %") is about it;
* a clause that mentions an option and states nothing is a plain assertion. It counts only in a text that states no confidence
  for any option, and gets `plain` (1 as published in arXiv 2404.00474; None makes it a non-answer), its denial 1 - plain;
* a clause right behind the only asserted option that says nothing but a confidence ("Rome. I am 80 % sure.", "Confidence: 80 %")
  is about it; any other confidence beside plain assertions leaves open what it is about: no answer;
* one clause with one confidence for several options, or different confidences for one option, is no answer: nothing is guessed;
* options that get nothing share what is left of 1 equally. Sums up to 5 points above 1 are rounding and are rescaled, larger ones
  are no answer; where every option has a value, a sum below 1 is rescaled: the answer is one of the options.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from conformal.linguistic.confidence import MAX_TEXT_CHARACTERS, Clause, read_clauses
from conformal.linguistic.phrases import table_digest
from conformal.linguistic.readers.protocol import Case, ReaderError, Reading

ROUNDING = 0.05
_DENIAL_WINDOW = 80
_POINTING = frozenset(
    ("i", "am", "i'm", "we", "are", "my", "our", "confidence", "probability", "certainty", "likelihood", "in", "of", "about",
     "this", "that", "it", "it's", "the", "answer", "is", "with", "a")
)  # fmt: skip
_DENIED = re.compile(
    r"(?:(?<!\w)(?:not|never|neither|nor|isn|wasn|rather\s+than|instead\s+of)(?:['’]t)?)\s+(?:[\w'’]+\s+){0,3}$", re.I
)
_BARE_BEHIND = re.compile(r"\s*(?:[:=–—-]|[(\[]\s*)?\s*(?:about|around|~|≈)?\s*\Z", re.I)


@dataclass(frozen=True)
class _Mention:
    option: int
    start: int
    end: int


class ExtractiveReader:
    """Deterministic, offline. `plain` in [0, 1] or None. Raises ReaderError for another `plain`."""

    def __init__(self, plain: float | None = 1.0) -> None:
        if plain is not None and not 0.0 <= plain <= 1.0:
            raise ReaderError(f"a plain assertion gets a probability in [0, 1], or none, not {plain}")
        self._plain = plain

    @property
    def name(self) -> str:
        return "extractive/1" if self._plain == 1.0 else f"extractive/1,plain={self._plain}"

    def describe(self) -> Mapping[str, Any]:
        return {"name": self.name, "plain": self._plain, "phrase_table": table_digest()}

    def read(self, cases: Sequence[Case]) -> list[Reading]:
        known: dict[str, tuple[Clause, ...]] = {}
        readings = []
        for case in cases:
            text = unicodedata.normalize("NFC", case.text)
            if len(text) > MAX_TEXT_CHARACTERS:
                readings.append(Reading(None, "text too long"))
                continue
            if text not in known:
                known = {text: read_clauses(text)}
            readings.append(self._answer(text, known[text], case.options))
        return readings

    def _answer(self, text: str, clauses: Sequence[Clause], options: Sequence[str]) -> Reading:
        mentions = find_mentions(text, options)
        if not mentions:
            return Reading(None, "no option mentioned")
        stated: dict[int, set[float]] = {}
        plain: list[tuple[Clause, list[_Mention]]] = []
        notes: set[str] = set()
        places = [m.start for m in mentions]
        for clause in clauses:
            inside = mentions[bisect_left(places, clause.start) : bisect_left(places, clause.end)]
            if not inside:
                continue
            if not clause.stated:
                plain.append((clause, inside))
                continue
            reason = self._clause(text, clause, inside, clause.probability, stated, notes)
            if reason:
                return Reading(None, reason, tuple(sorted(notes)))
        if plain and not stated:
            reason = self._assertions(text, clauses, plain, stated, notes)
            if reason:
                return Reading(None, reason, tuple(sorted(notes)))
        if any(len(values) > 1 for values in stated.values()):
            return Reading(None, "several confidences for one option", tuple(sorted(notes)))
        return _distribution({option: values.pop() for option, values in stated.items()}, len(options), notes)

    def _assertions(
        self,
        text: str,
        clauses: Sequence[Clause],
        plain: list[tuple[Clause, list[_Mention]]],
        stated: dict[int, set[float]],
        notes: set[str],
    ) -> str:
        """Adds what plain assertions say, in a text that states nothing in their clauses; gives a reason where it is open."""
        value = self._plain
        elsewhere = [clause for clause in clauses if clause.stated]
        if elsewhere:
            place = clauses.index(elsewhere[0])
            alone = len(elsewhere) == 1 and len({m.option for _, inside in plain for m in inside}) == 1
            if not alone or clauses[place - 1] != plain[-1][0] or not _says_nothing_else(text, elsewhere[0]):
                return "confidence stated apart from the options"
            if elsewhere[0].probability is None:
                return elsewhere[0].reason
            value = elsewhere[0].probability
            notes.add("confidence behind the answer")
            plain = plain[-1:]
        else:
            notes.add("plain assertion")
        if value is None:
            return "plain assertion"
        for clause, inside in plain:
            if self._clause(text, clause, inside, value, stated, notes):
                return "several options asserted"
        return ""

    def _clause(
        self,
        text: str,
        clause: Clause,
        inside: list[_Mention],
        value: float | None,
        stated: dict[int, set[float]],
        notes: set[str],
    ) -> str:
        """Adds what the clause says; gives a reason where it cannot be read."""
        bare = {m: found for m in inside if (found := _bare_value(text, clause, m)) is not None}
        if bare and len({m.option for m in bare}) == len({m.option for m in inside}):
            for mention, found in bare.items():
                stated.setdefault(mention.option, set()).add(found)
            notes.add("bare number beside an option")
            return ""
        if value is None:
            return clause.reason
        affirmed = {m.option for m in inside if not _denied(text, clause, m)}
        denied = {m.option for m in inside} - affirmed
        if len(affirmed) > 1 or (affirmed and denied and clause.stated):
            return "several options in one clause"
        for option in affirmed:
            stated.setdefault(option, set()).add(value)
        for option in denied:
            notes.add("denied option")
            stated.setdefault(option, set()).add(1.0 - value)
        return ""


def find_mentions(text: str, options: Sequence[str]) -> list[_Mention]:
    """Whole-word mentions of the options by position, the longest where they overlap."""
    found = []
    for i, option in enumerate(options):
        words = unicodedata.normalize("NFC", option).split()
        rule = re.compile(r"(?<!\w)" + r"\s+".join(map(re.escape, words)) + r"(?!\w)", re.IGNORECASE)
        found += [_Mention(i, m.start(), m.end()) for m in rule.finditer(text)]
    taken, kept = bytearray(len(text)), []
    for mention in sorted(found, key=lambda m: (m.start - m.end, m.start)):
        if not any(taken[mention.start : mention.end]):
            taken[mention.start : mention.end] = b"\1" * (mention.end - mention.start)
            kept.append(mention)
    return sorted(kept, key=lambda m: m.start)


def _says_nothing_else(text: str, clause: Clause) -> bool:
    """Whether a clause is made of its one confidence and words that point back to what was said."""
    (stated, *others) = clause.stated
    rest = text[clause.start : stated.start] + " " + text[stated.end : clause.end]
    return not others and all(word in _POINTING for word in re.findall(r"[\w'’]+", rest.lower()))


def _bare_value(text: str, clause: Clause, mention: _Mention) -> float | None:
    """The bare number that stands right behind a mention: only the next expression of the clause can."""
    place = bisect_left(clause.stated, mention.end, key=lambda stated: stated.start)
    if place == len(clause.stated):
        return None
    number = clause.stated[place]
    attached = number.bare and number.low == number.high and _BARE_BEHIND.match(text[mention.end : number.start][:40])
    return number.low if attached else None


def _denied(text: str, clause: Clause, mention: _Mention) -> bool:
    """Whether a negation that is not part of a stated confidence stands close before the mention."""
    start = max(clause.start, mention.start - _DENIAL_WINDOW)
    match = _DENIED.search(text[start : mention.start])
    if match is None:
        return False
    place = start + match.start()
    return all(not s.start <= place < s.end for s in clause.stated)


def _distribution(stated: Mapping[int, float], options: int, notes: set[str]) -> Reading:
    total, left = sum(stated.values()), options - len(stated)
    if total > 1.0 + ROUNDING:
        return Reading(None, "stated probabilities sum above 1", tuple(sorted(notes)))
    if total == 0.0 and not left:
        return Reading(None, "every option denied", tuple(sorted(notes)))
    if total > 1.0 + 1e-9 or (not left and total < 1.0 - 1e-9):
        notes.add("rescaled")
    scale = 1.0 / total if total > 1.0 or not left else 1.0
    rest = max(0.0, 1.0 - total) / left if left else 0.0
    values = [stated[i] * scale if i in stated else rest for i in range(options)]
    whole = sum(values)
    return Reading(tuple(value / whole for value in values), "", tuple(sorted(notes)))
