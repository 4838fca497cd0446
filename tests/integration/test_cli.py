"""The command line against a real service: JSON on stdout, messages on stderr, exit codes."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import api.cli.main as cli_main
from api.agent import Agent
from tests.integration.conftest import ROOT, PublishedRun, ServiceProcesses, write_run
from tests.integration.service_process import build_test_registry

Publish = Callable[..., PublishedRun]


def assay(*arguments: str, key: str | None = None, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ASSAY_")}
    environment |= {"PYTHONPATH": str(ROOT), "NO_COLOR": "1", "COLUMNS": "120"}
    if key:
        environment["ASSAY_API_KEY"] = key
    program = "from api.cli.main import main; main()"
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120)


def test_publish_request_watch_report(service: ServiceProcesses, tmp_path: Path) -> None:
    url = ["--url", service.url]
    run_id = write_run(tmp_path / "run", b"secret")
    provider_key, auditor_key = service.new_key("provider", "cli"), service.new_key("auditor", "cli-alice")
    options = ["--provider", "cli", "--key", str(tmp_path / "keys/provider.key"), *url, "--json"]
    listed = assay("publish", str(tmp_path / "run"), *options, "--dry-run")
    assert listed.returncode == 0 and sorted(json.loads(listed.stdout)["files"])[-1] == "run.json"
    published = assay("publish", str(tmp_path / "run"), *options, key=provider_key)
    assert published.returncode == 0 and json.loads(published.stdout)["state"] == "verified", published.stderr
    assert "run.json" in published.stderr

    params = json.dumps({"sha256": hashlib.sha256(b"secret").hexdigest()})
    ask = ["audit", "request", "--provider", "cli", "--run", run_id, "--kind", "test.preimage", "--params", params]
    made = assay(*ask, *url, "--json", key=auditor_key)
    assert made.returncode == 0, made.stderr
    audit_id = json.loads(made.stdout)["id"]
    assert [row["id"] for row in json.loads(assay("audit", "list", "--provider", "cli", *url, "--json").stdout)] == [audit_id]

    client = service.client("provider", "cli")
    Agent(client, "cli", build_test_registry(), {run_id: tmp_path / "run"}).answer_open()
    watched = assay("audit", "watch", audit_id, *url, "--json")
    events = [json.loads(line) for line in watched.stdout.splitlines()]
    assert watched.returncode == 0 and events[-1]["type"] == "done"
    assert json.loads(assay("audit", "show", audit_id, *url, "--json").stdout)["verdict"] == "holds"

    fetched = assay("report", audit_id, "--out", str(tmp_path / "report"), *url, "--json")
    assert fetched.returncode == 0 and (tmp_path / "report/report.dsse.json").is_file()
    assert "report.txt" in json.loads(fetched.stdout)["files"]
    twice = assay("report", audit_id, "--out", str(tmp_path / "report"), *url)
    assert twice.returncode == 1 and "not empty" in twice.stderr


def test_exit_codes_separate_what_went_wrong(service: ServiceProcesses, publish: Publish, tmp_path: Path) -> None:
    url = ["--url", service.url]
    run = publish(service)
    key = service.new_key("auditor", "cli-bob")
    params = json.dumps({"sha256": "00" * 32})
    ask = ["audit", "request", "--provider", run.provider, "--run", run.run_id, "--kind", "test.preimage"]
    audit_id = json.loads(assay(*ask, "--params", params, *url, "--json", key=key).stdout)["id"]
    Agent(run.client, run.provider, build_test_registry(), {run.run_id: run.folder}).answer_open()
    assert assay("audit", "watch", audit_id, *url).returncode == 3  # refuted
    assert assay(*ask, "--params", params, *url).returncode == 4  # no key
    assert assay(*ask, "--params", params, *url, key="assay_0.x").returncode == 4  # unknown key
    assert assay(*ask, "--params", "{", *url, key=key).returncode == 2  # usage
    assert assay("audit", "watch", "0" * 32, *url).returncode == 6  # not found
    gone = assay("audit", "list", "--url", "http://127.0.0.1:9")
    assert gone.returncode == 1 and "is the service running" in gone.stderr and gone.stdout == ""
    write_run(tmp_path / "forged", b"secret", good=False)
    forged = assay(
        "publish", str(tmp_path / "forged"), "--provider", "cli-forger", "--key", str(tmp_path / "k"), *url,
        key=service.new_key("provider", "cli-forger"),
    )  # fmt: skip
    assert forged.returncode == 3


@pytest.mark.parametrize(
    "arguments",
    [
        ["publish", "missing", "--provider", "x", "--key", "k"],
        ["report", "0" * 32, "--out", "o", "--url", "not a url"],
        ["audit", "request", "--provider", "x", "--kind", "k"],
        ["provider", "answer", "--provider", "x", "--run", "missing"],
        ["keys", "new", "--role", "king", "--owner", "x", "--data", "d"],
        ["keys", "show", "--data", "d", "--database", "oracle://x"],
        ["serve", "--data", "/dev/null/x"],
    ],
)
def test_errors_are_one_line_and_never_a_traceback(arguments: list[str], tmp_path: Path) -> None:
    done = assay(*arguments, key="assay_0.x", cwd=tmp_path)
    assert done.returncode in (1, 2, 4)
    assert done.stdout == "" and "Traceback" not in done.stderr and done.stderr.strip()


def test_defects_are_one_line_and_quote_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyError("a secret")

    monkeypatch.setattr(cli_main, "app", fail)
    with pytest.raises(SystemExit) as stop:
        cli_main.main([])
    err = capsys.readouterr().err
    assert stop.value.code == 1 and "KeyError" in err and "secret" not in err and len(err.splitlines()) == 1
    monkeypatch.setenv("ASSAY_TRACEBACKS", "1")
    with pytest.raises(KeyError):
        cli_main.main([])


def test_keys_are_made_shown_and_revoked(tmp_path: Path) -> None:
    data = ["--data", str(tmp_path / "d"), "--json"]
    made = json.loads(assay("keys", "new", "--role", "admin", "--owner", "operator", *data).stdout)
    rows = json.loads(assay("keys", "show", *data).stdout)
    assert [(row["owner"], row["role"], row["revoked_at"]) for row in rows] == [("operator", "admin", None)]
    assert made["key"].split(".")[1] not in json.dumps(rows)
    assert assay("keys", "revoke", rows[0]["id"], *data).returncode == 0
    assert json.loads(assay("keys", "show", *data).stdout)[0]["revoked_at"] is not None
    assert assay("keys", "revoke", "unknown", *data).returncode == 6


@pytest.mark.parametrize("arguments", [["serve", "--port", "0"], ["serve", "--port", "0", "--no-worker"], ["worker"]])
def test_servers_announce_themselves_and_stop_in_order(arguments: list[str], tmp_path: Path) -> None:
    program = "from api.cli.main import main; main()"
    child = subprocess.Popen(
        [sys.executable, "-c", program, *arguments, "--data", str(tmp_path / "d"), "--json"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert child.stdout is not None
    launch = json.loads(child.stdout.readline())
    assert launch["event"] == "launch" and launch["data"] == str(tmp_path / "d")
    if "url" in launch:
        kinds = assay("audit", "kinds", "--url", launch["url"], "--json")
        assert kinds.returncode == 0 and isinstance(json.loads(kinds.stdout), list)
    child.terminate()
    out, err = child.communicate(timeout=60)
    assert (child.returncode, out) == (0, "") and "Traceback" not in err
