"""The HTTP surface: problems, keys and roles, idempotency, pages, bounds."""

from __future__ import annotations

import hashlib
import http.client
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from audit.publications import sign_registration
from audit.requests import Subject, new_request
from audit.signing import PrivateKey
from tests.integration.conftest import PublishedRun, ServiceProcesses

Publish = Callable[..., PublishedRun]
NOWHERE = "0" * 32
DIGEST = "ab" * 32


@pytest.fixture(scope="module")
def keys(service: ServiceProcesses) -> dict[str, dict[str, str]]:
    """Authorization headers by role."""
    return {
        role: {"Authorization": f"Bearer {service.new_key(role, f'http-{role}')}"} for role in ("admin", "provider", "auditor")
    }


@pytest.fixture
def http_client(service: ServiceProcesses) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, timeout=30) as client:
        yield client


def assert_problem(response: httpx.Response, status: int, slug: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["type"] == f"urn:assay:problem:{slug}" and body["status"] == status
    assert body["title"] and body["detail"]
    assert "Traceback" not in response.text and "secret" not in response.text
    return body


PROBLEMS: list[tuple[str, str, str | None, Any, int, str]] = [
    ("GET", "/nowhere", None, None, 404, "not-found"),
    ("GET", "/v1/nowhere", None, None, 404, "not-found"),
    ("PATCH", "/v1/audits", None, None, 405, "method-not-allowed"),
    ("GET", f"/v1/audits/{NOWHERE}", None, None, 404, "not-found"),
    ("GET", "/v1/audits/short", None, None, 404, "not-found"),
    ("GET", f"/v1/audits/{NOWHERE}/events", None, None, 404, "not-found"),
    ("GET", f"/v1/reports/{NOWHERE}", None, None, 404, "not-found"),
    ("GET", f"/v1/reports/{NOWHERE}/archive", None, None, 404, "not-found"),
    ("GET", "/v1/providers/nobody", None, None, 404, "not-found"),
    ("GET", f"/v1/providers/nobody/runs/{DIGEST}", None, None, 404, "not-found"),
    ("GET", "/v1/providers/nobody/runs/zz", None, None, 422, "bad-request"),
    ("GET", "/v1/audits?limit=0", None, None, 422, "bad-request"),
    ("GET", "/v1/audits?cursor=%2D1", None, None, 422, "bad-request"),
    ("GET", "/v1/audits?cursor=9999999999999999999999", None, None, 422, "bad-request"),
    ("POST", "/v1/audits", None, {}, 401, "unauthenticated"),
    ("POST", "/v1/audits", "provider", {}, 403, "forbidden"),
    ("POST", "/v1/audits", "auditor", {}, 422, "bad-request"),
    ("POST", "/v1/audits", "auditor", [], 422, "bad-request"),
    ("POST", "/v1/audits", "auditor", b"{", 422, "bad-request"),
    ("POST", "/v1/audits", "auditor", b"[" * 100_000, 400, "bad-request"),
    ("POST", "/v1/audits", "auditor", b'{"x": NaN}', 422, "bad-request"),
    ("POST", f"/v1/audits/{NOWHERE}/cancel", "auditor", None, 404, "not-found"),
    ("POST", f"/v1/audits/{NOWHERE}/claim", "provider", {"agent": "a"}, 404, "not-found"),
    ("POST", f"/v1/audits/{NOWHERE}/claim", "provider", {"agent": "a", "more": 1}, 422, "bad-request"),
    ("POST", f"/v1/audits/{NOWHERE}/renew", "provider", {"claim": "x", "lease_s": 10**9}, 422, "bad-request"),
    ("POST", f"/v1/audits/{NOWHERE}/evidence", "provider", {"claim": "x", "files": []}, 422, "bad-evidence"),
    ("POST", "/v1/providers", "provider", {}, 422, "bad-signature"),
    ("POST", "/v1/providers", "auditor", {}, 403, "forbidden"),
    ("POST", "/v1/providers/nobody/runs", "provider", {}, 404, "not-found"),
    ("POST", "/v1/providers/nobody/commitments", "provider", {}, 404, "not-found"),
    ("GET", "/v1/providers/nobody/work", "provider", None, 404, "not-found"),
    ("PUT", f"/v1/blobs/{DIGEST}", "provider", b"other bytes", 422, "bad-evidence"),
    ("PUT", "/v1/blobs/zz", "provider", b"x", 422, "bad-request"),
    ("PUT", f"/v1/blobs/{DIGEST}", "auditor", b"x", 403, "forbidden"),
    ("PUT", f"/v1/blobs/{DIGEST}", None, b"x", 401, "unauthenticated"),
    ("GET", f"/v1/blobs/{DIGEST}/size", "provider", None, 404, "not-found"),
    ("POST", "/v1/keys", "auditor", {"role": "admin", "owner": "x"}, 403, "forbidden"),
    ("POST", "/v1/keys", "admin", {"role": "king", "owner": "x"}, 422, "bad-request"),
    ("DELETE", "/v1/keys/none", "admin", None, 404, "not-found"),
    ("GET", "/v1/whoami", None, None, 401, "unauthenticated"),
]


@pytest.mark.parametrize(("method", "path", "role", "body", "status", "slug"), PROBLEMS)
def test_every_error_is_a_problem_document(
    http_client: httpx.Client,
    keys: dict[str, dict[str, str]],
    method: str,
    path: str,
    role: str | None,
    body: Any,
    status: int,
    slug: str,
) -> None:
    content = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", **(keys[role] if role else {})}
    assert_problem(http_client.request(method, path, content=content, headers=headers), status, slug)


@pytest.mark.parametrize(
    "header",
    ["", "Basic x", "Bearer", "Bearer nonsense", "Bearer assay_.", "Bearer assay_0000000000000000.x", "Bearer " + "x" * 500],
)
def test_bad_keys_are_refused_alike(http_client: httpx.Client, header: str) -> None:
    response = http_client.get("/v1/whoami", headers={"Authorization": header})
    assert_problem(response, 401, "unauthenticated")
    assert response.headers["www-authenticate"].startswith("Bearer")


def test_a_key_with_another_secret_or_revoked_is_refused(
    service: ServiceProcesses, http_client: httpx.Client, keys: dict[str, dict[str, str]]
) -> None:
    made = http_client.post("/v1/keys", json={"role": "auditor", "owner": "eve"}, headers=keys["admin"]).json()["key"]
    good = {"Authorization": f"Bearer {made}"}
    assert http_client.get("/v1/whoami", headers=good).json()["owner"] == "eve"
    other = made[:-1] + ("A" if made[-1] != "A" else "B")
    assert_problem(http_client.get("/v1/whoami", headers={"Authorization": f"Bearer {other}"}), 401, "unauthenticated")
    key_id = made.split(".")[0].removeprefix("assay_")
    assert http_client.delete(f"/v1/keys/{key_id}", headers=keys["admin"]).json()["revoked"]
    assert_problem(http_client.get("/v1/whoami", headers=good), 401, "unauthenticated")
    stored = (service.data / "assay.db").read_bytes() + (service.data / "assay.db-wal").read_bytes()
    assert made.split(".")[1].encode() not in stored


def test_bodies_are_bounded_whatever_they_declare(service: ServiceProcesses, keys: dict[str, dict[str, str]]) -> None:
    headers = {"Content-Type": "application/json", **keys["auditor"]}
    address = urlsplit(service.url)
    for declared in ({"Content-Length": str(10**12)}, {"Transfer-Encoding": "chunked"}):
        connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=30)
        connection.putrequest("POST", "/v1/audits")
        for name, value in {**headers, **declared}.items():
            connection.putheader(name, value)
        connection.endheaders()
        if "Transfer-Encoding" in declared:
            chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
            try:
                for _ in range(80):  # 5 MiB
                    connection.send(chunk)
                connection.send(b"0\r\n\r\n")
            except (BrokenPipeError, ConnectionResetError):
                pass
        response = connection.getresponse()
        body = json.loads(response.read())
        assert response.status == 413 and body["type"] == "urn:assay:problem:too-large"
        connection.close()


def _request(run: PublishedRun, auditor: str) -> dict[str, Any]:
    params = {"sha256": hashlib.sha256(b"secret").hexdigest()}
    return new_request(auditor, run.provider, Subject("run", run.run_id), "test.preimage", params).to_json()


def test_an_idempotency_key_has_one_effect(
    service: ServiceProcesses, http_client: httpx.Client, keys: dict[str, dict[str, str]], publish: Publish
) -> None:
    run = publish(service)
    document, other = _request(run, "http-auditor"), _request(run, "http-auditor")
    headers = {**keys["auditor"], "Idempotency-Key": f"key-{run.run_id}-{document['nonce']}"}
    first = http_client.post("/v1/audits", json=document, headers=headers)
    again = http_client.post("/v1/audits", json=document, headers=headers)
    assert first.status_code == again.status_code == 201
    assert again.json() == first.json() and again.headers["idempotent-replayed"] == "true"
    assert_problem(http_client.post("/v1/audits", json=other, headers=headers), 422, "idempotency-mismatch")
    assert_problem(http_client.post("/v1/audits", json=document, headers=keys["auditor"]), 409, "conflict")
    independent = {"Authorization": f"Bearer {service.new_key('auditor', 'bob')}"}
    independent["Idempotency-Key"] = headers["Idempotency-Key"]
    assert http_client.post("/v1/audits", json=_request(run, "bob"), headers=independent).status_code == 201
    assert_problem(
        http_client.post("/v1/audits", json=other, headers={**keys["auditor"], "Idempotency-Key": "x" * 300}),
        422,
        "bad-request",
    )


def test_one_idempotency_key_sent_many_times_at_once(
    service: ServiceProcesses, http_client: httpx.Client, keys: dict[str, dict[str, str]], publish: Publish
) -> None:
    run = publish(service)
    document = _request(run, "http-auditor")
    headers = {**keys["auditor"], "Idempotency-Key": document["nonce"]}

    def send(_: int) -> httpx.Response:
        return httpx.post(f"{service.url}/v1/audits", json=document, headers=headers, timeout=60)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(send, range(16)))
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len({answer.json()["id"] for answer in answers if answer.status_code == 201}) == 1
    assert len(http_client.get("/v1/audits", params={"provider": run.provider}).json()["items"]) == 1


def test_a_request_is_for_its_own_auditor_kind_and_subject(
    service: ServiceProcesses, http_client: httpx.Client, keys: dict[str, dict[str, str]], publish: Publish
) -> None:
    run = publish(service)
    good = _request(run, "http-auditor")

    def send(**changes: Any) -> httpx.Response:
        return http_client.post("/v1/audits", json={**good, **changes}, headers=keys["auditor"])

    assert_problem(send(auditor="somebody-else"), 403, "forbidden")
    assert "test.preimage" in assert_problem(send(kind="unknown"), 422, "bad-request")["detail"]
    assert_problem(send(params={"sha256": "short"}), 422, "bad-request")
    assert_problem(send(params={"sha256": DIGEST, "extra": 1}), 422, "bad-request")
    assert_problem(send(nonce="00"), 422, "bad-request")
    assert_problem(send(provider="nobody"), 404, "not-found")
    assert_problem(send(subject={"name": "run", "digest": {"sha256": DIGEST}}), 404, "not-found")
    assert_problem(send(subject={"name": "moon", "digest": {"sha256": DIGEST}}), 422, "bad-request")


def test_lists_are_paged_newest_first_without_gap_or_repeat(
    service: ServiceProcesses, http_client: httpx.Client, keys: dict[str, dict[str, str]], publish: Publish
) -> None:
    run = publish(service)
    made = [
        http_client.post("/v1/audits", json=_request(run, "http-auditor"), headers=keys["auditor"]).json()["id"] for _ in range(5)
    ]
    seen, url = [], f"/v1/audits?provider={run.provider}&limit=2"
    while url:
        response = http_client.get(url)
        seen += [item["id"] for item in response.json()["items"]]
        assert (response.json()["next_cursor"] is None) == ("link" not in response.headers)
        url = response.links.get("next", {}).get("url", "")
    assert seen == made[::-1]


def test_only_the_owner_works_for_a_provider(
    service: ServiceProcesses, http_client: httpx.Client, keys: dict[str, dict[str, str]], publish: Publish
) -> None:
    run = publish(service)
    audit = http_client.post("/v1/audits", json=_request(run, "http-auditor"), headers=keys["auditor"]).json()["id"]
    stranger = keys["provider"]
    assert_problem(http_client.get(f"/v1/providers/{run.provider}/work", headers=stranger), 403, "forbidden")
    assert_problem(http_client.post(f"/v1/audits/{audit}/claim", json={"agent": "a"}, headers=stranger), 403, "forbidden")
    other = {"Authorization": f"Bearer {service.new_key('auditor', 'bob')}"}
    assert_problem(http_client.post(f"/v1/audits/{audit}/cancel", headers=other), 403, "forbidden")
    guess = {"claim": "guess", "files": [{"name": "a", "sha256": hashlib.sha256(b"a").hexdigest(), "size": 1}]}
    owner = {"Authorization": f"Bearer {service.new_key('provider', run.provider)}"}
    http_client.put(f"/v1/blobs/{guess['files'][0]['sha256']}", content=b"a", headers=owner)  # type: ignore[index]
    assert_problem(http_client.post(f"/v1/audits/{audit}/evidence", json=guess, headers=owner), 403, "forbidden")


def test_commitments_are_signed_and_listed(
    service: ServiceProcesses, http_client: httpx.Client, keys: dict[str, dict[str, str]]
) -> None:
    from audit.publications import SignedCommitment, sign_commitment

    key, record = PrivateKey.generate(), b"a record"
    digest = hashlib.sha256(record).hexdigest()
    headers, path = keys["provider"], "/v1/providers/http-commits/commitments"
    envelope = json.loads(sign_registration("http-commits", key, key.public))
    assert http_client.post("/v1/providers", json=envelope, headers=headers).status_code == 201
    signed = SignedCommitment("http-commits", Subject("dataset", digest), len(record))
    good = json.loads(sign_commitment(signed, key))
    assert "was not uploaded" in assert_problem(http_client.post(path, json=good, headers=headers), 422, "bad-evidence")["detail"]
    http_client.put(f"/v1/blobs/{digest}", content=record, headers=headers)
    forged = json.loads(sign_commitment(signed, PrivateKey.generate()))
    assert_problem(http_client.post(path, json=forged, headers=headers), 422, "bad-signature")
    made = http_client.post(path, json=good, headers=headers)
    assert made.status_code == 201 and made.json()["name"] == "dataset"
    assert http_client.post(path, json=good, headers=headers).json() == made.json()
    listed = http_client.get("/v1/commitments", params={"provider": "http-commits"}).json()["items"]
    assert [item["digest"] for item in listed] == [digest]


def test_public_files_of_a_run_can_be_read_and_nothing_else(
    service: ServiceProcesses, http_client: httpx.Client, publish: Publish
) -> None:
    run = publish(service)
    base = f"/v1/providers/{run.provider}/runs/{run.run_id}/files"
    assert http_client.get(f"{base}/run.json").json() == {"run_id": run.run_id}
    for name in ("../private/secret.bin", "private/secret.bin", "%2e%2e/assay.db", ""):
        assert http_client.get(f"{base}/{name}").status_code == 404


def test_openapi_describes_every_resource(http_client: httpx.Client) -> None:
    paths = http_client.get("/v1/openapi.json").json()["paths"]
    assert {"/v1/audits", "/v1/providers", "/v1/runs", "/v1/commitments", "/v1/reports/{audit_id}"} <= set(paths)
