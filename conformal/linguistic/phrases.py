"""Probability words and the numbers they are read as. A convention, not a measurement of what a writer meant.

People read the same words differently (inner 80 % of the survey's answers in `low`, `high`), and more so where the words come
from a model. The table therefore travels with every report (`table_digest`), and a word without a published value is None:
counted as ambiguous, never given a number.

Sources, the first that has the phrase decides:

* `survey`: medians, 10 % and 90 % quantiles of 46 answers, the 2015 replication of Kent's study on /r/samplesize
  (github.com/zonination/perceptions). W. Fagen-Ulmschneider's larger survey (2018) and Mauboussin & Mauboussin's ("If you say
  something is likely", Harvard Business Review, 2018) ask the same kind of question; no number here is taken from them.
* `wallsten`: Wallsten (1990), as tabulated for readers in Band et al., arXiv 2404.00474.
* `kent`: S. Kent, "Words of estimative probability", Studies in Intelligence 8 (1964): certainty 100, almost certain 93 +- 6,
  probable 75 +- 12, about even 50 +- 10, probably not 30 +- 10, almost certainly not 7 +- 5, impossible 0.

`negated` is the value of the opposite word where there is one ("not likely" is read as "unlikely"); wordings close to a source's
("very likely" for "highly likely") share its value.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Phrase:
    """`probability` is None for words without a published value; `yields` then says that a number or phrase beside them decides
    ("might", "I think"), otherwise they make the clause ambiguous ("fairly likely", "not certain")."""

    pattern: str
    probability: float | None
    low: float = 0.0
    high: float = 1.0
    source: str = ""
    yields: bool = False
    negated: float | None = None


_I = r"(?:i|we)(?: am|'m| are|'re)?"
_CERTAIN = rf"{_I} (?:absolutely |completely |quite )?(?:certain|sure)|(?:it is|it's) certain|certainly|definitely|undoubtedly"

TABLE: tuple[Phrase, ...] = (
    Phrase(rf"{_CERTAIN}|without (?:a |any )?doubt|(?:there is )?no doubt", 1.0, 0.95, 1.0, "kent"),
    Phrase(r"almost certain(?:ly)? not", 0.07, 0.02, 0.12, "kent"),
    Phrase(r"(?:almost|nearly|virtually) (?:certain(?:ly)?|sure)", 0.95, 0.85, 0.985, "survey"),
    Phrase(r"(?:highly|very) (?:likely|probable|probably)", 0.90, 0.80, 0.955, "survey"),
    Phrase(r"very good chance", 0.80, 0.72, 0.90, "survey"),
    Phrase(r"probably not", 0.265, 0.15, 0.40, "survey"),
    Phrase(r"probably", 0.75, 0.575, 0.85, "survey"),
    Phrase(r"probable", 0.70, 0.60, 0.85, "survey", negated=0.15),
    Phrase(r"likely", 0.70, 0.60, 0.855, "survey", negated=0.20),
    Phrase(r"(?:i|we) believe", 0.70, 0.50, 0.85, "survey"),
    Phrase(r"good chance", 0.65, 0.50, 0.85, "wallsten"),
    Phrase(r"better than even(?: odds| chance)?|more likely than not", 0.60, 0.51, 0.66, "survey"),
    Phrase(
        r"(?:(?:about|roughly|approximately) )?even (?:odds|chances?)|(?:about|roughly) even|toss[- ]?up|fifty[-/ ]fifty",
        0.50,
        0.49,
        0.50,
        "survey",
    ),
    Phrase(r"possibl[ye]", 0.30, 0.10, 0.60, "wallsten", negated=0.0),
    Phrase(r"(?:i|we) doubt", 0.25, 0.085, 0.425, "survey"),
    Phrase(r"unlikely", 0.20, 0.09, 0.35, "survey"),
    Phrase(r"improbable|improbably", 0.15, 0.03, 0.375, "survey"),
    Phrase(r"little chance", 0.15, 0.05, 0.225, "survey"),
    Phrase(r"slight chance|chances are slight", 0.10, 0.05, 0.30, "survey"),
    Phrase(r"doubtful", 0.10, 0.0, 0.40, "wallsten"),
    Phrase(r"(?:highly|very) (?:unlikely|improbable)", 0.05, 0.03, 0.175, "survey"),
    Phrase(r"almost impossible", 0.05, 0.0, 0.15, "wallsten"),
    Phrase(r"almost no chance", 0.02, 0.01, 0.085, "survey"),
    Phrase(r"impossible|(?:no|zero) chance", 0.0, 0.0, 0.05, "kent"),
    Phrase(r"(?:uncertain|unsure|not impossible|not improbable|not unlikely|not doubtful)", None),
    Phrase(
        rf"(?:{_I} )?(?:not|(?:cannot|can't) be) (?:\w+ )?(?:certain|sure|confident|convinced)|"
        r"far from (?:certain|sure)|not (?:certainly|definitely)",
        None,
    ),
    Phrase(
        r"(?:fairly|quite|pretty|rather|somewhat|reasonably|relatively|extremely|more|less|most|least|equally|as|so|too|hardly|"
        r"increasingly) (?:likely|unlikely|probabl[ey]|improbable|certain|sure|confident|possible|doubtful)",
        None,
    ),
    Phrase(r"(?:high|moderate|medium|low|some|great|little|strong) (?:confidence|probability|likelihood|certainty)", None),
    Phrase(rf"{_I} confident|confidently|presumably|apparently|supposedly|reportedly|plausibl[ey]|conceivabl[ey]", None),
    Phrase(r"(?:a|some|any|fair|decent|small|slim|real|serious) (?:chance|possibility)|good possibility", None, yields=True),
    Phrase(r"maybe|perhaps|might|may be|may have|could be|could have been|(?:i|we) (?:think|guess|suspect)", None, yields=True),
    Phrase(r"seems?(?: to be)?|appears? to be", None, yields=True),
    Phrase(
        r"(?:i|we) (?:do not|don't|cannot|can't) (?:really )?(?:know|say|tell|think|believe)|no idea",
        None,
    ),
)

_BLANK = r"[ \t]+"
_RULES = tuple(re.compile(rf"(?<![\w'])(?:{phrase.pattern.replace(' ', _BLANK)})(?![\w'])", re.IGNORECASE) for phrase in TABLE)


def find_phrases(text: str) -> list[tuple[int, int, Phrase]]:
    """Every phrase of the table as (start, end, phrase), by position; the longest wins where several begin or overlap."""
    found = [(m.start(), m.end(), phrase) for rule, phrase in zip(_RULES, TABLE) for m in rule.finditer(text)]
    taken, kept = bytearray(len(text)), []
    for start, end, phrase in sorted(found, key=lambda item: (item[0] - item[1], item[0])):
        if not any(taken[start:end]):
            taken[start:end] = b"\1" * (end - start)
            kept.append((start, end, phrase))
    return sorted(kept, key=lambda item: item[0])


def table_digest() -> str:
    """SHA-256 of the table; readings made with different tables are not comparable."""
    return hashlib.sha256(json.dumps([asdict(phrase) for phrase in TABLE]).encode()).hexdigest()
