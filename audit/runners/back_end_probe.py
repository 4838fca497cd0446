"""What a back end is asked before personal values are scored with it; a failure is a refusal, never a number.

Back ends are known to fall back to chance (llama.cpp 27174), to return values that depend on the order of requests (vLLM 42019),
and to tokenize prompts anew. All that is sent here are fixed, harmless texts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from audit.runners.probe import KNOWN_TEXT, TOLERANCE_NATS
from privacy.errors import ModelAccessError
from privacy.probes.model import Decoding

if TYPE_CHECKING:
    from privacy.probes.model import ProbedModel

Row = Sequence[int]
Scores = list[list[tuple[float, ...]]]
ScoreCandidates = Callable[[Sequence[Row], Sequence[Sequence[Row]]], Scores]
GREEDY = Decoding(max_new_tokens=8, temperature=0.0)
LEAST_GAIN = 0.5
"""Nats a token by which the model's own greedy answer must be likelier than other tokens in its place."""
PIECES = (("The phone of Nobody Inparticular is", " 555-0100"), ("Write to", " nobody@example.com"), ("It is a", " b"))


def check_tokenizer(model: ProbedModel) -> None:
    """Tokens give the text back, the same each time, and no special ones are added. Raises ModelAccessError."""
    if model.tokenize(""):
        raise ModelAccessError("the tokenizer adds special tokens to a text; their place between prompt and value is unknown")
    for context, value in PIECES:
        head, whole = model.tokenize(context), model.tokenize(context + value)
        if not head or whole != model.tokenize(context + value):
            raise ModelAccessError("the tokenizer gives no tokens for a text, or others the second time")
        if "".join(model.detokenize(whole).split()) != "".join((context + value).split()):
            raise ModelAccessError("the tokenizer does not give a text back from its tokens; it changes what it reads")
        if head[0] != whole[0]:
            raise ModelAccessError("the tokenizer joins a prompt with what follows from its first token on; no boundary is kept")


def check_scores(
    score: ScoreCandidates, write: Callable[[Sequence[Row], Decoding], list[tuple[int, ...]]], tokenize: Callable[[str], Row]
) -> float:
    """Scores are not chance and do not depend on order. Returns the largest difference that order made (nats a token).

    A greedy answer is what the model finds likeliest: scored again it must beat another text of its length by LEAST_GAIN a token.
    Raises ModelAccessError with what was found.
    """
    known = list(tokenize(KNOWN_TEXT))
    known, answer = _answered(known, write)
    other = [known[place % len(known)] for place in range(len(answer))]
    other = [known[(place + 1) % len(known)] if a == b else b for place, (a, b) in enumerate(zip(answer, other))]
    rows: list[Row] = [answer, other, known]
    first = score([known], [rows])[0]
    for logs, row in zip(first, rows, strict=True):
        _check_finite(logs, len(row))
    gain = (math.fsum(first[0]) - math.fsum(first[1])) / len(answer)
    if gain < LEAST_GAIN:
        raise ModelAccessError(
            f"the back end finds the model's own greedy answer only {gain:.2f} nats a token likelier than other tokens: its"
            " log-probabilities are no better than chance"
        )
    again = [score([known], [rows[::-1]])[0][::-1], *(score([known[: len(known) // 2], known], [[known], rows])[1:])]
    worst = max(
        abs(a - b)
        for found in (*again, [score([known], [[row]])[0][0] for row in rows])
        for x, y in zip(first, found, strict=True)
        for a, b in zip(x, y, strict=True)
    )
    if worst > TOLERANCE_NATS:
        raise ModelAccessError(f"log-probabilities depend on the order of requests: the same token differs by {worst:.2f} nats")
    return worst


def _answered(known: list[int], write: Callable[[Sequence[Row], Decoding], list[tuple[int, ...]]]) -> tuple[list[int], list[int]]:
    """The longest of a few beginnings that the model goes on with, and how; after some it may end the text at once."""
    for length in sorted({len(known) * quarter // 4 for quarter in (4, 3, 2, 1)} - {0}, reverse=True):
        answer = list(write([known[:length]], GREEDY)[0])
        if answer:
            return known[:length], answer
    raise ModelAccessError(
        "the model ends a plain English text at once wherever it is cut; its scores cannot be told from chance"
    )


def check_listed_tokens(
    next_tokens: Callable[[Sequence[Row]], list[Mapping[int, float]]], tokenize: Callable[[str], Row]
) -> None:
    """Lists of next tokens are distributions, not all alike, and the same in another order. Raises ModelAccessError."""
    known = list(tokenize(KNOWN_TEXT))
    prompts: list[Row] = [known, known[: len(known) // 2], known[:1]]
    first, again = next_tokens(prompts), next_tokens(prompts[::-1])[::-1]
    for listed in first:
        _check_finite(list(listed.values()), len(listed))
        if math.fsum(map(math.exp, listed.values())) > 1 + 1e-3:
            raise ModelAccessError("the listed next tokens have a probability above 1 together")
    if first[0] == first[1] == first[2]:
        raise ModelAccessError("the listed next tokens do not depend on the prompt")
    for one, other in zip(first, again, strict=True):
        shared = set(one) & set(other)
        if not shared or any(abs(one[token] - other[token]) > TOLERANCE_NATS for token in shared):
            raise ModelAccessError("the listed next tokens depend on the order of requests")


def _check_finite(logs: Sequence[float], count: int) -> None:
    if len(logs) != count or any(math.isnan(one) or one > 1e-3 for one in logs):
        raise ModelAccessError("the back end gives log-probabilities that are NaN, above 0, or not one a token")
