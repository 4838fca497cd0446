"""`watermark.detect`: are these texts marked under this key? Run with the key, checked without it.

The evidence is one transcript a document: figures, counts and token ids. `check` recomputes p-values from the counts and decides;
that the counts are those of the committed key is the word of who ran it, until somebody who holds the key replays them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audit.canonical import canonical_bytes, parse_json
from audit.errors import CancelledError, EvidenceError, RequestError
from audit.params import Fields, derive_seed, document_digest
from audit.registry import Cancelled, Check, CheckContext, Outcome, Progress
from audit.requests import AuditRequest
from audit.runners.protocol import Tier
from audit.service_kinds import Needs, Resources
from audit.service_run import ServiceRun
from audit.subjects import check_needed, text_subject
from audit.watermark.context import RunContext
from audit.watermark.params import MAX_ALPHA, MAX_RUNS, MIN_ALPHA, read_documents
from audit.watermark.transcripts import Transcript, read_transcript
from audit.watermark.verdicts import CLAIMS, decide, judge

if TYPE_CHECKING:
    from watermark.examination import Examiner
    from watermark.keys import WatermarkKey

NAME = "watermark.detect"
FORMAT = "assay-watermark-detect/1"
TRANSCRIPT_FILE = "transcript.json"
MAX_TRANSCRIPT_BYTES = 128 * 1024 * 1024
MAX_SHOWN_WARNINGS = 32
NORMALISATIONS = ("none", "unicode", "homoglyphs")
CONDITIONS = (
    "p-values are about chance under this key; they do not say who wrote a text, and a mark can be forged by whoever knows the "
    "key, has stolen its lists, or may ask for many detections",
    "they suppose that key, tokenizer and way of reading were fixed without regard to these texts: whoever tries several and "
    "shows the best has searched, and a key made afterwards can be made to fit any text",
    "the counts were made with the key of the commitment by whoever signed this; a holder of the key can replay them from the "
    "token ids in the evidence",
)
REMOVAL = "a text whose mark was edited away, or whose wording left no choice, is not detected either"
Encode = Callable[[str], Sequence[int]]


@dataclass(frozen=True)
class DetectParams:
    """`alpha` is the level for all documents together. `tokens` asks for evidence token by token, which shows part of the key."""

    key: str
    documents: tuple[Mapping[str, Any], ...]
    tokenizer: str | None
    alpha: float
    runs: int
    claim: str | None
    normalise: str
    tokens: bool

    @property
    def level(self) -> float:
        """The level every document is tested at, before the step-down makes it better."""
        return self.alpha / len(self.documents)


def read_params(params: Mapping[str, Any]) -> DetectParams:
    """Read the parameters. Raises RequestError."""
    fields = Fields(params, NAME)
    claim = fields.take("claim")
    if claim is not None and claim not in CLAIMS:
        raise RequestError(f"params.claim must be one of {', '.join(CLAIMS)}, or absent")
    found = DetectParams(
        key=fields.digest("key"),
        documents=read_documents(fields.take("documents")),
        tokenizer=fields.optional_digest("tokenizer"),
        alpha=fields.number("alpha", 0.001, MIN_ALPHA, MAX_ALPHA),
        runs=fields.integer("runs", 999, 1, MAX_RUNS),
        claim=claim,
        normalise=fields.choice("normalise", "none", NORMALISATIONS),
        tokens=fields.flag("tokens"),
    )
    fields.done()
    if found.tokenizer is None and any("text" in document for document in found.documents):
        raise RequestError("params.tokenizer must name a registered model for documents with text; token ids need none")
    return found


def run_detect(
    params: DetectParams, key: WatermarkKey, context: RunContext, tokenizer: Path | None = None, encode: Encode | None = None
) -> dict[str, bytes]:
    """The evidence: one file. Texts are read with the tokenizer of a folder, or by `encode`.

    A document that cannot be read has its error as transcript. Raises WatermarkError, CancelledError.
    """
    from watermark.detection import DetectOptions
    from watermark.examination import Examiner

    runs = max(params.runs, min(MAX_RUNS, math.ceil(1 / params.level)))
    examiner = Examiner(
        DetectOptions(params.level, runs, tokens=params.tokens, cancelled=context.cancelled), tokenizer, params.normalise
    )
    entries = []
    for index, document in enumerate(params.documents):
        if context.cancelled():
            raise CancelledError("the detection was cancelled")
        context.progress(index / len(params.documents), f"document {index + 1} of {len(params.documents)}")
        seed = derive_seed(context.entropy, f"document {index}")
        entries.append(_examine(examiner, key, document, seed, encode))
    content = {
        "format": FORMAT,
        "request": context.request,
        "key": key.commitment,
        "family": key.family,
        "hazards": len(key.open().hazards()),
        "documents": entries,
    }
    return {TRANSCRIPT_FILE: canonical_bytes(content)}


def _examine(
    examiner: Examiner, key: WatermarkKey, document: Mapping[str, Any], seed: int, encode: Encode | None
) -> dict[str, Any]:
    from watermark.errors import NotDecidableError, TokenError
    from watermark.examination import KeyReference
    from watermark.reading import Document

    entry: dict[str, Any] = {"id": document["id"], "sha256": document_digest(document), "seed": seed}
    reference = KeyReference.of(key)
    examiner.options = replace(examiner.options, seed=seed)
    try:
        if "input_ids" in document:
            given = Document(document["id"], ids=document["input_ids"])
        elif encode is not None:
            given = Document(document["id"], ids=list(encode(document["text"])))
        else:
            given = Document(document["id"], text=document["text"])
        found = examiner.examine(given, [reference])
    except (TokenError, NotDecidableError) as error:
        return {**entry, "error": str(error)}
    hazards = examiner.open(reference)[1]  # they may tell of the key; its owner has seen them
    warnings = [sentence for sentence in found.detection.warnings if sentence not in hazards]
    entry["detection"] = {**found.detection.to_json(), "warnings": warnings}
    if "text" in document:
        entry["input_ids"] = found.tokens.tolist()
        entry["reading"] = dict(found.reading or {})
    if found.detection.tokens:
        entry["tokens"] = [[token.position, token.score, token.green, token.counted] for token in found.detection.tokens]
    return entry


def check_detect(params: DetectParams, request_sha256: str, files: Mapping[str, bytes]) -> Outcome:
    """Decide on the evidence of `run_detect`: pure. Raises EvidenceError for what is not this request's, or inconsistent."""
    if set(files) != {TRANSCRIPT_FILE}:
        raise EvidenceError(f"the evidence must be {TRANSCRIPT_FILE} alone")
    content = parse_json(files[TRANSCRIPT_FILE], TRANSCRIPT_FILE, max_bytes=MAX_TRANSCRIPT_BYTES, error=EvidenceError)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise EvidenceError(f"{TRANSCRIPT_FILE} must have the format {FORMAT!r}")
    if content.get("request") != request_sha256 or content.get("key") != params.key:
        raise EvidenceError("the transcript was made for another request or with another key")
    transcripts = _read_entries(params, content.get("documents"))
    decisions, adjusted = decide(transcripts, params.alpha)
    verdict, claim = judge(params.claim, decisions)
    recomputed = sum(transcript.recomputed for transcript in transcripts)
    checks = (
        Check("1 binding", True, f"{len(transcripts)} transcripts under the key {params.key[:16]} for this request"),
        Check("2 recount", True, f"{recomputed} of {len(transcripts)} p-values follow from their counts"),
        claim,
    )
    conditions = _conditions(params, content, transcripts)
    return Outcome(verdict, checks, _outputs(params, transcripts, decisions, adjusted), conditions)


def _read_entries(params: DetectParams, entries: Any) -> list[Transcript]:
    if not isinstance(entries, list) or len(entries) != len(params.documents):
        raise EvidenceError(f"there must be a transcript for each of the {len(params.documents)} documents, in their order")
    found = []
    for entry, document in zip(entries, params.documents):
        if not isinstance(entry, dict) or entry.get("id") != document["id"] or entry.get("sha256") != document_digest(document):
            raise EvidenceError(f"there is no transcript of the document {document['id']!r} in its place")
        if "tokens" in entry and not params.tokens:
            raise EvidenceError("the transcript shows tokens that were not asked for; they tell of the key")
        found.append(read_transcript(entry, document["id"], params.level))
        ids = document.get("input_ids", entry.get("input_ids"))
        if "error" not in entry and (not isinstance(ids, list) or len(ids) != found[-1].num_tokens):
            raise EvidenceError(f"the transcript of {document['id']!r} counts other tokens than the document has")
    return found


def _conditions(params: DetectParams, content: Mapping[str, Any], transcripts: Sequence[Transcript]) -> tuple[str, ...]:
    sentences = [*CONDITIONS]
    if params.tokenizer is not None:
        sentences.append(f"texts were read with the tokenizer of the registered model {params.tokenizer[:16]}")
    if len(transcripts) > 1:
        sentences.append(f"the level {params.alpha:g} is that of all {len(transcripts)} documents together (Holm)")
    opaque = [transcript.id for transcript in transcripts if not transcript.recomputed]
    if opaque:
        sentences.append(f"the p-values of {len(opaque)} documents cannot be recomputed from counts and are the signer's figures")
    if any(transcript.method == "permutation" for transcript in transcripts):
        sentences.append("Monte-Carlo p-values were drawn once for this request; asking again about the same text draws again")
    if params.claim is not None:
        sentences.append(REMOVAL)
    hazards = content.get("hazards")
    if type(hazards) is int and hazards > 0:
        sentences.append(f"{hazards} hazards of this key are known to its owner; they can make it easier to forge or to find")
    if params.tokens:
        sentences.append("the evidence shows the score of every token, and with it part of the key")
    warnings = dict.fromkeys(f"{item.id}: {sentence}" for item in transcripts for sentence in item.warnings)
    return (*sentences, *list(warnings)[:MAX_SHOWN_WARNINGS])


def _outputs(
    params: DetectParams, transcripts: Sequence[Transcript], decisions: Sequence[str], adjusted: Sequence[float | None]
) -> dict[str, Any]:
    documents = [
        {
            "id": transcript.id,
            "decision": decision,
            "log10_p_value": transcript.log10_p,
            "log10_p_adjusted": value,
            "tokens": transcript.num_tokens,
            "distinct_tokens": transcript.num_distinct,
            "sufficient_tokens": transcript.sufficient_tokens,
            "test": transcript.method,
            **({"error": transcript.error} if transcript.error else {}),
        }
        for transcript, decision, value in zip(transcripts, decisions, adjusted)
    ]
    seen = next((transcript for transcript in transcripts if transcript.dialect), None)
    return {
        "alpha": params.alpha,
        "claim": params.claim,
        "scheme": seen.scheme if seen else None,
        "dialect": seen.dialect if seen else None,
        "documents": documents,
        "watermarked": decisions.count("watermarked"),
        "not_detected": decisions.count("not_detected"),
        "inconclusive": decisions.count("inconclusive"),
        "minus_log10_p_adjusted": [f"{0.0 - (value or 0.0):.3f}" for value in adjusted],
    }


class WatermarkDetect(ServiceRun):
    """The registered kind."""

    name = NAME
    title = "Texts are tested for a watermark, with p-values that hold for all of them together"

    def parse_params(self, params: Mapping[str, Any]) -> DetectParams:
        return read_params(params)

    def needs(self, params: Mapping[str, Any]) -> Needs:
        found = read_params(params)
        models = {} if found.tokenizer is None else {found.tokenizer: int(Tier.CHAT)}
        return Needs(models, (found.key,))

    def run(self, request: AuditRequest, resources: Resources, progress: Progress, cancelled: Cancelled) -> Mapping[str, bytes]:
        params = read_params(request.params)
        folder, encode = None, None
        if params.tokenizer is not None and any("text" in document for document in params.documents):
            folder = resources.tokenizer_folder(params.tokenizer)
            encode = None if folder is not None else resources.open_model(params.tokenizer).tokenize
        key = resources.open_key(params.key)
        context = RunContext(request.sha256, resources.entropy, progress, cancelled, resources.keep)
        return run_detect(params, key, context, folder, encode)

    def check(self, request: AuditRequest, evidence: Mapping[str, bytes], context: CheckContext) -> Outcome:
        params = read_params(request.params)
        if text_subject(list(params.documents)) != request.subject:
            raise EvidenceError("the subject is not the digest of the documents in the request")
        check_needed(self.needs(request.params).models, context.published)
        return check_detect(params, request.sha256, evidence)
