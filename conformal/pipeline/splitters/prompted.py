"""Claims by asking a model, as in arXiv 2402.10978. A reply in any other form than asked for is refused, never repaired."""

from __future__ import annotations

from typing import Any

from conformal.pipeline.errors import ReplyError, SplitError
from conformal.pipeline.model import Decoding, Generator
from conformal.pipeline.prompts import SPLIT
from conformal.pipeline.replies import parse_json_lines
from conformal.pipeline.splitters.claim import Claim, check_answer, check_claims

MAX_NEW_TOKENS = 1024


class PromptedSplitter:
    """Splits by the prompt SPLIT, greedily. Its digest is in `describe`."""

    name = "llm"

    def __init__(self, model: Generator, max_new_tokens: int = MAX_NEW_TOKENS) -> None:
        self._model, self._decoding = model, Decoding(max_new_tokens)

    def describe(self) -> dict[str, Any]:
        facts = self._model.facts()
        return {
            "splitter": self.name,
            **SPLIT.describe(),
            "decoding": self._decoding.to_json(),
            "model": facts.name,
            "model_digest": facts.digest,
        }

    def split(self, question: str, answer: str) -> list[Claim]:
        check_answer(answer)
        if not answer.strip():
            return []
        reply = self._model.answer([SPLIT.fill(question=question, answer=answer)], self._decoding)[0]
        if reply.finish_reason == "length":
            raise SplitError(f"the splitter's reply did not end within {self._decoding.max_new_tokens} tokens")
        return parse_claims(reply.text)


def parse_claims(reply: str) -> list[Claim]:
    """The claims of a reply. Raises SplitError."""
    try:
        rows = parse_json_lines(reply)
    except ReplyError as error:
        raise SplitError(f"the splitter's reply cannot be used: {error}") from None
    return check_claims([_claim(row, index) for index, row in enumerate(rows)])


def _claim(row: dict[str, Any], index: int) -> Claim:
    text, premises = row.get("claim"), row.get("premises", [])
    if set(row) - {"claim", "premises"} or not isinstance(text, str):
        raise SplitError(f"claim {index} of the splitter's reply is not an object with claim (a text) and premises")
    if not isinstance(premises, list) or not all(type(premise) is int for premise in premises):
        raise SplitError(f"claim {index} of the splitter's reply has premises that are not numbers")
    return Claim(" ".join(text.split()), tuple(sorted(set(premises))))
