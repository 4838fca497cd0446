"""Robustness, distortion and stealing as audits: the pure half. Reports are recounted, claims judged, alterations refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from audit.canonical import canonical_bytes
from audit.errors import AuditError, EvidenceError, RequestError
from audit.kinds import build_registry
from audit.registry import CheckContext, Outcome, is_run_by_service
from audit.rendering import render_figure
from audit.requests import SERVICE, Subject, new_request
from audit.runners.protocol import Attestation, Capabilities, Tier
from audit.subjects import MODEL_FORMAT, model_file
from audit.watermark import distortion, robustness, stealing
from audit.watermark.model_params import REPORT_FILE
from tests.unit.watermark.gumbel_texts import gumbel_text
from watermark.attacks.protocol import TokenDistribution
from watermark.attacks.registry import ATTACKS, build_attack
from watermark.attacks.stealing.registry import ATTACKS as STEALING
from watermark.detection import DetectOptions
from watermark.distortion.report import Samples, assess
from watermark.keys import WatermarkKey, new_key
from watermark.robustness.experiment import Experiment, measure_robustness

REQUEST = "ab" * 32
KINDS = ("watermark.robustness", "watermark.distortion", "watermark.stealing")
MODEL = {"model": "cd" * 32, "key": "ef" * 32}
Content = dict[str, Any]
# Of 30 marked texts all are found at the first rate and none at the second, under any key; one false alarm refutes nothing yet,
# and two come with probability 4e-5.
RATES, ALPHA, RUNS = (0.1, 0.9), 2e-4, 4999
MEASURED = {
    "texts": 30, "lengths": [60, 120], "rates": list(RATES), "attacks": ["substitution"], "alpha": ALPHA, "runs": RUNS,
}  # fmt: skip


def test_the_names_of_attacks_are_those_of_the_science() -> None:
    assert set(robustness.ATTACKS) == set(ATTACKS) - {"regeneration"}
    assert tuple(STEALING) == stealing.ATTACKS


def test_every_watermark_kind_is_run_by_the_service_and_offline_reading_stays_light() -> None:
    import subprocess
    import sys

    registry = build_registry()
    found = [kind.name for kind in registry if is_run_by_service(kind) and kind.name.startswith("watermark.")]
    assert found == sorted(("watermark.detect", *KINDS))
    program = (
        "import sys, audit.verify, audit.kinds; audit.kinds.build_registry();"
        "print({'numpy', 'torch', 'scipy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# ---------------------------------------------------------------------- robustness


@pytest.fixture(scope="module")
def key() -> WatermarkKey:
    return new_key("vllm-gumbel", {})[0]


@pytest.fixture(scope="module")
def measured(key: WatermarkKey) -> Content:
    marked = [gumbel_text(key.config, 120, seed) for seed in range(30)]
    plain = [np.random.default_rng(seed).integers(0, 500, 120) for seed in range(30)]
    given = build_attack("substitution", _resources(plain))
    experiment = Experiment("gumbel", [given], (60, 120), RATES, DetectOptions(ALPHA, RUNS), seed=7)
    report = measure_robustness(key.open(), marked, plain, experiment)
    return {"report": json.loads(json.dumps(report.to_json()))}


def _resources(plain: list[Any]) -> Any:
    from watermark.attacks.protocol import AttackResources

    return AttackResources(replacement=TokenDistribution.of_texts(plain))


def robust(**more: Any) -> robustness.RobustnessParams:
    return robustness.read_params({**MODEL, **MEASURED, **more})


def claim(rate: float, power: float) -> list[dict[str, Any]]:
    return [{"attack": "substitution", "rate": rate, "length": 120, "power": power}]


def test_robustness_judges_claims_by_intervals(measured: Content) -> None:
    assert robustness.check_robustness(robust(), measured, ()).verdict == "holds"
    good = robustness.check_robustness(robust(claims=claim(0.1, 0.5)), measured, ())
    bad = robustness.check_robustness(robust(claims=claim(0.9, 0.5)), measured, ())
    # 26 to 30 of 30 leave it open whether the power is 0.95
    unknown = robustness.check_robustness(robust(claims=claim(0.1, 0.95)), measured, ())
    assert (good.verdict, bad.verdict, unknown.verdict) == ("holds", "refuted", "inconclusive")
    assert len(good.outputs["cells"]) == 6 and len(good.outputs["figure"]) == 1


def test_false_alarms_refute(measured: Content) -> None:
    """A detector that calls clean texts marked is refuted, however robust its mark."""
    content = json.loads(json.dumps(measured))
    cells = content["report"]["false_alarms"]
    for index, cell in enumerate(cells):
        source = next(own for own in content["report"]["cells"] if own["attack"] == "none" and own["length"] == cell["length"])
        cells[index] = dict(source)
    outcome = robustness.check_robustness(robust(), content, ())
    assert outcome.verdict == "refuted" and outcome.checks[-1].id == "4 alarms" and outcome.checks[-1].ok is False


def test_altered_robustness_does_not_count(measured: Content) -> None:
    changes: list[Callable[[Content], Any]] = [
        lambda report: report["cells"][0].update(power=0.1),
        lambda report: report["cells"][1]["log10_p"].append(-9.0),
        lambda report: report["cells"].pop(),
        lambda report: report["settings"].update(runs=9),
        lambda report: report["false_alarms"].pop(),
        lambda report: report.update(alpha=0.02),
        lambda report: report.clear(),
    ]
    for change in changes:
        content = json.loads(json.dumps(measured))
        change(content["report"])
        with pytest.raises(EvidenceError):
            robustness.check_robustness(robust(), content, ())
    with pytest.raises(EvidenceError, match="other settings"):
        robustness.check_robustness(robust(texts=31), measured, ())


# ---------------------------------------------------------------------- distortion


def sampled(biased: bool) -> Content:
    rng = np.random.default_rng(1)
    u = rng.random(200) ** (3.0 if biased else 1.0)

    def text() -> tuple[int, ...]:
        return tuple(rng.integers(0, 50, 20).tolist())

    answers = tuple((tuple(text() for _ in range(3)), tuple(text() for _ in range(3))) for _ in range(4))
    samples = Samples(tuple(u.tolist()), tuple((text(), text()) for _ in range(20)), answers, 20)
    return {"report": json.loads(json.dumps(assess(samples, "mark", 0.01, 399, 3).to_json()))}


def distorted(**more: Any) -> distortion.DistortionParams:
    sizes = {"token_prompts": 200, "text_prompts": 20, "repeated_prompts": 4, "repeats": 3, "length": 20, "runs": 399}
    return distortion.read_params({**MODEL, **sizes, **more})


def test_distortion_is_refuted_by_the_claim_that_fails_only() -> None:
    params = distorted()
    assert distortion.check_distortion(params, sampled(False), ()).verdict == "holds"
    found = distortion.check_distortion(params, sampled(True), ())
    assert found.verdict == "refuted" and found.outputs["changed"] == ["token"]
    assert distortion.check_distortion(distorted(claims=["text", "repeat"]), sampled(True), ()).verdict == "holds"


def test_altered_distortion_does_not_count() -> None:
    changes: list[Callable[[Content], Any]] = [
        lambda report: report["p_values"].update(token=0.9),
        lambda report: report.update(refuted=["text"]),
        lambda report: report["samples"]["transform"].pop(),
        lambda report: report["samples"]["pairs"][0][0].append(3),
        lambda report: report.update(alpha=0.02),
        lambda report: report["samples"].update(limit=0),
        lambda report: report.clear(),
    ]
    for change in changes:
        content = sampled(True)
        change(content["report"])
        with pytest.raises(EvidenceError):
            distortion.check_distortion(distorted(), content, ())
    with pytest.raises(EvidenceError, match="other sizes"):
        distortion.check_distortion(distorted(repeats=4), sampled(False), ())


# ---------------------------------------------------------------------- stealing


def stolen(spoofed: int, judged: int = 60, **changes: Any) -> Content:
    from watermark.attacks.stealing.report import StealingReport, Trial

    hit, miss = -9.0, -0.1
    trial = Trial(
        attack="counts-2", budget=100, called=10, correct=9, seconds=1.0,
        scrubbed=(hit,) * judged, blind=(hit,) * judged, edits=(0,) * judged,
        scrubbed_perplexity=(9.0,) * judged, spoofed=(hit,) * spoofed + (miss,) * (judged - spoofed),
        spoofed_perplexity=(9.0,) * judged, **changes,
    )  # fmt: skip
    settings = {"attacks": ["counts-2"], "budgets": [100], "judged": judged, "contexts": 100}
    report = StealingReport(
        "unigram", "unigram", "d", 0.001, 0.5, settings, (hit,) * judged, (9.0,) * judged, (miss,) * judged, (9.0,) * judged,
        (trial,),
    )  # fmt: skip
    return {"report": json.loads(json.dumps(report.to_json()))}


def steal(**more: Any) -> stealing.StealingParams:
    return stealing.read_params({**MODEL, "attacks": ["counts-2"], "budgets": [100], **more})


def test_stealing_is_judged_by_intervals() -> None:
    verdicts = [stealing.check_stealing(steal(), stolen(spoofed), ()).verdict for spoofed in (0, 5, 60)]
    assert verdicts == ["holds", "inconclusive", "refuted"]
    assert stealing.check_stealing(steal(max_scrub=0.1), stolen(0), ()).verdict == "holds"
    failed = stealing.check_stealing(steal(), stolen(0, failed="out of time"), ())
    assert failed.verdict == "inconclusive" and failed.outputs["trials"][0]["failed"] == "out of time"


def test_altered_or_private_stealing_does_not_count() -> None:
    changes: list[Callable[[Content], Any]] = [
        lambda report: report["trials"][0].update(correct=10),
        lambda report: report["trials"][0]["spoofed"].pop(),
        lambda report: report["trials"].append(report["trials"][0]),
        lambda report: report.update(private=True),
        lambda report: report["settings"].update(budgets=[99]),
        lambda report: report.clear(),
    ]
    for change in changes:
        content = stolen(60)
        change(content["report"])
        with pytest.raises(EvidenceError):
            stealing.check_stealing(steal(), content, ())


# ---------------------------------------------------------------------- what all of them share


def registered(tier: int = 4) -> tuple[str, bytes]:
    import hashlib

    capabilities = Capabilities(Tier(tier), True, True, 0, True, True, True, True)
    document = {
        "format": MODEL_FORMAT, "name": "m", "owner": "root", "kind": "tiny", "address": "tiny", "nonce": "0",
        "capabilities": capabilities.to_json(), "attestation": Attestation("m", "dd" * 32, "cpu", "float32").to_json(),
    }  # fmt: skip
    data = canonical_bytes(document)
    return hashlib.sha256(data).hexdigest(), data


def judged(measured: Content, tier: int = 4, **changes: Any) -> Outcome:
    digest, data = registered(tier)
    params = {**MEASURED, "model": digest, "key": "ef" * 32}
    request = new_request("alice", SERVICE, Subject("model", changes.pop("subject", digest)), "watermark.robustness", params)
    content = {
        "format": robustness.FORMAT, "request": request.sha256, "key": "ef" * 32,
        "attestation": {"model": "m", "model_digest": "dd" * 32}, **measured, **changes,
    }  # fmt: skip
    published = {model_file(digest): data}
    return build_registry().get(request.kind).check(request, {REPORT_FILE: canonical_bytes(content)}, CheckContext(published))


def test_evidence_is_bound_to_request_key_and_model(measured: Content) -> None:
    outcome = judged(measured)
    assert outcome.verdict == "holds" and any("registered model m" in sentence for sentence in outcome.conditions)
    for changes in (
        {"request": REQUEST},
        {"key": "00" * 32},
        {"format": "other"},
        {"attestation": {"model": "m", "model_digest": "ee" * 32}},
        {"attestation": None},
        {"subject": "00" * 32},
        {"tier": 2},
    ):
        with pytest.raises(EvidenceError):
            judged(measured, **changes)


def test_the_figure_draws_curves_with_bands_from_the_statement_alone(measured: Content) -> None:
    from xml.etree import ElementTree

    outputs = dict(judged(measured).outputs)
    statement = {
        "subject": [], "predicate": {
            "request": {"kind": "k"}, "audit": "a", "verdict": "holds", "checks": [], "conditions": [], "outputs": outputs,
        },
    }  # fmt: skip
    root = ElementTree.fromstring(render_figure(statement))
    names = [element.tag.rpartition("}")[2] for element in root.iter()]
    assert names.count("polyline") == 2 and names.count("polygon") == 2
    for hostile in ("x", [1], [{"title": "t"}], [{**outputs["figure"][0], "lines": [{"label": "l", "points": [[1e300, 1]]}]}]):
        statement["predicate"]["outputs"] = {"figure": hostile}  # type: ignore[index]
        assert "polyline" not in render_figure(statement)


@pytest.mark.parametrize(
    ("read", "params"),
    [
        (robustness.read_params, {"rates": [0.0]}),
        (robustness.read_params, {"rates": []}),
        (robustness.read_params, {"rates": [0.1, 0.1]}),
        (robustness.read_params, {"lengths": [8]}),
        (robustness.read_params, {"lengths": [100.5]}),
        (robustness.read_params, {"attacks": ["regeneration"]}),
        (robustness.read_params, {"attacks": "swap"}),
        (robustness.read_params, {"texts": 2000, "lengths": [4096]}),
        (robustness.read_params, {"claims": []}),
        (robustness.read_params, {"claims": [{"attack": "swap", "rate": 0.1, "length": 200, "power": 0.5}]}),
        (robustness.read_params, {"embed": "me"}),
        (robustness.read_params, {"prompts": []}),
        (robustness.read_params, {"prompts": ["x" * 100_000]}),
        (robustness.read_params, {"temperature": float("nan")}),
        (robustness.read_params, {"runs": 98}),
        (distortion.read_params, {"runs": 298}),
        (distortion.read_params, {"text_prompts": 11}),
        (distortion.read_params, {"token_prompts": 0}),
        (distortion.read_params, {"temperature": 0}),
        (distortion.read_params, {"repeats": 1}),
        (distortion.read_params, {"repeated_prompts": 1000, "repeats": 64}),
        (distortion.read_params, {"claims": ["nothing"]}),
        (stealing.read_params, {"budgets": [0]}),
        (stealing.read_params, {"budgets": [20_000], "length": 1024}),
        (stealing.read_params, {"max_spoof": 2}),
        (stealing.read_params, {"max_scrub": "no"}),
        (stealing.read_params, {"unknown": 1}),
    ],
)
def test_parameters_are_closed_and_bounded(read: Callable[[Any], Any], params: Content) -> None:
    read(MODEL)
    with pytest.raises(AuditError) as refused:
        read({**MODEL, **params})
    assert isinstance(refused.value, RequestError)
