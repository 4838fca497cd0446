"""Truncation: what a reader who quotes a part of a text does to its mark."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from watermark.attacks.protocol import Tokens, check_rate


@dataclass(frozen=True)
class Truncation:
    """round(rate n) tokens are cut off: at the start, at the end, or around a passage whose place is drawn."""

    cut: Literal["start", "end", "around"] = "around"
    name: str = "truncation"

    def edit_tokens(self, tokens: Tokens, rate: float, rng: np.random.Generator) -> Tokens:
        kept = tokens.size - round(check_rate(rate) * tokens.size)
        first = {"start": tokens.size - kept, "end": 0, "around": int(rng.integers(0, tokens.size - kept + 1))}[self.cut]
        return tokens[first : first + kept].copy()
