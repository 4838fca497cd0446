"""Numbers that may be probabilities: per cent, decimals, "seven out of ten", "1 in 3", odds and ranges, with their spans."""

from __future__ import annotations

import re
from dataclasses import dataclass

_TEENS = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
_UNITS = f"zero one two three four five six seven eight nine {_TEENS}"
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_WORDS = {word: value for value, word in enumerate(_UNITS.split())} | {
    word: 10 * (place + 2) for place, word in enumerate(_TENS.split())
}
_WORDS |= {f"{tens} {unit}": _WORDS[tens] + _WORDS[unit] for tens in _TENS.split() for unit in _UNITS.split()[1:10]}
_WORDS |= {"a hundred": 100, "one hundred": 100, "hundred": 100, "a thousand": 1000, "one thousand": 1000}

_WORD = "(?:" + "|".join(sorted((w.replace(" ", "[- ]") for w in _WORDS), key=len, reverse=True)) + ")"
_NUMBER = rf"(?:\d{{1,7}}(?:\.\d{{1,6}})?|(?<![\w-]){_WORD}(?!\w))"
_DENOMINATOR = rf"(?:\d{{1,7}}|{_WORD}(?!\w))"
_PERCENT = r"\s?(?:%|per ?cent\b|pct\b)"
_START = r"(?<![\w.,/$€£])"

_RANGE = re.compile(
    rf"{_START}(?:between\s+)?({_NUMBER})(?:{_PERCENT})?\s?(?:-|–|—|to|and)\s?({_NUMBER}){_PERCENT}"
    rf"|(?<![\w.])(?:between\s+)?(0?\.\d{{1,6}})\s?(?:-|–|—|to|and)\s?(0?\.\d{{1,6}}|1\.0)(?![\d%])",
    re.IGNORECASE,
)
_PERCENTAGE = re.compile(rf"{_START}({_NUMBER}){_PERCENT}", re.IGNORECASE)
_ODDS = re.compile(
    rf"{_START}({_NUMBER})[- ]?(?:to|:)[- ]?({_NUMBER})(\s(?:odds\s)?(?:in favou?r|against))?(?!\w)", re.IGNORECASE
)
_OUT_OF = re.compile(
    rf"{_START}({_NUMBER})(?:\s+(?:times\s+|chances?\s+)?(?:out\s+of|in)\s+|[- ]in[- ]|\s?/\s?)"
    rf"({_DENOMINATOR})(?![\w./]?\d)(?!\w)",
    re.IGNORECASE,
)
_DECIMAL = re.compile(r"(?<![\w.,$€£-])(0?\.\d{1,6}|1\.0{1,6}|0\.0{1,6})(?![\d%]|\s?%|\.\d)")
_EVEN = re.compile(r"(?<![\w.])50\s?[-/–]\s?50(?![\w%])")

_LOWER = r"at least|more than|over|above|no less than|upwards of|>=?|≥"
_UPPER = r"at most|less than|fewer than|under|below|up to|no more than|<=?|≤"
_BOUND = re.compile(rf"(?:(?P<low>(?<!\w)(?:{_LOWER}))|(?P<high>(?<!\w)(?:{_UPPER})))\s*(?:an?\s+)?$", re.IGNORECASE)
BOUND_WINDOW = 24


@dataclass(frozen=True)
class Number:
    """A number as probabilities `low` to `high` (equal unless it is a range or a bound); None where it can be none.

    `form` is percent, decimal, ratio, odds, range or bound; a form of its own is `even` ("50-50"), which needs no cue."""

    start: int
    end: int
    low: float | None
    high: float | None
    form: str


def find_numbers(text: str) -> list[Number]:
    """Numbers by position; where two overlap, the one that was looked for first (a range before the percentages in it)."""
    found: list[Number] = []
    taken = bytearray(len(text))

    def add(match: re.Match[str], low: float | None, high: float | None, form: str) -> None:
        if any(taken[match.start() : match.end()]):
            return
        taken[match.start() : match.end()] = b"\1" * (match.end() - match.start())
        if low is None or high is None or not 0.0 <= low <= high <= 1.0:
            low = high = None
        found.append(_bounded(text, Number(match.start(), match.end(), low, high, form)))

    for m in _EVEN.finditer(text):
        add(m, 0.5, 0.5, "even")
    for m in _RANGE.finditer(text):
        pair = (_value(m[1]) / 100, _value(m[2]) / 100) if m[1] else (float(m[3]), float(m[4]))
        add(m, *pair, "range")
    for m in _PERCENTAGE.finditer(text):
        add(m, _value(m[1]) / 100, _value(m[1]) / 100, "percent")
    for m in _ODDS.finditer(text):
        for_it, against = _value(m[1]), _value(m[2])
        if (m[3] or "").lower().endswith("against"):
            for_it, against = against, for_it
        share = for_it / (for_it + against) if m[3] and for_it + against > 0 else None
        add(m, share, share, "odds")
    for m in _OUT_OF.finditer(text):
        of = _value(m[2])
        if of > 0 and _value(m[1]) <= of:
            add(m, _value(m[1]) / of, _value(m[1]) / of, "ratio")
    for m in _DECIMAL.finditer(text):
        add(m, float(m[1]), float(m[1]), "decimal")
    return sorted(found, key=lambda number: number.start)


def _value(text: str) -> float:
    word = " ".join(text.lower().replace("-", " ").split())
    return float(_WORDS[word]) if word in _WORDS else float(text)


def _bounded(text: str, number: Number) -> Number:
    """ "At least 70 %" is a bound: it says no probability, but a lowest one."""
    match = _BOUND.search(text[max(0, number.start - BOUND_WINDOW) : number.start])
    if match is None or number.low is None:
        return number
    start = number.start - (len(match[0]))
    if match["low"]:
        return Number(start, number.end, number.low, 1.0, "bound")
    return Number(start, number.end, 0.0, number.high, "bound")
