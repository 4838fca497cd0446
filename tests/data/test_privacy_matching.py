"""Matching over the fixtures: no hit where nothing is disclosed, every reformatted value found, and what detection finds."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from privacy.matching.detection import detect
from privacy.matching.matchers import open_matcher
from tests.data.folder import data_folder, json_files

pytestmark = pytest.mark.data
pytest.importorskip("phonenumbers")
_TYPES = {
    "PHONE_NUMBER": "phone", "EMAIL_ADDRESS": "email", "IBAN_CODE": "iban", "US_SSN": "us-ssn", "CREDIT_CARD": "payment-card",
}  # fmt: skip


def sentence_files() -> list[Any]:
    """Every file of labelled sentences."""
    found = []
    for path in sorted((data_folder() / "privacy").glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(content, list) and content and "spans" in content[0]:
            found.append(pytest.param(content, id=path.name))
    missing = pytest.mark.skip(reason=f"no labelled sentences under {data_folder()}; set ASSAY_DATA to run this test")
    return found or [pytest.param([], id="missing", marks=missing)]


@pytest.mark.parametrize("content", json_files("privacy", "pii-matcher-cases/1", "format"))
def test_cases(content: dict[str, Any]) -> None:
    cases = [case for part in content.values() if isinstance(part, dict) for case in part["cases"]]
    wrong = [
        case for case in cases if open_matcher(case["type"], case["target"], "US").matches(case["text"]) != case["expected_match"]
    ]
    assert len(cases) >= 3 and not wrong


@pytest.mark.parametrize("sentences", sentence_files())
def test_sentences(sentences: list[dict[str, Any]]) -> None:
    hit: Counter[str] = Counter()
    missed: Counter[str] = Counter()
    extra: Counter[str] = Counter()
    for sentence in sentences:
        found = detect(sentence["full_text"])
        gold = [
            (s["start_position"], s["end_position"], _TYPES[s["entity_type"]])
            for s in sentence["spans"]
            if s["entity_type"] in _TYPES
        ]
        for start, end, name in gold:
            same = [d for d in found if d.type == name and d.span.start < end and start < d.span.end]
            (hit if same else missed)[name] += 1
        for one in found:
            extra[one.type] += all(
                one.type != name or one.span.end <= start or end <= one.span.start for start, end, name in gold
            )
    for name in sorted(set(hit) | set(missed)):
        recall = hit[name] / (hit[name] + missed[name])
        precision = hit[name] / (hit[name] + extra[name])
        print(f"{name}: {hit[name] + missed[name]} spans, recall {recall:.3f}, precision {precision:.3f}")
        assert recall >= 0.9 and precision >= 0.9, name
