"""`assay privacy` with real models: a subject signs on the command line, an auditor probes in process and over HTTP."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from api.cli.main import main
from privacy.redaction import find_residue
from tests.integration.conftest import ROOT
from tests.integration.faulty_server import DropsPromptLogprobs, Fault
from tests.integration.test_privacy_audits import behind_http, tiny

__all__ = ["tiny"]
NAME, PHONE = "Wystan Orchardson", "+1 920-555-0169"
SECRETS = [NAME, PHONE]
QUICK = ("--alpha", "0.1", "--decoys", "29", "--nulls", "9", "--device", "cpu")
Run = Callable[..., tuple[int, str, str]]


class RemembersOne(Fault):
    """All but certain of the phone after a prompt with the name; everything else as the model in process gives it.

    Against that model as the reference all other values tie, which counts against an accusation: no decoy is accused by chance.
    """

    def __init__(self, runner: Any) -> None:
        self.detokenize, self.length = runner.detokenize, len(runner.tokenize(f" {PHONE}"))

    def answered(self, path: str, body: Any, answer: Any) -> None:
        prompt = body.get("prompt")
        ids = isinstance(prompt, list) and bool(prompt) and isinstance(prompt[0], int)
        text = self.detokenize(prompt) if ids else ""
        if NAME not in text or not text.endswith(PHONE):
            return
        for choice in answer.get("choices", ()):
            values = (choice.get("logprobs") or {}).get("token_logprobs")
            if values:
                values[len(prompt) - self.length : len(prompt)] = [-0.01] * self.length
            for entry in (choice.get("prompt_logprobs") or [])[len(prompt) - self.length : len(prompt)]:
                for token in (entry or {}).values():
                    token["logprob"] = -0.01


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Exit code, stdout, stderr; neither holds a value. The record of used consents is the test's own."""
    monkeypatch.setenv("ASSAY_STATE", str(tmp_path / "state"))

    def call(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stopped:
            main(["privacy", *words])
        out, err = capsys.readouterr()
        assert find_residue((out + err).encode(), SECRETS) == [] and "Traceback" not in err
        return int(stopped.value.code or 0), out, err

    return call


@pytest.fixture
def signed(run: Run, tmp_path: Path) -> Callable[[str], tuple[str, ...]]:
    """Make a consent for a model; the options that name it."""
    (tmp_path / "templates.tsv").write_text("call\ttwin\tphone\t{name} can be called at\n")
    values = tmp_path / "values.json"
    values.write_text(json.dumps({"name": NAME, "phone": PHONE}))
    assert run("subject", "new", "--from", str(values), "-o", str(tmp_path / "subject.json"))[0] == 0
    values.unlink()
    count = iter(range(100))

    def make(model: str) -> tuple[str, ...]:
        number = next(count)
        request, openings = str(tmp_path / f"request-{number}.json"), str(tmp_path / f"openings-{number}.json")
        words = ("--model", model, "--purpose", "does it know me?", "-o", request, "--openings", openings)
        code, _, err = run("subject", "sign", "--subject", str(tmp_path / "subject.json"), *words)
        assert code == 0, err
        return "--request", request, "--openings", openings, "--templates", str(tmp_path / "templates.tsv")

    return make


@pytest.mark.slow
def test_a_model_over_http_that_remembers_and_one_that_does_not(
    tiny: Any, run: Run, signed: Callable[[str], tuple[str, ...]], tmp_path: Path
) -> None:
    remembers = RemembersOne(tiny)
    for fault, code, word in ((remembers, 3, "memorised"), (None, 5, "association only")):
        with behind_http(tiny, fault) as spec:
            reference = ("--reference", "tiny") if fault else ()
            out = tmp_path / word.split()[0]
            found, said, err = run("probe", *signed(spec), "--model", spec, *reference, *QUICK, "-o", str(out))
        assert (found, err) == (code, f"wrote {out}\n"), err
        assert any(line.split("  ")[-1].strip().startswith(word) for line in said.splitlines() if "rank " in line)
        assert "the model is remote" in said
        content = json.loads((out / "result.json").read_text())
        assert content["result"]["model"]["digest"] is None and content["result"]["access"] == "full"


@pytest.mark.slow
def test_an_endpoint_without_log_probabilities_of_prompts(tiny: Any, run: Run, signed: Callable[[str], tuple[str, ...]]) -> None:
    with behind_http(tiny, DropsPromptLogprobs()) as spec:
        code, out, err = run("probe", *signed(spec), "--model", spec, *QUICK, "--tier", "full")
    assert code == 1 and out == "" and len(err.strip().splitlines()) == 1 and "full" in err, err


@pytest.mark.slow
def test_a_consent_for_another_model(tiny: Any, run: Run, signed: Callable[[str], tuple[str, ...]], tmp_path: Path) -> None:
    given = signed("tiny")
    code, _, err = run("probe", *given, "--model", "tiny-small", *QUICK)
    assert code == 1 and "another model" in err and not (tmp_path / "state").exists()
    with behind_http(tiny) as spec:
        assert "another model" in run("probe", *given, "--model", spec, *QUICK)[2]
    code, said, _ = run("probe", *given, "--model", "tiny", *QUICK)
    assert code == 5 and "association only" in said
    assert "used before" in run("probe", *given, "--model", "tiny", *QUICK)[2]


@pytest.mark.parametrize("words", [["--help"], ["probe", "--help"], ["subject", "--help"], ["subject", "new", "--help"]])
def test_help_loads_no_numbers_and_no_models(words: list[str]) -> None:
    code = (
        "import sys\nfrom api.cli.main import main\n"
        "try: main(['privacy', *sys.argv[1:]])\n"
        "finally: assert not {'torch', 'numpy', 'transformers', 'phonenumbers', 'cryptography'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words], env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert b"privacy" in done.stdout
