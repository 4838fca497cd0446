"""A hostile or mistaken service: the agent proves only what its provider was asked, and clients end in one clear line."""

from __future__ import annotations

import io
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from api.agent import Agent
from api.cli.main import main
from api.client import ServiceClient
from api.errors import ServiceError
from audit.auditor_rows import params_from_rows
from audit.errors import RequestError
from audit.registry import Cancelled, Progress, Registry
from audit.requests import AuditRequest, Subject, new_request
from tests.integration.attacks.conftest import Forge, ProvenRun
from tests.integration.preimage_kind import PreimageKind

RUN = Subject("run", "ab" * 32)


class Stub:
    """A service that hands out `work` and writes down what it is sent."""

    def __init__(self, work: list[dict[str, Any]], release_status: int = 0) -> None:
        self.work, self.release_status = work, release_status
        self.sent: list[tuple[str, object]] = []

    def list_work(self, provider: str) -> list[dict[str, Any]]:
        return self.work

    def claim(self, audit_id: str, agent: str, lease_s: int) -> str:
        self.sent.append(("claim", audit_id))
        return "token"

    def renew(self, audit_id: str, claim: str, lease_s: int, progress: Any) -> dict[str, Any]:
        return {"state": "claimed"}

    def release(self, audit_id: str, claim: str, reason: str) -> None:
        self.sent.append(("release", reason))
        if self.release_status:
            raise ServiceError("forbidden", self.release_status, "no")

    def upload_files(self, manifest: object, files: Mapping[str, bytes]) -> None:
        self.sent.append(("upload", tuple(files)))

    def submit_evidence(self, audit_id: str, claim: str, manifest: object) -> None:
        self.sent.append(("evidence", audit_id))


class Defective(PreimageKind):
    """A kind whose prover stumbles over the private data."""

    def answer(self, request: AuditRequest, workspace: Path, progress: Progress, cancelled: Cancelled) -> Mapping[str, bytes]:
        raise IndexError("row 17 of the secret data")


def agent(stub: Stub, tmp_path: Path) -> Agent:
    registry = Registry()
    registry.add(Defective())
    return Agent(stub, "acme", registry, {RUN.sha256: tmp_path})  # type: ignore[arg-type]


def item(asked: AuditRequest, **changes: Any) -> dict[str, Any]:
    return {"id": asked.sha256[:32], "request": asked.to_json(), **changes}


REQUEST = new_request("alice", "acme", RUN, "test.preimage", {"sha256": "00" * 32})


@pytest.mark.parametrize("release_status", [0, 403, 500])
def test_a_defect_in_an_answer_stops_neither_agent_nor_leaks(tmp_path: Path, release_status: int) -> None:
    stub = Stub([item(REQUEST)], release_status)
    answered = agent(stub, tmp_path).answer_open()
    assert [one.result for one in answered] == ["failed"] and "IndexError" in answered[0].detail
    assert ("release", "the provider's agent could not answer") in stub.sent
    assert not any("secret" in str(message) for message in stub.sent)


@pytest.mark.parametrize(
    "work",
    [
        item(replace(REQUEST, provider="mallory")),
        item(REQUEST, id="00" * 16),
        item(REQUEST, id="../../v1/keys"),
        item(REQUEST, request={}),
        item(REQUEST, request=None),
        item(REQUEST, request={**REQUEST.to_json(), "params": {"sha256": "../../private"}}),
    ],
)
def test_the_agent_answers_only_what_its_provider_was_asked(tmp_path: Path, work: dict[str, Any]) -> None:
    stub = Stub([work])
    assert [one.result for one in agent(stub, tmp_path).answer_open()] == ["failed"]
    assert not any(kind in ("upload", "evidence") for kind, _ in stub.sent)


@contextmanager
def answering(body: bytes, status: int = 200) -> Iterator[str]:
    """A web server that gives the same answer to everything."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = answer

        def log_message(self, *unused: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


COMMANDS = [
    ["audit", "kinds"],
    ["audit", "list"],
    ["audit", "show", "0" * 32],
    ["audit", "watch", "0" * 32],
    ["report", "0" * 32, "--out", "OUT"],
    ["provider", "work", "--provider", "acme"],
    ["audit", "request", "--provider", "acme", "--kind", "training.proof", "--run", "ab" * 32],
]


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b"7", b"\xff\xfe", b'{"items": 1}', b"[" * 100_000])
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command[:2]))
def test_whatever_a_server_answers_the_command_ends_in_one_line(
    command: list[str], body: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_API_KEY", "assay_00.secret")
    arguments = [str(tmp_path / "out") if word == "OUT" else word for word in command]
    with answering(body) as url, pytest.raises(SystemExit) as ended:
        main([*arguments, "--url", url])
    out, err = capsys.readouterr()
    assert ended.value.code not in (0, None) and out == "" and err.startswith("assay: ") and err.count("\n") == 1


@pytest.mark.parametrize("key", ["assay_00.SECRET\nmore", "assay_00.SECRET\r\nHost: x", "assay_00.SECR\u00c9T", "SEC RET\x00"])
def test_a_damaged_api_key_is_not_shown(key: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(key.encode())
    with answering(b"{}") as url, pytest.raises(SystemExit) as ended:
        main(["provider", "work", "--provider", "acme", "--url", url, "--api-key-file", str(tmp_path / "key")])
    assert ended.value.code == 4
    assert not any(part in "".join(capsys.readouterr()) for part in ("SECR", "RET", "assay_00"))


def test_a_key_file_that_is_no_text_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SystemExit):
        main(["provider", "work", "--provider", "acme", "--api-key-file", str(tmp_path / "key")])
    assert capsys.readouterr().err.startswith("assay: ")


@pytest.mark.parametrize("params", [b"\xff", b"[" * 100_000, b'{"a": 1, "a": 2}', b'{"\\ud800": 1}', b"[]"])
def test_odd_parameters_are_wrong_usage(params: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_API_KEY", "assay_00.secret")
    (tmp_path / "params").write_bytes(params)
    command = ["audit", "request", "--provider", "acme", "--kind", "k", "--run", "ab" * 32, "--params", f"@{tmp_path / 'params'}"]
    with answering(b'{"owner": "alice"}') as url, pytest.raises(SystemExit) as ended:
        main([*command, "--url", url])
    assert ended.value.code in (1, 2)


def test_a_fetched_report_is_rendered_from_what_is_signed(
    forge: Forge, proven: ProvenRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The text in the archive is the service's to write; what is printed comes from the statement."""
    files = forge.report(proven.request, proven.answer, forge.publish("acme", proven.run_id, proven.public))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in {**files, "report.txt": b"\x1b[2JHOLDS: a false text"}.items():
            archive.writestr(name, data)
    audit_id = proven.request.sha256[:32]
    with answering(buffer.getvalue()) as url:
        main_ok(["report", audit_id, "--out", str(tmp_path / "one"), "--url", url])
        out = capsys.readouterr().out
        assert "false text" not in out and "\x1b" not in out and f"audit {audit_id}" in out
        with pytest.raises(SystemExit) as ended:
            main(["report", "0" * 32, "--out", str(tmp_path / "two"), "--url", url])
    assert ended.value.code == 1 and "another audit" in capsys.readouterr().err


def main_ok(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code in (0, None)


@pytest.mark.parametrize(
    "run_json",
    [
        b"[]",
        b'{"features": {"mean": 5, "scale": 1, "bits": 8}}',
        b'{"features": {"mean": [0, 0], "scale": [1], "bits": 8}}',
        b'{"features": {"mean": [0, 0], "scale": [1, 0], "bits": 8}}',
        b'{"features": {"mean": [0, 1e400], "scale": [1, 1], "bits": 8}}',
        b'{"features": {"mean": [0, 0], "scale": [1, 1], "bits": 1000000}}',
        b'{"features": {"mean": [0, 0], "scale": [1, 1e-300], "bits": 8}}',
        b'{"features": {"mean": [0, 0], "scale": [1, 1], "bits": 8}, "class_names": 3}',
    ],
)
def test_a_hostile_run_description_is_refused(run_json: bytes, tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("a,b,target\n1,2,x\n3,4,y\n")
    with pytest.raises(RequestError):
        params_from_rows("model.accuracy", str(rows), run_json)


def test_the_client_refuses_a_key_it_cannot_send() -> None:
    with pytest.raises(ServiceError, match="copy it again"):
        ServiceClient("http://127.0.0.1:9", "assay_00.x\ny")
