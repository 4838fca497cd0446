"""What may be done to a text before it is tokenised, by name. The name is part of every result.

`none` reads the text as it stands. `unicode` composes characters (NFC), drops invisible format characters (zero-width space
and joiners, soft hyphen, byte-order mark) and turns every horizontal white space but the tab into a plain space; it serves the
purpose of the `unicode` normaliser of lm-watermarking (normalizers.py @ fb602de) but does not equal it. `homoglyphs` does the
same and turns Cyrillic, Greek and full-width look-alikes of Latin letters back, in texts that are mostly Latin and there only in
words that have no letter beyond Latin ones and look-alikes, so that foreign words stay.
"""

from __future__ import annotations

import re
import unicodedata

from watermark.errors import ConfigError

NORMALISATIONS = ("none", "unicode", "homoglyphs")

_INVISIBLE = (
    "\u00ad\u034f\u061c\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2061\u2062\u2063\u2064\ufeff"
)
_SPACES = "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
_CHARACTERS = {**{ord(char): None for char in _INVISIBLE}, **{ord(char): " " for char in _SPACES}}

# Unicode TR 39 confusables: letters that most fonts draw like the Latin one. Cyrillic, then Greek.
_LOOK_ALIKES = dict(
    zip(
        "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0455\u0456\u0458\u04bb\u0501\u051b\u051d"
        "\u0410\u0412\u0415\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0425\u0405\u0406\u0408\u04ae\u050c\u051a\u051c"
        "\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5\u03a7\u03bf\u03bd",
        "aeopcyxsijhdqwABEKMHOPCTXSIJYGQWABEZHIKMNOPTYXov",
        strict=True,
    )
)
_FULL_WIDTH = {chr(0xFEE0 + ord(char)): char for char in map(chr, range(0x21, 0x7F)) if char.isalpha()}
HOMOGLYPHS = {**_LOOK_ALIKES, **_FULL_WIDTH}
_TABLE = str.maketrans(HOMOGLYPHS)
_WORD = re.compile(r"[^\W\d_]+")
_LATIN = re.compile(r"[A-Za-z]")
_ALL_KNOWN = re.compile(f"(?:[A-Za-z\u00c0-\u024f]|[{''.join(HOMOGLYPHS)}])+")
_SUSPECT = re.compile(f"[{''.join(HOMOGLYPHS)}{_INVISIBLE}{_SPACES}]")


def normalise(text: str, how: str) -> str:
    """The text after the named normalisation. Raises ConfigError for an unknown name."""
    if how not in NORMALISATIONS:
        raise ConfigError(f"there is no normalisation {how[:40]!r}; known: {', '.join(NORMALISATIONS)}")
    if how == "none":
        return text
    text = unicodedata.normalize("NFC", text).translate(_CHARACTERS)
    return text if how == "unicode" else _without_homoglyphs(text)


def count_suspects(text: str) -> int:
    """How many characters `homoglyphs` would change in a mostly Latin text: a hint that somebody edited it invisibly."""
    if text.isascii() or not _mostly_latin(text):
        return 0
    return len(_SUSPECT.findall(text))


def _mostly_latin(text: str) -> bool:
    letters = sum(map(len, _WORD.findall(text)))
    return 2 * len(_LATIN.findall(text)) > letters


def _without_homoglyphs(text: str) -> str:
    if text.isascii() or not _mostly_latin(text):
        return text

    def repair(match: re.Match[str]) -> str:
        word = match.group()
        return word.translate(_TABLE) if _ALL_KNOWN.fullmatch(word) else word

    return _WORD.sub(repair, text)
