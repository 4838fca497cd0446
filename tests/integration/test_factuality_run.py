"""The claim pipeline on real models: the tiny one in process and behind HTTP, killed and resumed, and with faults."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

pytest.importorskip("torch")

from api.cli.factuality.group import factuality
from audit.runners.claim_pipeline import Encoders, build_plan
from audit.runners.endpoint import Limits
from audit.runners.openai_runner import OpenAIRunner
from audit.runners.protocol import Generation, Runner
from audit.runners.server import create_app
from audit.signing import PrivateKey
from conformal.claims import read_ledger
from conformal.pipeline.backoff import ABSTENTION, ThresholdBackOff
from conformal.pipeline.errors import MissingCapabilityError
from conformal.pipeline.journal import ITEMS
from conformal.pipeline.questions import Question
from conformal.pipeline.run import FILTERED, LEDGER, REPORT, run_pipeline
from tests import tiny_model
from tests.encoder_folders import embedder_folder
from tests.integration import faulty_server as faults
from tests.integration.faulty_server import Fault, served, with_fault

QUESTIONS = [
    Question("class", "The class statement"),
    Question("object", "If the object", "data model"),
    Question("module", "A module is"),
]
WHITE_BOX = ("p-true", "logprob", "position", "random")
QUICK = Limits(timeout_s=60, attempts=3, first_pause_s=0.01)
FILES = (LEDGER, FILTERED, REPORT)


def plan(runner: Runner, scorers: Sequence[str] = WHITE_BOX, **changes: Any) -> Any:
    settings: dict[str, Any] = {"splitter": "rules", "samples": 2, "max_new_tokens": 40, "batch": 2, **changes}
    settings.setdefault("backoff", ThresholdBackOff(scorers[-1], 0.3))
    return build_plan(runner, runner, scorers=scorers, **settings)


def written(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in FILES}


END = ". The name is bound to an object."


class Finishes:
    """The tiny model, whose every answer ends in a sentence: on some machines it learns to write none in 40 tokens."""

    def __init__(self) -> None:
        self._runner = tiny_model.runner()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runner, name)

    def generate(self, *given: Any, **named: Any) -> list[Generation]:
        return [replace(one, text=one.text + END, finish_reason="stop") for one in self._runner.generate(*given, **named)]


def finishing() -> Any:
    return Finishes()


@contextmanager
def endpoint(fault: Fault | None = None) -> Iterator[OpenAIRunner]:
    app = create_app(finishing(), "tiny")
    with served(app if fault is None else with_fault(app, fault)) as root:
        runner = OpenAIRunner(f"{root}/v1", allow_private=True, limits=QUICK)
        try:
            yield runner
        finally:
            runner.close()


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Encoders:
    return Encoders(embedder_folder=embedder_folder(tmp_path_factory.mktemp("vectors")), device="cpu")


def test_in_process(tmp_path: Path) -> None:
    report = run_pipeline(QUESTIONS, plan(finishing()), tmp_path)
    table = read_ledger((tmp_path / LEDGER).read_text().splitlines())
    assert table.n_outputs == 3 and table.n_claims == report["claims"] > 0 and set(table.scores) == set(WHITE_BOX)
    assert all(0 < value < 1 for value in table.score("p-true")) and all(value < 0 for value in table.score("logprob"))
    rows = [json.loads(line) for line in (tmp_path / FILTERED).read_text().splitlines()]
    for row, output in zip(rows, (json.loads(line) for line in (tmp_path / LEDGER).read_text().splitlines()), strict=True):
        assert row["kept"] == [i for i, claim in enumerate(output["claims"]) if claim["scores"]["random"] > 0.3]
        assert row["text"] != output["output"] and (row["text"] == ABSTENTION) == (not row["kept"])
    components = report["components"]["p-true"]
    assert components["model"] == tiny_model.runner().attestation().model_digest


def test_logprob_is_that_of_the_runner(tmp_path: Path) -> None:
    runner = tiny_model.runner()
    run_pipeline(QUESTIONS[:1], plan(finishing(), ("logprob",)), tmp_path)
    output = json.loads((tmp_path / LEDGER).read_text())
    assert output["claims"]
    for claim in output["claims"]:
        head, tail = runner.tokenize(output["prompt"] + "\n"), runner.tokenize(claim["text"])
        (logs,) = runner.score([head + tail])
        assert claim["scores"]["logprob"] == pytest.approx(sum(logs[-len(tail) :]) / len(tail), abs=1e-4)


def test_over_http_as_in_process(tmp_path: Path) -> None:
    with endpoint() as runner:
        run_pipeline(QUESTIONS, plan(runner), tmp_path / "http")
    run_pipeline(QUESTIONS, plan(finishing(), batch=1), tmp_path / "process")
    remote, local = (read_ledger((tmp_path / name / LEDGER).read_text().splitlines()) for name in ("http", "process"))
    # All outputs but one at most: other batches round otherwise, and of a million draws one lies on the edge of another token.
    same = [i for i in range(3) if remote.select([i]).texts == local.select([i]).texts]
    assert len(same) >= 2 and remote.select(same).n_claims > 0
    for name in WHITE_BOX:
        assert remote.select(same).score(name) == pytest.approx(local.select(same).score(name), abs=1e-3)


def test_vectors_and_relevance(tmp_path: Path, vectors: Encoders) -> None:
    names = ("token-sar", "sar", "frequency-embedding")
    report = run_pipeline(QUESTIONS[:2], plan(finishing(), names, encoders=vectors, max_new_tokens=12), tmp_path)
    outputs = [json.loads(line) for line in (tmp_path / LEDGER).read_text().splitlines()]
    assert report["components"]["sar"]["scorer"] != report["components"]["token-sar"]["scorer"]
    for output in outputs:
        for claim in output["claims"]:
            assert set(claim["scores"]) <= set(names) and claim["scores"].get("token-sar", -1.0) < 0


# ---------------------------------------------------------------------- faults


class Replies(Fault):
    """Completions of prompts that begin with a text are replaced."""

    def __init__(self, start: str, reply: Any) -> None:
        self.start, self.reply = start, reply

    def answered(self, path: str, body: Any, answer: Any) -> None:
        if isinstance(body.get("prompt"), str) and body["prompt"].startswith(self.start):
            for choice in answer.get("choices", ()):
                choice["text"], choice["finish_reason"] = self.reply(body["prompt"]), "stop"


def test_splitting_by_prompt_over_http(tmp_path: Path) -> None:
    def reply(prompt: str) -> str:
        if "A module is" in prompt:
            return 'Here you go: {"claim": "Modules are files."}'
        return '{"claim": "The statement defines a class."}\n{"claim": "It binds a name.", "premises": [0]}'

    with endpoint(Replies("Cut the answer", reply)) as runner:
        report = run_pipeline(QUESTIONS, plan(runner, ("p-true", "random"), splitter="llm", helper_tokens=128), tmp_path)
    outputs = [json.loads(line) for line in (tmp_path / LEDGER).read_text().splitlines()]
    assert [len(output["claims"]) for output in outputs] == [2, 2, 0] and outputs[0]["claims"][1]["premises"] == [0]
    assert report["split_failed"] == 1 and "no JSON object" in outputs[2]["error"]
    assert json.loads((tmp_path / FILTERED).read_text().splitlines()[2])["text"] == ABSTENTION


def test_a_model_that_cannot_split_abstains(tmp_path: Path) -> None:
    report = run_pipeline(QUESTIONS[:2], plan(finishing(), ("random",), splitter="llm", samples=0, helper_tokens=32), tmp_path)
    assert report["split_failed"] == 2 and report["filtered"]["abstained"] == 2 and report["filtered"]["retention"] is None


class FailsSamples(Fault):
    """Refuses every sampled answer to one prompt; greedy ones go through."""

    def asked(self, path: str, body: Any) -> Any:
        from fastapi import Response

        if body.get("prompt") == "A module is" and body.get("temperature"):
            return Response(content=b'{"error": {"message": "out of order"}}', status_code=400)
        return None


def test_missing_samples_over_http(tmp_path: Path) -> None:
    support = Replies("For every numbered", lambda prompt: '{"claim": 0, "support": 1}')
    both = type("Both", (Fault,), {"asked": FailsSamples().asked, "answered": support.answered})()
    with endpoint(both) as runner:
        settings = {"max_new_tokens": 30, "backoff": ThresholdBackOff("frequency-llm", 1.0)}
        report = run_pipeline(QUESTIONS[1:], plan(runner, ("frequency-llm", "random"), **settings), tmp_path)
    assert report["failures"]["samples"] == 2 and report["failures"]["score frequency-llm"] == 1
    rows = [json.loads(line) for line in (tmp_path / FILTERED).read_text().splitlines()]
    assert rows[1]["text"] == ABSTENTION and rows[1]["reason"] in ("no-claim-survived", "no-claims")


def test_a_runner_without_logprobs_is_refused_at_once(tmp_path: Path) -> None:
    with endpoint(faults.Refuses("echo", "prompt_logprobs")) as runner:
        with pytest.raises(MissingCapabilityError, match="logprob needs"):
            run_pipeline(QUESTIONS, plan(runner), tmp_path)
        assert not list(tmp_path.iterdir())
        report = run_pipeline(QUESTIONS[:1], plan(runner, ("p-true",)), tmp_path)
    assert report["claims"] > 0 and report["failures"] == {}, "likeliest first tokens are enough for P(True)"


# ---------------------------------------------------------------------- the command, killed


def arguments(folder: Path, prompts: Path, *more: str) -> list[str]:
    scorers = [part for name in WHITE_BOX for part in ("--scorer", name)]
    fixed = ["run", "--model", str(tiny_model.folder()), "--device", "cpu", "--prompts", str(prompts), "--out", str(folder)]
    return [
        *fixed,
        *scorers,
        "--samples",
        "0",
        "--max-new-tokens",
        "40",
        "--batch",
        "2",
        "--threshold",
        "0.3",
        "--score",
        "random",
        *more,
    ]


@pytest.mark.slow
def test_the_command_resumes_after_a_kill(tmp_path: Path) -> None:
    tiny_model.runner()  # one thread here as in the process that is killed: their number moves rounding
    prompts = tmp_path / "prompts.jsonl"
    starts = ("The class statement", "If the object", "A module is", "The function", "An exception", "The import statement")
    prompts.write_text("".join(json.dumps({"id": f"q{i}", "prompt": text}) + "\n" for i, text in enumerate(starts)))
    whole = CliRunner().invoke(factuality, [*arguments(tmp_path / "whole", prompts), "--json"])
    assert whole.exit_code == 0, whole.output
    killed = tmp_path / "killed"
    command = [sys.executable, "-c", "from api.cli.main import main; main()", "factuality", *arguments(killed, prompts)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    items, limit = killed / ITEMS, time.monotonic() + 120
    while process.poll() is None and time.monotonic() < limit and not (items.exists() and items.stat().st_size > 2_000):
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    assert items.stat().st_size > 2_000, process.stderr.read() if process.stderr else ""
    finished = (killed / REPORT).exists()
    if not finished:
        assert not (killed / LEDGER).exists(), "nothing that looks finished is left behind"
    done = len(items.read_bytes().splitlines())
    again = CliRunner().invoke(factuality, arguments(killed, prompts))
    assert again.exit_code == 0, again.output
    assert written(killed) == written(tmp_path / "whole")
    assert finished or len(items.read_bytes().splitlines()) > done


@pytest.mark.slow
def test_from_a_run_to_a_certificate_and_back(tmp_path: Path) -> None:
    """Score, label, certify, filter fresh prompts with the certificate, and replay it offline from the ledger."""
    starts = ("The class", "If the object", "A module", "The function", "An exception", "The import", "This method", "A name")
    for name, ends in (("calibration", (" is", " of")), ("fresh", (" in the",))):
        rows = [{"id": f"{name}{i}", "prompt": a + b} for i, (a, b) in enumerate((a, b) for a in starts for b in ends)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def call(*parts: Any, code: int = 0) -> str:
        done = CliRunner().invoke(factuality, [str(part) for part in parts])
        assert done.exit_code == code, (done.output, done.exception)
        return done.stdout

    fixed: tuple[Any, ...] = (
        "--model",
        tiny_model.folder(),
        "--device",
        "cpu",
        "--scorer",
        "logprob",
        "--scorer",
        "random",
        "--samples",
        0,
    )
    fixed = (*fixed, "--temperature", 1, "--max-new-tokens", 160, "--scorer", "rank(logprob)+random")
    call("run", *fixed, "--prompts", tmp_path / "calibration.jsonl", "--out", tmp_path / "first")
    records = [json.loads(line) for line in (tmp_path / "first" / LEDGER).read_text().splitlines()]
    for record in records:
        for claim in record["claims"]:
            claim["label"] = "Y" if claim["scores"]["rank(logprob)+random"] > 0.9 else "N"
    ledger, certificate, key = tmp_path / "labelled.jsonl", tmp_path / "certificate.json", tmp_path / "issuer.key"
    ledger.write_text("".join(json.dumps(record) + "\n" for record in records))
    issuer = PrivateKey.load_or_create(key)
    call(
        "calibrate", "--claims", ledger, "--score", "rank(logprob)+random", "--alpha", "0.2", "--certificate", certificate,
        "--key", key, "--components", tmp_path / "first" / REPORT,
    )  # fmt: skip
    certified = (*fixed, "--certificate", certificate, "--issuer", issuer.public.to_text(), "--prompts", tmp_path / "fresh.jsonl")
    report = json.loads(call("run", *certified, "--out", tmp_path / "second", "--json"))
    assert 0 < report["filtered"]["retention"] < 1
    outputs = [json.loads(line) for line in (tmp_path / "second" / LEDGER).read_text().splitlines()]
    rows = [json.loads(line) for line in (tmp_path / "second" / FILTERED).read_text().splitlines()]
    for output, row in zip(outputs, rows, strict=True):
        assert all(output["claims"][place]["scores"]["rank(logprob)+random"] > 0.5 for place in row["kept"])
    assert "holds" in call("replay", ledger, "--certificate", certificate, "--issuer", issuer.public.to_text(), "--json")
    refused = CliRunner().invoke(
        factuality, [str(p) for p in ("run", *certified, "--temperature", 0, "--out", tmp_path / "third")]
    )
    assert "the prompt in use" in str(refused.exception) and not (tmp_path / "third").exists()


def test_the_command_refuses_in_words(tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text('{"id": "a", "prompt": "The class statement"}\n')
    for more in (
        ["--scorer", "guess"], ["--splitter", "magic"], ["--merge", "glue"], ["--scorer", "sar"], ["--check", "nli"],
        ["--certificate", str(prompts)],
    ):  # fmt: skip
        failed = CliRunner().invoke(factuality, arguments(tmp_path / "out", prompts, *more))
        assert failed.exit_code != 0 and type(failed.exception).__name__ in ("CommandError", "SystemExit"), more
    assert not (tmp_path / "out" / LEDGER).exists()
