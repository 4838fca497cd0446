"""Text normalisation: undoes invisible edits, and leaves honest text alone."""

from __future__ import annotations

import numpy as np
import pytest

from watermark.attacks.characters import Homoglyphs, WhiteSpace, ZeroWidth
from watermark.errors import ConfigError
from watermark.normalization import NORMALISATIONS, count_suspects, normalise

TEXT = "Some answers exist; Every PHYSICIST knows that water is wet, although proof is hard to obtain."


def test_none_changes_nothing() -> None:
    text = "a\u200bb\u00a0\u0430e\u0301"
    assert normalise(text, "none") == text


def test_unicode_drops_what_is_invisible_and_composes() -> None:
    assert normalise("a\u200bb\u00adc\ufeff", "unicode") == "abc"
    assert normalise("a\u00a0b\u2009c\td\ne", "unicode") == "a b c\td\ne"
    assert normalise("e\u0301", "unicode") == "\u00e9"
    assert normalise("p\u0430y", "unicode") == "p\u0430y"  # homoglyphs stay


def test_homoglyphs_undoes_the_attacks() -> None:
    rng = np.random.default_rng(5)
    edited = Homoglyphs().edit_text(TEXT, 0.4, rng)
    assert edited != TEXT and normalise(edited, "homoglyphs") == TEXT
    marked = ZeroWidth().edit_text(TEXT, 0.3, rng)
    assert marked != TEXT and normalise(marked, "homoglyphs") == TEXT
    spaced = WhiteSpace().edit_text(TEXT, 0.5, rng)
    words = normalise(spaced, "homoglyphs").split()
    assert words == TEXT.split()


@pytest.mark.parametrize(
    "text",
    [
        "\u041c\u043e\u0441\u043a\u0432\u0430 \u2014 \u0441\u0442\u043e\u043b\u0438\u0446\u0430, \u0430 \u043d\u0435 X-Ray.",
        "\u0391\u03b8\u03ae\u03bd\u03b1 \u03ba\u03b1\u03b9 \u039f\u03bb\u03c5\u03bc\u03c0\u03af\u03b1",
        "The city of \u041c\u043e\u0441\u043a\u0432\u0430 lies in the east of the continent.",
        "na\u00efve caf\u00e9, \u4e2d\u6587",
    ],
)
def test_honest_text_in_other_scripts_stays(text: str) -> None:
    assert normalise(text, "homoglyphs") == text


def test_suspects_are_counted_in_mostly_latin_text_only() -> None:
    assert count_suspects(TEXT) == 0
    assert count_suspects(TEXT.replace("e", "\u0435")) == TEXT.count("e")
    assert count_suspects("\u041c\u043e\u0441\u043a\u0432\u0430") == 0
    assert count_suspects("") == 0 and normalise("", "homoglyphs") == ""


def test_names_are_checked() -> None:
    for name in NORMALISATIONS:
        assert normalise(normalise(TEXT, name), name) == TEXT
    with pytest.raises(ConfigError, match="homoglyphs"):
        normalise(TEXT, "truecase")
