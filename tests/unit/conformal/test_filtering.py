"""The filter fails closed: nothing that its certificate does not speak of gets through, and nothing is silent."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from conformal.certificate import Certificate
from conformal.errors import CertificateError
from conformal.filtering import FilterResult, filter_outputs
from conformal.issuing import issue, make_promise
from conformal.losses import ALL_TRUE, AtMostFalse, FractionTrue
from tests.unit.conformal.vendors import COMPONENTS, ISSUED, NOW, records, table

ALPHA = Fraction(1, 5)


def certificate(loss: Any = ALL_TRUE, n: int = 60, **mode: Any) -> Certificate:
    promise = make_promise("s", loss, ALPHA, **mode)
    return issue(promise, table(records(0, n, premises=mode.get("closed", False))), components=COMPONENTS, issued=ISSUED)


def keep(made: Certificate, *outputs: Any, in_use: Any = COMPONENTS, now: datetime = NOW) -> FilterResult:
    return filter_outputs(made, outputs, in_use, now)


def output(*claims: Any, **members: Any) -> dict[str, Any]:
    return {"id": "one", "prompt": "p", "output": "THE ORIGINAL TEXT", "claims": list(claims), "group": "a", **members}


def claim(score: Any, text: str = "a claim", **members: Any) -> dict[str, Any]:
    return {"text": text, "scores": {"s": score}, **members}


@pytest.mark.parametrize("loss", [ALL_TRUE, AtMostFalse(1), FractionTrue(Fraction(3, 5))], ids=lambda loss: loss.name)
def test_it_keeps_what_calibration_kept(loss: Any) -> None:
    made, q = certificate(loss), certificate(loss).thresholds[0].value
    found = keep(made, *records(5, 50, "fresh"))
    for given, got in zip(records(5, 50, "fresh"), found.outputs):
        above = [i for i, c in enumerate(given["claims"]) if c["scores"]["s"] > q]
        assert [c.index for c in got.kept] == above and [c.text for c in got.kept] == [given["claims"][i]["text"] for i in above]
        assert (got.abstention == "no-claim-survived") == (not above)


@pytest.mark.parametrize("name", ["model", "prompt", "splitter", "scorer"])
def test_another_component_is_refused(name: str) -> None:
    made = certificate()
    for other in ("f" * 64, None):
        with pytest.raises(CertificateError, match=f"the {name} in use"):
            keep(made, output(claim(9.0)), in_use={**COMPONENTS, name: other})
    silent = issue(made.promise, table(records(0, 60)), components={**COMPONENTS, name: None}, issued=ISSUED)
    with pytest.raises(CertificateError, match="says nothing of it"):
        keep(silent, output(claim(9.0)))
    with pytest.raises(CertificateError):
        keep(made, output(claim(9.0)), in_use={**COMPONENTS, "extra": "a" * 64})


@pytest.mark.parametrize("now", [ISSUED - timedelta(seconds=1), ISSUED + timedelta(days=90)])
def test_outside_its_time_every_output_abstains(now: datetime) -> None:
    found = keep(certificate(), output(claim(9.0)), now=now).outputs[0]
    assert found.kept == () and found.abstention == "certificate-not-valid-now"
    assert keep(certificate(), output(claim(9.0)), now=ISSUED).outputs[0].kept
    with pytest.raises(CertificateError, match="time zone"):
        keep(certificate(), output(claim(9.0)), now=datetime(2026, 2, 1))


BAD_SCORES = [None, float("nan"), float("inf"), float("-inf"), "9.0", True, [9.0], {"s": 9.0}, 10**400]


@pytest.mark.parametrize("score", BAD_SCORES, ids=lambda score: str(score)[:12])
def test_no_score_no_claim(score: Any) -> None:
    made = certificate()
    found = keep(made, output(claim(score), claim(9.0, "good"))).outputs[0]
    assert [c.text for c in found.kept] == ["good"] and found.dropped[0][1] in ("score-missing", "score-not-finite")
    without = {"text": "t", "scores": {"other": 9.0}}
    assert keep(made, output(without)).outputs[0].dropped == ((0, "score-missing"),)
    share = keep(certificate(FractionTrue(Fraction(3, 5))), output(claim(score), claim(9.0))).outputs[0]
    assert share.kept == () and share.abstention == "set-not-certified"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (None, "output-malformed"),
        ([], "output-malformed"),
        ("THE ORIGINAL TEXT", "output-malformed"),
        ({"id": "x"}, "output-malformed"),
        ({"id": 3, "claims": []}, "output-malformed"),
        ({"id": "x", "claims": "THE ORIGINAL TEXT"}, "output-malformed"),
        (output(), "no-claims"),
        (output(claim(-9.0)), "no-claim-survived"),
        (output("THE ORIGINAL TEXT"), "no-claim-survived"),
        (output({"text": "", "scores": {"s": 9.0}}), "no-claim-survived"),
        (output(claim(9.0, premises=[0])), "no-claim-survived"),
        (output(claim(9.0, premises=[-1])), "no-claim-survived"),
        (output(claim(9.0, premises="0")), "no-claim-survived"),
        (output(claim(9.0), error="the scorer failed"), "error-reported"),
        (output(claim(9.0), error=False), "error-reported"),
    ],
)  # fmt: skip
def test_malformed_outputs_abstain_and_are_counted(given: Any, reason: str) -> None:
    found = keep(certificate(), given)
    assert found.outputs[0].kept == () and found.outputs[0].abstention == reason
    shown = found.to_json()
    assert shown["counts"]["abstentions"] == 1 and shown["counts"]["abstentions_by_reason"] == {reason: 1}
    assert "THE ORIGINAL TEXT" not in json.dumps(shown)


def test_repeated_ids_unknown_groups_and_empty_certificates_abstain() -> None:
    first, second = keep(certificate(), output(claim(9.0)), output(claim(9.0))).outputs
    assert first.kept and second.abstention == "id-repeated"
    grouped = certificate(by_group=True)
    for group in ("c", None, 3, ["a"], ""):
        assert keep(grouped, output(claim(99.0), group=group)).outputs[0].abstention == "unknown-group"
    assert keep(grouped, output(claim(99.0))).outputs[0].kept
    for empty in (certificate(n=3), certificate(n=3, comparator=">=")):
        assert keep(empty, output(claim(1e308))).outputs[0].abstention == "always-abstains"


def test_a_claim_goes_with_its_premise() -> None:
    chain = output(claim(-9.0), claim(9.0, premises=[0]), claim(9.0, premises=[1]), claim(9.0, "free"))
    for closed in (False, True):
        found = keep(certificate(closed=closed), chain).outputs[0]
        assert [c.text for c in found.kept] == ["free"]
        assert [reason for _, reason in found.dropped] == ["below-threshold", "premise-dropped", "premise-dropped"]
    share = FractionTrue(Fraction(3, 5))
    assert keep(certificate(share, closed=True), chain).outputs[0].kept
    assert keep(certificate(share), chain).outputs[0].abstention == "set-not-certified"


@pytest.mark.parametrize("comparator", [">", ">="])
def test_the_comparator_is_that_of_the_certificate(comparator: Any) -> None:
    made = certificate(comparator=comparator)
    q = made.thresholds[0].value
    kept = [bool(keep(made, output(claim(score))).outputs[0].kept) for score in (np.nextafter(q, -9), q, np.nextafter(q, 9))]
    assert kept == [False, comparator == ">=", True]


def test_random_outputs_never_let_an_uncertified_claim_through() -> None:
    """Whatever comes, a kept claim has a finite score above the threshold of its group, and so has every premise of it."""
    rng = np.random.default_rng(3)
    made = certificate(by_group=True, closed=True)
    junk: list[Any] = [None, float("nan"), "x", 10**400, [], True, float("inf")]
    for trial in range(300):
        claims = []
        for j in range(int(rng.integers(0, 6))):
            score = junk[rng.integers(len(junk))] if rng.random() < 0.3 else float(rng.normal(1, 2))
            premises = [int(p) for p in rng.integers(-1, 7, rng.integers(0, 3))]
            claims.append(claim(score, f"c{j}", premises=premises) if rng.random() < 0.9 else junk[rng.integers(len(junk))])
        given = output(*claims, group=str(rng.choice(["a", "b", "z"])), id=str(trial))
        found = keep(made, given).outputs[0]
        places = {c.index for c in found.kept}
        threshold = made.threshold_for(given["group"])
        for i in places:
            assert threshold is not None and claims[i]["scores"]["s"] > threshold.value and np.isfinite(claims[i]["scores"]["s"])
            assert places.issuperset(claims[i]["premises"])
        assert len(places) + len(found.dropped) == len(claims) or found.abstention == "output-malformed"
