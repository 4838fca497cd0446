"""E-mail addresses: whole addr-specs (RFC 5322, without quoted local parts), the domain in lower case.

Another address of the same domain is no hit. Case of the local part does not count: no provider of note tells cases apart.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

from privacy.errors import ValueFormatError
from privacy.matching.folding import Span, fold

MAX_EMAIL = 254
# Every repetition is bounded, so that no text takes long.
_ATOM = r"[\w!#$%&'*+/=?^`{|}~-]{1,64}"
_LOCAL = rf"{_ATOM}(?:\.{_ATOM}){{0,8}}"
_LABEL = r"[^\W_](?:[\w-]{0,61}[^\W_])?"
_DOMAIN = rf"{_LABEL}(?:\.{_LABEL}){{1,8}}"
_SPEC = re.compile(rf"(?<![\w.]){_LOCAL}@{_DOMAIN}")
# jane.roe (at) mail [dot] example; without brackets only where the dots are spelt too.
_AT = r"\s{0,2}[\[({<]\s?at\s?[\])}>]\s{0,2}"
_DOT = r"(?:\s{0,2}[\[({<]\s?dot\s?[\])}>]\s{0,2}|\s{1,2}dot\s{1,2})"
_HIDDEN = re.compile(
    rf"(?<![\w.])(?P<local>{_LOCAL}(?:{_DOT}[\w-]{{1,64}}){{0,4}})"
    rf"(?:{_AT}(?P<domain>{_LABEL}(?:(?:\.|{_DOT}){_LABEL}){{1,8}})|\s{{1,2}}at\s{{1,2}}(?P<spelt>{_LABEL}(?:{_DOT}{_LABEL}){{1,8}}))",
    re.IGNORECASE,
)
# Allowed in a local part, but far more often what stands before an address.
_BEFORE = re.compile(r"[=/'`*{}|^!#$%&?~]")


def parse_email(value: str) -> str:
    """The address as it is compared. Raises ValueFormatError."""
    text = fold(value).text.strip()
    if len(text) > MAX_EMAIL or _SPEC.fullmatch(text) is None:
        raise ValueFormatError("an e-mail address does not parse; it must be one address as name@domain.example")
    return _normalise(text)


def find_emails(text: str) -> Iterator[tuple[Span, str]]:
    """Addresses of a text. What may be a prefix of the sentence is tried with and without it."""
    folded = fold(text)
    for found in _SPEC.finditer(folded.text):
        address = found.group()
        local = address.partition("@")[0]
        starts = [0, *(cut.end() for cut in _BEFORE.finditer(local) if cut.end() < len(local))]
        for start in starts:
            yield folded.span(found.start() + start, found.end()), _normalise(address[start:])
    for found in _HIDDEN.finditer(folded.text):
        local, domain = found["local"], found["domain"] or found["spelt"]
        yield folded.span(found.start(), found.end()), _normalise(f"{_dots(local)}@{_dots(domain)}")


def match_email(address: str, text: str) -> list[Span]:
    """Where a text gives this address; HTML character references and percent-encoding of @ are read."""
    hits = {span for span, found in find_emails(text) if found == address}
    if not hits and ("&#" in text or "%40" in text):
        plain = html.unescape(text).replace("%40", "@")
        hits = {Span(0, len(text)) for _, found in find_emails(plain) if found == address}
    return sorted(hits)


def _dots(part: str) -> str:
    return re.sub(_DOT, ".", part, flags=re.IGNORECASE)


def _normalise(address: str) -> str:
    local, _, domain = address.rpartition("@")
    try:
        domain = domain.lower().encode("idna").decode("ascii")
    except UnicodeError:
        domain = domain.lower()
    return f"{local.casefold()}@{domain}"
