"""The splitter that needs no model: sentences, then clauses where that is safe; premises where a claim leans on another."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from conformal.pipeline.splitters.claim import Claim, check_answer, check_claims
from conformal.pipeline.splitters.clauses import find_clauses, is_anaphoric
from conformal.pipeline.splitters.sentences import Block, Span, find_blocks, find_sentences

VERSION = 1
_FOLLOWS = re.compile(r"(?:therefore|thus|hence|consequently|as a result|so|then|this|these|that|those|such)\b", re.IGNORECASE)


class RuleSplitter:
    """Rules for English prose and lists, version VERSION.

    Questions, headings and code claim nothing and are left out. A claim that begins with a pronoun has as premises the claims of
    the last sentence that names its subject; one that follows from what stands before it ("Therefore", "This") has the claim
    before. Where a premise is dropped, back-off with closure drops the claim.
    """

    name = "rules"

    def describe(self) -> dict[str, Any]:
        return {"splitter": self.name, "version": VERSION}

    def split(self, question: str, answer: str) -> list[Claim]:
        check_answer(answer)
        claims: list[Claim] = []
        anchor: tuple[int, ...] = ()
        for block, sentence, first in _sentences(answer):
            named: list[int] = []
            for text, span in _statements(answer, block, sentence, first):
                place = len(claims)
                if _FOLLOWS.match(text) and claims:
                    premises: tuple[int, ...] = (place - 1,)
                elif is_anaphoric(text):
                    premises = anchor
                else:
                    premises = ()
                    named.append(place)
                claims.append(Claim(text, premises, span))
            anchor = tuple(named) or anchor
        return check_claims(claims)


def _sentences(answer: str) -> Iterator[tuple[Block, Span, bool]]:
    for block in find_blocks(answer):
        for place, sentence in enumerate(find_sentences(answer, block.span)):
            yield block, sentence, place == 0


def _statements(answer: str, block: Block, sentence: Span, first: bool) -> list[tuple[str, Span]]:
    """What a sentence states, as texts that stand alone but for pronouns. Nothing for a question or an announcement."""
    raw = " ".join(answer[sentence[0] : sentence[1]].split())
    if raw.rstrip("\"'”’)]").endswith(("?", ":")) or not any(char.isalnum() for char in raw):
        return []
    if block.intro is not None and first:
        return [(f"{' '.join(answer[block.intro[0] : block.intro[1]].split())} {raw}", sentence)]
    clauses = find_clauses(answer, sentence)
    if len(clauses) == 1:
        return [(raw, sentence)]
    return [(_as_sentence(answer[start:end]), (start, end)) for start, end in clauses]


def _as_sentence(clause: str) -> str:
    """A clause cut from its sentence gets a capital and a full stop."""
    text = " ".join(clause.split())
    text = text[:1].upper() + text[1:]
    return text if re.search(r"[.!?…][\"'”’)\]]*$", text) else f"{text}."
