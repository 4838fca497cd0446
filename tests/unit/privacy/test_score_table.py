"""Score files: what is read, what is refused, and verdicts with references, decoys and too few facts."""

from __future__ import annotations

import numpy as np
import pytest

from privacy.errors import PlanError, PrivacyError, ScoreError
from privacy.score_table import ScoreTable, parse_scores
from privacy.score_verdicts import judge_variant
from privacy.statistics.validity import Basis, Word

HEADER = "model,trained_on,question,author,decoy,true_tokens,true_nll,alt1_tokens,alt1_nll,alt2_tokens,alt2_nll,note"


def row(question: int, *, trained_on: str = "full", author: str = "0", decoy: int = 0, true: float = 5.0, note: str = "") -> str:
    return f"m,{trained_on},{question},{author},{decoy},10,{true},10,20.0,10,21.0,{note}"


def table(rows: list[str], header: str = HEADER, prefix: str = "") -> ScoreTable:
    return parse_scores("\n".join([header, *rows]).encode(), prefix)


def population(subjects: int, facts: int, leak: bool, decoys: int = 0, trained_on: str = "full", seed: int = 1) -> list[str]:
    rng = np.random.default_rng(seed)
    rows = []
    for subject in range(subjects + decoys):
        for fact in range(facts):
            true = 5.0 if leak else float(rng.choice([5.0, 20.5, 30.0]))
            decoy = int(subject >= subjects)
            rows.append(row(subject * facts + fact, author=str(subject), decoy=decoy, true=true, trained_on=trained_on))
    return rows


def test_reading() -> None:
    found = parse_scores("\ufeff".encode() + "\r\n".join([HEADER, row(1), row(1, trained_on="none")]).encode())
    assert found.candidates == 3 and [v.labels for v in found.variants] == [
        {"model": "m", "trained_on": "full"},
        {"model": "m", "trained_on": "none"},
    ]
    assert found.variants[0].scores() == pytest.approx(np.array([[-0.5, -2.0, -2.1]]))
    assert found.variants[0].scores(found.variants[1]) == pytest.approx(np.zeros((1, 3)))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        HEADER.encode(),
        b"a,b\n1,2",
        HEADER.replace("alt1_nll", "alt7_nll").encode(),
        HEADER.replace("note", "author").encode(),
        HEADER.encode() + b"\nm,full,1,0",
        HEADER.encode() + b'\nm,"full,1,0',
        *(
            "\n".join([HEADER, *rows]).encode()
            for rows in (
                [row(1), row(1)],
                [row(1, true=float("nan"))],
                [row(1, true=float("inf"))],
                [row(1, true=-1.0)],
                [row(1, author="")],
                [row(1, author="Jane Roe")],
                [row(1, author="jane@mail.example")],
                [row(1, decoy=2)],
                [row(1, trained_on="x" * 200)],
                [row(1).replace(",10,", ",0,")],
                [row(1).replace(",10,", ",1.5,")],
                [row(1).replace("20.0", "many")],
            )
        ),
    ],
)
def test_malformed_files_are_refused(content: bytes) -> None:
    with pytest.raises(ScoreError) as error:
        parse_scores(content)
    assert "Jane" not in str(error.value) and "jane" not in str(error.value)


def test_raw_scores_give_no_verdict() -> None:
    result = judge_variant(table(population(5, 20, leak=True)).variants[0])
    assert result.basis is Basis.NONE and result.found == 0 and result.rejected["holm"] == 5
    assert {str(one.verdict) for one in result.subjects} == {"association only"}


def test_a_reference_with_the_same_habits_explains_everything() -> None:
    """The true answer is the likeliest under both: ties, p = 1."""
    found = table(population(5, 20, leak=True) + population(5, 20, leak=True, trained_on="none"))
    result = judge_variant(found.variants[0], found.variants[1])
    assert result.basis is Basis.CALIBRATED and result.found == 0 and {one.p_value for one in result.subjects} == {1.0}


def test_a_leak_relative_to_the_reference() -> None:
    found = table(
        population(5, 20, leak=True) + [r.replace(",5.0,", ",20.5,") for r in population(5, 20, True, trained_on="none")]
    )
    result = judge_variant(found.variants[0], found.find({"trained_on": "none"}, found.variants[0]))
    assert result.found == 5 and all(one.verdict.leak_below is None for one in result.subjects)


def test_reference_columns() -> None:
    header = HEADER + ",ref_true_nll,ref_alt1_nll,ref_alt2_nll"
    found = table([r + ",25.0,20.0,21.0" for r in population(5, 20, leak=True)], header, "ref_")
    assert judge_variant(found.variants[0], own_reference=True).found == 5
    with pytest.raises(ScoreError, match="lacks the column"):
        table(population(1, 5, leak=True), prefix="ref_")


def test_a_reference_must_have_the_same_questions_and_tokens() -> None:
    for other in ([row(1, trained_on="none")], [row(i, trained_on="none", author="1") for i in range(1, 9)]):
        found = table([row(i) for i in range(1, 9)] + other)
        with pytest.raises(ScoreError, match="no row for question"):
            judge_variant(found.variants[0], found.variants[1])
    with pytest.raises(ScoreError, match="no variant"):
        found.find({"trained_on": "never"}, found.variants[0])


@pytest.mark.parametrize(
    ("decoys", "leaking", "word"), [(60, False, None), (60, True, Word.NO_VERDICT), (5, False, Word.NO_VERDICT)]
)
def test_decoys_decide(decoys: int, leaking: bool, word: Word | None) -> None:
    header = HEADER + ",ref_true_nll,ref_alt1_nll,ref_alt2_nll"
    rows = [r + ",25.0,20.0,21.0" for r in population(4, 20, leak=True)]
    decoy_rows = [r for r in population(4, 20, leaking, decoys) if ",1,10," in r]
    unlike = ",25.0,20.0,21.0" if leaking else ",5.0,20.0,21.0"
    found = table(rows + [r + unlike for r in decoy_rows], header, "ref_")
    result = judge_variant(found.variants[0], own_reference=True)
    assert result.decoys is not None and result.decoys.decoys == decoys
    if word is None:
        assert result.found == 4
    else:
        assert result.found == 0 and {one.verdict.word for one in result.subjects} == {word}


def test_too_few_facts_are_refused() -> None:
    with pytest.raises(PlanError, match="more facts"):
        judge_variant(table(population(5, 4, leak=True)).variants[0])
    assert judge_variant(table(population(5, 5, leak=True)).variants[0]).rejected["holm"] == 5


def test_mixed_or_only_decoys_are_refused() -> None:
    for rows in ([row(1), row(2, decoy=1)], [row(i, decoy=1) for i in range(9)]):
        with pytest.raises(PrivacyError, match="decoy"):
            judge_variant(table(rows).variants[0])
