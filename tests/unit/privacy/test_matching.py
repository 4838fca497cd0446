"""Matchers: every way to write a value is a hit, and nothing else is."""

from __future__ import annotations

import pytest

from privacy.errors import PrivacyError, ValueFormatError
from privacy.matching import matchers
from privacy.matching.detection import detect
from privacy.matching.matchers import open_matcher

pytest.importorskip("phonenumbers")
pytest.importorskip("stdnum")
PHONE, EMAIL, NAME = ("phone", "212-555-0142"), ("email", "jane.roe@mail.example"), ("name", "Dr. José M. Núñez")
ADDRESS, GERMAN = ("address", "12 Elm Road, Springfield, IL 62701"), ("address", "Lindenstraße 7a\n10969 Berlin")
IBAN, SSN, CARD = ("iban", "DE89 3704 0044 0532 0130 00"), ("us-ssn", "078-05-1121"), ("payment-card", "4111 1111 1111 1111")

HITS = [
    (PHONE, "+1 (212) 555-0142"), (PHONE, "call 212.555.0142!"), (PHONE, "２１２ 555 0142"), (PHONE, "212–555–0142"),
    (PHONE, "a 212-555-0143 b 212-555-0142"), (PHONE, "0012125550142"), (PHONE, "212\u200b-555-0142"),
    (PHONE, "(212)5550142 x12"),
    (EMAIL, "<JANE.ROE@mail.example>."), (EMAIL, "e-mail=jane.roe@MAIL.example"), (EMAIL, "jane.roe (at) mail [dot] example"),
    (EMAIL, "jane dot roe at mail dot example"), (EMAIL, "jane.roe&#64;mail.example"), (EMAIL, "jane.roe%40mail.example"),
    (NAME, "It was José Núñez."), (NAME, "NUNEZ, Jose"), (NAME, "José M. Núñez"), (NAME, "Jose\nNunez"),
    (ADDRESS, "12 elm rd., springfield"), (ADDRESS, "12 Elm Road, Apt. 4, Springfield"),
    (ADDRESS, "in Springfield at 12 Elm Road"),
    (ADDRESS, "12 Elm Road\nSpringfield, IL"), (ADDRESS, "12 Elm Road, IL 62701"), (GERMAN, "Lindenstrasse 7a, 10969 Berlin"),
    (GERMAN, "10969 Berlin, Lindenstraße 7A"), (IBAN, "de89370400440532013000"), (IBAN, "DE89-3704-0044-0532-0130-00,"),
    (SSN, "078051121"), (SSN, "078 05 1121"), (CARD, "4111-1111-1111-1111"),
]  # fmt: skip
NO_HITS = [
    (PHONE, "2125 550142"[:4] + " members, 550142"), (PHONE, "1212 5550 1429"), (PHONE, "555-0142"), (PHONE, "(212)"),
    (PHONE, "92125550142777"), (PHONE, "212, 555, 0142"), (PHONE, "212\n555\n0142"),
    (EMAIL, "xjane.roe@mail.example"), (EMAIL, "jane.roe@mail.example.org"), (EMAIL, "jane.roe@sub.mail.example"),
    (EMAIL, "roe@mail.example"), (EMAIL, "look for jane.roe at mail"), (EMAIL, "mail.example"),
    (NAME, "José went. Núñez stayed."), (NAME, "J. Núñez"), (NAME, "José"), (NAME, "José (and his friend Núñez)"),
    (NAME, "Joséph Núñez"),
    (ADDRESS, "112 Elm Road, Springfield"), (ADDRESS, "12 Elm Road, Shelbyville"), (ADDRESS, "Springfield, IL 62701"),
    (ADDRESS, "12 Elm Road"), (ADDRESS, "10-12 Elm Road, Springfield"), (ADDRESS, "12 Elm Roads, Springfield"),
    (ADDRESS, "12 Elm Road, Shelbyville, not far from Springfield"), (ADDRESS, "Elm Road, Springfield will be fine"),
    (GERMAN, "Lindenstraße 7, 10969 Berlin"), (GERMAN, "Lindenstraße 17a, 10969 Berlin"),
    (IBAN, "XDE89370400440532013000"), (IBAN, "DE89370400440532013001"), (IBAN, "DE8937040044053201300012"),
    (SSN, "1078051121"), (SSN, "078-05-1122"), (CARD, "14111111111111111"),
]  # fmt: skip


@pytest.mark.parametrize(("target", "text"), HITS)
def test_hits(target: tuple[str, str], text: str) -> None:
    matcher = open_matcher(*target, region="US")
    spans = matcher.find(text)
    assert spans and all(0 <= span.start < span.end <= len(text) for span in spans)
    assert target[1] not in repr(matcher)


@pytest.mark.parametrize(("target", "text"), NO_HITS)
def test_no_hits(target: tuple[str, str], text: str) -> None:
    assert not open_matcher(*target, region="US").matches(text)


@pytest.mark.parametrize("target", [PHONE, EMAIL, NAME, ADDRESS, GERMAN, IBAN, SSN, CARD])
def test_a_value_matches_itself_and_no_empty_text(target: tuple[str, str]) -> None:
    matcher = open_matcher(*target, region="US")
    assert matcher.matches(target[1]) and not matcher.matches("")


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        ("phone", "37"), ("phone", "call me"), ("phone", "9" * 100), ("email", "jane.roe"), ("email", "a@b"),
        ("email", "a@b.c d"),
        ("name", "Madonna"), ("name", "J. R."), ("address", "Springfield, IL"), ("address", "34 Elm Road"),
        ("address", "x" * 500),
        ("iban", "DE89370400440532013001"), ("us-ssn", "000-12-3456"), ("payment-card", "4111111111111112"), ("iban", ""),
        ("id:es.nif", "54362315Z"), ("id:../../os", "1"), ("id:zz.nothing", "1"), ("shoe size", "12"),
    ],
)  # fmt: skip
def test_values_that_do_not_parse_are_refused_unquoted(type_: str, value: str) -> None:
    with pytest.raises(ValueFormatError) as error:
        open_matcher(type_, value, "US")
    assert not value or value not in str(error.value)


def test_a_national_id() -> None:
    matcher = open_matcher("id:es.nif", "54362315K")
    assert matcher.matches("NIF 54362315-k") and not matcher.matches("54362315J")


def test_long_texts_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matchers, "MAX_TEXT", 10)
    with pytest.raises(PrivacyError, match="split"):
        open_matcher(*PHONE, region="US").matches("x" * 11)


def test_hostile_texts_take_no_time() -> None:
    """Nothing here is quadratic: a long text of what almost matches."""
    for piece in ("1" * 60, "a.", "@", "(1", "DE89 3704 ", "12 Elm Road, ", "a(at)", "José ", " dot a"):
        text = piece * (50_000 // len(piece))
        for target in (PHONE, EMAIL, NAME, ADDRESS, IBAN, SSN, CARD):
            assert len(open_matcher(*target, region="US").find(text)) <= len(text)


def test_detection_takes_each_place_once() -> None:
    text = (
        "Mail jane.roe@mail.example or +1 212 555 0142; SSN 078-05-1121, card 4111 1111 1111 1111, IBAN DE89370400440532013000."
    )
    found = detect(text)
    assert [(one.type, text[one.span.start : one.span.end]) for one in found] == [
        ("email", "jane.roe@mail.example"), ("phone", "+1 212 555 0142"), ("us-ssn", "078-05-1121"),
        ("payment-card", "4111 1111 1111 1111"), ("iban", "DE89370400440532013000"),
    ]  # fmt: skip
    assert not detect("On 2020-06-20 14:11:22 the address 179.177.214.91 was blocked; 12 of 345.")
