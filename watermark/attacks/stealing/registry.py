"""The stealing attacks by name, and what they are given. To add one, add a row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from watermark.attacks.protocol import Tokens
from watermark.attacks.stealing.integer_program import steal_by_program
from watermark.attacks.stealing.items import ListClasses
from watermark.attacks.stealing.ngram_learning import learn_ngrams
from watermark.attacks.stealing.program_settings import DEFAULT_TIME_LIMIT, Answers, ProgramSettings
from watermark.attacks.stealing.protocol import Stolen
from watermark.attacks.stealing.signed_counts import steal_by_counts
from watermark.errors import AttackError


@dataclass(frozen=True)
class Loot:
    """What the attacker has: texts of both kinds and what is public of the scheme (vocabulary, green share, the detector's
    alpha, how many lists, how many previous tokens decide). `answers` asks the detector about all texts; only some attacks call
    it."""

    marked: Sequence[Tokens] = field(repr=False)
    natural: Sequence[Tokens] = field(repr=False)
    vocab_size: int
    gamma: float
    alpha: float
    classes: ListClasses
    context_width: int
    answers: Callable[[], Answers]
    time_limit: float = DEFAULT_TIME_LIMIT


def _program(setting: str) -> Callable[[Loot], Stolen]:
    def steal(loot: Loot) -> Stolen:
        # the source's slacks for gamma 0.25 and delta 2: 0.9 with a detector, 0.95 without
        slack = 0.9 if setting == "pro-as1" else 0.95
        settings = ProgramSettings(setting, loot.gamma, loot.alpha, slack, slack, time_limit=loot.time_limit)
        answers = None if setting == "as2" else loot.answers()
        return steal_by_program(loot.marked, loot.natural, loot.vocab_size, settings, loot.classes, answers)

    return steal


def _counts(threshold: float) -> Callable[[Loot], Stolen]:
    return lambda loot: steal_by_counts(loot.marked, loot.natural, loot.vocab_size, loot.classes, threshold, loot.gamma)


ATTACKS: dict[str, Callable[[Loot], Stolen]] = {
    "mip-vanilla": _program("vanilla-as1"),
    "mip-oracle": _program("oracle-as1"),
    "mip-pro": _program("pro-as1"),
    "mip-as2": _program("as2"),
    "counts-2": _counts(2.0),
    "counts-3": _counts(3.0),
    "n-grams": lambda loot: learn_ngrams(loot.marked, loot.natural, loot.vocab_size, loot.context_width),
}


def find_attack(name: str) -> Callable[[Loot], Stolen]:
    """The attack of a name. Raises AttackError that lists the known ones."""
    if name not in ATTACKS:
        raise AttackError(f"there is no stealing attack {str(name)[:60]!r}; known: {', '.join(ATTACKS)}")
    return ATTACKS[name]
