"""Personal data of any person in a text: spans by type. For redaction and for counting, never for accusing.

The built-in detectors need a form that few other strings have (check digits, an @, a phone's shape); names, places and dates need
Presidio, which is optional.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from privacy.errors import PrivacyError
from privacy.matching.emails import find_emails
from privacy.matching.folding import Span
from privacy.matching.identifiers import find_cards, find_ibans, find_ssns
from privacy.matching.phones import detect_phones

Finder = Callable[[str, str | None], Iterator[tuple[Span, str]]]
# The first of overlapping spans wins: what has check digits before what has only a shape.
_FINDERS: dict[str, Finder] = {
    "email": lambda text, region: find_emails(text),
    "iban": lambda text, region: find_ibans(text),
    "us-ssn": lambda text, region: find_ssns(text),
    "payment-card": lambda text, region: find_cards(text),
    "phone": detect_phones,
}


@dataclass(frozen=True, order=True)
class Detected:
    """A span and its type; the value stays in the text."""

    span: Span
    type: str


def detect(text: str, region: str | None = "US") -> list[Detected]:
    """Spans of personal data, in order, none overlapping another."""
    taken: list[Detected] = []
    for name, finder in _FINDERS.items():
        spans = sorted({span for span, _ in finder(text, region)}, key=lambda s: (s.start - s.end, s.start))
        for span in spans:  # the longest first
            if all(span.end <= other.span.start or other.span.end <= span.start for other in taken):
                taken.append(Detected(span, name))
    return sorted(taken)


def detect_with_presidio(text: str, language: str = "en") -> list[Detected]:
    """Spans by Microsoft Presidio, types as Presidio names them. Raises PrivacyError when it or its language model is absent."""
    try:
        from presidio_analyzer import AnalyzerEngine  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        raise PrivacyError("Presidio is not installed; install presidio-analyzer and its language model") from None
    try:
        found = AnalyzerEngine().analyze(text=text, language=language)
    except (OSError, ValueError, SystemExit) as error:
        raise PrivacyError(f"Presidio could not start ({type(error).__name__}); install its language model") from None
    return sorted(Detected(Span(one.start, one.end), one.entity_type) for one in found)
