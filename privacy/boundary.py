"""Tokens of a prompt and of the values after it, with one boundary for the target and its nulls.

Prompt, separator and value are tokenised as one string, never apart: a tokenizer that joins the space or the first digits with
what stands before would else score tokens that no text has. Where it joins, the boundary moves left to the last token that all
values share, for target and nulls alike, so that every score is of the same kind.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from privacy.errors import BoundaryError

Tokenize = Callable[[str], Sequence[int]]
KEPT_SHARE = 0.5


@dataclass(frozen=True)
class Boundary:
    """`prompt + candidates[i]` are the tokens of context, separator, value i and terminator. Tokens are personal: never printed.

    `moved`: how many of the context's own tokens went to the candidates.
    """

    prompt: tuple[int, ...] = field(repr=False)
    candidates: tuple[tuple[int, ...], ...] = field(repr=False)
    moved: int = 0


def split_at_boundary(
    tokenize: Tokenize, context: str, values: Sequence[str], separator: str = " ", terminator: str = "",
    kept_share: float = KEPT_SHARE,
) -> Boundary:  # fmt: skip
    """Where the prompt ends for all `values` alike (the target and its nulls; their order plays no part in where that is).

    Every candidate has at least one token. No two are the same, or no score could tell them apart; none is the beginning of
    another, which would have at least its likelihood in any model: with values that begin one another, name a `terminator`
    (a full stop, a line break) that is scored with each. Raises BoundaryError where less than `kept_share` of the context's
    tokens is left, or a candidate breaks these rules.
    """
    if not values:
        raise BoundaryError("there is no value to score")
    if not 0 <= kept_share <= 1:
        raise BoundaryError("the share of the context to keep lies between 0 and 1")
    alone = tuple(tokenize(context))
    if not alone:
        raise BoundaryError("the context has no tokens; a value needs a prompt before it")
    whole = [tuple(tokenize(context + separator + value + terminator)) for value in values]
    kept = min(_shared(alone, tokens) for tokens in whole)
    if kept == 0 or kept < kept_share * len(alone):
        raise BoundaryError(
            f"the tokenizer joins prompt and value: {kept} of {len(alone)} tokens of the prompt are left, fewer than"
            f" {kept_share:.0%}; end the prompt with another word or mark"
        )
    candidates = tuple(tokens[kept:] for tokens in whole)
    _check(candidates)
    return Boundary(alone[:kept], candidates, len(alone) - kept)


def _shared(alone: tuple[int, ...], tokens: tuple[int, ...]) -> int:
    """Tokens that both begin with, leaving at least one of `tokens`."""
    shared = 0
    for ours, theirs in zip(alone, tokens[:-1]):
        if ours != theirs:
            break
        shared += 1
    return shared


def _check(candidates: tuple[tuple[int, ...], ...]) -> None:
    ordered = sorted(candidates)
    # In order, whatever begins another stands right before one that it begins.
    for earlier, later in pairwise(ordered):
        if earlier == later:
            raise BoundaryError("the tokenizer gives two different values the same tokens; their scores could not be told apart")
        if later[: len(earlier)] == earlier:
            raise BoundaryError(
                "the tokens of one value begin those of another; score a terminator, such as a full stop, with each"
            )
