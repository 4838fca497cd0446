"""Does a merged text say just what its claims say? By words, or by a judge; what cannot be judged counts as a violation."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Protocol

from conformal.pipeline.scorers.judges import SupportJudge

_WORD = re.compile(r"[^\W_]+(?:[-'’.,][^\W_]+)*")
_LIGHT = frozenset(("a", "an", "the", "and", "also", "but", "while"))


class MergeCheck(Protocol):
    """Compares a merged text with the claims it was made of."""

    def describe(self) -> dict[str, Any]: ...

    def compare(self, text: str, statements: Sequence[str], claims: Sequence[str]) -> tuple[list[str], list[str]]:
        """(statements of the text that no claim covers, claims that the text lacks). Raises ModelError."""
        ...


class WordCheck:
    """A statement is covered if its words, light ones apart, stand in one claim in the same order; a claim, if the text has it.

    Strict: a paraphrase counts as a violation, and a dropped "not" does too, since then the claim is missing from the text.
    """

    def describe(self) -> dict[str, Any]:
        return {"check": "words"}

    def compare(self, text: str, statements: Sequence[str], claims: Sequence[str]) -> tuple[list[str], list[str]]:
        told, known = _words(text), [_words(claim) for claim in claims]
        added = [statement for statement in statements if not any(_within(_words(statement), words) for words in known)]
        omitted = [claim for claim, words in zip(claims, known, strict=True) if not _contiguous(words, told)]
        return added, omitted


class JudgeCheck:
    """By a judge of support in both directions: every statement by the claims together, every claim by the text."""

    def __init__(self, judge: SupportJudge) -> None:
        self._judge = judge

    def describe(self) -> dict[str, Any]:
        return {"check": "support", **self._judge.describe()}

    def compare(self, text: str, statements: Sequence[str], claims: Sequence[str]) -> tuple[list[str], list[str]]:
        by_claims = self._judge.judge(join_claims(claims), statements)
        by_text = self._judge.judge(text, claims)
        added = [statement for statement, support in zip(statements, by_claims, strict=True) if support != 1.0]
        return added, [claim for claim, support in zip(claims, by_text, strict=True) if support != 1.0]


def join_claims(claims: Sequence[str]) -> str:
    """The claims one after another, word for word, each ended by a stop."""
    return " ".join(_ended(claim.strip()) for claim in claims)


def _ended(text: str) -> str:
    return text if re.search(r"[.!?…][\"'”’)\]]*$", text) else f"{text}."


def _words(text: str) -> list[str]:
    return [word for match in _WORD.finditer(text) if (word := match.group().lower()) not in _LIGHT]


def _within(inner: Sequence[str], outer: Sequence[str]) -> bool:
    """Whether `inner` is a subsequence of `outer`."""
    rest = iter(outer)
    return all(word in rest for word in inner)


def _contiguous(inner: Sequence[str], outer: Sequence[str]) -> bool:
    """Whether `inner` stands in `outer` without a gap."""
    size = len(inner)
    return any(list(outer[at : at + size]) == list(inner) for at in range(len(outer) - size + 1))
