"""Stated confidence read by a model: the prompt, the strict reading of its reply, and the count of what could not be read.

The reply must be JSON lines of exactly {"claim", "quote", "probability"}: `quote` must stand in the text word for word, so that
every probability has a span there, and `probability` is a number in [0, 1] or null. A reply with any other line is an
abstention as a whole: half a reply is not trusted. Nothing the model writes is evaluated.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

from conformal.errors import LevelError
from conformal.linguistic.generator import Generator

TEMPLATE = """For every claim in the text between the markers, tell how confident the text says it is. Use only what the text \
states; do not judge whether the claim is true. Write one JSON object a line, nothing else:
{{"claim": "...", "quote": "the words of the text that state the confidence", "probability": 0.7}}
Use null as probability where the text states no confidence or where it is ambiguous; the quote is then the claim's own words.
<<<TEXT
{text}
TEXT>>>
"""
MAX_REPLY_CHARACTERS = 200_000
MAX_CLAIMS = 500
MAX_CLAIM_CHARACTERS = 2_000
_MEMBERS = {"claim", "quote", "probability"}


@dataclass(frozen=True)
class ExtractedConfidence:
    """A claim, and the span text[start:end] that states its confidence; `probability` None where none can be told."""

    claim: str
    start: int
    end: int
    probability: float | None


@dataclass(frozen=True)
class Extraction:
    """`claims` is None where the model's reply could not be read; `reason` then says why. An empty tuple: no claims."""

    claims: tuple[ExtractedConfidence, ...] | None
    reason: str = ""


@dataclass(frozen=True)
class ExtractionCounts:
    """How many texts, replies that could not be read, claims, and claims without a readable confidence."""

    texts: int
    abstentions: int
    claims: int
    ambiguous: int


def extract_confidences(generator: Generator, texts: Sequence[str], *, max_tokens: int = 1024, seed: int = 0) -> list[Extraction]:
    """One extraction a text, greedy. Raises LevelError when the generator does not answer every text."""
    replies = generator.generate([prompt_of(text) for text in texts], max_tokens=max_tokens, temperature=0.0, seed=seed)
    if len(replies) != len(texts):
        raise LevelError(f"the model gave {len(replies)} replies for {len(texts)} texts")
    return [parse_reply(reply, text) for reply, text in zip(replies, texts)]


def prompt_of(text: str) -> str:
    """The prompt for one text; markers inside it are broken up."""
    return TEMPLATE.format(text=text.replace("<<<", "< < <").replace(">>>", "> > >"))


def template_digest() -> str:
    """SHA-256 of the prompt template."""
    return hashlib.sha256(TEMPLATE.encode()).hexdigest()


def parse_reply(reply: str, text: str) -> Extraction:
    """Strictly: anything but the agreed JSON lines is an abstention with its reason."""
    lines = [line for line in reply[: MAX_REPLY_CHARACTERS + 1].splitlines() if line.strip()]
    if len(reply) > MAX_REPLY_CHARACTERS or len(lines) > MAX_CLAIMS:
        return Extraction(None, "reply too long")
    if not lines:
        return Extraction(None, "empty reply")
    found: list[ExtractedConfidence] = []
    after = 0
    for line in lines:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            return Extraction(None, "not JSON lines")
        if not isinstance(row, dict) or set(row) != _MEMBERS:
            return Extraction(None, "other members than agreed")
        claim, quote, probability = row["claim"], row["quote"], row["probability"]
        if not all(isinstance(words, str) and 0 < len(words) <= MAX_CLAIM_CHARACTERS for words in (claim, quote)):
            return Extraction(None, "claim or quote is no text")
        if probability is not None and not _is_probability(probability):
            return Extraction(None, "probability out of range")
        # The same words may stand in the text several times: quotes come in the order of the text, else the first place.
        start = text.find(quote, after)
        start = start if start >= 0 else text.find(quote)
        if start < 0:
            return Extraction(None, "quote not in the text")
        after = start + len(quote)
        found.append(ExtractedConfidence(claim, start, after, None if probability is None else float(probability)))
    return Extraction(tuple(found))


def count(extractions: Sequence[Extraction]) -> ExtractionCounts:
    """What a report prints beside every figure that rests on extractions."""
    claims = [claim for one in extractions for claim in one.claims or ()]
    return ExtractionCounts(
        texts=len(extractions),
        abstentions=sum(one.claims is None for one in extractions),
        claims=len(claims),
        ambiguous=sum(claim.probability is None for claim in claims),
    )


def _is_probability(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) and 0.0 <= value <= 1.0
