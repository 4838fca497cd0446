"""Invented values: of the wanted format, different, valid, and under exactly one law for canaries and their nulls."""

from __future__ import annotations

import hashlib
import itertools
import random
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from privacy.errors import PlanError, PrivacyError, ValueFormatError
from privacy.invented import values
from privacy.invented.people import draw_people, draw_person
from privacy.invented.slots import Choice, Format, Read, digits, draw_others, draw_value
from privacy.invented.values import TYPES, draw_values, invent_value, read_format
from privacy.invented.words import AFFILIATIONS, AREA_CODES, GIVEN_NAMES, RELATIONS, SURNAMES, TOWNS
from privacy.matching import matchers
from privacy.matching.matchers import open_matcher
from privacy.people import Origin

pytest.importorskip("phonenumbers")
pytest.importorskip("stdnum")
MATCHED = tuple(type_ for type_ in TYPES if type_ in matchers.TYPES)

# type, value, what stays of it and how all values of its format look
FORMATS = [
    ("phone", "212-555-0142", r"\d{3}-555-01\d\d"),
    ("phone", "+1 (212) 555 0142", r"\+1 \(\d{3}\) 555 01\d\d"),
    ("phone", "(212) 736-5000", r"\(212\) \d{3}-\d{4}"),
    ("phone", "+44 20 7946 0958", r"\+44 20 \d{4} \d{4}"),
    ("phone", "+49 (0)30 12345678", r"\+49 \(0\)30 [1-9]\d{7}"),
    ("email", "jane.roe@mail.example", r"[a-z]+\.[a-z]+@mail\.example"),
    ("email", "JRoe1987@mail.example", r"[A-Za-z]+(?:19[4-9]\d|200\d)@mail\.example"),
    ("email", "j_roe-77@Mail.Example", r"[a-z]_[a-z]+-\d\d@Mail\.Example"),
    ("email", "4711@mail.example", r"\d{4}@mail\.example"),
    ("address", "12 Elm Road, Springfield, IL 62701", r"[1-9]\d [A-Z][a-z]+ Road, Springfield, IL 62701"),
    ("address", "1200 W. ELM ST., Springfield, IL", r"[1-9]\d{3} [A-Z]+ ST\., Springfield, IL"),
    ("address", "Lindenstraße 7a\n10969 Berlin", r"[A-Z][a-z]+straße [1-9][a-h]\n10969 Berlin"),
    ("address", "12 rue de la Paix, Apt. 4, 75002 Paris", r"[1-9]\d rue de la [A-Z][a-z]+, Apt\. 4, 75002 Paris"),
    ("name", "Dr. José M. Núñez", r"Dr\. [A-Z][a-z]+ M\. [A-Z][a-z]+"),
    ("name", "NUNEZ, Jose", r"[A-Z]+, [A-Z][a-z]+"),
    ("name", "anna-lena van smith-jones", r"[a-z]+-[a-z]+ van [a-z]+-[a-z]+"),
    ("iban", "DE89 3704 0044 0532 0130 00", r"DE\d\d 3704 \d{4} \d{4} \d{4} \d\d"),
    ("iban", "GB29NWBK60161331926819", r"GB\d\dNWBK\d{14}"),
    ("iban", "BE31435411161155", r"BE\d\d4354\d{8}"),
    ("iban", "ES91 2100 0418 4502 0005 1332", r"ES\d\d 2100( \d{4}){4}"),
    ("iban", "NO93 8601 1117 947", r"NO\d\d 8601 \d{4} \d{3}"),
    ("us-ssn", "078-05-1121", r"078-\d\d-\d{4}"),
    ("payment-card", "4111 1111 1111 1111", r"4111 11\d\d \d{4} \d{4}"),
    ("payment-card", "378282246310005", r"378282\d{9}"),
    ("id:es.nif", "54362315K", r"\d{8}[A-Z]"),
    ("id:dk.cpr", "211062-5629", r"\d{6}-\d{4}"),
    ("family", "Sister of Jane Roe", r"[A-Z][a-zé-]+ of [A-Z][a-z]+ [A-Z][a-z]+"),
    ("family", "Jane Roe", r"[A-Z][a-z]+ [A-Z][a-z]+"),
    ("affiliation", "Elm Valley University", r"[A-Z][A-Za-z ]+"),
    ("number", "no. 12-345", r"no\. \d\d-\d{3}"),
]  # fmt: skip


@pytest.mark.parametrize(("type_", "value", "form"), FORMATS)
def test_nulls_have_the_format_and_are_other_values(type_: str, value: str, form: str) -> None:
    drawn = draw_values(type_, value, 50, random.Random(1))
    assert len(drawn) == len(set(drawn)) == 50
    assert all(re.fullmatch(form, null) for null in drawn), drawn[:3]
    if type_ in MATCHED or type_.startswith("id:"):
        own = [open_matcher(type_, null, "US") for null in drawn[:10]]  # every null parses as its type
        assert not any(open_matcher(type_, value, "US").matches(null) for null in drawn)
        assert all(sum(one.matches(null) for one in own) <= 1 for null in drawn)


@pytest.mark.parametrize("type_", TYPES)
def test_the_format_read_off_an_invented_value_is_the_one_it_was_drawn_from(type_: str) -> None:
    """Together with uniform draws this is exchangeability: nulls never come from another set than the value did."""
    rng = random.Random(2)
    for _ in range(100):
        form = values._INVENTORS[type_](rng)
        value = draw_value(form, rng)
        read = read_format(type_, value)
        assert read.format == form and read.own is not None and form.text(read.own) == value


def _digit_sum(text: str) -> int:
    return sum(int(c) for c in text if c.isdecimal()) + len(text)


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])


SCORERS: dict[str, Callable[[str], Any]] = {"alphabetical": str, "digit sum and length": _digit_sum, "hash": _hash}


def _rank(value: str, nulls: list[str], score: Callable[[str], Any], rng: random.Random) -> int:
    """Rank 1 .. N + 1 with ties broken by a coin, so that it is exactly uniform where value and nulls are exchangeable."""
    keys = [(score(text), rng.random()) for text in (value, *nulls)]
    return 1 + sum(other > keys[0] for other in keys[1:])


@pytest.mark.parametrize("type_", TYPES)
def test_ranks_of_canaries_are_uniform_under_any_score_of_the_characters(type_: str) -> None:
    """600 canaries among 9 nulls each: ten ranks of expected count 60. Chi-square with 9 degrees; 30 is exceeded in 0.04 %."""
    rng, coins = random.Random(f"ranks/{type_}"), random.Random(5)
    counts = {name: Counter[int]() for name in SCORERS}
    for _ in range(600):
        value = invent_value(type_, rng)
        nulls = draw_values(type_, value, 9, rng)
        for name, score in SCORERS.items():
            counts[name][_rank(value, nulls, score, coins)] += 1
    for name, found in counts.items():
        assert sum((found[rank] - 60) ** 2 / 60 for rank in range(1, 11)) < 30, (name, found)


def test_small_formats_are_exactly_exchangeable() -> None:
    """Every ordered triple of a format of six values is as likely as any other: 120 of them, 12 000 draws."""
    form, rng = Format((Choice(("Ada", "Bea", "Cora")), "-", Choice(("x", "y")))), random.Random(3)
    found = Counter[tuple[str, ...]]()
    for _ in range(12_000):
        own = rng.randrange(form.size)
        found[(form.text(own), *draw_others(Read(form, own), 2, rng))] += 1
    assert len(found) == 120 and all(len(set(triple)) == 3 for triple in found)
    assert sum((count - 100) ** 2 / 100 for count in found.values()) < 190  # 119 degrees; exceeded in 0.004 %


def test_large_formats_draw_without_replacement_too() -> None:
    form = Format((digits(6),))
    drawn = draw_others(Read(form, 77), 5000, random.Random(4))
    assert len(set(drawn)) == 5000 and "000077" not in drawn and {len(text) for text in drawn} == {6}


def test_every_value_of_a_small_format_can_be_had_and_no_more() -> None:
    like = "212-555-0142"
    everyone = 100 * len(AREA_CODES)
    assert len(set(draw_values("phone", like, everyone - 1, random.Random(1))) | {like}) == everyone
    with pytest.raises(PlanError, match=f"{everyone - 1} were found"):
        draw_values("phone", like, everyone, random.Random(1))
    with pytest.raises(PlanError, match="26 were found"):
        draw_values("family", "sister", 27, random.Random(1))
    for count in (0, -1, 10**7):
        with pytest.raises(PlanError):
            draw_values("phone", like, count, random.Random(1))


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        ("phone", "call me"), ("phone", "212-555-0142 ext. 7"), ("phone", "212-555-CARS"), ("email", "jane.roe"),
        ("address", "Shelbyville"),
        ("name", "Madonna"), ("iban", "DE89370400440532013001"), ("us-ssn", "000-12-3456"), ("payment-card", "4111111111111112"),
        ("id:es.nif", "54362315Z"), ("id:zz.none", "1"), ("family", "a friend"), ("affiliation", "  "), ("affiliation", "a\nb"),
        ("number", "none"), ("number", "1" * 300), ("shoe size", "12"), ("name", "Jane\0 Roe"),
    ],
)  # fmt: skip
def test_values_that_do_not_parse_are_refused_unquoted(type_: str, value: str) -> None:
    with pytest.raises(ValueFormatError) as error:
        draw_values(type_, value, 5, random.Random(1))
    assert value.strip() not in str(error.value) or not value.strip() or len(value) == 1


def test_formats_that_accept_next_to_nothing_come_to_an_end() -> None:
    few = Format((digits(6),), accepts=lambda text: text in ("000000", "123456"))
    with pytest.raises(PlanError):
        draw_others(Read(few, None), 3, random.Random(1))
    with pytest.raises(PlanError):
        draw_value(Format((digits(2),), accepts=lambda text: False), random.Random(1))


def test_draws_follow_from_the_seed() -> None:
    for type_ in TYPES:
        value = invent_value(type_, random.Random(9))
        assert invent_value(type_, random.Random(9)) == value
        assert draw_values(type_, value, 20, random.Random(8)) == draw_values(type_, value, 20, random.Random(8))
        assert draw_values(type_, value, 20, random.Random(8)) != draw_values(type_, value, 20, random.Random(7))


def test_no_text_of_a_list_begins_another_or_reads_as_two() -> None:
    """A value that begins another would have at least its likelihood, whatever the model."""
    towns = tuple(f"{town} " for town in TOWNS)
    for words in (GIVEN_NAMES, SURNAMES, TOWNS, AREA_CODES, tuple(a.replace("\0", t) for a in AFFILIATIONS for t in towns)):
        ordered = sorted(word.casefold() for word in words)
        assert not any(later.startswith(earlier) for earlier, later in itertools.pairwise(ordered))
    assert not {name.casefold() for name in GIVEN_NAMES} & {name.casefold() for name in SURNAMES}
    assert len(set(RELATIONS)) == len(RELATIONS)


def test_invented_people_live_in_reserved_spaces() -> None:
    rng = random.Random(6)
    for number in range(50):
        person = draw_person(rng, f"p{number}", TYPES)
        assert person.origin is Origin.DECOY and person.types == tuple(t for t in TYPES if t != "name")
        assert re.search(r"555\D?01\d\d$", person.values["phone"]) and re.search(
            r"@example\.(?:com|org|net)$", person.values["email"]
        )
        for type_ in MATCHED:
            assert open_matcher(type_, person.values[type_], "US").matches(person.values[type_])
        assert all(value not in repr(person) for value in person.values.values())


def test_items_do_not_follow_from_the_name() -> None:
    people = draw_people(random.Random(7), 400, ("email",))
    shared = sum(any(word in p.values["email"] for word in p.values["name"].lower().split()) for p in people)
    assert shared < 20  # by chance about 400 * (1/159 + 1/1000)


def test_names_are_different_and_never_a_subjects() -> None:
    first = draw_people(random.Random(8), 300)
    taken = [p.values["name"] for p in first]
    swapped = [", ".join(reversed(name.upper().split())) for name in taken]
    again = draw_people(random.Random(8), 300, taken_names=swapped, origin=Origin.CANARY, prefix="canary")
    names = {p.values["name"] for p in (*first, *again)}
    assert len(names) == 600 and again[0].id == "canary-0001" and again[0].origin is Origin.CANARY
    with pytest.raises(PlanError):
        draw_people(random.Random(8), 10**6)
    with pytest.raises(ValueFormatError):
        draw_people(random.Random(8), 1, ("phone", "phone"))
    with pytest.raises(ValueFormatError):
        draw_person(random.Random(8), "p", ("id:es.nif",))


def test_twenty_thousand_people_differ() -> None:
    people = draw_people(random.Random(10), 20_000, ("phone",))
    assert len({p.values["name"] for p in people}) == 20_000


def test_mangled_values_are_refused_or_still_have_nulls() -> None:
    """A thousand values with random changes: a PrivacyError that does not quote, or nulls that the matcher tells apart."""
    rng, drawn = random.Random(12), 0
    for _ in range(1000):
        type_, value, _ = rng.choice(FORMATS)
        mangled = list(value)
        for _ in range(rng.randint(0, 3)):
            at = rng.randrange(len(mangled))
            mangled[at : at + rng.randint(0, 1)] = rng.choice("aZé09 .,-+(@/'’\n\0٣１–\u200b{")
        value = "".join(mangled)
        try:
            nulls = draw_values(type_, value, 3, rng)
        except PrivacyError as error:
            assert value not in str(error)
            continue
        drawn += 1
        assert len(set(nulls)) == 3 and value not in nulls
        if type_ in MATCHED and open_matcher(type_, value, "US").matches(value):
            assert not any(open_matcher(type_, value, "US").matches(null) for null in nulls)
            assert all(open_matcher(type_, null, "US").matches(null) for null in nulls)
    assert 300 < drawn < 900
