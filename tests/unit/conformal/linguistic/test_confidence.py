"""Stated confidence: what is read as which probability, where it stands, and what is left open."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformal.errors import LevelError
from conformal.linguistic.confidence import (
    MAX_TEXT_CHARACTERS,
    clause_at,
    count_ambiguous,
    find_confidences,
    parse_confidence,
    read_clauses,
)
from conformal.linguistic.phrases import TABLE, table_digest


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("70%", 0.7),
        ("70 per cent", 0.7),
        ("0.7", 0.7),
        ("seven out of ten", 0.7),
        ("1 in 4", 0.25),
        ("60-70%", 0.65),
        ("60–70 %", 0.65),
        ("I am 70% sure that it rains.", 0.7),
        ("I'm between 60 and 70 percent confident it is Rome.", 0.65),
        ("There is a one in four chance of rain.", 0.25),
        ("With a probability of 0.85 it is Rome.", 0.85),
        ("The probability that Rome is the capital is 0.85.", 0.85),
        ("Confidence: 85%", 0.85),
        ("I'd put it at about 40%.", 0.4),
        ("seventy-five percent confident", 0.75),
        ("3 to 1 in favour", 0.75),
        ("The odds are 3 to 1 against.", 0.25),
        ("It is 50-50.", 0.5),
        ("a one-in-ten chance", 0.1),
        ("Confidence: 7/10", 0.7),
        ("There is zero chance of it.", 0.0),
        ("It is probably Rome.", 0.75),
        ("It is almost certainly Rome.", 0.95),
        ("That is unlikely.", 0.2),
        ("I am certain that it is Rome.", 1.0),
        ("roughly even odds", 0.5),
        ("It is very unlikely to be Rome.", 0.05),
        ("That is impossible.", 0.0),
    ],
)
def test_statements_are_read(text: str, expected: float) -> None:
    assert parse_confidence(text) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It is not likely.", 0.2),
        ("It isn't likely.", 0.2),
        ("It is probably not Rome.", 0.265),
        ("almost certainly not", 0.07),
        ("It cannot possibly be Rome.", 0.0),
    ],
)
def test_negations_are_read_as_the_opposite_word(text: str, expected: float) -> None:
    assert parse_confidence(text) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Turnout was high (70%).", "bare number"),
        ("I am at least 70% confident.", "bound"),
        ("I am not 70% sure.", "negated number"),
        ("150% confident", "no probability"),
        ("I am not sure.", "vague words"),
        ("It is fairly likely.", "vague words"),
        ("It might be Rome.", "vague words"),
        ("Is it likely?", "question"),
        ("It is almost certain, a 30% chance.", "number and words disagree"),
        ("It is likely and unlikely.", "several phrases"),
        ("There is not a doubt, it is not impossible.", "vague words"),
        ("I can't say it is 40% unlikely.", "contradictory"),
        ("We cannot be certain of it.", "vague words"),
    ],
)
def test_what_is_ambiguous_is_counted_and_not_guessed(text: str, reason: str) -> None:
    assert parse_confidence(text) is None
    assert count_ambiguous(read_clauses(text)) == {reason: 1}


@pytest.mark.parametrize(
    "text",
    ["70% of voters agree.", "It weighs 0.7 kg.", "Born in 1984.", "On 7/10 it rained.", "Rome is the capital.", "", "  \n"],
)
def test_quantities_and_plain_text_state_no_confidence(text: str) -> None:
    assert find_confidences(text) == ()


def test_spans_hold_the_words_that_state() -> None:
    text = "Rome is nice. I am 70% sure that it is old; it is probably warm."
    assert [text[s.start : s.end] for s in find_confidences(text)] == ["70% sure", "probably"]


def test_scope_is_the_clause() -> None:
    text = "It is 80% likely that Rome is old, and 10% likely that Bonn is; but Kiel is probably wet."
    clauses = read_clauses(text)
    found = []
    for word in ("Rome", "Bonn", "Kiel"):
        clause = clause_at(clauses, text.index(word))
        assert clause is not None
        found.append(clause.probability)
    assert found == [0.8, 0.1, 0.75]
    assert parse_confidence(text) is None


def test_a_number_goes_before_words_that_agree_with_it() -> None:
    assert parse_confidence("It is probably Rome, with 70% confidence") == 0.7
    assert parse_confidence("It could be Rome, with 20% confidence") == 0.2


def test_abbreviations_and_decimals_do_not_end_sentences() -> None:
    text = "With 80.5% confidence he was born in St. Gallen."
    assert len(read_clauses(text)) == 1 and parse_confidence(text) == pytest.approx(0.805)


def test_every_phrase_with_a_value_has_a_source_and_lies_in_its_range() -> None:
    for phrase in TABLE:
        if phrase.probability is not None:
            assert phrase.source in ("survey", "wallsten", "kent") and 0 <= phrase.low <= phrase.probability <= phrase.high <= 1
    assert len(table_digest()) == 64


def test_long_text_is_refused() -> None:
    with pytest.raises(LevelError, match="split it"):
        read_clauses("a" * (MAX_TEXT_CHARACTERS + 1))


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet=st.sampled_from("70%.,;-() abinort'sure\n1/:?"), max_size=120))
def test_any_text_gives_probabilities_or_none(text: str) -> None:
    clauses = read_clauses(text)
    assert all(a.end <= b.start for a, b in pairwise(clauses))
    for clause in clauses:
        assert clause.probability is None or (0 <= clause.probability <= 1 and not clause.reason and clause.stated)
        assert all(clause.start <= s.start < s.end <= len(text) for s in clause.stated)


@given(st.integers(0, 100))
def test_every_whole_percentage_is_read(percent: int) -> None:
    assert parse_confidence(f"I am {percent}% sure.") == pytest.approx(percent / 100)
