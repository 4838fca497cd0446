"""`assay watermark robustness|distortion|steal`: the audits of a model's mark, run here instead of by a service, and unsigned."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.exits import CommandError, Exit, exit_for_verdict
from api.cli.options import Json, emit, say
from api.cli.outcome import clear_errors
from api.cli.progress import shown_progress
from api.cli.watermark.key_options import parse_options
from audit.errors import ForbiddenError
from watermark.keys import WatermarkKey, load_key

if TYPE_CHECKING:
    from audit.privacy.records import Records
    from audit.registry import Outcome, Progress
    from audit.requests import AuditRequest
    from audit.runners.protocol import Runner
    from privacy.consent import Openings

_MEMORY = "not enough memory for this model; choose a smaller one, or fewer texts"
_LOCAL = "local"

Key = Annotated[Path, typer.Option("--key", help="Key file of the mark.")]
Model = Annotated[str, typer.Option("--model", help="tiny, a Hugging Face directory, or http(s)://HOST/v1#MODEL.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
Params = Annotated[
    list[str] | None, typer.Option("--param", help="Parameter of the audit as name=value (JSON); repeat for several.")
]
Seed = Annotated[int | None, typer.Option("--seed", min=0, help="Repeat the same experiment; default: fresh randomness.")]
Out = Annotated[Path | None, typer.Option("-o", "--out", help="New folder for evidence, outcome and figure.")]


@dataclass(frozen=True)
class _Resources:
    """What an audit is lent here: one model and one key."""

    runner: Runner
    key: WatermarkKey
    entropy: bytes

    def open_model(self, digest: str) -> Runner:
        return self.runner

    def tokenizer_folder(self, digest: str) -> Path | None:
        return None

    def open_key(self, commitment: str) -> WatermarkKey:
        return self.key

    def open_openings(self, digest: str) -> Openings:
        raise ForbiddenError("an audit of a watermark reads no personal values")

    def open_records(self, commitment: str) -> Records:
        raise ForbiddenError("an audit of a watermark reads no private records")

    def keep(self, name: str, make: Callable[[], bytes]) -> bytes:
        return make()


def robustness(
    key: Key,
    model: Model,
    param: Params = None,
    seed: Seed = None,
    device: Device = "auto",
    out: Out = None,
    as_json: Json = False,
) -> None:
    """How many edits the mark survives, at which length: power with intervals, and false alarms on clean text.

    Parameters: texts, clean, lengths, attacks, rates, alpha, runs, claims, embed, prompts, prompt_tokens, temperature.
    """
    _audit("watermark.robustness", key, model, param, seed, device, out, as_json)


def distortion(
    key: Key,
    model: Model,
    param: Params = None,
    seed: Seed = None,
    device: Device = "auto",
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Whether the mark changes what the model writes: next tokens, whole texts, and repeated prompts.

    Parameters: claims, token_prompts, text_prompts, repeated_prompts, repeats, length, alpha, runs, prompts, prompt_tokens,
    temperature.
    """
    _audit("watermark.distortion", key, model, param, seed, device, out, as_json)


def steal(
    key: Key,
    model: Model,
    param: Params = None,
    seed: Seed = None,
    device: Device = "auto",
    out: Out = None,
    as_json: Json = False,
) -> None:
    """What an attacker learns of the mark from marked texts, and whether it suffices to forge or to remove it.

    Parameters: attacks, budgets, judged, length, contexts, time_limit, alpha, runs, max_spoof, max_scrub, prompts,
    prompt_tokens, temperature.
    """
    _audit("watermark.stealing", key, model, param, seed, device, out, as_json)


def _audit(
    kind: str, key: Path, model: str, param: list[str] | None, seed: int | None, device: str, out: Path | None, as_json: bool
) -> None:
    """Run one audit and leave with the exit code of its verdict."""
    if out is not None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise CommandError(f"{out} is not empty; name a new folder", Exit.USAGE)
    with clear_errors(memory=_MEMORY):
        opened, params = load_key(key), parse_options(param or [])
        with shown_progress() as progress:
            request, evidence, outcome = _run(kind, opened, model, device, params, seed, progress)
        found = {"kind": kind, "key": opened.commitment, "request": request.sha256, **outcome.to_json()}
        if out is not None:
            _write(out, request, evidence, outcome)
            say(f"wrote {out}")
    marks = {True: "ok", False: "FAILED", None: "open"}
    lines = [f"{outcome.verdict}: {kind}", *(f"  {marks[check.ok]:6}  {check.id}: {check.detail}" for check in outcome.checks)]
    lines += [f"  {name} = {json.dumps(value)}" for name, value in outcome.outputs.items() if name != "figure"]
    emit(found, as_json, "\n".join([*lines, *(f"  condition: {sentence}" for sentence in outcome.conditions)]))
    raise typer.Exit(exit_for_verdict(outcome.verdict))


def _run(
    kind_name: str, key: WatermarkKey, model: str, device: str, params: Mapping[str, Any], seed: int | None, progress: Progress
) -> tuple[AuditRequest, dict[str, bytes], Outcome]:
    """Ask, run and check, as the service does."""
    from audit.canonical import canonical_bytes
    from audit.kinds import build_registry
    from audit.registry import CheckContext
    from audit.requests import SERVICE, AuditRequest, Subject, parse_request
    from audit.runners.opening import open_runner
    from audit.service_kinds import as_service_kind
    from audit.subjects import MODEL_FORMAT, MODEL_SUBJECT, model_file

    kind = as_service_kind(build_registry().get(kind_name))
    assert kind is not None
    material = secrets.token_bytes(32) if seed is None else hashlib.sha256(f"assay-local-audit:{seed}".encode()).digest()
    runner = open_runner(model, device=device, allow_private=True, progress=progress)
    try:
        attested = runner.attestation()
        registration = canonical_bytes(
            {
                "format": MODEL_FORMAT,
                "name": re.sub(r"[^a-z0-9]+", "-", Path(model).name.lower()).strip("-")[:63].strip("-") or "model",
                "owner": _LOCAL,
                "kind": _LOCAL,
                "address": attested.model,
                "capabilities": runner.capabilities().to_json(),
                "attestation": attested.to_json(),
                "nonce": material.hex()[:32],
            }
        )
        digest = hashlib.sha256(registration).hexdigest()
        asked = AuditRequest(
            _LOCAL,
            hashlib.sha256(b"nonce" + material).hexdigest(),
            SERVICE,
            Subject(MODEL_SUBJECT, digest),
            kind.name,
            {**params, "model": digest, "key": key.commitment},
        )
        request = parse_request(asked.to_bytes())
        resources = _Resources(runner, key, hashlib.sha256(b"entropy" + material).digest())
        evidence = dict(kind.run(request, resources, progress, lambda: False))
        published = {model_file(digest): registration}
        return request, {**evidence, **published}, kind.check(request, evidence, CheckContext(published))
    finally:
        runner.close()


def _write(out: Path, request: AuditRequest, evidence: Mapping[str, bytes], outcome: Outcome) -> None:
    from audit.rendering import render_figure

    out.mkdir(parents=True, exist_ok=True)
    shown = {"predicate": {**outcome.to_json(), "request": request.to_json(), "audit": request.sha256[:32]}}
    files = {
        "request.json": request.to_bytes(),
        "outcome.json": json.dumps(outcome.to_json(), indent=2).encode(),
        "figure.svg": render_figure(shown).encode(),
        **{f"evidence/{name}": data for name, data in evidence.items()},
    }
    for name, data in files.items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
