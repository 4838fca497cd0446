"""Kept claims as one text, and whether that text says the same: the guarantee is of the claims, so the merging is checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from conformal.pipeline.backoff import ABSTENTION
from conformal.pipeline.errors import ModelError, SplitError
from conformal.pipeline.merge_check import MergeCheck, join_claims
from conformal.pipeline.model import Decoding, Generator
from conformal.pipeline.prompts import MERGE
from conformal.pipeline.splitters.rules import RuleSplitter

MAX_NEW_TOKENS = 1024


class Merger(Protocol):
    """Writes one text from claims."""

    @property
    def name(self) -> str: ...

    def describe(self) -> dict[str, Any]: ...

    def merge(self, question: str, claims: Sequence[str]) -> str:
        """Raises ModelError."""
        ...


class JoiningMerger:
    """The claims one after another, word for word."""

    name = "join"

    def describe(self) -> dict[str, Any]:
        return {"merger": self.name}

    def merge(self, question: str, claims: Sequence[str]) -> str:
        return join_claims(claims)


class PromptedMerger:
    """A model asked for "only the facts provided" by the prompt MERGE, greedily."""

    name = "llm"

    def __init__(self, model: Generator, max_new_tokens: int = MAX_NEW_TOKENS) -> None:
        self._model, self._decoding = model, Decoding(max_new_tokens)

    def describe(self) -> dict[str, Any]:
        facts = self._model.facts()
        described = {"merger": self.name, **MERGE.describe(), "decoding": self._decoding.to_json()}
        return {**described, "model": facts.name, "model_digest": facts.digest}

    def merge(self, question: str, claims: Sequence[str]) -> str:
        reply = self._model.answer([MERGE.fill(question=question, facts=list(claims))], self._decoding)[0]
        if reply.finish_reason == "length" or not reply.text.strip():
            raise ModelError("the merger's reply is empty or did not end")
        return reply.text.strip()


@dataclass(frozen=True)
class Merged:
    """What a reader gets. `added` are statements of the merged text that no kept claim covers, `omitted` kept claims it lacks;
    where there are any, or no text could be made, `replaced` says why `text` is the claims word for word."""

    text: str
    abstained: bool
    added: tuple[str, ...] = ()
    omitted: tuple[str, ...] = ()
    replaced: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "added": list(self.added), "omitted": list(self.omitted)}


def merge_checked(merger: Merger, check: MergeCheck, question: str, claims: Sequence[str]) -> Merged:
    """Merge, check, and fall back on the claims themselves. No claims: the literal abstention. Never the original text."""
    if not claims:
        return Merged(ABSTENTION, abstained=True)
    plain = join_claims(claims)
    try:
        text = merger.merge(question, claims)
        statements = [claim.text for claim in RuleSplitter().split(question, text)]
        added, omitted = check.compare(text, statements, claims)
    except (ModelError, SplitError) as error:
        return Merged(plain, abstained=False, replaced=f"the merged text could not be made or checked: {error}")
    if added or omitted:
        reason = None if text == plain else "the merged text does not say what the claims say"
        return Merged(plain, False, tuple(added), tuple(omitted), reason)
    return Merged(text, abstained=False)
