"""What the server of a runner accepts: OpenAI's parameters and the extensions it honours. Others are refused, not ignored."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

MAX_PROMPTS_A_REQUEST = 256
MAX_PROMPT_TOKENS = 1 << 17
MAX_PROMPT_CHARS = 1 << 20
MAX_TOP_LOGPROBS = 20
MAX_MESSAGES = 1_000

Text = Annotated[str, StringConstraints(max_length=MAX_PROMPT_CHARS)]
TokenIds = Annotated[list[Annotated[int, Field(ge=0, strict=True)]], Field(max_length=MAX_PROMPT_TOKENS)]
Stop = Annotated[str, StringConstraints(min_length=1, max_length=1_000)]


class SamplingFields(BaseModel):
    """Shared by both paths. Penalties are accepted at the values that switch them off."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(max_length=1_000)
    temperature: float = Field(1.0, ge=0, le=100)
    top_p: float = Field(1.0, gt=0, le=1)
    top_k: int = Field(-1, ge=-1)
    min_tokens: int = Field(0, ge=0)
    seed: int | None = None
    stop: Stop | Annotated[list[Stop], Field(max_length=16)] | None = None
    n: Literal[1] = 1
    stream: Literal[False] = False
    min_p: Literal[0] = 0
    presence_penalty: Literal[0] = 0
    frequency_penalty: Literal[0] = 0
    repetition_penalty: Literal[1] = 1
    repeat_penalty: Literal[1] = 1
    cache_prompt: bool = False
    return_token_ids: bool = False
    return_tokens_as_token_ids: bool = False
    user: str | None = Field(None, max_length=1_000)


class CompletionRequest(SamplingFields):
    """/v1/completions. `echo` with `logprobs`, or `prompt_logprobs`, has the prompt scored."""

    prompt: (
        Text
        | Annotated[list[Text], Field(min_length=1, max_length=MAX_PROMPTS_A_REQUEST)]
        | TokenIds
        | Annotated[list[TokenIds], Field(min_length=1, max_length=MAX_PROMPTS_A_REQUEST)]
    )
    max_tokens: int = Field(16, ge=0)
    echo: bool = False
    logprobs: int | None = Field(None, ge=0, le=MAX_TOP_LOGPROBS)
    prompt_logprobs: int | None = Field(None, ge=0, le=MAX_TOP_LOGPROBS)


class Message(BaseModel):
    """One turn of a conversation."""

    model_config = ConfigDict(extra="forbid")

    role: Literal["system", "user", "assistant"]
    content: Text


class ChatRequest(SamplingFields):
    """/v1/chat/completions."""

    messages: list[Message] = Field(min_length=1, max_length=MAX_MESSAGES)
    max_tokens: int = Field(256, ge=1)
    logprobs: bool = False
    top_logprobs: int = Field(0, ge=0, le=MAX_TOP_LOGPROBS)


class TokenizeRequest(BaseModel):
    """/tokenize, as vLLM has it. Special tokens are not added either way: the models served here have none to add."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(max_length=1_000)
    prompt: Text
    add_special_tokens: bool = True


class DetokenizeRequest(BaseModel):
    """/detokenize, as vLLM has it."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(max_length=1_000)
    tokens: TokenIds
