"""Copy and paste: pieces of a marked text inside clean text (Kirchenbauer et al., arXiv 2306.04634, section 4: "CP")."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from watermark.attacks.protocol import Tokens, check_rate
from watermark.errors import AttackError

MAX_SEGMENTS = 1000


@dataclass(frozen=True)
class CopyPaste:
    """The text keeps its length n; round(rate n) tokens of it become clean.

    What remains of the marked text is its beginning, cut into `segments` pieces of equal length (up to one token) that keep their
    order; clean passages of drawn lengths stand before, between and after them, taken from `clean` at a drawn place. For the
    paper's CP-3-10 %: segments 3, rate 0.9.
    """

    clean: tuple[Tokens, ...]
    segments: int = 1
    name: str = "copy-paste"

    def __post_init__(self) -> None:
        if not 1 <= self.segments <= MAX_SEGMENTS:
            raise AttackError(f"copy-paste takes 1 to {MAX_SEGMENTS} segments, not {self.segments}")
        if not any(text.size for text in self.clean):
            raise AttackError("copy-paste needs clean texts to paste into")

    def edit_tokens(self, tokens: Tokens, rate: float, rng: np.random.Generator) -> Tokens:
        foreign = round(check_rate(rate) * tokens.size)
        pieces = np.array_split(tokens[: tokens.size - foreign], self.segments)
        passage = self._passage(foreign, rng)
        cuts = np.sort(rng.integers(0, foreign + 1, self.segments))
        parts: list[Tokens] = []
        for gap, piece in zip(np.split(passage, cuts), [*pieces, tokens[:0]]):
            parts += [gap, piece]
        return np.concatenate(parts)

    def _passage(self, length: int, rng: np.random.Generator) -> Tokens:
        """`length` clean tokens: a passage of one text, continued with further ones where it is too short."""
        usable = [text for text in self.clean if text.size]
        text = usable[int(rng.integers(len(usable)))]
        start = int(rng.integers(0, max(text.size - length, 0) + 1))
        parts = [text[start : start + length]]
        missing = length - parts[0].size
        while missing > 0:
            parts.append(usable[int(rng.integers(len(usable)))][:missing])
            missing -= parts[-1].size
        return np.concatenate(parts)
