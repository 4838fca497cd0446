"""Tokenisation of text: windows that equal one pass, vocabulary checks, drift, and clear refusals."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.data.folder import ROOT
from tests.unit.watermark.small_tokenizer import TEXT, train_tokenizer
from watermark import tokenization
from watermark.errors import TokenError
from watermark.tokenization import TextTokenizer, load_tokenizer


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_tokenizer(tmp_path_factory.mktemp("model") / "tokenizer.json")


@pytest.fixture(scope="module")
def tokenizer(file: Path) -> TextTokenizer:
    return load_tokenizer(file)


def test_a_file_and_its_directory_are_the_same_tokenizer(file: Path) -> None:
    first, second = load_tokenizer(file), load_tokenizer(file.parent)
    assert first.digest == second.digest == hashlib.sha256(file.read_bytes()).hexdigest()
    assert first.vocab_size == 400


def test_offsets_are_the_characters_of_each_token(tokenizer: TextTokenizer) -> None:
    found = tokenizer.encode(TEXT)
    assert tokenizer.decode(found.ids) == TEXT and found.rough_joins == 0
    assert "".join(TEXT[a:b] for a, b in found.offsets.tolist()) == TEXT
    assert [tokenizer.piece(token) for token in found.ids.tolist()[:8]] == [TEXT[a:b] for a, b in found.offsets.tolist()[:8]]


@pytest.mark.parametrize("window", [300, 501, 4096])
def test_windows_give_what_one_pass_gives(monkeypatch: pytest.MonkeyPatch, tokenizer: TextTokenizer, window: int) -> None:
    rng = np.random.default_rng(11)
    words = [*TEXT.split(), "na\u00efve", "\U0001f600\U0001f9d1\u200d\U0001f680", "\n\n", "  ", "\u4e2d\u6587"]
    text = " ".join(words[i] for i in rng.integers(0, len(words), 3000))
    whole = tokenizer.encode(text)
    monkeypatch.setattr(tokenization, "WINDOW", window)
    monkeypatch.setattr(tokenization, "OVERLAP", 200)
    found = tokenizer.encode(text)
    assert found.ids.tolist() == whole.ids.tolist() and found.offsets.tolist() == whole.offsets.tolist()
    assert found.rough_joins == 0


def test_windows_that_never_agree_are_joined_roughly_and_counted(
    monkeypatch: pytest.MonkeyPatch, tokenizer: TextTokenizer
) -> None:
    monkeypatch.setattr(tokenization, "WINDOW", 300)
    monkeypatch.setattr(tokenization, "OVERLAP", 16)
    monkeypatch.setattr(tokenization, "AGREEMENT", 40)
    found = tokenizer.encode(TEXT * 3)
    assert found.rough_joins > 0
    assert abs(found.ids.size - tokenizer.encode(TEXT).ids.size * 3) <= 20 * (found.rough_joins + 1)
    assert (np.diff(found.offsets[:, 0]) >= 0).all()


def test_drift_counts_what_changes(tokenizer: TextTokenizer) -> None:
    ids = tokenizer.encode(TEXT).ids
    assert tokenizer.drift(ids) == 0
    pieces = np.concatenate([tokenizer.encode(char).ids for char in "watermark"])
    merged = tokenizer.encode("watermark").ids
    assert merged.size < pieces.size and tokenizer.drift(pieces) >= pieces.size - merged.size
    assert tokenizer.encode("").ids.size == 0 and tokenizer.drift(np.zeros(0, dtype=np.int64)) == 0


def test_special_tokens_are_not_added_and_unknown_ids_are_named(tokenizer: TextTokenizer) -> None:
    assert 0 not in tokenizer.encode(TEXT).ids  # <|end|>
    with pytest.raises(TokenError, match="token 1 is 400, outside the tokenizer's 400"):
        tokenizer.decode([3, 400])
    with pytest.raises(TokenError, match="token 0 is -1"):
        tokenizer.decode([-1])
    assert tokenizer.piece(100_000) == "<100000>"
    with pytest.raises(TokenError, match="cannot be tokenised"):
        tokenizer.encode("a\ud800b")


@pytest.mark.parametrize(("size", "outcome"), [(None, None), (400, None), (416, "pad"), (390, "does not fit")])
def test_vocabularies_that_may_belong_together(tokenizer: TextTokenizer, size: int | None, outcome: str | None) -> None:
    note = tokenizer.check_vocabulary(size)
    assert note is None if outcome is None else note is not None and outcome in note


@pytest.mark.parametrize("size", [300, 1000, 50257])
def test_vocabularies_that_cannot_belong_together(tokenizer: TextTokenizer, size: int) -> None:
    with pytest.raises(TokenError, match="another model's tokenizer"):
        tokenizer.check_vocabulary(size)


def test_files_that_are_no_tokenizers(tmp_path: Path) -> None:
    pytest.importorskip("tokenizers")
    with pytest.raises(TokenError, match=r"holds no tokenizer\.json"):
        load_tokenizer(tmp_path)
    with pytest.raises(TokenError, match="is no file"):
        load_tokenizer(tmp_path / "none.json")
    for content in (b"", b"{}", b"\xff\xfe\x00", b'{"version": "1.0", "model": 3}'):
        (tmp_path / "tokenizer.json").write_bytes(content)
        with pytest.raises(TokenError, match="is no tokenizer"):
            load_tokenizer(tmp_path)


def test_a_missing_package_is_named_with_its_install_command(file: Path) -> None:
    script = (
        "import sys; sys.modules['tokenizers'] = None\n"
        "from pathlib import Path\n"
        "from watermark.tokenization import load_tokenizer\n"
        f"load_tokenizer(Path({str(file)!r}))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert "pip install 'assay-audit[models]'" in done.stderr.splitlines()[-1]
