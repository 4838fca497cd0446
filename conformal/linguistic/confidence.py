"""What a text states about its own certainty: probabilities with the spans they stand in, clause by clause.

A number counts where the text says that it is a confidence ("70 % sure", "a probability of 0.7", "a 1 in 3 chance", "I put it at
60-70 %") or where it stands alone; "70 % of voters" is a quantity, and "turnout was high (70 %)" is left open. A range is read
as its middle; a bound ("at least 70 %") states no probability. Words come from `phrases`. In one clause a number goes before
words if it lies within what the words are read as (give or take 5 points), otherwise the clause contradicts itself. Whatever
is ambiguous has probability None and a reason, is counted, and is never resolved by guessing.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from conformal.errors import LevelError
from conformal.linguistic.numerals import Number, find_numbers
from conformal.linguistic.phrases import Phrase, find_phrases

MAX_TEXT_CHARACTERS = 30_000
_AGREEMENT = 0.05
_ABBREVIATIONS = r"(?<!\bSt)(?<!\bDr)(?<!\bMr)(?<!\bMs)(?<!\bMrs)(?<!\bvs)(?<!\be\.g)(?<!\bi\.e)(?<!\bapprox)(?<!\b[A-Z])"
_SENTENCE_END = re.compile(rf"(?:{_ABBREVIATIONS}\.|[!?])[\"')\]]*(?=\s|$)|\n+")
_CLAUSE_END = re.compile(r";|(?:,\s*)?(?<!\w)(?:but|while|whereas|although|though|however|yet)(?!\w)", re.IGNORECASE)
_SEPARATOR = re.compile(r"(?:[,:|]\s*)(?:and|or)?(?!\w)|\s(?:and|or)\s", re.IGNORECASE)
_NOUNS = r"confidence|probability|probabilities|chances?|likelihood|certainty|credence|odds|possibility"
_AFTER = re.compile(
    rf"[-\s]*(?:\(?that\s)?\s*(?:or so\s)?(?:sure|certain|confident|likely|probable|{_NOUNS})(?!\w)", re.IGNORECASE
)
_ODD_AFTER = re.compile(r"[-\s]*(?:unlikely|improbable|uncertain|unsure|doubtful)(?!\w)", re.IGNORECASE)
_ABOUT = r"(?:about|around|roughly|approximately|approx\.?|some|nearly|almost|only|just|an?|the|~|≈)"
_BEFORE = re.compile(
    rf"(?:(?<!\w)(?:{_NOUNS})(?:\s+[\w'-]+){{0,12}}?\s*(?:\s(?:is|are|was|of|at|be)|:|=|≈)|(?<!\w)p\s*[=≈:]|"
    rf"(?<!\w)(?:put|place|estimate|rate|peg)s?\s+(?:it|this|that|the\s+\w+|my\s+\w+)\s+(?:at|as)|(?<!\w)(?:{_NOUNS}))"
    rf"\s*(?:{_ABOUT}\s*)*[(\[]?\s*$",
    re.IGNORECASE,
)
_QUANTITY = re.compile(r"\s+of(?!\w)", re.IGNORECASE)
_NEGATED = re.compile(r"(?:(?<!\w)(?:not|never|cannot)|n['’]t)\s+(?:(?:at all|very|be|\w+ly)\s+)?$", re.IGNORECASE)
_BARE_OPENING = re.compile(r"[(\[:=–—-]\s*$")
_CUE_WINDOW = 160


@dataclass(frozen=True)
class Stated:
    """One expression at text[start:end]. `probability` is None where it is ambiguous, with the `reason`; `low` and `high` are
    what a range, a bound or a phrase leaves open. `kind`: percent, decimal, ratio, odds, even, range, bound or phrase.
    `yields`: words that give way to a probability beside them."""

    start: int
    end: int
    kind: str
    probability: float | None
    low: float
    high: float
    reason: str = ""
    yields: bool = False

    @property
    def bare(self) -> bool:
        """A number without a word that makes it a confidence; who knows what it is attached to may read it."""
        return self.reason == "bare number"


@dataclass(frozen=True)
class Clause:
    """text[start:end] with what it states. `probability` None and `reason` "" is a clause that states no confidence at all."""

    start: int
    end: int
    stated: tuple[Stated, ...]
    probability: float | None
    reason: str


def find_confidences(text: str) -> tuple[Stated, ...]:
    """Every expression of confidence in the text, by position. Raises LevelError above 30,000 characters."""
    return tuple(stated for clause in read_clauses(text) for stated in clause.stated)


def read_clauses(text: str) -> tuple[Clause, ...]:
    """The clauses of a text in order, each with its confidence. Raises LevelError above 30,000 characters."""
    if len(text) > MAX_TEXT_CHARACTERS:
        raise LevelError(f"a text of {len(text)} characters is longer than {MAX_TEXT_CHARACTERS}; split it")
    found: list[Clause] = []
    for start, end in _spans(text, 0, len(text), _SENTENCE_END, keep=True):
        question = text[start:end].rstrip(" \"')]").endswith("?")
        expressions = _in_sentence(text, start, end)
        places = [s.start for s in expressions]
        for first, last in _cut(text, start, end, expressions):
            inside = tuple(expressions[bisect_left(places, first) : bisect_left(places, last)])
            probability, reason = (None, "question") if question and inside else _resolve(inside)
            found.append(Clause(first, last, inside, probability, reason))
    return tuple(found)


def clause_at(clauses: Sequence[Clause], position: int) -> Clause | None:
    """The clause that a position of the text lies in: the scope of what is stated there."""
    return next((clause for clause in clauses if clause.start <= position < clause.end), None)


def count_ambiguous(clauses: Sequence[Clause]) -> dict[str, int]:
    """How many clauses state a confidence that cannot be read, by reason."""
    return dict(Counter(clause.reason for clause in clauses if clause.reason))


def parse_confidence(text: str) -> float | None:
    """The one probability a short text states; None where it states none, several, or an ambiguous one."""
    found = [clause for clause in read_clauses(text) if clause.stated]
    values = {clause.probability for clause in found}
    return values.pop() if len(values) == 1 else None


def _spans(text: str, start: int, end: int, boundary: re.Pattern[str], keep: bool) -> list[tuple[int, int]]:
    """Pieces between boundaries; with `keep` a boundary ends its piece, otherwise it begins the next."""
    cuts = [m.end() if keep else m.start() for m in boundary.finditer(text, start, end)]
    edges = [start, *[cut for cut in cuts if start < cut < end], end]
    return [(a, b) for a, b in pairwise(edges) if text[a:b].strip()]


def _in_sentence(text: str, start: int, end: int) -> list[Stated]:
    sentence = text[start:end]
    numbers = [s for n in find_numbers(sentence) if (s := _number(sentence, n)) is not None]
    taken = bytearray(len(sentence))
    for s in numbers:
        taken[s.start : s.end] = b"\1" * (s.end - s.start)
    words = [_words(sentence, a, b, phrase) for a, b, phrase in find_phrases(sentence) if not any(taken[a:b])]
    ordered = sorted([*numbers, *words], key=lambda s: s.start)
    return [replace(s, start=s.start + start, end=s.end + start) for s in ordered]


def _words(sentence: str, start: int, end: int, phrase: Phrase) -> Stated:
    negated = _NEGATED.search(sentence[max(0, start - 30) : start])
    if negated is None or phrase.yields:
        reason = "" if phrase.probability is not None else "vague words"
        return Stated(start, end, "phrase", phrase.probability, phrase.low, phrase.high, reason, phrase.yields)
    reason = "" if phrase.negated is not None else "negated words"
    return Stated(start - len(negated[0]), end, "phrase", phrase.negated, 0.0, 1.0, reason)


def _number(sentence: str, number: Number) -> Stated | None:
    """The number as an expression of confidence, or None where it is a quantity."""
    before, after = sentence[max(0, number.start - _CUE_WINDOW) : number.start], sentence[number.end : number.end + 40]
    cue = _AFTER.match(after)
    end = number.end + (cue.end() if cue else 0)
    preceded = _BEFORE.search(before)
    alone = not (before + after).strip(" \t.!,;()[]\"'") or number.form == "even"
    low, high = (0.0, 1.0) if number.low is None or number.high is None else (number.low, number.high)

    def ambiguous(reason: str) -> Stated:
        return Stated(number.start, end, number.form, None, low, high, reason)

    if not (cue or preceded or alone):
        return ambiguous("contradictory") if _ODD_AFTER.match(after) else _without_cue(sentence, number, ambiguous("bare number"))
    if _NEGATED.search(before):
        return ambiguous("negated number")
    if number.low is None:
        return ambiguous("no probability")
    if number.form == "bound":
        return ambiguous("bound")
    return Stated(number.start, end, number.form, round((low + high) / 2, 12), low, high)


def _without_cue(sentence: str, number: Number, bare: Stated) -> Stated | None:
    if number.low is None or _QUANTITY.match(sentence, number.end):
        return None
    bracketed = _BARE_OPENING.search(sentence[max(0, number.start - 4) : number.start]) is not None
    return bare if number.form in ("percent", "range", "bound") or bracketed else None


def _cut(text: str, start: int, end: int, expressions: Sequence[Stated]) -> list[tuple[int, int]]:
    """Clauses of a sentence; two numbers in one clause are parted where exactly one comma or conjunction lies between them."""
    cuts, places = [], [s.start for s in expressions]
    for first, last in _spans(text, start, end, _CLAUSE_END, keep=False):
        cuts.append(first)
        inside = expressions[bisect_left(places, first) : bisect_left(places, last)]
        numbers = [s for s in inside if s.kind != "phrase"]
        for one, other in pairwise(numbers):
            between = list(_SEPARATOR.finditer(text, one.end, other.start))
            if len(between) == 1:
                cuts.append(between[0].end())
    edges = [*sorted(set(cuts)), end]
    return list(pairwise(edges))


def _resolve(stated: Sequence[Stated]) -> tuple[float | None, str]:
    numbers = [s for s in stated if s.kind != "phrase"]
    words = [s for s in stated if s.kind == "phrase" and not s.yields]
    for one in numbers:
        if one.probability is None:
            return None, one.reason
    if numbers:
        value = numbers[0].probability
        if any(s.probability != value for s in numbers):
            return None, "several numbers"
        assert value is not None
        if any(s.reason != "" or not s.low - _AGREEMENT <= value <= s.high + _AGREEMENT for s in words):
            return None, "number and words disagree"
        return value, ""
    if any(s.probability is None for s in words):
        return None, next(s.reason for s in words if s.probability is None)
    values = {s.probability for s in words}
    if len(values) > 1:
        return None, "several phrases"
    if values:
        return values.pop(), ""
    return (None, "vague words") if stated else (None, "")
