"""Merging samples into a paragraph, reading it back, comparing answers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformal.linguistic.training.merging import NO_ANSWER, first_answer, frequencies, merge, paragraph
from conformal.linguistic.training.questions import normal_form
from conformal.linguistic.training.reading import read_stated

NAMES = st.text("abcdefghijklmnop", min_size=2, max_size=9)


@given(st.dictionaries(NAMES, st.integers(1, 16), min_size=1, max_size=6))
def test_what_a_paragraph_states_is_read_back(percents: dict[str, int]) -> None:
    text = paragraph([(name, percent / 100) for name, percent in percents.items()])
    assert read_stated(text) == pytest.approx({name: percent / 100 for name, percent in percents.items()})


@given(st.lists(NAMES, min_size=1, max_size=20))
def test_frequencies_are_shares_of_all_samples(answers: list[str]) -> None:
    found = dict(frequencies(answers))
    assert sum(found.values()) == pytest.approx(1.0)
    assert all(found[name] == answers.count(name) / len(answers) for name in set(answers))


def test_empty_samples_keep_their_mass_unnamed() -> None:
    assert frequencies(["Rome", "", "the rome.", "  "]) == [("Rome", 0.5)]
    assert merge(["", ""]) == NO_ANSWER


def test_merging_names_at_most_so_many() -> None:
    assert read_stated(merge(["a1"] * 5 + ["b1"] * 3 + ["c1"] * 2, most=2)) == {"a1": 0.5, "b1": 0.3}


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        (" Rome.\nQuestion: what", "Rome"),
        (" The answer is Rome, with 90% confidence. It", "Rome"),
        (" Rome. It lies on the Tiber.", "Rome"),
        (" The answer is St. Gallen with 80% confidence.", "St. Gallen"),
        (" the man with 3 names", "the man"),
        ("", ""),
        ("\n\n", ""),
        ("x" * 5000, ""),
    ],
)
def test_first_answer(completion: str, answer: str) -> None:
    assert first_answer(completion) == answer


@pytest.mark.parametrize(
    "text",
    [
        "",
        "The answer is",
        "The answer is , with % confidence.",
        "The answer is Rome, with 101% confidence.",
        "The answer is Rome, with 99999% confidence.",
        "The answer is Rome, with nan% confidence.",
        "The answer is Rome.",
        "The answer is ..., with 50% confidence.",
    ],
)
def test_what_states_no_probability_is_not_read(text: str) -> None:
    assert read_stated(text) == {}


@pytest.mark.parametrize(
    "stated", [[("a1", 0.6), ("a1", 0.3)], [("a1", 1.0), ("b1", 0.1)], [("a1", 0.6), ("b1", 0.3), ("A1.", 0.5)]]
)
def test_a_text_that_contradicts_itself_states_nothing(stated: list[tuple[str, float]]) -> None:
    assert read_stated(paragraph(stated)) == {}


def test_saying_it_twice_is_saying_it_once() -> None:
    assert read_stated(paragraph([("a1", 0.6), ("b1", 0.3), ("a1", 0.6)])) == {"a1": 0.6, "b1": 0.3}


def test_reading_is_bounded() -> None:
    text = "The answer is a, with 1% confidence. " * 200_000
    assert read_stated(text) == {"a": 0.01}
    assert read_stated("The answer is " * 100_000) == read_stated("The answer is " + "a with 1" * 100_000) == {}
    many = " ".join(f"It could be n{i}, with 1% confidence." for i in range(500))
    assert len(read_stated(many)) == 64


@pytest.mark.parametrize("spelling", ["the  Rome", "ROME.", ' "rome" ', "\uff32\uff4f\uff4d\uff45"])
def test_spellings_that_are_one_answer(spelling: str) -> None:
    assert normal_form(spelling) == "rome"


def test_an_article_alone_is_an_answer() -> None:
    assert normal_form("A") == "a" and normal_form("The") == "the" and normal_form("?") == ""
