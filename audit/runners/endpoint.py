"""HTTP to one OpenAI-compatible endpoint: pinned address, no redirects, time-outs, retries, bounded answers, every exchange kept.

The one retry policy: 429, 5xx, time-outs and broken connections are tried again with exponential back-off and full jitter, not
before Retry-After. Everything else fails at once.
"""

from __future__ import annotations

import asyncio
import email.utils
import json
import random
import threading
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

from audit.errors import CancelledError
from audit.runners.addresses import Resolve, Target, resolve_target, system_resolve
from audit.runners.exchanges import ExchangeLog
from audit.runners.protocol import Cancelled, RunnerError

MAX_RESPONSE_BYTES = 64 << 20
MAX_RETRY_AFTER_S = 120.0
MAX_KEY_CHARS = 4096
_POLL_S = 0.05
_RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})

T = TypeVar("T")
Json = dict[str, Any]
Call = tuple[str, str, Json | None]
"""Method, path below the base, body."""


@dataclass(frozen=True)
class Limits:
    """Of one endpoint. `timeout_s` bounds a whole attempt."""

    concurrency: int = 8
    timeout_s: float = 120.0
    connect_s: float = 10.0
    attempts: int = 6
    first_pause_s: float = 0.5
    longest_pause_s: float = 30.0


class RefusedError(RunnerError):
    """The endpoint answered 4xx: it does not offer this path, or does not take a parameter."""


_UNSAID = "what it said is left out: it may repeat a prompt"


class Endpoint:
    """A connection to `url` (the base, usually ending in /v1). Close it after use.

    `api_key` goes into the Authorization header and nowhere else. With a log that keeps nothing (`ExchangeLog.none()`) no error
    message repeats what the server said either. Raises RunnerError when the address is not allowed.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        allow_private: bool = False,
        limits: Limits = Limits(),
        log: ExchangeLog | None = None,
        resolve: Resolve = system_resolve,
    ) -> None:
        self.target: Target = resolve_target(url, allow_private, resolve)
        if api_key is not None and not (0 < len(api_key) <= MAX_KEY_CHARS and api_key.isascii() and api_key.isprintable()):
            raise RunnerError(f"an API key has 1 to {MAX_KEY_CHARS} printable ASCII characters")
        if api_key is not None and self.target.scheme == "http" and not allow_private:
            raise RunnerError("an API key is not sent without encryption; use https")
        self.limits, self.log = limits, log or ExchangeLog()
        self._api_key = api_key
        self._random = random.Random()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="assay-endpoint", daemon=True)
        self._thread.start()
        self._client: httpx.AsyncClient | None = None

    # ------------------------------------------------------------------ asking

    def get(self, path: str) -> Json:
        """Raises RunnerError."""
        return self.ask_all([("GET", path, None)])[0]

    def post(self, path: str, body: Json) -> Json:
        """Raises RunnerError, RefusedError."""
        return self.ask_all([("POST", path, body)])[0]

    def ask_all(
        self, calls: Sequence[Call], answered: Callable[[int], None] | None = None, cancelled: Cancelled | None = None
    ) -> list[Json]:
        """Answers in the order of `calls`, at most `limits.concurrency` under way at once. A path that begins with `//` is taken
        from the host's root. `answered(count)` is called as answers arrive.

        Raises RunnerError as soon as one call has failed for good, CancelledError soon after `cancelled()` turns True.
        """
        if self._loop.is_closed():
            raise RunnerError("this endpoint has been closed; open it again")
        counted = [0]
        future = asyncio.run_coroutine_threadsafe(self._ask_all(calls, counted), self._loop)
        return self._wait(future, counted, answered, cancelled)

    def _wait(
        self, future: Future[T], counted: list[int], answered: Callable[[int], None] | None, cancelled: Cancelled | None
    ) -> T:
        seen = 0
        try:
            while True:
                try:
                    return future.result(timeout=_POLL_S)
                except NotYet:
                    if cancelled is not None and cancelled():
                        raise CancelledError("asking the endpoint was cancelled") from None
                finally:
                    if answered is not None and counted[0] > seen:
                        seen = counted[0]
                        answered(seen)
        finally:
            future.cancel()

    async def _ask_all(self, calls: Sequence[Call], counted: list[int]) -> list[Json]:
        answers: list[Json] = [{}] * len(calls)
        waiting = iter(enumerate(calls))

        async def work() -> None:
            for place, call in waiting:
                answers[place] = await self._ask(*call)
                counted[0] += 1

        tasks = [asyncio.ensure_future(work()) for _ in range(min(self.limits.concurrency, len(calls)))]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
        return answers

    async def _ask(self, method: str, path: str, body: Json | None) -> Json:
        for attempt in range(1, self.limits.attempts + 1):
            started = time.monotonic()
            try:
                async with asyncio.timeout(self.limits.timeout_s):
                    status, headers, data = await self._exchange(method, path, body)
            except (TimeoutError, httpx.TimeoutException):
                status, headers, data, failure = 0, {}, b"", f"no answer within {self.limits.timeout_s:g} s"
            except httpx.HTTPError as error:
                status, headers, data, failure = 0, {}, b"", f"the connection failed ({type(error).__name__})"
            else:
                failure = f"status {status}"
            self._keep(method, path, body, status, data, attempt, time.monotonic() - started, failure)
            if status and status not in _RETRIED:
                return self._read(status, data)
            if attempt < self.limits.attempts:
                await asyncio.sleep(self._pause(attempt, headers))
        raise RunnerError(f"{self.target.name}: {failure}, after {self.limits.attempts} attempts; try again later")

    async def _exchange(self, method: str, path: str, body: Json | None) -> tuple[int, Mapping[str, str], bytes]:
        headers = {"Host": self.target.host_header, "Accept": "application/json", "Accept-Encoding": "identity"}
        if self._api_key is not None:
            headers["Authorization"] = f"Bearer {self._api_key}"
        full = path[1:] if path.startswith("//") else self.target.path + path
        extensions = {"sni_hostname": self.target.host} if self.target.scheme == "https" else {}
        request = self._open().build_request(method, self.target.url(full), json=body, headers=headers, extensions=extensions)
        answer = await self._open().send(request, stream=True)
        try:
            data = bytearray()
            async for part in answer.aiter_bytes():
                data += part
                if len(data) > MAX_RESPONSE_BYTES:
                    raise RunnerError(f"{self.target.name} answered more than {MAX_RESPONSE_BYTES >> 20} MiB")
            return answer.status_code, answer.headers, bytes(data)
        finally:
            await answer.aclose()

    def _open(self) -> httpx.AsyncClient:
        """The client, made on the loop's thread. `trust_env` is off: a proxy of the environment would undo the pinning."""
        if self._client is None:
            self._client = httpx.AsyncClient(
                verify=httpx.create_ssl_context(),
                trust_env=False,
                follow_redirects=False,
                timeout=httpx.Timeout(self.limits.timeout_s, connect=self.limits.connect_s),
                limits=httpx.Limits(max_connections=self.limits.concurrency),
            )
        return self._client

    # ------------------------------------------------------------------ what came back

    def _read(self, status: int, data: bytes) -> Json:
        if 300 <= status < 400:
            raise RunnerError(f"{self.target.name} redirects, which is not followed; give the address it leads to")
        if status in (401, 403):
            raise RunnerError(f"{self.target.name} refuses the API key (status {status}); check it")
        try:
            content = json.loads(data)
        except (ValueError, RecursionError):
            content = None
        if status >= 400:
            reason = self._redact(_reason(content)) if self.log.keeps else _UNSAID
            raise RefusedError(f"{self.target.name} refuses (status {status}): {reason}")
        if not isinstance(content, dict):
            raise RunnerError(f"{self.target.name} answered something that is not a JSON object")
        return content

    def _keep(
        self, method: str, path: str, body: Json | None, status: int, data: bytes, attempt: int, seconds: float, failure: str
    ) -> None:
        if not self.log.keeps:
            return self.log.add({})
        response: Any = self._redact(data.decode("utf-8", "replace"))
        try:
            response = json.loads(response, parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            pass
        entry = {"method": method, "path": path, "request": body, "status": status, "response": response, "attempt": attempt}
        self.log.add({**entry, "seconds": round(seconds, 3), **({} if status else {"failure": failure})})

    def _redact(self, text: str) -> str:
        if not self._api_key:
            return text
        return text.replace(self._api_key, "[api key]").replace(json.dumps(self._api_key)[1:-1], "[api key]")

    def _pause(self, attempt: int, headers: Mapping[str, str]) -> float:
        longest = min(self.limits.longest_pause_s, self.limits.first_pause_s * 2 ** (attempt - 1))
        return max(self._random.uniform(0, longest), _retry_after(headers.get("retry-after", "")))

    def close(self) -> None:
        """Break connections and end the thread; calling twice does nothing."""
        if self._loop.is_closed():
            return

        async def finish() -> None:
            if self._client is not None:
                await self._client.aclose()

        self._run_last(finish())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)
        if not self._loop.is_running():
            self._loop.close()

    def _run_last(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=5)
        except (NotYet, httpx.HTTPError, OSError):
            pass


def _refuse_constant(name: str) -> Any:
    """NaN and Infinity are not JSON; an answer that holds them is kept as text."""
    raise ValueError(name)


def _reason(content: Any) -> str:
    """The message of an OpenAI-style error, in one short line."""
    found = content.get("error", content) if isinstance(content, dict) else None
    text = found.get("message", found.get("detail", "")) if isinstance(found, dict) else found
    return " ".join(str(text or "no reason given").split())[:200]


def _retry_after(value: str) -> float:
    """Seconds a Retry-After header asks for (a number or a date), bounded."""
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return 0.0
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_S) if seconds == seconds else 0.0
