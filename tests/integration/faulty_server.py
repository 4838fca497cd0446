"""The server of the tiny model on a loopback port, and what goes wrong with other people's servers, put in front of it."""

from __future__ import annotations

import asyncio
import copy
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI, Request, Response

Json = dict[str, Any]


class Fault:
    """Nothing wrong. `asked` may change a request or answer it; `answered` may change the answer."""

    def asked(self, path: str, body: Json) -> Response | None:
        return None

    def answered(self, path: str, body: Json, answer: Json) -> None:
        pass


class DropsPromptLogprobs(Fault):
    """From its `after`th scored prompt on: answers with the new tokens' log-probabilities only."""

    def __init__(self, after: int = 0) -> None:
        self.after = after

    def answered(self, path: str, body: Json, answer: Json) -> None:
        if not (body.get("echo") or body.get("prompt_logprobs")):
            return
        self.after -= 1
        for choice in answer.get("choices", ()):
            if self.after < 0 and choice.get("logprobs"):
                choice["logprobs"] = {name: values and values[-1:] for name, values in choice["logprobs"].items()}
            if self.after < 0:
                choice.pop("prompt_logprobs", None)


class NullLogprobs(Fault):
    """Log-probabilities are null, whatever was asked."""

    def answered(self, path: str, body: Json, answer: Json) -> None:
        for choice in answer.get("choices", ()):
            choice["logprobs"] = None
            choice.pop("prompt_logprobs", None)


class ZeroPromptLogprobs(Fault):
    """A number at every token of a prompt, but not the model's."""

    def answered(self, path: str, body: Json, answer: Json) -> None:
        if body.get("echo"):
            for choice in answer.get("choices", ()):
                if choice.get("logprobs"):
                    values = choice["logprobs"]["token_logprobs"]
                    choice["logprobs"]["token_logprobs"] = [None, *(0.0 for _ in values[1:])]


class ReordersBatches(Fault):
    """Choices come back in reverse, numbered as if they did not."""

    def answered(self, path: str, body: Json, answer: Json) -> None:
        found = answer.get("choices", [])
        for index, choice in enumerate(found[::-1]):
            choice["index"] = index
            choice.pop("prompt_token_ids", None)
        found.reverse()


class IgnoresSeed(Fault):
    """Every request has a seed of the server's own."""

    count = 1_000

    def asked(self, path: str, body: Json) -> None:
        if "seed" in body:
            self.count += 1
            body["seed"] = self.count


class ConstantSeed(Fault):
    """All requests have the same seed: deterministic, but not by seed."""

    def asked(self, path: str, body: Json) -> None:
        if "seed" in body:
            body["seed"] = 1


class TruncatesPrompts(Fault):
    """Reads the last 64 ids of a prompt; `lying` servers report what was sent."""

    def __init__(self, lying: bool) -> None:
        self.lying = lying
        self._sent: list[int] = []

    def asked(self, path: str, body: Json) -> None:
        prompt = body.get("prompt")
        if isinstance(prompt, list) and prompt and isinstance(prompt[0], int):
            self._sent, body["prompt"] = prompt, prompt[-64:]

    def answered(self, path: str, body: Json, answer: Json) -> None:
        if self.lying and isinstance(body.get("prompt"), list) and "usage" in answer and self._sent:
            answer["usage"]["prompt_tokens"] = len(self._sent)
            for choice in answer["choices"]:
                choice["prompt_token_ids"] = self._sent


class ReadsIdsAsText(Fault):
    """Token ids become the text of a JSON list."""

    def asked(self, path: str, body: Json) -> None:
        if isinstance(body.get("prompt"), list):
            body["prompt"] = str(body["prompt"])


class TokenizesAnew(Fault):
    """Token ids are turned to text and tokenized again."""

    def __init__(self, detokenize: Callable[[list[int]], str]) -> None:
        self.detokenize = detokenize

    def asked(self, path: str, body: Json) -> None:
        prompt = body.get("prompt")
        if isinstance(prompt, list) and prompt and isinstance(prompt[0], int):
            body["prompt"] = self.detokenize(prompt)


class Busy(Fault):
    """Every request is turned away twice."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}

    def asked(self, path: str, body: Json) -> Response | None:
        key = f"{path} {json.dumps(body)}"
        self._seen[key] = self._seen.get(key, 0) + 1
        return Response(status_code=429, headers={"Retry-After": "0"}) if self._seen[key] % 3 else None


class Garbage(Fault):
    """Malformed JSON from the `after`th completion on."""

    def __init__(self, after: int) -> None:
        self.after = after

    def asked(self, path: str, body: Json) -> Response | None:
        self.after -= path.endswith("completions")
        return Response(content=b'{"choices": [', media_type="application/json") if self.after < 0 else None


class Refuses(Fault):
    """400 for requests with one of these parameters, 404 for these paths."""

    def __init__(self, *names: str, paths: tuple[str, ...] = ()) -> None:
        self.names, self.paths = names, paths

    def asked(self, path: str, body: Json) -> Response | None:
        if path in self.paths:
            return Response(status_code=404)
        refused = any(body.get(name) not in (None, False) for name in self.names)
        return Response(content=b'{"error": {"message": "unknown parameter"}}', status_code=400) if refused else None


class Ignores(Fault):
    """Takes these parameters and does nothing with them."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def asked(self, path: str, body: Json) -> None:
        for name in self.names:
            body.pop(name, None)


class OnlySlow(Fault):
    """Every answer takes a while."""

    def asked(self, path: str, body: Json) -> None:
        time.sleep(0.5)


def with_fault(app: FastAPI, fault: Fault) -> FastAPI:
    """`app` behind the fault."""
    front = FastAPI(openapi_url=None)

    @front.api_route("/{path:path}", methods=["GET", "POST"])
    async def forward(path: str, request: Request) -> Response:
        data = await request.body()
        sent = json.loads(data) if data else {}
        body = copy.deepcopy(sent)
        refused = await asyncio.to_thread(fault.asked, f"/{path}", body)
        if refused is not None:
            return refused
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://inner") as inner:
            answer = await inner.request(request.method, f"/{path}", json=body if data else None)
        content = answer.json()
        fault.answered(f"/{path}", sent, content)
        return Response(json.dumps(content).encode(), answer.status_code, media_type="application/json")

    return front


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """A real uvicorn server in a thread; yields the address of its root."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    limit = time.monotonic() + 60
    while not server.started and time.monotonic() < limit:
        time.sleep(0.005)
    assert server.started, "the server did not start"
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=30)
