"""Synonym substitution on written text, from a small table of the project's own or the caller's."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from watermark.attacks.protocol import check_rate
from watermark.attacks.synonym_table import GROUPS
from watermark.errors import AttackError

_WORD = re.compile(r"[^\W\d_]+")


def bundled_synonyms() -> dict[str, tuple[str, ...]]:
    """Each word of the bundled groups with the others of its group."""
    groups = [tuple(line.split()) for line in GROUPS.strip().splitlines()]
    return {word: tuple(other for other in group if other != word) for group in groups for word in group}


@dataclass(frozen=True)
class Synonyms:
    """A share `rate` of the words that `table` knows (lower case, inflections as listed) is replaced; capitals are kept.

    The table is context-free, so that some replacements read oddly: it measures what replacing words does to the mark, not how
    good a paraphrase can be.
    """

    table: Mapping[str, Sequence[str]] = field(default_factory=bundled_synonyms)
    name: str = "synonyms"

    def __post_init__(self) -> None:
        for word, others in self.table.items():
            if not isinstance(word, str) or isinstance(others, str) or not others:
                raise AttackError(f"the synonym table must give a list of words for each word; {str(word)[:40]!r} has none")

    def edit_text(self, text: str, rate: float, rng: np.random.Generator) -> str:
        known = [match for match in _WORD.finditer(text) if match.group().lower() in self.table]
        count = round(check_rate(rate) * len(known))
        parts, end = [], 0
        for index in sorted(rng.permutation(len(known))[:count].tolist()):
            match = known[index]
            others = self.table[match.group().lower()]
            parts += [text[end : match.start()], _like(match.group(), others[int(rng.integers(len(others)))])]
            end = match.end()
        return "".join([*parts, text[end:]])


def _like(original: str, word: str) -> str:
    if len(original) > 1 and original.isupper():
        return word.upper()
    return word[:1].upper() + word[1:] if original[:1].isupper() else word
