"""Bodies of OpenAI-compatible requests and what their answers mean. Pure: no network.

Every sampling parameter is written into every request. An answer that lacks what was asked for raises CapabilityError, one
that contradicts itself RunnerError; nothing is filled in.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from audit.runners.protocol import CapabilityError, Generation, Prompt, RunnerError, Sampling

MAX_ANSWER_TOKENS = 1 << 20
SEED_MASK = (1 << 31) - 1
PromptScores = Literal["echo", "prompt_logprobs"]
_TOKEN_ID = "token_id:"
Json = dict[str, Any]


@dataclass(frozen=True)
class Dialect:
    """What an endpoint takes and gives, as far as a probe found it out.

    `extended`: sampling parameters beyond OpenAI's; `returns_ids`: return_token_ids; `ids_as_tokens`: return_tokens_as_token_ids.
    """

    completions: bool = True
    extended: bool = False
    returns_ids: bool = False
    ids_as_tokens: bool = False
    prompt_scores: PromptScores | None = None
    top_logprobs: int = 0


def sampling_fields(sampling: Sampling, seed: int, dialect: Dialect) -> Json:
    """The sampling part of a body. Raises CapabilityError for what the endpoint does not take."""
    if sampling.mark is not None:
        raise CapabilityError("a mark cannot be embedded over HTTP; run the model in process (a directory or tiny)")
    if not dialect.extended and (sampling.top_k or sampling.min_new_tokens):
        raise CapabilityError("the endpoint does not take top_k and min_tokens; leave them at 0")
    if sampling.top_logprobs > dialect.top_logprobs:
        raise CapabilityError(f"the endpoint gives {dialect.top_logprobs} top log-probabilities, not {sampling.top_logprobs}")
    fields: Json = {
        "max_tokens": sampling.max_new_tokens,
        "temperature": float(sampling.temperature),
        "top_p": float(sampling.top_p),
        "seed": seed & SEED_MASK,
        "stop": list(sampling.stop) or None,
        "n": 1,
        "stream": False,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
    }
    if dialect.extended:
        fields |= {"top_k": sampling.top_k or -1, "min_p": 0.0, "min_tokens": sampling.min_new_tokens}
        fields |= {"repetition_penalty": 1.0, "repeat_penalty": 1.0, "cache_prompt": False}
    return fields


def generation_body(model: str, prompt: Prompt, sampling: Sampling, seed: int, dialect: Dialect) -> Json:
    """A body for /completions, or for /chat/completions where there is nothing else."""
    if (prompt.text is None) == (prompt.token_ids is None):
        raise RunnerError("a prompt is either a text or token ids")
    body = {"model": model, **sampling_fields(sampling, seed, dialect)}
    if dialect.returns_ids:
        body["return_token_ids"] = True
    if dialect.ids_as_tokens:
        body["return_tokens_as_token_ids"] = True
    wanted = max(sampling.top_logprobs, 1) if dialect.top_logprobs else 0
    if not dialect.completions:
        if prompt.text is None:
            raise CapabilityError("the endpoint offers chat only, which takes no token ids")
        chat: Json = {"logprobs": True, "top_logprobs": wanted} if wanted else {"logprobs": False}
        return body | {"messages": [{"role": "user", "content": prompt.text}], **chat}
    body["prompt"] = prompt.text if prompt.token_ids is None else list(prompt.token_ids)
    return body | {"echo": False, "logprobs": wanted or None}


def score_body(model: str, prompts: Sequence[Sequence[int]] | Sequence[int], dialect: Dialect) -> Json:
    """A body that has the prompt's own log-probabilities returned. One new token: some endpoints refuse none."""
    body = {"model": model, "prompt": prompts, **sampling_fields(Sampling(max_new_tokens=1, temperature=0.0), 0, dialect)}
    body |= {"return_token_ids": True} if dialect.returns_ids else {}
    if dialect.prompt_scores == "echo":
        return body | {"echo": True, "logprobs": 1}
    if dialect.prompt_scores == "prompt_logprobs":
        return body | {"echo": False, "logprobs": 1, "prompt_logprobs": 1}
    raise CapabilityError("the endpoint gives no log-probabilities of a prompt (tier T2 is needed)")


def choices(answer: Mapping[str, Any], count: int = 1) -> list[Json]:
    """The choices of an answer by their index. Raises RunnerError."""
    found = answer.get("choices")
    if not isinstance(found, list) or len(found) != count or not all(isinstance(choice, dict) for choice in found):
        raise RunnerError(f"the endpoint's answer does not hold {count} choices")
    if sorted((choice.get("index", place) for place, choice in enumerate(found)), key=str) != list(range(count)):
        raise RunnerError("the endpoint's answer numbers its choices wrongly")
    return sorted(found, key=lambda choice: int(choice.get("index", 0))) if count > 1 else found


def read_generation(choice: Mapping[str, Any], sampling: Sampling, dialect: Dialect) -> Generation:
    """One choice as a Generation. Raises CapabilityError when ids or log-probabilities that the probe found are missing."""
    reason = choice.get("finish_reason")
    finish = reason if isinstance(reason, str) and len(reason) <= 40 else "unknown"
    if dialect.completions:
        text, (tokens, logprobs, top) = choice.get("text"), _completion_logprobs(choice)
    else:
        message = choice.get("message")
        text, (tokens, logprobs, top) = (message if isinstance(message, dict) else {}).get("content"), _chat_logprobs(choice)
    if not isinstance(text, str):
        raise RunnerError("the endpoint's answer holds no text")
    if dialect.top_logprobs and logprobs is None:
        raise CapabilityError("the endpoint no longer gives log-probabilities")
    given_ids = _token_ids(choice.get("token_ids")) if dialect.returns_ids else None
    ids_in_tokens = _ids_of(tokens) if dialect.ids_as_tokens else None
    if (dialect.returns_ids and given_ids is None) or (dialect.ids_as_tokens and ids_in_tokens is None):
        raise CapabilityError("the endpoint no longer gives token ids")
    if given_ids is not None and ids_in_tokens is not None and given_ids != ids_in_tokens:
        raise RunnerError("the endpoint's answer gives its token ids in two ways that differ")
    ids = given_ids if given_ids is not None else ids_in_tokens
    for given in (ids, logprobs):
        if given is not None and len(given) > sampling.max_new_tokens:
            raise RunnerError(f"the endpoint answered {len(given)} tokens, more than the {sampling.max_new_tokens} asked for")
    if ids is not None and logprobs is not None and len(ids) != len(logprobs):
        raise RunnerError("the endpoint's answer gives token ids and log-probabilities of different number")
    if sampling.top_logprobs and (top is None or not all(top)):
        raise CapabilityError("the endpoint no longer gives top log-probabilities")
    kept = top if sampling.top_logprobs else None
    return Generation(text, ids, finish, logprobs, kept)


def read_score(choice: Mapping[str, Any], usage: Any, ids: Sequence[int], dialect: Dialect) -> tuple[float, ...]:
    """Log-probabilities of tokens 1 and on of a prompt.

    Raises CapabilityError when they are missing, or when the endpoint looked at another prompt than the one sent.
    """
    counted = usage.get("prompt_tokens") if isinstance(usage, dict) else None
    if counted is not None and counted != len(ids):
        raise CapabilityError(f"the endpoint read {counted} prompt tokens where {len(ids)} were sent")
    if dialect.returns_ids and choice.get("prompt_token_ids") != list(ids):
        raise CapabilityError("the endpoint read other prompt tokens than were sent")
    if dialect.prompt_scores == "echo":
        _, found, _ = _completion_logprobs(choice, first_missing=True)
        logs = list(found or ())
        if not len(ids) <= len(logs) <= len(ids) + 1:
            raise CapabilityError(f"the endpoint gave {len(logs)} log-probabilities for a prompt of {len(ids)} tokens")
        return tuple(logs[1 : len(ids)])
    entries = choice.get("prompt_logprobs")
    if not isinstance(entries, list) or len(entries) != len(ids):
        raise CapabilityError(f"the endpoint gave no log-probabilities for a prompt of {len(ids)} tokens")
    found_logs = []
    for token, entry in zip(ids[1:], entries[1:], strict=True):
        own = entry.get(str(token)) if isinstance(entry, dict) else None
        found_logs.append(_logprob(own.get("logprob") if isinstance(own, dict) else None))
    return tuple(found_logs)


def _completion_logprobs(
    choice: Mapping[str, Any], first_missing: bool = False
) -> tuple[list[str] | None, tuple[float, ...] | None, tuple[dict[Any, float], ...] | None]:
    """Tokens, log-probabilities and top log-probabilities of a /completions choice. `first_missing`: entry 0 may be null."""
    block = choice.get("logprobs")
    if not isinstance(block, dict):
        return None, None, None
    tokens, values, top = block.get("tokens"), block.get("token_logprobs"), block.get("top_logprobs")
    if not isinstance(values, list) or len(values) > MAX_ANSWER_TOKENS:
        return None, None, None
    if not isinstance(tokens, list) or len(tokens) != len(values) or not all(isinstance(token, str) for token in tokens):
        raise RunnerError("the endpoint's answer gives tokens and log-probabilities of different number")
    logs = tuple(0.0 if value is None and first_missing and not i else _logprob(value) for i, value in enumerate(values))
    if not isinstance(top, list) or len(top) != len(values):
        return tokens, logs, None
    pairs = [entry if isinstance(entry, dict) else {} for entry in top]
    return tokens, logs, tuple({_key(name): _logprob(value) for name, value in pair.items()} for pair in pairs)


def _chat_logprobs(
    choice: Mapping[str, Any],
) -> tuple[list[str] | None, tuple[float, ...] | None, tuple[dict[Any, float], ...] | None]:
    block = choice.get("logprobs")
    content = block.get("content") if isinstance(block, dict) else None
    if not isinstance(content, list) or len(content) > MAX_ANSWER_TOKENS:
        return None, None, None
    try:
        tokens = [str(entry["token"]) for entry in content]
        logs = tuple(_logprob(entry["logprob"]) for entry in content)
        top = tuple({_key(e["token"]): _logprob(e["logprob"]) for e in entry.get("top_logprobs") or ()} for entry in content)
    except (KeyError, TypeError, AttributeError):
        raise RunnerError("the endpoint's answer gives log-probabilities in an unknown form") from None
    return tokens, logs, top


def _logprob(value: Any) -> float:
    """A finite number not above 0, but for rounding."""
    if type(value) not in (int, float) or not math.isfinite(value) or value > 1e-3:
        raise RunnerError("the endpoint gave a log-probability that is not a number of at most 0")
    return min(float(value), 0.0)


def _key(token: Any) -> Any:
    """A token of the answer as its id where it is told, otherwise as text."""
    digits = token[len(_TOKEN_ID) :] if isinstance(token, str) and token.startswith(_TOKEN_ID) else ""
    return int(digits) if digits.isdecimal() and len(digits) <= 10 else token


def _ids_of(tokens: list[str] | None) -> tuple[int, ...] | None:
    return _token_ids([_key(token) for token in tokens]) if tokens is not None else None


def _token_ids(value: Any) -> tuple[int, ...] | None:
    if (
        not isinstance(value, list)
        or len(value) > MAX_ANSWER_TOKENS
        or not all(type(token) is int and token >= 0 for token in value)
    ):
        return None
    return tuple(value)
