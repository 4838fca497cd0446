"""Files and lines made to end in a traceback, or to speak to the terminal of whoever reads the answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.watermark.small_tokenizer import TEXT, train_tokenizer
from watermark.batch import BatchSettings, run_batch
from watermark.detection import DetectOptions
from watermark.errors import KeyFileError, TokenError
from watermark.examination import Examiner, KeyReference
from watermark.key_files import read_private
from watermark.reading import Document
from watermark.rendering import page
from watermark.tokenization import load_tokenizer

GUMBEL = KeyReference("vllm-gumbel", {"scheme": "gumbel", "key": 42})


@pytest.mark.parametrize("name", ["a\x00b", "a\ud800b", "\x00"])
def test_names_that_no_path_can_have(name: str) -> None:
    with pytest.raises(KeyFileError, match="characters"):
        read_private(Path(name))
    line = json.dumps({"id": "x", "key": name, "input_ids": [1, 2, 3]}).encode()
    (result,) = run_batch([(1, line)], BatchSettings(DetectOptions()))
    assert "internal" not in result["error"]


DAMAGED: dict[str, dict[str, Any]] = {
    "a panic": {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "/////wAAAAA="}},
    "no entries": {"model": {"type": "Unigram", "unk_id": 0, "vocab": []}},
    "no unknown token": {"model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "zz"}},
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_tokenizers_end_in_one_error(name: str, tmp_path: Path) -> None:
    path = train_tokenizer(tmp_path / "tokenizer.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), **DAMAGED[name]}))
    with pytest.raises(TokenError):
        load_tokenizer(path).encode(TEXT)


def test_a_page_obeys_no_document(tmp_path: Path) -> None:
    path = train_tokenizer(tmp_path / "tokenizer.json")
    hostile = "</span><script>alert(1)</script>\" onmouseover='x' <img src=x onerror=y> \u202e " + TEXT[:2000]
    options = DetectOptions(tokens=True, spans=True)
    found = Examiner(options, path).examine(Document("<script>id</script>\"'", text=hostile), [GUMBEL])
    made = page([found], "<script>")
    assert "<script" not in made and "<img" not in made and "\" onmouseover='" not in made
