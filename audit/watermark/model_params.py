"""What the audits of a model's watermark have in common: which model, which key, which prompts, and how evidence is bound."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audit.canonical import parse_json
from audit.errors import EvidenceError, RequestError
from audit.params import Fields
from audit.registry import CheckContext
from audit.requests import AuditRequest
from audit.runners.protocol import CapabilityError, Tier
from audit.service_kinds import Needs, Resources
from audit.subjects import MODEL_SUBJECT, check_needed

REPORT_FILE = "report.json"
# What was asked of an endpoint and answered, raw, one JSON object a line; not checked.
EXCHANGES_FILE = "exchanges.jsonl"
MAX_REPORT_BYTES = 200 * 1024 * 1024
MAX_PROMPTS, MAX_PROMPT_CHARS = 512, 20_000
MODEL_CONDITION = (
    "texts were written by the registered model {name} (tier T{tier}); the texts and p-values are the signer's figures"
)


@dataclass(frozen=True)
class ModelParams:
    """`tokenizer` names the model whose tokenizer reads texts of an endpoint that tells no token ids. `prompts` None: built-in
    prose. `prompt_tokens` is the length of the passages that serve as prompts."""

    model: str
    key: str
    tokenizer: str | None
    prompts: tuple[str, ...] | None
    prompt_tokens: int
    temperature: float

    @property
    def corpus(self) -> str | None:
        """The prompts as one text; None for the built-in one."""
        return None if self.prompts is None else "\n\n".join(self.prompts)


def read_model_params(fields: Fields) -> ModelParams:
    """Take the common parameters. Raises RequestError."""
    prompts = fields.take("prompts")
    if prompts is not None:
        known = isinstance(prompts, list) and 0 < len(prompts) <= MAX_PROMPTS
        if not known or any(not isinstance(text, str) or not 0 < len(text) <= MAX_PROMPT_CHARS for text in prompts):
            raise RequestError(
                f"params.prompts must be a list of 1 to {MAX_PROMPTS} texts of at most {MAX_PROMPT_CHARS} characters"
            )
    return ModelParams(
        model=fields.digest("model"),
        key=fields.digest("key"),
        tokenizer=fields.optional_digest("tokenizer"),
        prompts=None if prompts is None else tuple(prompts),
        prompt_tokens=fields.integer("prompt_tokens", 32, 1, 4096),
        temperature=fields.number("temperature", 1.0, 0.0, 10.0),
    )


def model_needs(params: ModelParams, tier: Tier) -> Needs:
    """The model at a tier, the model whose tokenizer reads its text, and the key."""
    models = {} if params.tokenizer is None else {params.tokenizer: int(Tier.CHAT)}
    return Needs({**models, params.model: int(tier)}, (params.key,))


def open_tokenizer(params: ModelParams, resources: Resources) -> Path | None:
    """The folder of the tokenizer that the parameters name. Raises CapabilityError for the tokenizer of an endpoint."""
    if params.tokenizer is None:
        return None
    folder = resources.tokenizer_folder(params.tokenizer)
    if folder is None:
        raise CapabilityError("params.tokenizer must be a model on the service's machine; an endpoint gives no tokenizer file")
    return folder


def read_model_evidence(
    params: ModelParams, tier: Tier, format_name: str, request: AuditRequest, evidence: Mapping[str, bytes], context: CheckContext
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The registration of the model, and the content of the evidence's one file, bound to this request. Raises EvidenceError."""
    if request.subject.name != MODEL_SUBJECT or request.subject.sha256 != params.model:
        raise EvidenceError("the subject is not the model in the parameters")
    registered = check_needed(model_needs(params, tier).models, context.published)[params.model]
    content = read_bound(format_name, params.key, request.sha256, evidence)
    attestation = content.get("attestation")
    for name in ("model", "model_digest"):
        if not isinstance(attestation, dict) or attestation.get(name) != registered["attestation"].get(name):
            raise EvidenceError(f"another model answered than the one that is registered: its {name} differs")
    return registered, content


def read_bound(format_name: str, key: str, request_sha256: str, evidence: Mapping[str, bytes]) -> dict[str, Any]:
    """The content of the evidence's report, made for this request with this key. Raises EvidenceError."""
    if not {REPORT_FILE} <= set(evidence) <= {REPORT_FILE, EXCHANGES_FILE}:
        raise EvidenceError(f"the evidence must be {REPORT_FILE}, with {EXCHANGES_FILE} where an endpoint was asked")
    content = parse_json(evidence[REPORT_FILE], REPORT_FILE, max_bytes=MAX_REPORT_BYTES, error=EvidenceError)
    if not isinstance(content, dict) or content.get("format") != format_name:
        raise EvidenceError(f"{REPORT_FILE} must have the format {format_name!r}")
    if content.get("request") != request_sha256 or content.get("key") != key:
        raise EvidenceError("the evidence was made for another request or with another key")
    return content


def model_conditions(params: ModelParams, registered: Mapping[str, Any], tier: int) -> tuple[str, ...]:
    """Sentences that every audit of a model's mark rests on."""
    prompts = "built-in prose" if params.prompts is None else f"{len(params.prompts)} texts of the request"
    return (
        MODEL_CONDITION.format(name=registered["name"], tier=tier),
        f"prompts were passages of {params.prompt_tokens} tokens from {prompts}, at temperature {params.temperature:g}",
    )
