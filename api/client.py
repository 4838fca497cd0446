"""A client of the HTTP API: plain JSON values in and out, every refusal a `ServiceError`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any

import httpx

from api.errors import ServiceError
from audit.evidence import Manifest, manifest_to_json
from audit.requests import AuditRequest

TIMEOUT_S = 60.0
# The service sends a comment every 15 s when nothing happens; three missed ones mean the connection is gone.
STREAM_TIMEOUT_S = 45.0
RECONNECT_S = 0.5
MAX_RECONNECTS = 60
FINAL_EVENTS = ("done", "cancelled", "failed")
_SMALL_BYTES = 64 * 1024
_PROBLEM_PREFIX = "urn:assay:problem:"


class _Object(dict[str, Any]):
    """An answer whose absent members are the service's fault, not a defect here."""

    def __missing__(self, name: str) -> Any:
        raise ServiceError("unknown", 0, f"the answer of the service lacks {name}; is this an Assay service of this version?")


class ServiceClient:
    """One service, one API key (None: reading only). Use as a context manager."""

    def __init__(self, url: str, key: str | None = None) -> None:
        self.url = url.rstrip("/")
        if key is not None and not (key.isascii() and key.isprintable() and " " not in key):
            raise ServiceError("unauthenticated", 401, "the API key holds characters that no key has; copy it again")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        try:
            self._http = httpx.Client(base_url=self.url, headers=headers, timeout=TIMEOUT_S)
        except (httpx.InvalidURL, ValueError) as error:
            raise ServiceError("unreachable", 0, f"{url} is not a URL; for example http://127.0.0.1:8000") from error

    def __enter__(self) -> ServiceClient:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    # ------------------------------------------------------------------ one call

    def call(self, method: str, path: str, **options: Any) -> Any:
        """One call under /v1; the parsed JSON answer. Raises ServiceError."""
        response = self._send(method, path, **options)
        try:
            return response.json()
        except (ValueError, RecursionError) as error:
            raise self._stranger() from error

    def _object(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """Like `call`, for an answer that is one JSON object. Its absent members raise ServiceError too."""
        answer = self.call(method, path, **options)
        if not isinstance(answer, dict):
            raise self._stranger()
        return _Object(answer)

    def _items(self, page: dict[str, Any]) -> list[dict[str, Any]]:
        items = page["items"]
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise self._stranger()
        return [_Object(item) for item in items]

    def _stranger(self) -> ServiceError:
        return ServiceError("unknown", 0, f"{self.url} does not answer like an Assay service; check the address")

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            response = self._http.request(method, f"/v1{path}", **options)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._unreachable(error) from error
        if response.is_error:
            raise _read_problem(response)
        return response

    def _unreachable(self, error: Exception) -> ServiceError:
        reason = str(error) or type(error).__name__
        return ServiceError("unreachable", 0, f"{self.url} does not answer ({reason}); is the service running?")

    # ------------------------------------------------------------------ service, providers, runs

    def show_service(self) -> dict[str, Any]:
        """Public key, version and kinds."""
        return self._object("GET", "/service")

    def whoami(self) -> dict[str, Any]:
        """Owner and role of this client's key."""
        return self._object("GET", "/whoami")

    def register_provider(self, envelope: bytes) -> dict[str, Any]:
        """Send a registration made by `audit.publications.sign_registration`."""
        return self._object("POST", "/providers", json=json.loads(envelope))

    def upload(self, sha256: str, data: bytes) -> None:
        """Store a blob; a large one only when it is not there yet."""
        if len(data) > _SMALL_BYTES and self._has_blob(sha256):
            return
        self.call("PUT", f"/blobs/{sha256}", content=data)

    def _has_blob(self, sha256: str) -> bool:
        try:
            self.call("GET", f"/blobs/{sha256}/size")
        except ServiceError as error:
            if error.status == 404:
                return False
            raise
        return True

    def upload_files(self, manifest: Manifest, files: Mapping[str, bytes]) -> None:
        """Store every file of a manifest."""
        for ref in manifest:
            self.upload(ref.sha256, files[ref.name])

    def add_commitment(self, provider: str, envelope: bytes) -> dict[str, Any]:
        """Send a commitment made by `audit.publications.sign_commitment`."""
        return self._object("POST", f"/providers/{provider}/commitments", json=json.loads(envelope))

    def publish_run(self, provider: str, envelope: bytes) -> dict[str, Any]:
        """Send a publication made by `audit.publications.sign_publication`."""
        return self._object("POST", f"/providers/{provider}/runs", json=json.loads(envelope))

    def show_run(self, provider: str, run_id: str) -> dict[str, Any]:
        """A run with its segments."""
        return self._object("GET", f"/providers/{provider}/runs/{run_id}")

    def read_run_file(self, provider: str, run_id: str, name: str) -> bytes:
        """One published file of a run."""
        return self._send("GET", f"/providers/{provider}/runs/{run_id}/files/{name}").content

    def wait_for_run(self, provider: str, run_id: str, poll_s: float = 0.2) -> dict[str, Any]:
        """A run as soon as its verification has ended."""
        while (run := self.show_run(provider, run_id))["state"] == "checking":
            time.sleep(poll_s)
        return run

    # ------------------------------------------------------------------ audits

    def create_audit(self, request: AuditRequest, idempotency_key: str | None = None) -> dict[str, Any]:
        """Open an audit. With no key given, the request's own digest is used: sending twice is harmless."""
        headers = {"Idempotency-Key": idempotency_key or request.sha256}
        return self._object("POST", "/audits", json=request.to_json(), headers=headers)

    def list_audits(self, limit: int | None = None, **filters: str | None) -> list[dict[str, Any]]:
        """Audits, newest first, at most `limit` of all pages together; filters: provider, auditor, state."""
        return list(self.iterate("/audits", limit, **filters))

    def iterate(self, path: str, limit: int | None = None, **filters: str | None) -> Iterator[dict[str, Any]]:
        """Every item of a list, page by page."""
        params = {name: value for name, value in filters.items() if value is not None}
        left = limit
        while True:
            page = self._object("GET", path, params={**params, "limit": min(left or 100, 100)})
            items = self._items(page)
            yield from items
            left = None if left is None else left - len(items)
            if page["next_cursor"] is None or left == 0:
                return
            params["cursor"] = page["next_cursor"]

    def show_audit(self, audit_id: str) -> dict[str, Any]:
        """One audit."""
        return self._object("GET", f"/audits/{audit_id}")

    def cancel_audit(self, audit_id: str) -> dict[str, Any]:
        """Cancel; again is harmless."""
        return self._object("POST", f"/audits/{audit_id}/cancel")

    def watch_audit(self, audit_id: str, after: int = 0) -> Iterator[dict[str, Any]]:
        """Events of an audit, each once and in order, until it has ended; reconnects where the stream broke off."""
        failures = 0
        while True:
            try:
                for event in self._stream_events(audit_id, after):
                    after, failures = event["number"], 0
                    yield event
                    if event["type"] in FINAL_EVENTS:
                        return
                if self.show_audit(audit_id)["state"] in FINAL_EVENTS:
                    return
            except httpx.HTTPError as error:
                failures += 1
                if failures > MAX_RECONNECTS:
                    raise self._unreachable(error) from error
            except ServiceError as error:
                failures += 1
                if (error.slug != "unreachable" and error.status != 503) or failures > MAX_RECONNECTS:
                    raise
            time.sleep(RECONNECT_S)

    def _stream_events(self, audit_id: str, after: int) -> Iterator[dict[str, Any]]:
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
        timeout = httpx.Timeout(TIMEOUT_S, read=STREAM_TIMEOUT_S)
        with self._http.stream("GET", f"/v1/audits/{audit_id}/events", headers=headers, timeout=timeout) as response:
            if response.is_error:
                response.read()
                raise _read_problem(response)
            data: list[str] = []
            for line in response.iter_lines():
                if line.startswith("data:"):
                    data.append(line[5:].lstrip(" "))
                elif not line and data:
                    yield self._parse_event("\n".join(data))
                    data = []

    def _parse_event(self, text: str) -> dict[str, Any]:
        try:
            event = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise self._stranger() from error
        known = isinstance(event, dict) and isinstance(event.get("number"), int) and isinstance(event.get("data"), dict)
        if not known or not all(isinstance(event.get(name), str) for name in ("type", "at")):
            raise self._stranger()
        return dict(event)

    def read_report(self, audit_id: str) -> bytes:
        """The signed report."""
        return self._send("GET", f"/reports/{audit_id}").content

    def read_report_archive(self, audit_id: str) -> bytes:
        """The report folder as a zip archive."""
        return self._send("GET", f"/reports/{audit_id}/archive").content

    # ------------------------------------------------------------------ models and watermark keys

    def register_model(self, name: str, spec: str, *, api_key: str | None = None, auditors: Sequence[str] = ()) -> dict[str, Any]:
        """Register a model; its state is `probing`."""
        body = {"name": name, "spec": spec, "api_key": api_key, "auditors": list(auditors)}
        return self._object("POST", "/models", json=body)

    def list_models(self) -> list[dict[str, Any]]:
        """The models this key may use, newest first."""
        return self._items(self._object("GET", "/models"))

    def wait_for_model(self, model_id: str, poll_s: float = 0.2) -> dict[str, Any]:
        """A model as soon as its probe has ended."""
        while (model := self.show_model(model_id))["state"] == "probing":
            time.sleep(poll_s)
        return model

    def show_model(self, model_id: str) -> dict[str, Any]:
        """One model."""
        return self._object("GET", f"/models/{model_id}")

    def delete_model(self, model_id: str) -> dict[str, Any]:
        """Forget a model of one's own."""
        return self._object("DELETE", f"/models/{model_id}")

    def add_watermark_key(self, key: Mapping[str, Any], auditors: Sequence[str] = ()) -> dict[str, Any]:
        """Hand over the content of a key file."""
        return self._object("POST", "/watermark-keys", json={"key": dict(key), "auditors": list(auditors)})

    def list_watermark_keys(self) -> list[dict[str, Any]]:
        """The watermark keys this API key may use, newest first."""
        return self._items(self._object("GET", "/watermark-keys"))

    def delete_watermark_key(self, commitment: str) -> dict[str, Any]:
        """Forget a watermark key of one's own."""
        return self._object("DELETE", f"/watermark-keys/{commitment}")

    # ------------------------------------------------------------------ sealed uploads for privacy audits

    def add_openings(self, consent: bytes, openings: bytes, auditors: Sequence[str] = ()) -> dict[str, Any]:
        """Hand over the values of a consent (both documents as `privacy.consent.new_request` gives them), to be kept sealed."""
        return self._add_private("/privacy/openings", {"consent": consent, "openings": openings}, auditors)

    def add_records(self, records: bytes, auditors: Sequence[str] = ()) -> dict[str, Any]:
        """Hand over private records (as `audit.privacy.records.new_records` gives them), to be kept sealed."""
        return self._add_private("/privacy/records", {"records": records}, auditors)

    def _add_private(self, path: str, documents: Mapping[str, bytes], auditors: Sequence[str]) -> dict[str, Any]:
        try:
            body = {name: json.loads(data) for name, data in documents.items()}
        except (ValueError, RecursionError):
            raise ServiceError("bad-request", 0, f"{', '.join(documents)}: a document is not valid JSON") from None
        return self._object("POST", path, json={**body, "auditors": list(auditors)})

    def list_private_uploads(self) -> list[dict[str, Any]]:
        """Sealed uploads that audits of this key may use, newest first."""
        return self._items(self._object("GET", "/privacy/uploads"))

    def delete_private_upload(self, digest: str) -> dict[str, Any]:
        """Take an upload of one's own back."""
        return self._object("DELETE", f"/privacy/uploads/{digest}")

    # ------------------------------------------------------------------ the provider's agent

    def list_work(self, provider: str) -> list[dict[str, Any]]:
        """Audits an agent of this provider may claim."""
        return self._items(self._object("GET", f"/providers/{provider}/work"))

    def claim(self, audit_id: str, agent: str, lease_s: int) -> str:
        """Claim an audit; the token. Raises ServiceError with status 409 when another agent has it."""
        body = {"agent": agent, "lease_s": lease_s}
        return str(self._object("POST", f"/audits/{audit_id}/claim", json=body)["claim"])

    def renew(self, audit_id: str, claim: str, lease_s: int, progress: dict[str, Any] | None) -> dict[str, Any]:
        """Keep a claim alive."""
        body = {"claim": claim, "lease_s": lease_s, "progress": progress}
        return self._object("POST", f"/audits/{audit_id}/renew", json=body)

    def release(self, audit_id: str, claim: str, reason: str) -> dict[str, Any]:
        """Give a claim back."""
        body = {"claim": claim, "reason": reason[:300]}
        return self._object("POST", f"/audits/{audit_id}/release", json=body)

    def submit_evidence(self, audit_id: str, claim: str, manifest: Manifest) -> dict[str, Any]:
        """Hand in evidence whose files were uploaded."""
        body = {"claim": claim, "files": manifest_to_json(manifest)}
        return self._object("POST", f"/audits/{audit_id}/evidence", json=body)


def _read_problem(response: httpx.Response) -> ServiceError:
    try:
        body = response.json()
        slug = str(body["type"]).removeprefix(_PROBLEM_PREFIX)
        return ServiceError(slug, response.status_code, str(body["detail"]))
    except (ValueError, KeyError, TypeError):
        return ServiceError("unknown", response.status_code, f"the service answered {response.status_code}")
