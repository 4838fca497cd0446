"""Edits of characters that a reader does not see: homoglyphs, zero-width characters, white space.

They leave the words and change the tokens. A detector that normalises text first (Unicode confusables, zero-width characters)
undoes them; one that does not sees new tokens wherever one stands.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from watermark.attacks.protocol import check_rate

# Cyrillic and Greek letters that look like Latin ones (Unicode TR 39 confusables, a selection).
HOMOGLYPHS = dict(
    zip(
        "aceijopsxyABCEHIJKMOPSTXYZ",
        "\u0430\u0441\u0435\u0456\u0458\u043e\u0440\u0455\u0445\u0443"
        "\u0410\u0412\u0421\u0415\u041d\u0406\u0408\u041a\u041c\u041e\u0420\u0405\u0422\u0425\u03a5\u0396",
    )
)
ZERO_WIDTH = ("\u200b", "\u200c", "\u200d", "\u2060")
SPACES = ("\u00a0", "  ", "\u2009", "\t")


def _chosen(places: list[int], rate: float, rng: np.random.Generator) -> set[int]:
    count = round(check_rate(rate) * len(places))
    return {places[int(i)] for i in rng.permutation(len(places))[:count]}


@dataclass(frozen=True)
class Homoglyphs:
    """A share `rate` of the letters that have a look-alike is replaced by it."""

    name: str = "homoglyphs"

    def edit_text(self, text: str, rate: float, rng: np.random.Generator) -> str:
        chosen = _chosen([i for i, letter in enumerate(text) if letter in HOMOGLYPHS], rate, rng)
        return "".join(HOMOGLYPHS[letter] if i in chosen else letter for i, letter in enumerate(text))


@dataclass(frozen=True)
class ZeroWidth:
    """A zero-width character follows a share `rate` of all characters."""

    name: str = "zero-width"

    def edit_text(self, text: str, rate: float, rng: np.random.Generator) -> str:
        chosen = _chosen(list(range(len(text))), rate, rng)
        marks = rng.integers(0, len(ZERO_WIDTH), len(text))
        return "".join(letter + ZERO_WIDTH[marks[i]] if i in chosen else letter for i, letter in enumerate(text))


@dataclass(frozen=True)
class WhiteSpace:
    """A share `rate` of the plain spaces becomes another white space or two of them."""

    name: str = "white-space"

    def edit_text(self, text: str, rate: float, rng: np.random.Generator) -> str:
        chosen = _chosen([i for i, letter in enumerate(text) if letter == " "], rate, rng)
        kinds = rng.integers(0, len(SPACES), len(text))
        return "".join(SPACES[kinds[i]] if i in chosen else letter for i, letter in enumerate(text))
