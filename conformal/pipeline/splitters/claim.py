"""A claim as a splitter leaves it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from conformal.pipeline.errors import SplitError

MAX_ANSWER_CHARS = 200_000
MAX_CLAIMS = 500
MAX_CLAIM_CHARS = 4_000


@dataclass(frozen=True)
class Claim:
    """`premises` are indices of earlier claims it rests on; `span` is where it stands in the answer, None if reworded."""

    text: str
    premises: tuple[int, ...] = ()
    span: tuple[int, int] | None = None

    def to_json(self) -> dict[str, Any]:
        return {"text": self.text, "premises": list(self.premises), "span": list(self.span) if self.span else None}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Claim:
        span = value["span"]
        return cls(value["text"], tuple(value["premises"]), (span[0], span[1]) if span else None)


class Splitter(Protocol):
    """Cuts an answer into claims, in the order of the answer."""

    @property
    def name(self) -> str: ...

    def describe(self) -> dict[str, Any]:
        """Name, version and digests, for the manifest."""
        ...

    def split(self, question: str, answer: str) -> list[Claim]:
        """Empty for an answer that claims nothing. Raises SplitError, ModelError."""
        ...


def check_claims(claims: Sequence[Claim]) -> list[Claim]:
    """The claims, if within bounds. Raises SplitError."""
    if len(claims) > MAX_CLAIMS:
        raise SplitError(f"more than {MAX_CLAIMS} claims in one answer")
    for index, claim in enumerate(claims):
        if not claim.text.strip() or len(claim.text) > MAX_CLAIM_CHARS:
            raise SplitError(f"claim {index} is empty or longer than {MAX_CLAIM_CHARS} characters")
        if not all(0 <= premise < index for premise in claim.premises):
            raise SplitError(f"claim {index} names a premise that is not an earlier claim")
    return list(claims)


def check_answer(answer: str) -> None:
    """Raises SplitError for an answer that is too long."""
    if len(answer) > MAX_ANSWER_CHARS:
        raise SplitError(f"the answer has more than {MAX_ANSWER_CHARS} characters")
