"""The rule-based splitter: sentences, safe clauses, lists, premises; what it must never cut or invent."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformal.pipeline.errors import SplitError
from conformal.pipeline.splitters.claim import MAX_ANSWER_CHARS, MAX_CLAIMS
from conformal.pipeline.splitters.rules import RuleSplitter
from conformal.pipeline.splitters.sentences import drop_unfinished


def split(text: str) -> list[str]:
    return [claim.text for claim in RuleSplitter().split("", text)]


@pytest.mark.parametrize(
    "sentence",
    [
        "Dr. J. K. Smith earned $3.5 million at 5 p.m. in the U.S. in 1999.",
        "See no. 5, fig. 2 and e.g. vol. 3 of the work.",
        "Anna met Bob, Carl, and Dora, who was born in Rome.",
        "If it rains, the match is off, and the team is sad.",
        "She moved to Paris, and she studied physics.",
        "He said that the war was over, and the army was gone.",
        "The author denied the charge, and the court was wrong.",
        'The sign said "Stop. Turn around; the road is closed, and the bridge is gone." to all.',
        "The town (pop. 3,500. Founded in 1200) is small.",
        "The ratio is 1.618 and nothing else.",
        "It grew by 1,000 to 2,000 a year, and by 3,000 later.",
    ],
)
def test_what_must_stay_whole(sentence: str) -> None:
    assert split(sentence) == [sentence]


@pytest.mark.parametrize(
    ("text", "claims"),
    [
        ("Rome is old. Paris is big.", ["Rome is old.", "Paris is big."]),
        ("Rome is old! Paris is big…", ["Rome is old!", "Paris is big…"]),
        ("He founded Apple Inc. The company grew.", ["He founded Apple Inc.", "The company grew."]),
        ('He said "No." Then he left.', ['He said "No."', "Then he left."]),
        ("Marie was born in Warsaw, and the family was poor.", ["Marie was born in Warsaw.", "The family was poor."]),
        ("The company grew; Steve Jobs led the firm.", ["The company grew.", "Steve Jobs led the firm."]),
        ("Is it true? Rome is old.", ["Rome is old."]),
        ("# Rome\nRome is\nold.\n```\ncode = 1. Run it.\n```\nParis is big.", ["Rome is old.", "Paris is big."]),
        ("Rome\n====\nRome is old.\n***\nParis is big.", ["Rome is old.", "Paris is big."]),
        ("Members:\n- Ann\n- Bob\n\nRome is old.", ["Members: Ann", "Members: Bob", "Rome is old."]),
        ("Intro here. Steps are:\n1. First one\n2) Second one", ["Intro here.", "Steps are: First one", "Steps are: Second one"]),
        ("Steps are:\n# Other\n- Item", ["Item"]),
        ("", []),
        ("... --- ...", []),
    ],
)
def test_cuts(text: str, claims: list[str]) -> None:
    assert split(text) == claims


def test_premises_follow_pronouns_and_conclusions() -> None:
    text = (
        "Marie was born in Warsaw, and the family was poor. She moved to Paris. Therefore she left home. Bob stayed. He was old."
    )
    found = RuleSplitter().split("", text)
    assert [claim.premises for claim in found] == [(), (), (0, 1), (2,), (), (4,)]
    assert [text[claim.span[0] : claim.span[1]].split()[0] for claim in found if claim.span] == [
        "Marie", "the", "She", "Therefore", "Bob", "He",
    ]  # fmt: skip


def test_a_pronoun_with_nobody_before_it_has_no_premise() -> None:
    assert [claim.premises for claim in RuleSplitter().split("", "He was born in Rome. He left.")] == [(), ()]


@given(st.text(alphabet="aB1 .,;:!?\n-#\"'()“”’ándwas", max_size=300))
@settings(max_examples=300, deadline=None)
def test_nothing_is_invented(text: str) -> None:
    """Whatever the text: claims are made of its words in its order, spans rise, premises come before."""
    claims = RuleSplitter().split("", text)
    last = 0
    for index, claim in enumerate(claims):
        assert claim.span is not None and last <= claim.span[0] < claim.span[1] <= len(text)
        last = claim.span[1]
        assert all(0 <= premise < index for premise in claim.premises)
        own = re.findall(r"\w+", text[claim.span[0] : claim.span[1]].lower())
        assert re.findall(r"\w+", claim.text.lower())[-len(own) :] == own


@given(st.text(max_size=200))
def test_any_text_at_all(text: str) -> None:
    assert all(claim.text.strip() for claim in RuleSplitter().split("", text))


def test_bounds() -> None:
    with pytest.raises(SplitError, match="characters"):
        RuleSplitter().split("", "a" * (MAX_ANSWER_CHARS + 1))
    with pytest.raises(SplitError, match="claims"):
        RuleSplitter().split("", "Rome is old. " * (MAX_CLAIMS + 1))


@pytest.mark.parametrize(
    ("cut", "kept"),
    [
        ("It is blue. Carl is", "It is blue."),
        ("It is blue.", "It is blue."),
        ('He said "no." And', 'He said "no."'),
        ("It works.\n- item one.\n- item", "It works.\n- item one."),
        ("It cost 3.", "It cost 3."),
        ("nothing", ""),
        ("", ""),
    ],
)
def test_what_was_cut_off_is_no_claim(cut: str, kept: str) -> None:
    assert drop_unfinished(cut) == kept
