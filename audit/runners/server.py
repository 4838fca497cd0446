"""An OpenAI-compatible HTTP server in front of a transformers runner: models, completions with token ids, chat, tokenizer.

`python -m audit.runners.server tiny --port 8000` serves one model to programs on the same machine. A mark that is fixed at the
start is embedded in every answer, as a provider would do it.
"""

from __future__ import annotations

import argparse
import secrets
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from audit.runners.protocol import Generation, Mark, Prompt, RunnerError, Sampling
from audit.runners.server_schema import ChatRequest, CompletionRequest, DetokenizeRequest, SamplingFields, TokenizeRequest
from audit.runners.transformers_runner import TransformersRunner

Json = dict[str, Any]


class RefusedRequest(Exception):
    """An answer with an OpenAI-style error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class ModelServer:
    """The answers, as JSON objects, apart from HTTP. One request runs on the model at a time."""

    def __init__(self, runner: TransformersRunner, name: str, mark: Mark | None = None) -> None:
        self.runner, self.name, self.mark = runner, name, mark
        self._lock = threading.Lock()
        self._created = int(time.time())

    def models(self) -> Json:
        """GET /v1/models."""
        entry = {"id": self.name, "object": "model", "created": self._created, "owned_by": "assay"}
        return {"object": "list", "data": [{**entry, "max_model_len": self.runner.context}]}

    def completions(self, asked: CompletionRequest) -> Json:
        """POST /v1/completions."""
        self._check_model(asked.model)
        prompts = [self.runner.tokenize(p) if isinstance(p, str) else tuple(p) for p in _prompts(asked)]
        if any(not prompt for prompt in prompts):
            raise RefusedRequest(400, "a prompt must not be empty")
        if asked.max_tokens == 0 and not asked.echo and asked.prompt_logprobs is None:
            raise RefusedRequest(400, "max_tokens 0 needs echo or prompt_logprobs")
        top = asked.logprobs or 0
        with self._lock:
            if asked.max_tokens:
                answers = self.runner.generate(
                    [Prompt(token_ids=p) for p in prompts], self._sampling(asked, asked.max_tokens, top)
                )
            else:
                answers = [Generation("", (), "length", (), ()) for _ in prompts]
            wanted = max(top if asked.echo and asked.logprobs is not None else 0, asked.prompt_logprobs or 0)
            scored = asked.prompt_logprobs is not None or (asked.echo and asked.logprobs is not None)
            scores = self.runner.score_top(prompts, max(wanted, 1)) if scored else [None] * len(prompts)
        rows = zip(prompts, answers, scores, strict=True)
        choices = [{"index": i, **self._completion(asked, *row)} for i, row in enumerate(rows)]
        return self._envelope("text_completion", choices, prompts, answers)

    def chat(self, asked: ChatRequest) -> Json:
        """POST /v1/chat/completions."""
        self._check_model(asked.model)
        prompt = self.runner.chat_prompt([message.model_dump() for message in asked.messages])
        with self._lock:
            answer = self.runner.generate(
                [Prompt(token_ids=prompt)], self._sampling(asked, asked.max_tokens, asked.top_logprobs)
            )[0]
        choice: Json = {"index": 0, "message": {"role": "assistant", "content": answer.text}}
        choice |= {
            "finish_reason": answer.finish_reason,
            "logprobs": self._chat_logprobs(asked, answer) if asked.logprobs else None,
        }
        if asked.return_token_ids:
            choice |= {"token_ids": list(answer.token_ids or ()), "prompt_token_ids": list(prompt)}
        return self._envelope("chat.completion", [choice], [prompt], [answer])

    def tokenize(self, asked: TokenizeRequest) -> Json:
        """POST /tokenize."""
        self._check_model(asked.model)
        tokens = self.runner.tokenize(asked.prompt)
        return {"tokens": list(tokens), "count": len(tokens), "max_model_len": self.runner.context}

    def detokenize(self, asked: DetokenizeRequest) -> Json:
        """POST /detokenize."""
        self._check_model(asked.model)
        return {"prompt": self.runner.detokenize(asked.tokens)}

    # ------------------------------------------------------------------ parts of answers

    def _check_model(self, name: str) -> None:
        if name != self.name:
            raise RefusedRequest(404, f"there is no model {name[:100]!r} here; there is {self.name!r}")

    def _sampling(self, asked: SamplingFields, max_tokens: int, top_logprobs: int) -> Sampling:
        stop = (asked.stop,) if isinstance(asked.stop, str) else tuple(asked.stop or ())
        return Sampling(
            max_new_tokens=max_tokens,
            temperature=asked.temperature,
            top_p=asked.top_p,
            top_k=max(asked.top_k, 0),
            seed=asked.seed if asked.seed is not None else secrets.randbits(31),
            min_new_tokens=asked.min_tokens,
            stop=stop,
            top_logprobs=top_logprobs,
            mark=self.mark,
        )

    def _completion(
        self, asked: CompletionRequest, prompt: tuple[int, ...], answer: Generation, score: tuple[Any, Any] | None
    ) -> Json:
        ids = list(answer.token_ids or ())
        logs: list[Any] = list(answer.logprobs or ())
        top: list[Any] = list(answer.top_logprobs or ())
        text = answer.text
        if asked.echo:
            text = self.runner.detokenize(prompt) + text
        if asked.echo and score is not None:
            ids, logs, top = [*prompt, *ids], [None, *score[0], *logs], [None, *score[1], *top]
        choice: Json = {"text": text, "finish_reason": answer.finish_reason, "logprobs": None}
        if asked.logprobs is not None:
            choice["logprobs"] = self._logprobs(asked, ids, logs, top)
        if asked.prompt_logprobs is not None and score is not None:
            rows = zip(prompt[1:], *score, strict=True)
            choice["prompt_logprobs"] = [
                None,
                *({str(t): {"logprob": v} for t, v in {**best, own: log}.items()} for own, log, best in rows),
            ]
        if asked.return_token_ids:
            choice |= {"token_ids": list(answer.token_ids or ()), "prompt_token_ids": list(prompt)}
        return choice

    def _logprobs(self, asked: CompletionRequest, ids: Sequence[int], logs: Sequence[Any], top: Sequence[Any]) -> Json:
        names = [self._token(token, asked.return_tokens_as_token_ids) for token in ids]
        block: Json = {"tokens": names, "token_logprobs": list(logs), "text_offset": _offsets(names), "top_logprobs": None}
        if asked.logprobs:
            block["top_logprobs"] = [
                entry
                and {
                    self._token(t, asked.return_tokens_as_token_ids): value for t, value in list(entry.items())[: asked.logprobs]
                }
                for entry in top
            ]
        return block

    def _chat_logprobs(self, asked: ChatRequest, answer: Generation) -> Json:
        def entry(token: int, logprob: float) -> Json:
            text = self._token(token, False)
            return {
                "token": self._token(token, asked.return_tokens_as_token_ids),
                "logprob": logprob,
                "bytes": list(text.encode()),
            }

        top: Sequence[Any] = answer.top_logprobs or [{} for _ in answer.token_ids or ()]
        rows = zip(answer.token_ids or (), answer.logprobs or (), top, strict=True)
        return {"content": [{**entry(t, lp), "top_logprobs": [entry(*pair) for pair in best.items()]} for t, lp, best in rows]}

    def _token(self, token: int, as_id: bool) -> str:
        return f"token_id:{token}" if as_id else self.runner.detokenize([token])

    def _envelope(self, kind: str, choices: list[Json], prompts: Sequence[Sequence[int]], answers: Sequence[Generation]) -> Json:
        read, written = sum(map(len, prompts)), sum(len(answer.token_ids or ()) for answer in answers)
        usage = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
        head = {"id": f"cmpl-{secrets.token_hex(8)}", "object": kind, "created": int(time.time()), "model": self.name}
        return {**head, "choices": choices, "usage": usage}


def create_app(
    runner: TransformersRunner, name: str = "tiny", *, mark: Mark | None = None, api_key: str | None = None
) -> FastAPI:
    """The application. With `api_key`, every path asks for it as a bearer token."""
    server = ModelServer(runner, name, mark)
    app = FastAPI(title="Assay model server", docs_url=None, redoc_url=None, openapi_url=None)
    app.get("/v1/models")(server.models)
    app.post("/v1/completions")(server.completions)
    app.post("/v1/chat/completions")(server.chat)
    app.post("/tokenize")(server.tokenize)
    app.post("/detokenize")(server.detokenize)

    @app.middleware("http")
    async def authorise(request: Request, proceed: Callable[[Request], Awaitable[Any]]) -> Any:
        given = request.headers.get("authorization", "")
        if api_key is not None and not secrets.compare_digest(given.encode(), f"Bearer {api_key}".encode()):
            return _error(401, "an API key is needed")
        return await proceed(request)

    @app.exception_handler(RefusedRequest)
    async def refused(request: Request, error: RefusedRequest) -> JSONResponse:
        return _error(error.status, str(error))

    @app.exception_handler(RunnerError)
    async def failed(request: Request, error: RunnerError) -> JSONResponse:
        return _error(400, str(error))

    @app.exception_handler(RequestValidationError)
    async def malformed(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        return _error(400, f"{'.'.join(str(part) for part in first['loc'][1:])}: {first['msg']}")

    return app


def _error(status: int, message: str) -> JSONResponse:
    kind = "authentication_error" if status == 401 else "invalid_request_error"
    return JSONResponse({"error": {"message": message, "type": kind, "code": status}}, status_code=status)


def _prompts(asked: CompletionRequest) -> list[Any]:
    """A request's prompts: one text or list of ids, or several."""
    if isinstance(asked.prompt, str) or not asked.prompt or isinstance(asked.prompt[0], int):
        return [asked.prompt]
    return list(asked.prompt)


def _offsets(names: Sequence[str]) -> list[int]:
    starts, at = [], 0
    for name in names:
        starts.append(at)
        at += len(name)
    return starts


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve one model until interrupted."""
    import uvicorn

    from audit.runners.opening import local_folder

    parser = argparse.ArgumentParser(description="Serve a model over OpenAI-compatible HTTP.")
    parser.add_argument("model", help="tiny, tiny:SEED or a Hugging Face directory")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args(arguments)
    runner = TransformersRunner(local_folder(options.model), options.device)
    uvicorn.run(create_app(runner, options.model.rstrip("/").rpartition("/")[2]), host=options.host, port=options.port)


if __name__ == "__main__":
    main()
