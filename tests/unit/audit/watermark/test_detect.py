"""`watermark.detect` without a service: transcripts that were altered do not count, and no document is accused by chance."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audit.canonical import canonical_bytes
from audit.errors import CancelledError, EvidenceError, RequestError
from audit.watermark.context import RunContext
from audit.watermark.detect import TRANSCRIPT_FILE, DetectParams, check_detect, read_params, run_detect
from audit.watermark.verdicts import adjust
from tests.unit.watermark.gumbel_texts import gumbel_text
from tests.unit.watermark.small_tokenizer import TEXT, train_tokenizer
from watermark.keys import WatermarkKey, new_key

REQUEST = "ab" * 32
Change = Callable[[dict[str, Any]], Any]


def context(**changes: Any) -> RunContext:
    return replace(RunContext(REQUEST, b"e" * 32), **changes)


@pytest.fixture(scope="module")
def key() -> WatermarkKey:
    return new_key("vllm-gumbel", {})[0]


def clean(seed: int, length: int = 300) -> list[int]:
    return np.random.default_rng(seed).integers(0, 500, length).tolist()


def params_of(key: WatermarkKey, documents: dict[str, list[int]], **more: Any) -> DetectParams:
    """At a level that no clean text reaches by chance, whatever the key."""
    listed = [{"id": name, "input_ids": ids} for name, ids in documents.items()]
    return read_params({"key": key.commitment, "documents": listed, "alpha": 1e-8, **more})


@pytest.fixture(scope="module")
def mixed(key: WatermarkKey) -> tuple[DetectParams, bytes]:
    params = params_of(key, {"m": gumbel_text(key.config, 300, 1).tolist(), "c": clean(1), "s": [1, 2]}, tokens=True)
    return params, run_detect(params, key, context())[TRANSCRIPT_FILE]


def test_the_same_run_gives_the_same_bytes(key: WatermarkKey, mixed: tuple[DetectParams, bytes]) -> None:
    params, data = mixed
    assert run_detect(params, key, context())[TRANSCRIPT_FILE] == data
    outcome = check_detect(params, REQUEST, {TRANSCRIPT_FILE: data})
    assert [item["decision"] for item in outcome.outputs["documents"]] == ["watermarked", "not_detected", "inconclusive"]
    assert outcome.verdict == "inconclusive" and outcome.checks[-1].ok is None


def test_no_key_is_in_evidence_or_outcome(key: WatermarkKey, mixed: tuple[DetectParams, bytes]) -> None:
    params, data = mixed
    outcome = json.dumps(check_detect(params, REQUEST, {TRANSCRIPT_FILE: data}).to_json())
    for secret in (str(key.config["key"]), key.blinding.hex()):
        assert secret not in data.decode() and secret not in outcome


def _detection(content: dict[str, Any], index: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = content["documents"][index]["detection"]
    return found


ALTERATIONS: dict[str, Change] = {
    "another request": lambda c: c.update(request="cd" * 32),
    "another key": lambda c: c.update(key="cd" * 32),
    "another format": lambda c: c.update(format="assay-watermark-detect/2"),
    "a p-value without counts": lambda c: _detection(c, 1).update(log10_p_value=-20.0),
    "a better score": lambda c: _detection(c, 1)["test"].update(score=900.0),
    "a score of nothing": lambda c: _detection(c, 1)["test"].update(score="900"),
    "weights of no test": lambda c: _detection(c, 1)["test"].update(weights=[2.0]),
    "an infinite score": lambda c: _detection(c, 1)["test"].update(score=1e308),
    "a shape beyond memory": lambda c: _detection(c, 1)["test"].update(shape=10**15),
    "fewer tokens than counted": lambda c: _detection(c, 1).update(num_tokens=5),
    "another count": lambda c: _detection(c, 1).update(num_distinct=299),
    "a softer level": lambda c: _detection(c, 1).update(alpha=0.05),
    "a positive logarithm": lambda c: _detection(c, 1).update(log10_p_value=0.5),
    "no p-value": lambda c: _detection(c, 1).update(log10_p_value=None),
    "a method without counts": lambda c: _detection(c, 0).update(test={"method": "none"}),
    "documents in another order": lambda c: c["documents"].reverse(),
    "a document less": lambda c: c["documents"].pop(),
    "another document": lambda c: c["documents"][0].update(sha256="cd" * 32),
    "an error beside a detection": lambda c: c["documents"][0].update(error="no"),
    "tokens that do not add up": lambda c: c["documents"][0]["tokens"].pop(),
    "tokens that are none": lambda c: c["documents"][0].update(tokens=[[1]]),
    "no documents": lambda c: c.pop("documents"),
    "warnings that are none": lambda c: _detection(c).update(warnings=[1]),
}


@pytest.mark.parametrize("name", ALTERATIONS)
def test_altered_transcripts_do_not_count(name: str, mixed: tuple[DetectParams, bytes]) -> None:
    params, data = mixed
    content = json.loads(data)
    ALTERATIONS[name](content)
    with pytest.raises(EvidenceError):
        check_detect(params, REQUEST, {TRANSCRIPT_FILE: canonical_bytes(content)})


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff", b'{"format": 1}', b"[" * 5000])
def test_evidence_that_is_none_does_not_count(data: bytes, mixed: tuple[DetectParams, bytes]) -> None:
    for files in ({TRANSCRIPT_FILE: data}, {}, {TRANSCRIPT_FILE: mixed[1], "more": b""}):
        with pytest.raises(EvidenceError):
            check_detect(mixed[0], REQUEST, files)


def test_tokens_are_evidence_only_when_asked_for(key: WatermarkKey, mixed: tuple[DetectParams, bytes]) -> None:
    params, data = mixed
    with pytest.raises(EvidenceError, match="tell of the key"):
        check_detect(replace(params, tokens=False), REQUEST, {TRANSCRIPT_FILE: data})
    quiet = params_of(key, {"m": clean(1)})
    assert b'"tokens":[' not in run_detect(quiet, key, context())[TRANSCRIPT_FILE]


FAMILIES: list[tuple[str, dict[str, Any]]] = [
    ("unigram", {"vocab_size": 500}),
    ("kgw-lm-extended", {"vocab_size": 500, "seeding_scheme": "lefthash"}),
    ("kuditipudi-library", {"scheme": "EXP", "vocab_size": 500}),
    ("kuditipudi-library", {"scheme": "ITS", "vocab_size": 500}),
    ("vllm-gumbel", {"scheme": "dual_key_gumbel"}),
    ("synthid", {}),
]


@pytest.mark.parametrize(("family", "options"), FAMILIES)
def test_every_family_gives_transcripts_that_check(family: str, options: dict[str, Any]) -> None:
    """Clean texts: what was not recomputed is said, and none of them is called watermarked."""
    key = new_key(family, options)[0]
    params = params_of(key, {"a": clean(1, 120), "b": clean(2, 120)}, runs=99)
    outcome = check_detect(params, REQUEST, run_detect(params, key, context()))
    assert outcome.outputs["watermarked"] == 0
    opaque = [sentence for sentence in outcome.conditions if "cannot be recomputed" in sentence]
    assert bool(opaque) == (family == "synthid")


def test_texts_need_a_tokenizer_and_unreadable_ones_are_inconclusive(key: WatermarkKey, tmp_path: Path) -> None:
    documents = [{"id": "t", "text": TEXT}]
    with pytest.raises(RequestError, match="tokenizer"):
        read_params({"key": key.commitment, "documents": documents})
    folder = train_tokenizer(tmp_path / "tokenizer.json")
    params = read_params({"key": key.commitment, "documents": documents, "tokenizer": "cd" * 32, "claim": "unmarked"})
    outcome = check_detect(params, REQUEST, run_detect(params, key, context(), folder))
    assert outcome.outputs["documents"][0]["tokens"] > 50
    other = replace(key, tokenizer="ee" * 32)
    outcome = check_detect(params, REQUEST, run_detect(params, other, context(), folder))
    assert outcome.verdict == "inconclusive" and "another tokenizer" in outcome.outputs["documents"][0]["error"]


def test_hazards_of_a_key_are_counted_and_not_told() -> None:
    key = new_key("vllm-gumbel", {})[0]
    weak = replace(key, config={**key.config, "key": 5})
    hazards = weak.open().hazards()
    params = params_of(weak, {"c": clean(1)})
    files = run_detect(params, weak, context())
    outcome = check_detect(params, REQUEST, files)
    assert hazards and not any(sentence in files[TRANSCRIPT_FILE].decode() for sentence in hazards)
    assert any(f"{len(hazards)} hazards" in sentence for sentence in outcome.conditions)


def test_cancelling_stops_between_documents(key: WatermarkKey) -> None:
    with pytest.raises(CancelledError):
        run_detect(params_of(key, {"c": clean(1)}), key, context(cancelled=lambda: True))


@pytest.mark.parametrize(
    "params",
    [
        {"documents": []},
        {"documents": "text"},
        {"documents": [{"id": "a"}]},
        {"documents": [{"id": "a", "text": "x", "input_ids": [1]}]},
        {"documents": [{"id": "a", "input_ids": []}]},
        {"documents": [{"id": "a", "input_ids": [True]}]},
        {"documents": [{"id": "a", "input_ids": [-1]}]},
        {"documents": [{"id": "a", "input_ids": [1 << 40]}]},
        {"documents": [{"id": "a\n", "input_ids": [1]}]},
        {"documents": [{"id": "a", "input_ids": [1]}] * 2},
        {"documents": [{"id": str(i), "input_ids": [1]} for i in range(300)]},
        {"alpha": 0.5},
        {"alpha": "0.01"},
        {"alpha": True},
        {"runs": 0},
        {"claim": "guilty"},
        {"normalise": "all"},
        {"tokens": 1},
        {"key": "short"},
        {"tokenizer": "short"},
        {"more": 1},
    ],
)
def test_parameters_are_closed_and_bounded(key: WatermarkKey, params: dict[str, Any]) -> None:
    good = {"key": key.commitment, "documents": [{"id": "a", "input_ids": [1]}]}
    read_params(good)
    with pytest.raises(RequestError):
        read_params({**good, **params})


def test_holms_adjustment() -> None:
    assert adjust([-3.0, None, -1.0]) == pytest.approx([-3.0 + np.log10(3), None, -1.0 + np.log10(2)])
    assert adjust([-1.0, -1.05]) == pytest.approx([-0.7489700043, -0.7489700043])
    assert adjust([0.0]) == [0.0] and adjust([None]) == [None]


def test_many_clean_documents_are_rarely_accused(key: WatermarkKey) -> None:
    """64 clean documents at a level of 5 % together: over 40 keys, accusing in more than 7 runs has probability 0.1 %."""
    accused = 0
    documents = {str(i): clean(i, 40) for i in range(64)}
    rng = np.random.default_rng(11)
    for _ in range(40):
        fresh = replace(key, config={**key.config, "key": int(rng.integers(1 << 40, 1 << 62))})
        params = params_of(fresh, documents, alpha=0.05)
        outcome = check_detect(params, REQUEST, run_detect(params, fresh, context()))
        accused += outcome.outputs["watermarked"] > 0
    assert accused <= 7
