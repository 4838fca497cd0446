"""The boundary between prompt and value: one for all values, whatever the tokenizer joins."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import pytest

from privacy.boundary import split_at_boundary
from privacy.errors import BoundaryError
from privacy.invented.values import draw_values
from tests import tiny_model

CONTEXT = "The phone number of Mara Quillfold is"
PHONES = ["212-555-0142", "212-555-0143", "646-555-0199"]


def letters(text: str) -> tuple[int, ...]:
    return tuple(map(ord, text))


def joins(*pieces: str) -> Callable[[str], tuple[int, ...]]:
    """A tokenizer of letters that makes one token of each of these pieces, the first that fits."""

    def tokenize(text: str) -> tuple[int, ...]:
        found, at = [], 0
        while at < len(text):
            piece = next((p for p in pieces if text.startswith(p, at)), text[at])
            found.append(1_000_000 + pieces.index(piece) if piece in pieces else ord(piece))
            at += len(piece)
        return tuple(found)

    return tokenize


def check(tokenize: Callable[[str], Sequence[int]], context: str, values: list[str], separator: str = " ", end: str = "") -> int:
    """The one rule: prompt and candidate together are the tokens of the whole string. Returns how far the boundary moved."""
    found = split_at_boundary(tokenize, context, values, separator, end)
    for value, candidate in zip(values, found.candidates):
        assert (*found.prompt, *candidate) == tuple(tokenize(context + separator + value + end)) and candidate
    assert found.prompt == tuple(tokenize(context))[: len(found.prompt)]
    assert "candidates" not in repr(found) and str(found.prompt[0]) not in repr(found)
    return found.moved


def test_a_tokenizer_that_joins_nothing_moves_nothing() -> None:
    assert check(letters, CONTEXT, PHONES) == 0


def test_a_space_that_joins_the_value_moves_nothing() -> None:
    assert check(joins(" 2", " 6"), CONTEXT, PHONES) == 0


def test_a_joined_end_of_the_prompt_moves_the_boundary_for_all_values() -> None:
    """Only one value is joined ("is 6"), yet the boundary is the same for the others."""
    assert check(joins("is 6"), CONTEXT, PHONES) == 2
    assert check(joins("is 6"), CONTEXT, PHONES[:2]) == 0
    assert check(joins(' "', 's "'), CONTEXT, PHONES, ' "') == 1


def test_the_boundary_does_not_depend_on_which_value_is_the_target() -> None:
    tokenize = joins("is 6", "55-01")
    first = split_at_boundary(tokenize, CONTEXT, PHONES)
    turned = split_at_boundary(tokenize, CONTEXT, PHONES[::-1])
    assert (first.prompt, first.candidates) == (turned.prompt, turned.candidates[::-1])


def test_a_prompt_that_is_swallowed_is_refused() -> None:
    with pytest.raises(BoundaryError, match="0 of 1 tokens"):
        split_at_boundary(lambda text: (hash(text) % 1000, len(text)) if " 2" in text else (7,), "is", PHONES[:2])
    tokenize = joins("number of Mara Quillfold is 6")
    with pytest.raises(BoundaryError, match="10 of 37 tokens") as error:
        split_at_boundary(tokenize, CONTEXT, PHONES)
    assert "555" not in str(error.value) and "Mara" not in str(error.value)
    assert split_at_boundary(tokenize, CONTEXT, PHONES, kept_share=0.2).moved == 27


def test_no_candidate_is_empty() -> None:
    """A tokenizer that drops what it does not know would leave nothing to score."""
    found = split_at_boundary(lambda text: letters(text.rstrip("0123456789- ")), CONTEXT, PHONES[:1])
    assert found.candidates == ((ord("s"),),) and found.moved == 1


@pytest.mark.parametrize(
    "tokenize", [lambda text: letters(text.replace("9", "0").replace("3", "2")), lambda text: letters(text)[:40]]
)
def test_values_with_the_same_tokens_are_refused(tokenize: Callable[[str], tuple[int, ...]]) -> None:
    with pytest.raises(BoundaryError, match="same tokens"):
        split_at_boundary(tokenize, CONTEXT, PHONES)


def test_values_that_begin_one_another_need_a_terminator() -> None:
    values = ["Ada Thorn", "Bea Thorn", "Ada Thornwick"]
    with pytest.raises(BoundaryError, match="terminator"):
        split_at_boundary(letters, "Her name is", values)
    assert check(letters, "Her name is", values, end=".") == 0


@pytest.mark.parametrize(("context", "values", "share"), [("", PHONES, 0.5), (CONTEXT, [], 0.5), (CONTEXT, PHONES, 1.5)])
def test_nothing_to_split_is_refused(context: str, values: list[str], share: float) -> None:
    with pytest.raises(BoundaryError):
        split_at_boundary(letters, context, values, kept_share=share)


def test_random_joins_keep_the_rule() -> None:
    rng, moved, text = random.Random(1), [], CONTEXT + " " + PHONES[0]
    for _ in range(60):
        cuts = [rng.randrange(len(CONTEXT) - 9, len(text) - 4) for _ in range(4)]
        tokenize = joins(*dict.fromkeys(text[cut : cut + rng.randint(2, 9)] for cut in cuts))
        moved.append(check(tokenize, CONTEXT, PHONES))
    assert moved.count(0) > 5 and len(set(moved)) > 4


def test_the_tokenizer_of_the_tiny_model() -> None:
    tokenize = tiny_model.runner().tokenize
    values = ["212-555-0142", *draw_values("phone", "212-555-0142", 200, random.Random(1))]
    assert check(tokenize, CONTEXT, values) >= 0
    assert check(tokenize, "Name: Mara Quillfold\nPhone:", values) >= 0


def test_a_byte_pair_tokenizer_that_joins_digits_with_spaces() -> None:
    """Trained on texts where "is 2" and "5 5" are frequent, without any splitting before: it joins across everything."""
    tokenizers = pytest.importorskip("tokenizers")
    from tokenizers import models, trainers

    model = tokenizers.Tokenizer(models.BPE(unk_token="?"))
    corpus = ["phone number is 212-555-01", "the code is 212", "is 2125", "it is 646"] * 50 + [*CONTEXT, *PHONES]
    model.train_from_iterator(corpus, trainers.BpeTrainer(vocab_size=80, special_tokens=["?"], show_progress=False))

    def tokenize(text: str) -> list[int]:
        return list(model.encode(text).ids)

    assert tokenize(CONTEXT + " " + PHONES[0])[: len(tokenize(CONTEXT))] != tokenize(CONTEXT)
    assert split_at_boundary(tokenize, CONTEXT, PHONES, kept_share=0).moved > 0
    assert check(tokenize, CONTEXT, PHONES) > 0


def test_a_tokenizer_that_marks_words_keeps_the_boundary() -> None:
    """As sentencepiece models do: the space belongs to the word after it, and the text begins with one."""
    tokenizers = pytest.importorskip("tokenizers")
    from tokenizers import models, pre_tokenizers, trainers

    model = tokenizers.Tokenizer(models.BPE(unk_token="?"))
    model.pre_tokenizer = pre_tokenizers.Metaspace()
    corpus = [CONTEXT + " " + phone for phone in PHONES] * 20 + ["it is 2, 21, 212 or 64 and 646"] * 20
    model.train_from_iterator(corpus, trainers.BpeTrainer(vocab_size=90, special_tokens=["?"], show_progress=False))

    def tokenize(text: str) -> list[int]:
        return list(model.encode(text).ids)

    assert check(tokenize, CONTEXT, PHONES) == 0
    assert check(tokenize, CONTEXT + " 2", ["12-555-0142", "12-555-0143"], separator="") > 0  # the 2 is no word of its own


def test_a_tokenizer_without_case_cannot_tell_values_apart_by_case() -> None:
    with pytest.raises(BoundaryError, match="same tokens"):
        split_at_boundary(lambda text: letters(text.lower()), "Her name is", ["Ada Thorn", "ADA THORN"])
