"""From a run to labels to a certificate to a filtered run; and every difference between the two that has to stop it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from conformal.certificate import Certificate
from conformal.claims import read_ledger
from conformal.errors import CertificateError
from conformal.issuing import issue, make_promise
from conformal.losses import ALL_TRUE
from conformal.pipeline.backoff import ABSTENTION
from conformal.pipeline.certified import CertifiedBackOff, certified
from conformal.pipeline.errors import PipelineError
from conformal.pipeline.model import Decoding
from conformal.pipeline.plan import Plan
from conformal.pipeline.questions import Question
from conformal.pipeline.run import FILTERED, LEDGER, REPORT, run_pipeline
from conformal.pipeline.scorers.random import RandomScorer
from conformal.pipeline.splitters.rules import RuleSplitter
from tests.unit.conformal.pipeline.models import ScriptedModel

NOW = datetime(2026, 5, 1, tzinfo=UTC)
CALIBRATION = [Question(f"c{i}", f"Tell me of the calibration town number {i}.") for i in range(40)]
FRESH = [Question(f"f{i}", f"Tell me of the fresh town number {i}.") for i in range(6)]


def towns(prompt: str, decoding: Decoding) -> str:
    name = prompt.split()[-1].rstrip(".")
    return f"Town{name} is old. Town{name} is big. Town{name} is far."


def plan(**changes: Any) -> Plan:
    model = ScriptedModel({"answer": towns})
    base = Plan(model, RuleSplitter(), (RandomScorer(1),), Decoding(64), Decoding(64, 1.0), batch=4)
    return replace(base, **changes)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """Calibrated on a run in which a claim is true if its score is above 0.5, or its output has an even number."""
    folder = tmp_path_factory.mktemp("calibration")
    run_pipeline(CALIBRATION, plan(), folder)
    lines = []
    for number, line in enumerate((folder / LEDGER).read_text().splitlines()):
        record = json.loads(line)
        for claim in record["claims"]:
            claim["label"] = "Y" if claim["scores"]["random"] > 0.5 or number % 2 else "N"
        lines.append(json.dumps(record))
    components = json.loads((folder / REPORT).read_text())["components"]["random"]
    promise = make_promise("random", ALL_TRUE, Fraction(1, 10))
    return issue(promise, read_ledger(lines), components=components, issued=NOW)


def clock() -> datetime:
    return NOW + timedelta(days=3)


def test_a_certified_run_keeps_what_the_certificate_keeps(tmp_path: Path, certificate: Certificate) -> None:
    report = run_pipeline(FRESH, certified(plan(), certificate, clock), tmp_path)
    found = certificate.threshold_for(None)
    assert found is not None and 0 < found.value <= 0.5
    table = read_ledger((tmp_path / LEDGER).read_text().splitlines())
    rows = [json.loads(line) for line in (tmp_path / FILTERED).read_text().splitlines()]
    for place, row in enumerate(rows):
        assert row["kept"] == [i for i in range(3) if table.score("random")[3 * place + i] > found.value]
        assert (row["text"] == ABSTENTION) == row["abstained"] == (not row["kept"])
    assert json.loads((tmp_path / "manifest.json").read_text())["backoff"]["certificate_sha256"] == certificate.sha256
    assert 0 < report["filtered"]["retention"] < 1


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"model": ScriptedModel({"answer": towns}, name="scripted", top_logprobs=4)}, None),
        ({"seed": 9, "batch": 2}, None),
        ({"decoding": Decoding(65)}, "prompt"),
        ({"scorers": (RandomScorer(2),)}, "scorer"),
    ],
)
def test_another_component_is_refused(certificate: Certificate, changes: dict[str, Any], named: str | None) -> None:
    if named is None:
        certified(plan(**changes), certificate, clock)
    else:
        with pytest.raises(CertificateError, match=f"the {named} in use"):
            certified(plan(**changes), certificate, clock)


def test_another_model_or_splitter_is_refused(certificate: Certificate) -> None:
    class Other(ScriptedModel):
        def facts(self) -> Any:
            return replace(super().facts(), digest="f" * 64)

    class OtherSplitter(RuleSplitter):
        def describe(self) -> dict[str, Any]:
            return {"splitter": "rules", "version": 0}

    for changes, named in (({"model": Other({})}, "model"), ({"splitter": OtherSplitter()}, "splitter")):
        with pytest.raises(CertificateError, match=f"the {named} in use"):
            certified(plan(**changes), certificate, clock)


def test_a_certificate_that_names_no_components_proves_nothing(certificate: Certificate) -> None:
    silent = replace(certificate, components={**certificate.components, "scorer": None})
    with pytest.raises(CertificateError, match="which scorer"):
        certified(plan(), silent, clock)


def test_a_score_that_the_run_lacks(certificate: Certificate) -> None:
    other = replace(certificate, promise=replace(certificate.promise, score="other"))
    with pytest.raises(PipelineError, match="of the score other"):
        certified(plan(), other, clock)


@pytest.mark.parametrize("days", [-1, 91])
def test_out_of_time(certificate: Certificate, days: int) -> None:
    with pytest.raises(CertificateError, match="valid from"):
        certified(plan(), certificate, lambda: NOW + timedelta(days=days))


def test_a_certificate_that_expires_on_the_way(tmp_path: Path, certificate: Certificate) -> None:
    times = iter([NOW, NOW] + [NOW + timedelta(days=100)] * 9)
    backed = replace(plan(), backoff=CertifiedBackOff(certificate, plan().components("random"), lambda: next(times)))
    report = run_pipeline(FRESH, backed, tmp_path)
    assert report["filtered"]["abstentions_by_reason"]["certificate-not-valid-now"] == 2
