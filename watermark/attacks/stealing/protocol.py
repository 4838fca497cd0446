"""What every stealing attack gives: boosts for the tokens after a context, whatever it learned them from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from watermark.attacks.protocol import Tokens
from watermark.attacks.stealing.zipf import Ints

# Logits (or log-probabilities) of the next token after each context, (n, vocab_size).
NextLogits = Callable[[Sequence[Tokens]], npt.NDArray[Any]]
# Tokens that could stand in a text at a position in place of the one there, the best first.
Alternatives = Callable[[Tokens, Sequence[int]], Sequence[Ints]]


class Stolen(Protocol):
    """What was stolen. A boost is 0 for tokens not called green and at most 1; it depends on the last `context_width` tokens."""

    @property
    def name(self) -> str: ...

    @property
    def context_width(self) -> int: ...

    @property
    def estimated_precision(self) -> float | None:
        """The attack's own estimate of the share of its calls that are green, where it has one."""
        ...

    @property
    def details(self) -> Mapping[str, Any]:
        """How it went, in JSON values, without tokens."""
        ...

    def boosts(self, contexts: Sequence[Tokens]) -> npt.NDArray[np.float32]:
        """(n, vocab_size), for each context."""
        ...

    def boost_of(self, context: Tokens, tokens: Ints) -> npt.NDArray[np.float32]:
        """The boosts of some tokens after one context."""
        ...

    def calls(self, contexts: Ints, rng: np.random.Generator) -> tuple[Ints, Ints]:
        """What it calls green after the given contexts (n, width): rows of `contexts` and tokens, equally long."""
        ...
