"""Readers of documents: every refusal names its place, and nothing is read without bound."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from watermark import reading
from watermark.errors import ConfigError, TokenError, WatermarkError
from watermark.reading import STDIN, InputError, iter_lines, list_files, parse_record, read_ids, read_text, record_id


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "is empty"),
        (b" \n\t ", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (b"text\x00more", "binary"),
        (b"\x7fELF\x02\x00", "binary"),
        (b"caf\xe9", r"not UTF-8 text \(byte 3\)"),
        (b"\xed\xa0\x80", "not UTF-8"),
    ],
)
def test_files_that_are_no_text(tmp_path: Path, data: bytes, complaint: str) -> None:
    with pytest.raises(InputError, match=f"document.txt.*{complaint}"):
        read_text(write(tmp_path / "document.txt", data))


def test_text_is_read_as_it_stands(tmp_path: Path) -> None:
    assert read_text(write(tmp_path / "a.txt", "\ufeffna\u00efve \r\n text ".encode())) == "na\u00efve \r\n text "


def test_size_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_TEXT_BYTES", 10)
    assert read_text(write(tmp_path / "a.txt", b"x" * 10)) == "x" * 10
    with pytest.raises(InputError, match="larger than 10 bytes; split it"):
        read_text(write(tmp_path / "a.txt", b"x" * 11))
    with pytest.raises(InputError, match="larger than 10 bytes"):
        read_text(Path("/dev/zero"))


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stdin:
        buffer = io.BytesIO(b"from a pipe")

    monkeypatch.setattr(sys, "stdin", Stdin)
    assert read_text(STDIN) == "from a pipe"


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_text(tmp_path / "none.txt")
    with pytest.raises(InputError, match="directory"):
        read_text(tmp_path)
    with pytest.raises(InputError, match=r"holds 0 \.txt files"):
        list_files(tmp_path)


def test_folders_are_read_in_order(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", "c.md", "C.txt"):
        write(tmp_path / name, b"x")
    (tmp_path / "d.txt").mkdir()
    assert [path.name for path in list_files(tmp_path)] == ["C.txt", "a.txt", "b.txt"]


@pytest.mark.parametrize("data", [b"[1, 2,\n3]", b"1 2\n3\n", b"\t1\t2\t3"])
def test_token_ids(tmp_path: Path, data: bytes) -> None:
    assert read_ids(write(tmp_path / "ids", data)).tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "is empty"),
        (b"[]", "is empty"),
        (b"[1, 2", "not JSON"),
        (b"[1, 2.5]", "token 1 is '2.5', not an integer"),
        (b"[1, true]", "token 1 is 'True', not an integer"),
        (b'[1, "2"]', "token 1"),
        (b"[1, NaN]", "NaN"),
        (b"1 2 x", "token 2 is 'x', not an integer"),
        (b"1 2.0", "token 1"),
        (b"1 " + b"9" * 5000, "token 1"),
        (b"[99999999999999999999]", "below 2\\^63"),
        (b"99999999999999999999", "below 2\\^63"),
        ("na\u00efve".encode(), "no token ids; leave --ids out"),
        (b"[" * 100_000, "nested too deep"),
    ],
)
def test_token_ids_that_are_none(tmp_path: Path, data: bytes, complaint: str) -> None:
    with pytest.raises(WatermarkError, match=f"(?s)ids.*{complaint}"):
        read_ids(write(tmp_path / "ids", data))


def test_lines_are_numbered_as_an_editor_does(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(iter_lines(io.BytesIO(b'{"a":1}\n\n  \n{"b":2}'))) == [(1, b'{"a":1}\n'), (4, b'{"b":2}')]
    monkeypatch.setattr(reading, "MAX_LINE_BYTES", 8)
    lines = list(iter_lines(io.BytesIO(b"12345678\n" + b"x" * 3_000_000 + b"\n123456789\nlast")))
    assert lines == [(1, b"12345678\n"), (2, None), (3, None), (4, b"last")]


def record(**members: Any) -> bytes:
    return json.dumps(members).encode()


def test_records_of_the_published_vectors_are_read_exactly() -> None:
    config = {"key": 2**64 - 1, "gamma": 0.25}
    found = parse_record(record(id="a", family="f", config=config, input_ids=[1, 2], note="ignored"), 3)
    assert found.family == "f" and found.config == config and found.key is None
    assert found.document.id == "a" and found.document.ids is not None and list(found.document.ids) == [1, 2]
    assert parse_record(record(text="some text"), 7).document.id == "line-7"
    assert parse_record(record(id=5, key="key.json", text="some text"), 1).key == "key.json"


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (None, "longer than"),
        (b"{", "not JSON"),
        (b"[1]", "not a JSON object"),
        (b"\xff{}", "not UTF-8"),
        (b'{"id": "a", "input_ids": [NaN]}', "NaN"),
        (b'{"a":' * 50_000, "nested too deep"),
        (b'{"id": ' + b"9" * 10_000 + b"}", "thousands of digits"),
        (record(id="a"), "exactly one of input_ids and text"),
        (record(id="a", input_ids=[1], text="x"), "exactly one of input_ids and text"),
        (record(id="a", input_ids=[]), "input_ids is empty"),
        (record(id="a", input_ids="1 2"), "must be a list"),
        (record(id="a", input_ids=[1, None]), "token 1 is 'None'"),
        (record(id="a", input_ids=[True]), "token 0 is 'True'"),
        (record(id="a", input_ids=[2**70]), "below 2\\^63"),
        (record(id="a", text=""), "text is empty"),
        (record(id="a", text=3), "must be a string"),
        (record(id="a", text="\ud800"), "surrogate"),
        (record(id="a", text="a\0"), "NUL"),
        (record(id=1.5, text="a"), "id must be"),
        (record(id="a" * 201, text="a"), "id must be"),
        (record(id="a", text="a", family="f"), "belong together"),
        (record(id="a", text="a", config={}), "belong together"),
        (record(id="a", text="a", family="f", config=[]), "config an object"),
        (record(id="a", text="a", family=3, config={}), "family must be"),
        (record(id="a", text="a", family="f", config={}, key="k"), "not both"),
        (record(id="a", text="a", key=3), "key must be"),
    ],
)
def test_malformed_records(line: bytes | None, complaint: str) -> None:
    with pytest.raises((InputError, TokenError, ConfigError), match=complaint):
        parse_record(line, 1)


def test_ids_of_bad_lines_are_kept_where_they_can_be_read() -> None:
    assert record_id(record(id="a", input_ids=[])) == "a" and record_id(record(id=3)) == 3
    for line in (None, b"{", b"[1]", b"3", record(), record(id=1.5), record(id="a" * 201), b"[" * 100_000, b"\xff"):
        assert record_id(line) is None
