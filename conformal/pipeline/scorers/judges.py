"""Whether a text supports claims: +1 supports, 0 says nothing, -1 contradicts; judged by a model, entailment or vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from conformal.pipeline.errors import ReplyError
from conformal.pipeline.model import Decoding, Embedder, Entailment, Generator, Verdict
from conformal.pipeline.prompts import SUPPORT
from conformal.pipeline.replies import parse_json_lines
from conformal.pipeline.splitters.sentences import find_blocks, find_sentences

Support = float | None
CLAIMS_A_PROMPT = 40
TOKENS_A_CLAIM = 24
MAX_SENTENCES = 400
_SUPPORT: dict[Verdict, float] = {"entails": 1.0, "neutral": 0.0, "contradicts": -1.0}


class SupportJudge(Protocol):
    """Judges claims by a text alone."""

    @property
    def name(self) -> str: ...

    def describe(self) -> dict[str, Any]: ...

    def judge(self, text: str, claims: Sequence[str]) -> list[Support]:
        """One in [-1, 1] a claim; None where there is no judgement. Raises ModelError."""
        ...


class PromptedJudge:
    """Asks a model by the prompt SUPPORT, greedily. A reply in another form judges none of the claims it was asked about."""

    name = "llm"

    def __init__(self, model: Generator) -> None:
        self._model = model

    def describe(self) -> dict[str, Any]:
        facts = self._model.facts()
        return {"judge": self.name, **SUPPORT.describe(), "model": facts.name, "model_digest": facts.digest}

    def judge(self, text: str, claims: Sequence[str]) -> list[Support]:
        out: list[Support] = []
        for first in range(0, len(claims), CLAIMS_A_PROMPT):
            part = list(claims[first : first + CLAIMS_A_PROMPT])
            decoding = Decoding(TOKENS_A_CLAIM * (len(part) + 1))
            reply = self._model.answer([SUPPORT.fill(text=text, claims=part)], decoding)[0]
            try:
                out += parse_support(reply.text, len(part))
            except ReplyError:
                out += [None] * len(part)
        return out


def parse_support(reply: str, count: int) -> list[Support]:
    """The judgement of every claim, each named just once. Raises ReplyError."""
    found: dict[int, float] = {}
    for row in parse_json_lines(reply):
        number, support = row.get("claim"), row.get("support")
        if set(row) != {"claim", "support"} or type(number) is not int or type(support) is not int:
            raise ReplyError("a judgement is not an object with claim and support, both whole numbers")
        if not 0 <= number < count or number in found or support not in (-1, 0, 1):
            raise ReplyError(f"a judgement names claim {str(number)[:20]} twice or wrongly, or is none of -1, 0, 1")
        found[number] = float(support)
    if len(found) != count:
        raise ReplyError(f"{count - len(found)} of {count} claims were not judged")
    return [found[number] for number in range(count)]


class EntailmentJudge:
    """By entailment between text and claim. A text too long for the model is judged sentence by sentence: supported if any
    sentence entails the claim, contradicted if one contradicts it and none entails it."""

    name = "nli"

    def __init__(self, entailment: Entailment) -> None:
        self._entailment = entailment

    def describe(self) -> dict[str, Any]:
        return {"judge": self.name, **self._entailment.describe()}

    def judge(self, text: str, claims: Sequence[str]) -> list[Support]:
        whole = self._entailment.verdicts([(text, claim) for claim in claims])
        return [
            _SUPPORT[verdict] if verdict is not None else self._by_sentence(text, claim)
            for verdict, claim in zip(whole, claims, strict=True)
        ]

    def _by_sentence(self, text: str, claim: str) -> Support:
        sentences = sentences_of(text)
        if len(sentences) < 2:
            return None
        found = self._entailment.verdicts([(sentence, claim) for sentence in sentences])
        known = [verdict for verdict in found if verdict is not None]
        if "entails" in known:
            return 1.0
        if len(known) < len(found):
            return None
        return -1.0 if "contradicts" in known else 0.0


class EmbeddingJudge:
    """By vectors: the largest cosine between the claim and a sentence of the text. Tells likeness, never contradiction."""

    name = "embedding"

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    def describe(self) -> dict[str, Any]:
        return {"judge": self.name, **self._embedder.describe()}

    def judge(self, text: str, claims: Sequence[str]) -> list[Support]:
        sentences = sentences_of(text)
        if not sentences or not claims:
            return [0.0 for _ in claims]
        vectors = self._embedder.embed([*sentences, *claims])
        likeness = vectors[len(sentences) :] @ vectors[: len(sentences)].T
        return [float(min(1.0, max(-1.0, row.max()))) for row in likeness]


def sentences_of(text: str) -> list[str]:
    """The first MAX_SENTENCES sentences of a text."""
    spans = [span for block in find_blocks(text) for span in find_sentences(text, block.span)]
    return [" ".join(text[start:end].split()) for start, end in spans[:MAX_SENTENCES]]
