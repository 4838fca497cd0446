"""The file of paragraphs is read strictly, and every error names the line."""

from __future__ import annotations

import json
from typing import Any

import pytest

from conformal.errors import LedgerError
from conformal.linguistic.paragraphs import parse_paragraphs, read_paragraphs

GOOD: dict[str, Any] = {
    "id": "p1",
    "text": "It is probably Lyon.",
    "questions": [
        {"id": "q1", "question": "Which?", "options": ["Paris", "Lyon"], "truth": "Lyon", "readers": {"r": [0.3, 0.7]}}
    ],
}


def changed(**members: Any) -> str:
    question = {key: value for key, value in members.items() if key in ("options", "truth", "readers", "question", "id", "odd")}
    row = {**GOOD, "questions": [{**GOOD["questions"][0], **question}]}
    return json.dumps(
        {**row, **{key: value for key, value in members.items() if key in ("text", "questions", "prompt", "extra")}}
    )


def test_a_good_line_is_read_and_comes_back() -> None:
    (paragraph,) = parse_paragraphs([json.dumps(GOOD), "\n"])
    asked = paragraph.questions[0]
    assert asked.truth == 1 and asked.readings["r"].distribution == (0.3, 0.7)
    again = parse_paragraphs([json.dumps(paragraph.to_json())])[0]
    assert (again.id, again.text, again.questions[0].options) == (paragraph.id, paragraph.text, asked.options)


def test_ids_of_questions_default_to_the_place() -> None:
    row = {**GOOD, "questions": [{"question": "a?", "options": ["x", "y"], "truth": "x"}] * 2}
    assert [asked.id for asked in parse_paragraphs([json.dumps(row)])[0].questions] == ["p1/0", "p1/1"]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("[]", "JSON object"),
        ("{", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ('{"id": "a", "id": "b"}', "twice"),
        (changed(readers={"r": [float("nan"), 1.0]}), "NaN"),
        (changed(readers={"r": [0.5, 0.6]}), "sum to 1.1"),
        (changed(readers={"r": [1.0]}), "1 probabilities for 2"),
        (changed(readers={"r": [True, 0.0]}), "no probability"),
        (changed(readers={"r": ["0.5", 0.5]}), "no probability"),
        (changed(readers={"r": [-0.5, 1.5]}), "no probability"),
        (changed(readers={"": [0.5, 0.5]}), "name"),
        (changed(readers=[0.5, 0.5]), "`readers`"),
        (changed(truth="lyon"), "word for word"),
        (changed(truth=1), "word for word"),
        (changed(options=["Lyon", "lyon "]), "the same"),
        (changed(options=["Lyon"]), "2 to 64"),
        (changed(options=["Lyon", ""]), "`options`"),
        (changed(odd=1), "unknown member 'odd'"),
        (changed(extra=1), "unknown member 'extra'"),
        (changed(questions=[]), "`questions`"),
        (changed(text=3), "`text`"),
        (changed(prompt=""), "`prompt`"),
        (changed(question=""), "`question`"),
        ('{"id": "p2", "questions": []}', "`text` is missing"),
    ],
)
def test_errors_name_the_line(line: str, says: str) -> None:
    first = json.dumps({**GOOD, "id": "p0", "questions": [{**GOOD["questions"][0], "id": "q0"}]})
    with pytest.raises(LedgerError, match=r"the file, line 2") as caught:
        parse_paragraphs([first, line])
    assert says in str(caught.value)


def test_repeated_ids_and_empty_files_are_refused(tmp_path: Any) -> None:
    with pytest.raises(LedgerError, match=r"line 2: the .*p1.* was used before \(the file, line 1\)"):
        parse_paragraphs([json.dumps(GOOD)] * 2)
    with pytest.raises(LedgerError, match="no paragraph"):
        parse_paragraphs(["", " "])
    path = tmp_path / "bad.jsonl"
    path.write_bytes(b"\n\xff\n")
    with pytest.raises(LedgerError, match=r"bad\.jsonl, line 2: no UTF-8"):
        read_paragraphs(path)
    with pytest.raises(LedgerError, match="not a file"):
        read_paragraphs(tmp_path)


def test_a_paragraph_without_text_cannot_be_read() -> None:
    (paragraph,) = parse_paragraphs([changed(text=None)])
    with pytest.raises(LedgerError, match="no text"):
        paragraph.cases()
