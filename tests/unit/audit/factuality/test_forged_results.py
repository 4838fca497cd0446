"""Forged evidence of factuality audits: whoever keeps the evidence may not change what a report says."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from audit.errors import EvidenceError, RequestError
from audit.factuality.recomputed import RESULT_FILE, find_difference
from audit.registry import Outcome
from tests.unit.audit.factuality.test_kinds import AT, ask, certify, changed_result, judged, ledger, make

Json = dict[str, Any]


@pytest.fixture(scope="module")
def certificate() -> Json:
    found: Json = json.loads(make(certify())[RESULT_FILE])["result"]["certificate"]
    return found


@pytest.mark.parametrize("count", [300.0000001, 10**400, -(10**400), True, "300", None])
def test_counts_have_no_slack(count: Any) -> None:
    assert find_difference({"m": count}, {"m": 300}) == ".m"
    assert find_difference({"p": 10**400}, {"p": 0.5}) == ".p"
    assert find_difference({"p": 1}, {"p": 1.0}) is None  # canonical JSON has one spelling for both


def test_a_count_off_by_rounding_is_refused(certificate: Json) -> None:
    request = ask("factuality.audit", ledger(60, 5), certificate=certificate, at=AT)
    evidence = make(request)
    for name in ("m", "covered", "floor"):

        def change(content: Json, name: str = name) -> None:
            content["result"]["groups"][0][name] += 1e-8

        with pytest.raises(EvidenceError, match="does not follow"):
            judged(request, changed_result(evidence, change))


def long(outputs: list[Json], change: Callable[[str], str] = str) -> list[Json]:
    """Outputs whose texts are long enough to know them by."""
    return [{**one, "output": change(f"{one['output']} - all that there is to say of it")} for one in outputs]


def test_the_stream_of_a_drift_audit_is_fresh() -> None:
    calibration, stream = long(ledger(60, 8)), long(ledger(60, 7))
    again = [{**one, "id": f"{one['id']} again"} for one in long(ledger(60, 8)[:5], str.upper)]
    asked = {"calibration": calibration, "score": "s"}
    with pytest.raises(RequestError, match="one of the calibration outputs"):
        make(ask("factuality.drift", stream + again, **asked))
    twice = [*stream, {**stream[0], "id": "other"}]
    with pytest.raises(RequestError, match="there twice"):
        make(ask("factuality.drift", twice, **asked))
    with pytest.raises(RequestError, match="there twice"):
        make(ask("factuality.drift", stream, **{**asked, "calibration": calibration + again}))


def test_an_audit_says_what_it_accepted(certificate: Json) -> None:
    """Two labels agree with everything if a shortfall of nine tenths is accepted: the report has to say so."""
    outcome: Outcome = judged(ask("factuality.audit", ledger(2, 5, 0.0), certificate=certificate, at=AT, shortfall=0.9))
    assert outcome.verdict == "holds" and any("0.9 below" in condition for condition in outcome.conditions)


def test_right_outputs_put_first_do_not_acquit(certificate: Json) -> None:
    threshold = float(certificate["thresholds"][0]["threshold"])

    def wrong(output: Json) -> bool:
        return any(claim["label"] == "N" and claim["scores"]["s"] > threshold for claim in output["claims"])

    ordered = sorted(ledger(300, 6, 0.6), key=wrong)
    outcome = judged(ask("factuality.audit", ordered, certificate=certificate, at=AT, sequential=True))
    assert outcome.verdict == "inconclusive" and outcome.checks[2].ok is None


def test_a_certificate_beyond_the_calendar() -> None:
    with pytest.raises(RequestError, match="calendar"):
        make(certify(at="9999-12-31T00:00:00Z"))


def texts(count: int, wrong: int = 0, silent: int = 0, confidence: float = 1.0) -> list[Json]:
    """One question a text. A reader takes `confidence` for the first option, which is false in the first `wrong` of them, and
    finds no answer in the last `silent`."""
    found: list[Json] = []
    for i in range(count):
        reading = None if i >= count - silent else [confidence, 1 - confidence]
        asked = {"question": f"Question {i}?", "options": ["yes", "no"], "truth": "no" if i < wrong else "yes"}
        found.append({"id": f"text {i}", "text": f"Text {i}.", "questions": [{**asked, "readers": {"r": reading}}]})
    return found


def evaluated(documents: list[Json], **params: Any) -> Outcome:
    return judged(ask("calibration.evaluate", documents, **{"resamples": 100, "draws": 99, "margin": 0.1, **params}))


@pytest.mark.parametrize(("count", "wrong"), [(2, 0), (3, 0), (20, 0), (40, 2)])
def test_few_right_answers_do_not_make_certainty_calibrated(count: int, wrong: int) -> None:
    """Somebody who is always certain and wrong in a tenth of the cases is this lucky more often than once in twenty."""
    assert evaluated(texts(count, wrong)).verdict == "inconclusive"


def test_many_right_answers_do() -> None:
    assert evaluated(texts(100, 0)).verdict == "holds"
    assert evaluated(texts(100, 40)).verdict == "refuted"


def test_silence_is_not_calibration() -> None:
    outcome = evaluated(texts(250, silent=150))
    assert outcome.verdict == "inconclusive" and "60% not answered" in outcome.checks[1].detail


def test_a_text_counts_once() -> None:
    documents = texts(20)
    again = [{**one, "id": one["id"] + " again", "text": one["text"].upper() + " "} for one in documents]
    with pytest.raises(RequestError, match="same text"):
        evaluated(documents + again)


def test_endless_simulations_are_refused() -> None:
    asked = {"question": "Which?", "options": [str(i) for i in range(30)], "truth": "0"}
    documents = [{"id": str(i), "text": f"Text {i}.", "questions": [asked]} for i in range(4000)]
    with pytest.raises(RequestError, match="too many"):
        make(ask("calibration.evaluate", documents, draws=20_000))


def test_many_readers_do_not_make_an_honest_one_suspect() -> None:
    """One reader is rejected at p = .01; beside fifteen others such a p-value is to be expected."""
    documents = texts(60, wrong=30, confidence=0.7)
    alone = evaluated(documents, margin=None)
    assert alone.verdict == "refuted"
    for document in documents:
        readers = document["questions"][0]["readers"]
        readers.update({f"r{i}": readers["r"] for i in range(15)})
    assert evaluated(documents, margin=None).verdict == "inconclusive"
