"""HTTP to an endpoint: retries, time-outs, bounds, evidence without secrets. Against real servers on a loopback port."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from audit.errors import CancelledError
from audit.runners import endpoint as module
from audit.runners.endpoint import Endpoint, Limits, RefusedError
from audit.runners.exchanges import ExchangeLog
from audit.runners.protocol import RunnerError
from tests.unit.audit.runners.scripted_server import Answer, Seen, scripted

KEY = 'sk-"very\\secret'
QUICK = Limits(timeout_s=60.0, attempts=4, first_pause_s=0.01)


def connect(url: str, **options: Any) -> Endpoint:
    return Endpoint(url, **{"allow_private": True, "limits": QUICK, "api_key": KEY, **options})


def answers(status: int, body: bytes, headers: dict[str, str] | None = None) -> Any:
    return lambda count, seen: (status, headers or {}, body)


def test_busy_server_is_asked_again_not_before_it_says() -> None:
    def busy(count: int, seen: Seen) -> Answer:
        return (429, {"Retry-After": "0.3"}, b"") if count < 3 else (200, {}, b'{"ok": 1}')

    with scripted(busy) as (url, seen):
        started = time.monotonic()
        endpoint = connect(url)
        assert endpoint.post("/completions", {"a": 1}) == {"ok": 1}
        assert time.monotonic() - started >= 0.6
        assert len(seen) == 3
        entries = [json.loads(line) for line in endpoint.log.read().splitlines()]
        endpoint.close()
    assert [(entry["attempt"], entry["status"]) for entry in entries] == [(1, 429), (2, 429), (3, 200)]


@pytest.mark.parametrize("status", [500, 503, 429])
def test_attempts_are_bounded(status: int) -> None:
    with scripted(answers(status, b"")) as (url, seen):
        endpoint = connect(url)
        with pytest.raises(RunnerError, match=f"status {status}, after 4 attempts"):
            endpoint.get("/models")
        assert len(seen) == 4
        endpoint.close()


@pytest.mark.parametrize(
    ("status", "body", "headers", "kind", "message"),
    [
        (400, b'{"error": {"message": "no such parameter"}}', {}, RefusedError, "no such parameter"),
        (404, b"<html>", {}, RefusedError, "no reason given"),
        (401, b"{}", {}, RunnerError, "API key"),
        (302, b"", {"Location": "http://169.254.169.254/"}, RunnerError, "redirects"),
        (200, b"{", {}, RunnerError, "not a JSON object"),
        (200, b"[]", {}, RunnerError, "not a JSON object"),
        (200, b"[" * 100_000, {}, RunnerError, "not a JSON object"),
    ],
)
def test_other_answers_fail_at_once(status: int, body: bytes, headers: dict[str, str], kind: Any, message: str) -> None:
    with scripted(answers(status, body, headers)) as (url, seen):
        endpoint = connect(url)
        with pytest.raises(kind, match=message):
            endpoint.get("/models")
        assert len(seen) == 1
        endpoint.close()


def test_key_is_sent_and_never_kept(tmp_path: Path) -> None:
    def echo(count: int, seen: Seen) -> Answer:
        return 400, {}, json.dumps({"error": {"message": f"bad header {seen[1]['authorization']}"}}).encode()

    with scripted(echo) as (url, seen):
        endpoint = connect(url, log=ExchangeLog(tmp_path / "exchanges.jsonl"))
        with pytest.raises(RefusedError) as failure:
            endpoint.post("/completions", {"prompt": "x"})
        assert seen[0][1]["authorization"] == f"Bearer {KEY}"
        kept = (tmp_path / "exchanges.jsonl").read_bytes()
        assert (tmp_path / "exchanges.jsonl").stat().st_mode & 0o077 == 0
        endpoint.close()
    for text in (str(failure.value), kept.decode(), repr(endpoint)):
        assert "secret" not in text and "Bearer sk" not in text
    assert json.loads(kept)["request"] == {"prompt": "x"}


def test_key_needs_encryption() -> None:
    with pytest.raises(RunnerError, match="https"):
        Endpoint("http://8.8.8.8/v1", api_key=KEY)
    with pytest.raises(RunnerError, match="ASCII"):
        Endpoint("https://8.8.8.8/v1", api_key="a\nb")


def test_slow_server_and_broken_connection() -> None:
    told = threading.Event()

    def slow(count: int, seen: Seen) -> Answer:
        told.wait(60)
        return 200, {}, b"{}"

    with scripted(slow) as (url, _):
        endpoint = connect(url, limits=Limits(timeout_s=0.1, attempts=2, first_pause_s=0.01))
        with pytest.raises(RunnerError, match=r"no answer within 0\.1 s, after 2 attempts"):
            endpoint.get("/models")
        told.set()
        endpoint.close()
    endpoint = connect(url, limits=Limits(attempts=2, first_pause_s=0.01))
    with pytest.raises(RunnerError, match="connection failed"):
        endpoint.get("/models")
    endpoint.close()
    endpoint.close()
    with pytest.raises(RunnerError, match="closed"):
        endpoint.get("/models")


def test_answers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_RESPONSE_BYTES", 1_000)
    with scripted(answers(200, b" " * 100_000)) as (url, _):
        endpoint = connect(url)
        with pytest.raises(RunnerError, match="more than"):
            endpoint.get("/models")
        endpoint.close()


def test_order_concurrency_progress_and_cancel() -> None:
    lock, running, most = threading.Condition(), 0, 0

    def count_running(count: int, seen: Seen) -> Answer:
        nonlocal running, most
        number = json.loads(seen[2])["i"]
        with lock:
            running += 1
            most = max(most, running)
            lock.notify_all()
            lock.wait_for(lambda: most > 1, 60)  # one at a time would wait here for ever
        time.sleep(0.02 * (number % 3))
        with lock:
            running -= 1
        return 200, {}, json.dumps({"i": number}).encode()

    with scripted(count_running) as (url, seen):
        endpoint = connect(url, limits=Limits(concurrency=3, timeout_s=60))
        calls = [("POST", "/completions", {"i": i}) for i in range(12)]
        told: list[int] = []
        assert [answer["i"] for answer in endpoint.ask_all(calls, told.append)] == list(range(12))
        assert most in (2, 3)
        assert told[-1] == 12 and told == sorted(told)
        before = len(seen)
        started = time.monotonic()
        with pytest.raises(CancelledError):
            endpoint.ask_all(calls * 500, cancelled=lambda: time.monotonic() - started > 0.2)
        asked = len(seen)
        time.sleep(0.4)
        assert before < asked <= len(seen) <= asked + 3 < 6_000, "nothing is asked but what was on its way"
        endpoint.close()


def test_certificate_is_checked_against_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection goes to the address, TLS and the Host header name the host."""
    endpoint = Endpoint("https://model.example/v1", resolve=lambda host, port: ["8.8.8.8"])
    sent: list[Any] = []

    async def send(request: Any, **options: Any) -> Any:
        sent.append(request)
        raise module.httpx.ConnectError("no network here")

    monkeypatch.setattr(endpoint._open(), "send", send)
    monkeypatch.setattr(module.asyncio, "sleep", _no_pause(module.asyncio.sleep))
    with pytest.raises(RunnerError, match="connection failed"):
        endpoint.get("/models")
    endpoint.close()
    assert str(sent[0].url) == "https://8.8.8.8/v1/models"
    assert sent[0].headers["host"] == "model.example" and sent[0].extensions["sni_hostname"] == "model.example"


def _no_pause(sleep: Any) -> Any:
    async def pause(seconds: float) -> None:
        await sleep(0)

    return pause


def test_log_keeps_digests_when_it_is_full(tmp_path: Path) -> None:
    log = ExchangeLog(max_bytes=300)
    for _ in range(3):
        log.add({"request": {"prompt": "a" * 150}, "status": 200})
    first, *_, last = (json.loads(line) for line in log.read().splitlines())
    assert first["request"] == {"prompt": "a" * 150}
    assert set(last["request"]) == {"sha256", "bytes"} and last["status"] == 200
    with pytest.raises(RunnerError, match="cannot be kept"):
        ExchangeLog(tmp_path / "missing" / "log")
