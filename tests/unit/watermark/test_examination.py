"""Documents under keys: checks against key and tokenizer, searches, the cache, batches in one process and in several."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.unit.watermark.small_tokenizer import TEXT, train_tokenizer
from watermark import examination
from watermark.batch import CHUNK_BYTES, CHUNK_LINES, BatchSettings, LineProcessor, chunks, run_batch
from watermark.detection import Detection, DetectOptions
from watermark.errors import ConfigError, TokenError, WatermarkError
from watermark.examination import MAX_OPEN_SCHEMES, Examiner, KeyReference
from watermark.keys import WatermarkKey, save_key, to_json
from watermark.reading import Document
from watermark.tokenization import load_tokenizer

GUMBEL = {"scheme": "gumbel", "key": 2**63 + 5}
IDS = list(range(100, 400))


def reference(key: int = 2**63 + 5, **members: Any) -> KeyReference:
    return KeyReference("vllm-gumbel", {"scheme": "gumbel", "key": key, **members})


def test_token_ids_are_tested_as_given() -> None:
    found = Examiner(DetectOptions(spans=True)).examine(Document("a", ids=IDS), [reference()])
    shown = found.to_json()
    assert shown["id"] == "a" and shown["num_tokens_scored"] == 300 and shown["key"] is None
    assert shown["p_value"] == pytest.approx(found.detection.p_value) and "text" not in shown and "keys" not in shown
    needed = ("scheme", "dialect", "num_tokens_scored", "num_green", "z_score", "statistic", "p_value", "decision")
    assert set(needed) | {"reference_p_value"} <= set(shown)
    json.dumps(shown, allow_nan=False)


def test_ids_outside_the_vocabulary_of_the_key_are_named() -> None:
    with pytest.raises(TokenError, match=r"token 250 is 350, outside 0 \.\. the vocabulary size 350"):
        Examiner(DetectOptions()).examine(Document("a", ids=IDS), [reference(vocab_size=350)])
    with pytest.raises(TokenError, match="token 0 is -1"):
        Examiner(DetectOptions()).examine(Document("a", ids=[-1]), [reference()])


def test_no_key_and_no_tokenizer_are_named() -> None:
    with pytest.raises(ConfigError, match="no key"):
        Examiner(DetectOptions()).examine(Document("a", ids=IDS), [])
    with pytest.raises(TokenError, match="--tokenizer"):
        Examiner(DetectOptions()).examine(Document("a", text=TEXT), [reference()])


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_tokenizer(tmp_path_factory.mktemp("model") / "tokenizer.json")


class TestText:
    def test_text_gives_the_figures_of_its_tokens(self, tokenizer: Path) -> None:
        found = Examiner(DetectOptions(), tokenizer).examine(Document("a", text=TEXT), [reference()])
        ids = load_tokenizer(tokenizer).encode(TEXT).ids
        direct = Examiner(DetectOptions()).examine(Document("a", ids=ids), [reference()])
        assert found.detection.log_p == direct.detection.log_p
        reading = found.to_json()["text"]
        assert reading["token_drift"] == 0 and reading["normalisation"] == "none" and len(reading["tokenizer"]) == 64

    def test_invisible_edits_are_noticed_and_undone(self, tokenizer: Path) -> None:
        edited = TEXT.replace("a", "\u0430", 5).replace(" ", "\u200b ", 3)
        plain = Examiner(DetectOptions(), tokenizer).examine(Document("a", text=TEXT), [reference()])
        seen = Examiner(DetectOptions(), tokenizer).examine(Document("a", text=edited), [reference()])
        assert any("8 characters look like others" in warning for warning in seen.detection.warnings)
        assert seen.detection.num_tokens != plain.detection.num_tokens
        undone = Examiner(DetectOptions(), tokenizer, "homoglyphs").examine(Document("a", text=edited), [reference()])
        assert undone.detection.log_p == plain.detection.log_p and undone.to_json()["text"]["normalisation"] == "homoglyphs"

    def test_a_tokenizer_that_does_not_match_is_refused(self, tokenizer: Path) -> None:
        examiner = Examiner(DetectOptions(), tokenizer)
        with pytest.raises(TokenError, match="another model's tokenizer"):
            examiner.examine(Document("a", text=TEXT), [reference(vocab_size=50272)])
        bound = KeyReference("vllm-gumbel", GUMBEL, "c" * 64, "0" * 64)
        with pytest.raises(TokenError, match="made for another tokenizer"):
            examiner.examine(Document("a", text=TEXT), [bound])
        right = KeyReference("vllm-gumbel", GUMBEL, "c" * 64, load_tokenizer(tokenizer).digest)
        assert examiner.examine(Document("a", text=TEXT), [right]).key == "c" * 64

    def test_padded_logits_are_a_note(self, tokenizer: Path) -> None:
        found = Examiner(DetectOptions(), tokenizer).examine(Document("a", text=TEXT), [reference(vocab_size=416)])
        assert any("400 entries" in warning and "416" in warning for warning in found.detection.warnings)


def test_a_search_names_the_best_key_and_adjusts() -> None:
    keys = [KeyReference("vllm-gumbel", {"key": 2**50 + i}, f"{i:064x}") for i in range(5)]
    alone = [Examiner(DetectOptions()).examine(Document("a", ids=IDS), [key]).detection.log_p for key in keys]
    found = Examiner(DetectOptions()).examine(Document("a", ids=IDS), keys)
    best = min(range(5), key=lambda i: alone[i] or 0.0)
    expected = min(1.0, 5 * np.exp(alone[best] or 0.0))
    assert found.key == f"{best:064x}" and found.detection.p_value == pytest.approx(expected, rel=1e-9)
    listed = found.to_json()["keys"]
    assert len(listed) == 5 and listed[0]["key"] == found.key
    unnamed = Examiner(DetectOptions()).examine(Document("a", ids=IDS), [reference(2**50), reference(2**50 + 1)])
    assert {row["key"] for row in unnamed.to_json()["keys"]} == {"key-1", "key-2"}


class CountingScheme:
    opened = 0

    def __init__(self, config: Mapping[str, Any]) -> None:
        CountingScheme.opened += 1
        self.config = config

    def hazards(self) -> tuple[str, ...]:
        return ("a hazard",)

    def detect(self, tokens: npt.NDArray[np.int64], options: DetectOptions) -> Detection:
        if self.config.get("broken"):
            raise RuntimeError(f"key {self.config['key']}")
        return Detection("fake", "fake/1", tokens.size, tokens.size, options.alpha, -1.0, {}, tokens.size, 50, statistic=1.0)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    CountingScheme.opened = 0
    monkeypatch.setattr(examination, "open_scheme", lambda family, config: CountingScheme(config))
    yield


def test_schemes_stay_open_within_a_bound(fake: None) -> None:
    examiner = Examiner(DetectOptions())
    for round_ in range(3):
        for key in range(MAX_OPEN_SCHEMES):
            found = examiner.examine(Document(round_, ids=[1, 2]), [KeyReference("f", {"a": 1, "key": key})])
            assert found.detection.warnings == ("a hazard",)
    examiner.examine(Document(0, ids=[1]), [KeyReference("f", {"key": 0, "a": 1})])  # the order of members does not count
    assert CountingScheme.opened == MAX_OPEN_SCHEMES
    examiner.examine(Document(0, ids=[1]), [KeyReference("f", {"key": 99})])
    examiner.examine(Document(0, ids=[1]), [KeyReference("f", {"key": 0, "a": 1})])  # used last, so it is still there
    assert CountingScheme.opened == MAX_OPEN_SCHEMES + 1
    examiner.examine(Document(0, ids=[1]), [KeyReference("f", {"key": 1, "a": 1})])  # the longest unused one is not
    assert CountingScheme.opened == MAX_OPEN_SCHEMES + 2


def test_evidence_is_left_out_of_very_long_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examination, "MAX_EVIDENCE_TOKENS", 299)
    found = Examiner(DetectOptions(tokens=True)).examine(Document("a", ids=IDS), [reference()])
    assert not found.detection.tokens and any("more than 299 tokens" in text for text in found.detection.warnings)
    assert len(Examiner(DetectOptions(tokens=True)).examine(Document("a", ids=IDS[:299]), [reference()]).detection.tokens) == 299


def lines(*records: Any) -> list[tuple[int, bytes | None]]:
    rows = [record if isinstance(record, bytes) else json.dumps(record).encode() for record in records]
    return list(enumerate(rows, start=1))


def test_a_bad_line_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    key = WatermarkKey("vllm-gumbel", GUMBEL, bytes(32))
    save_key(key, tmp_path / "key.json")
    (tmp_path / "open.json").write_text("{}")
    rows = lines(
        {"id": "inline", "family": "vllm-gumbel", "config": GUMBEL, "input_ids": IDS},
        b"{broken",
        {"id": "file", "key": "key.json", "input_ids": IDS},
        {"id": "embedded", "key": to_json(key), "input_ids": IDS},
        {"id": "unknown", "family": "vllm-gumble", "config": {}, "input_ids": IDS},
        {"id": "config", "family": "vllm-gumbel", "config": {"key": "x"}, "input_ids": IDS},
        {"id": "ids", "family": "vllm-gumbel", "config": {"key": 1, "vocab_size": 200}, "input_ids": IDS},
        {"id": "open", "key": "open.json", "input_ids": IDS},
        {"id": "nokey", "input_ids": IDS},
        {"id": "last", "family": "vllm-gumbel", "config": GUMBEL, "input_ids": IDS},
    )
    found = list(run_batch(rows, BatchSettings(DetectOptions(), folder=tmp_path)))
    good = {row["id"]: row["p_value"] for row in found if "error" not in row}
    assert set(good) == {"inline", "file", "embedded", "last"} and len(set(good.values())) == 1
    errors = {row["line"]: row["error"] for row in found if "error" in row}
    wanted = {2: "not JSON", 5: "known families", 6: "key", 7: "token 100", 8: "chmod 600", 9: "no key"}
    assert set(errors) == set(wanted)
    for number, part in wanted.items():
        assert errors[number].startswith(f"line {number}: ") and part in errors[number]
    assert [row["id"] for row in found] == [
        "inline", None, "file", "embedded", "unknown", "config", "ids", "open", "nokey", "last"
    ]  # fmt: skip
    assert next(row for row in found if row["id"] == "file")["key"] == key.commitment
    assert str(GUMBEL["key"]) not in json.dumps(found)


def test_keys_of_the_call_serve_lines_without_one() -> None:
    settings = BatchSettings(DetectOptions(), keys=(reference(),))
    row = LineProcessor(settings).process(1, json.dumps({"id": 1, "input_ids": IDS}).encode())
    assert row["decision"] == "not_detected"


def test_a_defect_costs_one_line_and_shows_no_key(fake: None) -> None:
    rows = lines(
        {"id": 1, "family": "f", "config": {"key": 77123, "broken": True}, "input_ids": [1]},
        {"id": 2, "family": "f", "config": {"key": 77123}, "input_ids": [1]},
    )
    first, second = run_batch(rows, BatchSettings(DetectOptions()))
    assert first["error"] == "line 1: internal error (RuntimeError); please report it" and second["p_value"] > 0


def test_several_processes_give_the_same_results_in_the_same_order() -> None:
    rng = np.random.default_rng(3)
    records: list[Any] = [{"id": i, "input_ids": rng.integers(0, 900, 20 + i).tolist()} for i in range(50)]
    records[17] = b"not json"
    settings = BatchSettings(DetectOptions(), keys=(reference(),))
    alone = list(run_batch(lines(*records), settings, jobs=1))
    assert list(run_batch(lines(*records), settings, jobs=2)) == alone and "error" in alone[17]


def test_stopping_ends_the_work() -> None:
    settings = BatchSettings(DetectOptions(), keys=(reference(),))
    rows = lines(*({"id": i, "input_ids": IDS} for i in range(500)))
    assert list(run_batch(rows, settings, jobs=1, cancelled=lambda: True)) == []
    assert len(list(run_batch(rows, settings, jobs=2, cancelled=lambda: True))) < 500


def test_tasks_are_bounded() -> None:
    rows: list[tuple[int, bytes | None]] = [(i, b"x" * 10) for i in range(20)]
    assert [len(task) for task in chunks(rows)] == [CHUNK_LINES, CHUNK_LINES, 20 - 2 * CHUNK_LINES]
    large: list[tuple[int, bytes | None]] = [(1, b"x" * CHUNK_BYTES), (2, b"x"), (3, None)]
    assert [len(task) for task in chunks(large)] == [1, 2] and list(chunks([])) == []


def test_a_dead_process_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = BatchSettings(DetectOptions(), keys=(reference(),), folder=Path())
    monkeypatch.setattr("watermark.batch._work", _die)
    with pytest.raises(WatermarkError, match="died"):
        list(run_batch(lines({"id": 1, "input_ids": IDS}), settings, jobs=2))


def _die(task: Any) -> Any:
    import os

    os._exit(9)
