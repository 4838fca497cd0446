"""The watermark audits through a real service: from the command line on texts, and on the tiny model with every kind."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from api.cli.main import main
from api.client import ServiceClient
from api.errors import ServiceError
from audit.reports import unpack_report
from audit.requests import SERVICE, Subject, new_request
from audit.runners.protocol import Prompt, Sampling
from audit.signing import PublicKey
from audit.subjects import text_subject
from audit.verify import ReportVerdict, verify_report
from tests import tiny_model
from tests.integration.conftest import ServiceProcesses
from tests.integration.service_process import build_test_registry
from tests.unit.watermark.gumbel_texts import gumbel_text
from tests.unit.watermark.small_tokenizer import TEXT, train_tokenizer
from watermark.keys import WatermarkKey, load_key, new_key, to_json
from watermark.presets import PRESETS, find_preset


def run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit code and standard output of a command; what it says must be no traceback."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return int(ended.value.code or 0), out


def test_texts_from_the_command_line(
    service: ServiceProcesses, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_URL", service.url)
    monkeypatch.setenv("ASSAY_API_KEY", service.new_key("provider", "marker"))
    key_file = tmp_path / "mark.key"
    assert run(["watermark", "keygen", "--scheme", "gumbel", "-o", str(key_file)], capsys)[0] == 0
    key = load_key(key_file)
    code, out = run(["watermark-keys", "add", str(key_file), "--auditor", "clara"], capsys)
    assert code == 0 and key.commitment in out and "clara" in out and str(key.config["key"]) not in out
    monkeypatch.setenv("ASSAY_API_KEY", service.new_key("admin", "root"))
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    train_tokenizer(folder / "tokenizer.json")
    code, out = run(["models", "add", "cli-small", str(folder), "--auditor", "clara"], capsys)
    assert code == 0 and "ready" in out

    monkeypatch.setenv("ASSAY_API_KEY", service.new_key("auditor", "clara"))
    assert key.commitment in run(["watermark-keys"], capsys)[1] and "cli-small" in run(["models"], capsys)[1]
    (tmp_path / "marked.json").write_text(json.dumps(gumbel_text(key.config, 300, 1).tolist()))
    (tmp_path / "plain.txt").write_text(TEXT)
    ask = ["audit", "request", "--kind", "watermark.detect", "--watermark-key", key.commitment[:16]]
    ask += ["--params", '{"alpha": 1e-8}']  # no text without the mark reaches it by chance
    code, out = run([*ask, "--ids", str(tmp_path / "marked.json"), "--claim", "watermarked", "--watch", "--json"], capsys)
    events = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and events[-1]["type"] == "done" and events[-1]["data"]["verdict"] == "holds"
    text = ["--text", str(tmp_path / "plain.txt"), "--tokenizer", "cli-small"]
    code, out = run([*ask, *text, "--claim", "watermarked", "--json"], capsys)
    audit = json.loads(out)["id"]
    code, out = run(["audit", "watch", audit], capsys)
    assert code in (3, 5) and "verdict=" in out
    assert run(["report", audit, "--out", str(tmp_path / "report")], capsys)[0] == 0
    assert "plain.txt" in (tmp_path / "report/report.txt").read_text()
    code, out = run(["verify", str(tmp_path / "report")], capsys)
    assert code in (3, 5) and "6 recheck" in out and "word of the signer" in out

    for wrong in (
        [*ask],
        [*ask, *text, "--run", "ab" * 32],
        [*ask, "--text", str(tmp_path / "nowhere")],
        [*ask, "--model", "nobody"],
        ["audit", "request", "--kind", "watermark.detect", "--watermark-key", "0" * 16, *text],
        ["audit", "request", "--kind", "watermark.detect"],
    ):
        assert run(wrong, capsys)[0] in (1, 2, 6)


def test_detection_is_asked_of_the_owner_not_of_the_service(service: ServiceProcesses, tmp_path: Path) -> None:
    """An auditor who knows the commitment of a key, but is not listed, learns nothing about any text."""
    key = new_key("vllm-gumbel", {})[0]
    service.client("provider", "marker").add_watermark_key(to_json(key), [])
    documents = [{"id": "a", "input_ids": [1, 2, 3]}]
    request = new_request(
        "eve", SERVICE, text_subject(documents), "watermark.detect", {"key": key.commitment, "documents": documents}
    )
    with pytest.raises(ServiceError) as refused:
        service.client("auditor", "eve").create_audit(request)
    assert refused.value.status == 404 and refused.value.slug == "not-found"


# ---------------------------------------------------------------------- on the tiny model

# The verdict holds from 18 of 24 found and with one false alarm, which leaves room for another machine's model and its texts.
ROBUST = {
    "texts": 24, "lengths": [100], "attacks": ["substitution"], "rates": [0.2, 0.9], "alpha": 5e-4, "runs": 1999,
    "claims": [{"attack": "none", "rate": 0, "length": 100, "power": 0.5}],
}  # fmt: skip
SETTINGS: dict[str, dict[str, Any]] = {
    "watermark.robustness": ROBUST,
    "watermark.distortion": {"token_prompts": 50, "text_prompts": 12, "repeated_prompts": 4, "repeats": 2, "length": 16},
    "watermark.stealing": {
        "budgets": [10],
        "judged": 5,
        "length": 24,
        "contexts": 5,
        "attacks": ["counts-2"],
        "prompt_tokens": 8,
    },
}


@pytest.fixture(scope="module")
def tiny(service: ServiceProcesses) -> dict[str, Any]:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    admin = service.client("admin", "root")
    known = [row for row in admin.list_models() if row["name"] == "tiny"]
    found = known[0] if known else admin.wait_for_model(admin.register_model("tiny", "tiny", auditors=["*"])["id"])
    assert found["state"] == "ready" and found["tier"] == "T4", found["detail"]
    return found


@pytest.fixture(scope="module")
def key(service: ServiceProcesses, tiny: dict[str, Any]) -> WatermarkKey:
    found = new_key("unigram", {"vocab_size": tiny["capabilities"]["vocab_size"]})[0]
    service.client("provider", "marker").add_watermark_key(to_json(found), ["dora"])
    return found


def audit_model(client: ServiceClient, tiny: dict[str, Any], key: WatermarkKey, kind: str, **params: Any) -> dict[str, Any]:
    params = {"model": tiny["digest"], "key": key.commitment, **params}
    return client.create_audit(new_request("dora", SERVICE, Subject("model", tiny["digest"]), kind, params))


def verified(client: ServiceClient, audit: dict[str, Any]) -> tuple[dict[str, bytes], ReportVerdict]:
    events = list(client.watch_audit(audit["id"]))
    assert events[-1]["type"] == "done", events[-1]
    assert any(event["type"] == "progress" for event in events)
    files = dict(unpack_report(client.read_report_archive(audit["id"])))
    found = verify_report(files, build_test_registry(), [PublicKey.from_text(client.show_service()["public_key"])])
    assert all(check.ok for check in found.checks), found.checks
    return files, found


@pytest.mark.slow
@pytest.mark.parametrize("kind", SETTINGS)
def test_the_tiny_model_is_audited_over_http(
    kind: str, service: ServiceProcesses, tiny: dict[str, Any], key: WatermarkKey
) -> None:
    dora = service.client("auditor", "dora")
    files, found = verified(dora, audit_model(dora, tiny, key, kind, **SETTINGS[kind]))
    assert found.verdict in ("holds", "refuted", "inconclusive")
    if kind == "watermark.robustness":
        assert found.verdict == "holds"
        assert {cell["rate"]: cell["detected"] > 12 for cell in found.outputs["cells"]} == {0.0: True, 0.2: True, 0.9: False}
    figure = files["figure.svg"].decode()
    assert re.search(r"<polyline", figure) and "<script" not in figure
    assert any("registered model tiny" in sentence for sentence in found.conditions)
    assert not any(str(key.config["watermark_key"]).encode() in data for data in files.values())


@pytest.mark.slow
@pytest.mark.parametrize("scheme", PRESETS)
def test_marked_text_of_every_scheme_is_read_over_http(scheme: str, service: ServiceProcesses, tiny: dict[str, Any]) -> None:
    """Text alone goes to the service, which has the key and the tokenizer."""
    from watermark.generation.marks import open_mark

    preset, runner = find_preset(scheme), tiny_model.runner()
    size = {"vocab_size": tiny["capabilities"]["vocab_size"]} if preset.needs_vocabulary else {}
    made = new_key(preset.family, {**preset.options, **size})[0]
    service.client("provider", "marker").add_watermark_key(to_json(made), ["dora"])
    sampling = Sampling(max_new_tokens=240, min_new_tokens=240, seed=3, mark=open_mark(made.family, made.config))
    answers = runner.generate([Prompt(text=text) for text in ("The import statement", "A class definition")], sampling)
    documents = [{"id": str(i), "text": answer.text} for i, answer in enumerate(answers)]
    params = {"key": made.commitment, "documents": documents, "tokenizer": tiny["digest"], "alpha": 0.05, "runs": 999}
    dora = service.client("auditor", "dora")
    request = new_request("dora", SERVICE, text_subject(documents), "watermark.detect", {**params, "claim": "watermarked"})
    _, found = verified(dora, dora.create_audit(request))
    assert found.verdict == "holds", found.outputs["documents"]


@pytest.mark.slow
def test_generation_is_cancelled_and_a_wrong_key_is_named(
    service: ServiceProcesses, tiny: dict[str, Any], key: WatermarkKey
) -> None:
    dora = service.client("auditor", "dora")
    audit = audit_model(dora, tiny, key, "watermark.robustness", texts=1000, clean=0, lengths=[500])
    for event in dora.watch_audit(audit["id"]):
        if event["type"] == "progress":
            dora.cancel_audit(audit["id"])
    assert event["type"] == "cancelled"
    other = new_key("unigram", {"vocab_size": 777})[0]
    service.client("provider", "marker").add_watermark_key(to_json(other), ["dora"])
    wrong = audit_model(dora, tiny, other, "watermark.robustness")
    last = list(dora.watch_audit(wrong["id"]))[-1]
    assert last["type"] == "failed" and "777" in last["data"]["reason"]


# ---------------------------------------------------------------------- on an endpoint that marks its text itself


@pytest.mark.slow
def test_an_endpoint_is_audited_and_its_api_key_stays_in_the_vault(
    processes: ServiceProcesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    from audit.runners.server import create_app
    from tests import tiny_model
    from tests.integration.faulty_server import served
    from watermark.generation.marks import open_mark

    runner, api_key = tiny_model.runner(), "endpoint-key-3f9a81"
    key = new_key("unigram", {"vocab_size": runner.vocab_size})[0]
    monkeypatch.setenv("ASSAY_PRIVATE_ENDPOINTS", "1")
    service = processes.start()
    service.client("provider", "marker").add_watermark_key(to_json(key), ["dora"])
    dora = service.client("auditor", "dora")
    with served(create_app(runner, "tiny", mark=open_mark(key.family, key.config), api_key=api_key)) as root:
        spec = f"{root}/v1#tiny"
        refused = dora.wait_for_model(dora.register_model("no-key", spec)["id"])
        assert refused["state"] == "failed" and "401" in refused["detail"]
        model = dora.wait_for_model(dora.register_model("marked", spec, api_key=api_key)["id"])
        assert (model["state"], model["tier"]) == ("ready", "T2"), model["detail"]
        with pytest.raises(ServiceError) as downgrade:
            audit_model(dora, model, key, "watermark.distortion")
        assert downgrade.value.slug == "missing-capability"
        params = {
            "embed": "model", "texts": 8, "lengths": [120], "attacks": ["homoglyphs"], "rates": [0.3], "prompt_tokens": 16,
            "alpha": 2e-3, "runs": 999,
        }  # fmt: skip
        claims = [{"attack": "none", "rate": 0, "length": 120, "power": 0.5}]
        files, found = verified(dora, audit_model(dora, model, key, "watermark.robustness", claims=claims, **params))
        assert found.outputs["cells"][0]["detected"] >= 6 and found.checks[-1].ok
        assert b"/completions" in files["evidence/answer/exchanges.jsonl"]
    gone = audit_model(dora, model, key, "watermark.robustness", **params)
    last = list(dora.watch_audit(gone["id"]))[-1]
    assert last["type"] == "failed" and "Traceback" not in last["data"]["reason"]
    service.stop()
    holders = [path for path in service.data.rglob("*") if path.is_file() and api_key.encode() in path.read_bytes()]
    assert holders == [service.data / "keys/lent/endpoints" / f"{model['id']}.key"]
    assert not any(api_key.encode() in data for data in files.values())


@pytest.mark.slow
def test_addresses_in_private_networks_are_refused_unless_the_operator_allows_them(service: ServiceProcesses) -> None:
    dora = service.client("auditor", "dora")
    found = dora.wait_for_model(dora.register_model("inside", "http://127.0.0.1:9/v1#m")["id"])
    assert found["state"] == "failed" and "private network" in found["detail"]
