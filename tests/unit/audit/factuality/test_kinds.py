"""Factuality audits: made from the request, computed again from it, refused where a digit differs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from audit.canonical import canonical_bytes
from audit.charts import read_panels
from audit.errors import CancelledError, EvidenceError, RequestError
from audit.factuality.kinds import kinds
from audit.factuality.recomputed import RESULT_FILE, find_difference
from audit.kinds import build_registry
from audit.registry import CheckContext, Outcome
from audit.requests import SERVICE, AuditRequest, new_request
from audit.subjects import text_subject

AT = "2026-03-01T00:00:00Z"
Json = dict[str, Any]


def ledger(count: int, seed: int, wrong: float = 0.3) -> list[Json]:
    """Outputs of five claims; scores of true claims are higher by two standard deviations."""
    rng = np.random.default_rng(seed)
    made = []
    for i in range(count):
        labels = ["N" if rng.random() < wrong else "Y" for _ in range(5)]
        claims = [
            {"text": f"claim {seed}-{i}-{j}", "scores": {"s": float(rng.normal() + 2 * (label == "Y"))}, "label": label}
            for j, label in enumerate(labels)
        ]
        made.append({"id": f"{seed}-{i}", "prompt": f"question {seed}-{i}", "output": f"answer {seed}-{i}", "claims": claims})
    return made


def ask(kind: str, documents: list[Json], **params: Any) -> AuditRequest:
    asked = json.loads(json.dumps({"documents": documents, **params}))
    return new_request("auditor", SERVICE, text_subject(asked["documents"]), kind, asked)


def make(request: AuditRequest) -> dict[str, bytes]:
    kind: Any = build_registry().get(request.kind)
    assert kind.needs(request.params).models == {}
    return dict(kind.run(request, None, lambda fraction, message: None, lambda: False))


def judged(request: AuditRequest, evidence: dict[str, bytes] | None = None) -> Outcome:
    kind = build_registry().get(request.kind)
    return kind.check(request, make(request) if evidence is None else evidence, CheckContext({}))


def certify(**changed: Any) -> AuditRequest:
    return ask("factuality.certify", **{"documents": ledger(100, 21), "score": "s", "alpha": "0.1", "at": AT, **changed})


@pytest.fixture(scope="module")
def certificate() -> Json:
    found: Json = json.loads(make(certify())[RESULT_FILE])["result"]["certificate"]
    return found


def test_certify(certificate: Json) -> None:
    outcome = judged(certify(held_out=ledger(50, 2)))
    assert outcome.verdict == "holds" and outcome.outputs["thresholds"][0]["rank"] == 91
    assert outcome.outputs["certificate"] != certificate["sha256"]  # the held-out figures are part of it
    assert [panel["title"] for panel in read_panels(outcome.outputs)] == ["What the filter keeps", "Coverage of an honest filter"]
    small = judged(certify(documents=ledger(8, 1)))
    assert small.verdict == "inconclusive" and small.outputs["thresholds"][0]["abstains_always"]


def test_filter(certificate: Json) -> None:
    fresh = [{**one, "claims": [{k: v for k, v in c.items() if k != "label"} for c in one["claims"]]} for one in ledger(20, 3)]
    outcome = judged(ask("factuality.filter", fresh, certificate=certificate, at=AT))
    assert outcome.verdict == "holds" and outcome.outputs["counts"]["kept_claims"] > 0
    assert all("answer" not in json.dumps(one["kept"]) for one in outcome.outputs["outputs"])  # never the original text
    late = judged(ask("factuality.filter", fresh, certificate=certificate, at="2027-03-01T00:00:00Z"))
    assert late.verdict == "inconclusive" and late.outputs["counts"]["kept_claims"] == 0


@pytest.mark.parametrize(("wrong", "verdict"), [(0.3, "holds"), (0.9, "refuted")])
def test_audit(certificate: Json, wrong: float, verdict: str) -> None:
    fresh = ledger(300, 6, wrong)
    outcome = judged(ask("factuality.audit", fresh, certificate=certificate, at=AT, shortfall=0.15))
    assert outcome.verdict == verdict and len(read_panels(outcome.outputs)) == 1
    assert judged(ask("factuality.audit", ledger(6, 5), certificate=certificate, at=AT)).verdict == "inconclusive"


def test_audit_one_by_one(certificate: Json) -> None:
    outcome = judged(ask("factuality.audit", ledger(400, 5, 0.9), certificate=certificate, at=AT, sequential=True))
    assert outcome.verdict == "refuted" and outcome.outputs["groups"][0]["betting"]["stopped_at"] < 400


@pytest.mark.parametrize(("wrong", "verdict"), [(0.3, "inconclusive"), (0.95, "refuted")])
def test_drift(wrong: float, verdict: str) -> None:
    asked = ask("factuality.drift", ledger(150, 7, wrong), calibration=ledger(200, 8), score="s", tests=["ranks", "errors"])
    outcome = judged(asked)
    assert outcome.verdict == verdict and len(read_panels(outcome.outputs)[0]["lines"]) == 2
    assert ("no alarm" in " ".join(outcome.conditions)) == (verdict == "inconclusive")


def changed_result(evidence: dict[str, bytes], change: Callable[[Json], None]) -> dict[str, bytes]:
    content = json.loads(evidence[RESULT_FILE])
    change(content)
    return {RESULT_FILE: canonical_bytes(content)}


def test_altered_evidence_is_refused(certificate: Json) -> None:
    request = ask("factuality.audit", ledger(300, 5, 0.9), certificate=certificate, at=AT)
    evidence = make(request)

    def group(content: Json, name: str, value: Any) -> None:
        content["result"]["groups"][0][name] = value

    attacks: list[Callable[[Json], None]] = [
        lambda content: content["result"].update(verdict="consistent"),
        lambda content: group(content, "p_value", 0.5),
        lambda content: group(content, "covered", 299),
        lambda content: group(content, "p_value", True),
        lambda content: content["result"]["conditions"].pop(),
        lambda content: content["result"].update(more=1),
        lambda content: content["result"]["figure"][0]["lines"].clear(),
        lambda content: content.update(request="00" * 32),
        lambda content: content.update(format="assay-factuality-audit/2"),
        lambda content: content.pop("result"),
    ]
    for attack in attacks:
        with pytest.raises(EvidenceError):
            judged(request, changed_result(evidence, attack))
    other = ask("factuality.audit", ledger(300, 5, 0.9), certificate=certificate, at=AT)
    with pytest.raises(EvidenceError, match="another request"):
        judged(other, evidence)
    for files in ({}, {**evidence, "more": b""}, {RESULT_FILE: b"{"}):
        with pytest.raises(EvidenceError):
            judged(request, files)


def test_a_certificate_of_forged_numbers_is_refused(certificate: Json) -> None:
    for name, value in (("threshold", "-5.0"), ("rank", 50), ("abstains_always", True)):
        forged = json.loads(json.dumps(certificate))
        forged["thresholds"][0][name] = value
        with pytest.raises(RequestError, match="does not follow"):
            make(ask("factuality.filter", ledger(3, 3), certificate=forged, at=AT))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"score": None}, "score"), ({"score": "t"}, "t"), ({"alpha": None}, "alpha"), ({"alpha": "2"}, "alpha"),
        ({"alpha": 0.1}, "text"),
        ({"at": None}, "time"), ({"at": "yesterday"}, "time"), ({"documents": []}, "documents"),
        ({"documents": [1]}, "documents"),
        ({"fraction": 0.5}, "fraction"), ({"components": {"model": "x"}}, "model"), ({"components": 3}, "components"),
        ({"more": 1}, "no parameter"), ({"delta": "1"}, "delta"), ({"by_group": True}, "group"),
        ({"held_out": ledger(5, 21)}, "calibration outputs"),
    ],
)  # fmt: skip
def test_bad_parameters_are_named(changed: Json, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        make(certify(**changed))


def test_labels_must_be_known_and_outputs_fresh(certificate: Json) -> None:
    padded = ledger(100, 21)
    padded[40]["claims"][2]["label"] = "Y  "
    with pytest.raises(RequestError, match=r"documents\[40\].*claim 2"):
        make(certify(documents=padded))
    with pytest.raises(RequestError, match="calibration outputs"):
        make(ask("factuality.audit", ledger(100, 21), certificate=certificate, at=AT))
    with pytest.raises(RequestError, match="does not apply here"):
        make(ask("factuality.audit", ledger(9, 4), certificate=certificate, at=AT, components={"model": "ab" * 32}))


def test_cancelled_runs_stop() -> None:
    kind: Any = build_registry().get("factuality.certify")
    with pytest.raises(CancelledError):
        kind.run(certify(), None, lambda fraction, message: None, lambda: True)


def test_differences_are_found_beyond_rounding() -> None:
    one = {"a": [1.0, {"b": "x"}], "c": None}
    assert find_difference({"a": [1.0 + 1e-12, {"b": "x"}], "c": None}, one) is None
    for other, where in (
        ({"a": [1.1, {"b": "x"}], "c": None}, ".a[0]"), ({"a": [1.0, {"b": "y"}], "c": None}, ".a[1].b"),
        ({"a": [1.0], "c": None}, ".a (its length)"), ({"a": [True, {"b": "x"}], "c": None}, ".a[0]"),
        ({"a": 1}, " (its members)"),
        ({"a": [1.0, {"b": "x"}], "c": False}, ".c"),
    ):  # fmt: skip
        assert find_difference(other, one) == where


def paragraphs(count: int, seed: int, honest: bool) -> list[Json]:
    """One question a text, with a reader's distribution; a liar is right half as often as it says."""
    rng = np.random.default_rng(seed)
    made = []
    for i in range(count):
        confidence = float(rng.uniform(0.55, 0.95))
        right = rng.random() < (confidence if honest else confidence / 2)
        question = {
            "id": f"q{i}", "question": "which?", "options": ["left", "right"], "truth": "left" if right else "right",
            "readers": {"given": [confidence, 1 - confidence]},
        }  # fmt: skip
        made.append({"id": f"p{i}", "text": None, "questions": [question]})
    return made


def evaluation(honest: bool, **params: Any) -> AuditRequest:
    return ask("calibration.evaluate", paragraphs(400, 3, honest), draws=199, resamples=100, **params)


def test_calibration_is_refuted_or_undecided_without_a_margin() -> None:
    liar = judged(evaluation(False))
    assert liar.verdict == "refuted" and len(read_panels(liar.outputs)) == 1
    honest = judged(evaluation(True))
    assert honest.verdict == "inconclusive" and honest.checks[1].ok is None


def test_a_margin_makes_a_claim() -> None:
    assert judged(evaluation(True, margin=0.2)).verdict == "holds"
    assert judged(evaluation(False, margin=0.2)).verdict == "refuted"
    assert judged(evaluation(True, margin=0.001)).verdict == "inconclusive"


def test_stated_confidence_is_read_from_texts() -> None:
    texts = [
        {"id": f"p{i}", "text": f"I am {60 + i} % sure that the answer is left.",
         "questions": [{"question": "which?", "options": ["left", "right"], "truth": "left"}]}
        for i in range(30)
    ]  # fmt: skip
    outcome = judged(ask("calibration.evaluate", texts, draws=99, resamples=100))
    (reader,) = outcome.outputs["readers"].values()
    assert reader["answered"] == 30 and reader["mean_confidence"] == pytest.approx(0.745)
    for bad, message in (({"documents": [{"id": "a"}]}, "questions|text"), ({"margin": 2}, "margin"), ({"bins": 1}, "bins")):
        with pytest.raises(RequestError, match=message):
            make(ask("calibration.evaluate", **{"documents": texts, **bad}))


def test_kinds_that_are_loaded_late_are_what_they_say() -> None:
    for kind in kinds():
        found: Any = kind
        assert (found.kind.name, found.kind.title, found.kind.runs_on) == (kind.name, kind.title, found.runs_on)
