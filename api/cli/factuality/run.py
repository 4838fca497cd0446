"""`assay factuality run`: answers of a model, cut into scored claims, and with a threshold backed off; resumes after a kill."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.exits import CommandError, Exit
from api.cli.factuality.certificates import Issuer, read_signed
from api.cli.factuality.score_option import PREFIX, read_fitted
from api.cli.options import Json, emit, say
from api.cli.outcome import clear_errors
from api.cli.progress import shown_progress

if TYPE_CHECKING:
    from audit.runners.protocol import Runner
    from conformal.certificate import Certificate
    from conformal.pipeline.backoff import ThresholdBackOff
    from conformal.pipeline.plan import Plan

SCORERS = (
    "frequency-llm", "frequency-nli", "frequency-embedding", "p-true", "logprob", "token-sar", "sar", "semantic-entropy",
    "position", "random",
)  # fmt: skip
_MEMORY = "not enough memory for these models; choose smaller ones, or --device cpu"


@dataclass(frozen=True)
class _Settings:
    """What was typed, but for paths and models."""

    splitter: str
    scorers: tuple[str, ...]
    samples: int
    max_new_tokens: int
    temperature: float
    sample_temperature: float
    seed: int
    batch: int
    merge: str
    check: str
    helper_tokens: int
    device: str
    chat: bool
    nli: Path | None
    embedder: Path | None


def run(
    model: Annotated[str, typer.Option("--model", help="tiny, a Hugging Face directory, or http(s)://HOST/v1#MODEL.")],
    prompts: Annotated[Path, typer.Option("--prompts", help="JSONL: id, prompt, and group if there is one.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of the run; an interrupted run there continues.")],
    splitter: Annotated[str, typer.Option("--splitter", help="rules (no second model) or llm.")] = "rules",
    scorer: Annotated[
        list[str] | None, typer.Option("--scorer", help=f"Repeat: {', '.join(SCORERS)}; then a+b, rank(a), fitted:FILE.")
    ] = None,
    samples: Annotated[int, typer.Option("--samples", min=0, max=100, help="Further answers a prompt, for scores.")] = 5,
    helper: Annotated[
        str | None, typer.Option("--helper", help="Model that splits, judges and merges; default: the model itself.")
    ] = None,
    nli: Annotated[Path | None, typer.Option("--nli", help="Directory of an entailment cross-encoder.")] = None,
    embedder: Annotated[Path | None, typer.Option("--embedder", help="Directory of a sentence encoder.")] = None,
    certificate: Annotated[Path | None, typer.Option("--certificate", help="Back off by this signed certificate.")] = None,
    issuer: Issuer = None,
    threshold: Annotated[float | None, typer.Option("--threshold", help="Or by this threshold, without a guarantee.")] = None,
    score: Annotated[str | None, typer.Option("--score", help="The score that --threshold is of; default: the only one.")] = None,
    closed: Annotated[bool, typer.Option("--closed", help="With --threshold: a claim goes when a premise of it goes.")] = False,
    merge: Annotated[str, typer.Option("--merge", help="join (claims word for word) or llm.")] = "join",
    check: Annotated[str, typer.Option("--check", help="How the merged text is checked: words, llm or nli.")] = "words",
    helper_tokens: Annotated[int, typer.Option("--helper-tokens", min=1, max=1 << 20, help="Of a split or a merge.")] = 1024,
    max_new_tokens: Annotated[int, typer.Option("--max-new-tokens", min=1, max=1 << 20)] = 512,
    temperature: Annotated[float, typer.Option("--temperature", min=0.0, max=100.0, help="Of the answers; 0 is greedy.")] = 0.0,
    sample_temperature: Annotated[float, typer.Option("--sample-temperature", min=0.0, max=100.0)] = 1.0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Same seed, same run.")] = 0,
    batch: Annotated[int, typer.Option("--batch", min=1, max=4096, help="Prompts asked at once.")] = 8,
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")] = "auto",
    chat: Annotated[bool, typer.Option("--chat", help="Use the chat template of a model in process.")] = False,
    as_json: Json = False,
) -> None:
    """Generate, split into claims, score; with --certificate or --threshold also back off, merge and check.

    Writes ledger.jsonl (claims and scores, to be labelled), filtered.jsonl, report.json. A claim without a score is never kept.
    """
    settings = _Settings(
        splitter, tuple(scorer or ("p-true", "position")), samples, max_new_tokens, temperature, sample_temperature, seed, batch,
        merge, check, helper_tokens, device, chat, nli, embedder,
    )  # fmt: skip
    _check_choices(settings)
    if certificate is not None and threshold is not None:
        raise CommandError("give either --certificate or --threshold", Exit.USAGE)
    if issuer is not None and certificate is None:
        raise CommandError("--issuer belongs to --certificate", Exit.USAGE)
    if threshold is None and (score is not None or closed):
        raise CommandError("--score and --closed belong to --threshold", Exit.USAGE)
    with clear_errors(resumes=True, memory=_MEMORY):
        by_hand = None if threshold is None else _threshold(settings, threshold, score, closed)
        signed = None if certificate is None else read_signed(certificate, issuer).certificate
        report = _run(model, helper, prompts, out, settings, signed, by_hand)
    say(f"wrote {out}")
    emit(report, as_json, _shown(report))


def _check_choices(settings: _Settings) -> None:
    for name in settings.scorers:
        if name not in SCORERS and not ("+" in name or name.startswith(("rank(", PREFIX))):
            raise CommandError(f"there is no scorer {name[:60]!r}; there are {', '.join(SCORERS)}", Exit.USAGE)
    chosen = (("--splitter", settings.splitter, ("rules", "llm")), ("--merge", settings.merge, ("join", "llm")))
    for option, value, choices in (*chosen, ("--check", settings.check, ("words", "llm", "nli"))):
        if value not in choices:
            raise CommandError(f"{option} must be {' or '.join(choices)}, not {value[:60]!r}", Exit.USAGE)
    if settings.nli is None and ("frequency-nli" in settings.scorers or settings.check == "nli"):
        raise CommandError("entailment needs --nli, the directory of a cross-encoder", Exit.USAGE)
    if settings.embedder is None and {"frequency-embedding", "token-sar", "sar"}.intersection(settings.scorers):
        raise CommandError("vectors need --embedder, the directory of a sentence encoder", Exit.USAGE)


def _run(
    model: str, helper: str | None, prompts: Path, out: Path, settings: _Settings,
    certificate: Certificate | None, by_hand: ThresholdBackOff | None,
) -> dict[str, Any]:  # fmt: skip
    from audit.runners.opening import open_runner
    from conformal.pipeline.certified import certified
    from conformal.pipeline.questions import read_question_file
    from conformal.pipeline.run import run_pipeline

    questions = read_question_file(prompts)
    opened: list[Runner] = []
    with shown_progress() as progress:
        try:
            for spec in (model, helper):
                if spec is not None:
                    opened.append(open_runner(spec, device=settings.device, allow_private=True, progress=progress))
            plan = _plan(opened, settings, by_hand)
            if certificate is not None:
                plan = certified(plan, certificate)
            return run_pipeline(questions, plan, out, progress)
        finally:
            for runner in opened:
                runner.close()


def _threshold(settings: _Settings, threshold: float, score: str | None, closed: bool) -> ThresholdBackOff:
    from conformal.pipeline.backoff import ThresholdBackOff

    if score is None and len(settings.scorers) != 1:
        raise CommandError("several scores: name the one that --threshold is of with --score", Exit.USAGE)
    return ThresholdBackOff(score or settings.scorers[0], threshold, ">", closed)


def _plan(runners: list[Runner], settings: _Settings, backoff: ThresholdBackOff | None) -> Plan:
    from audit.runners.claim_pipeline import Encoders, build_plan

    return build_plan(
        runners[0],
        runners[-1],
        splitter=settings.splitter,
        scorers=[read_fitted(Path(name.removeprefix(PREFIX))) if name.startswith(PREFIX) else name for name in settings.scorers],
        samples=settings.samples,
        max_new_tokens=settings.max_new_tokens,
        temperature=settings.temperature,
        sample_temperature=settings.sample_temperature,
        seed=settings.seed,
        batch=settings.batch,
        merge=settings.merge,
        check=settings.check,
        helper_tokens=settings.helper_tokens,
        chat=settings.chat,
        encoders=Encoders(settings.nli, settings.embedder, settings.device),
        backoff=backoff,
    )


def _shown(report: dict[str, Any]) -> str:
    lines = [f"{report['outputs']} outputs, {report['claims']} claims; {report['split_failed']} could not be split"]
    lines += [f"failed: {name} {count}" for name, count in report["failures"].items()]
    lines += [
        f"without the score {name}: {count} claims, which are never kept" for name, count in report["unscored"].items() if count
    ]
    found = report.get("filtered")
    if found is None:
        return "\n".join([*lines, "label the claims of ledger.jsonl, then calibrate"])
    rate = "none merged" if found["violation_rate"] is None else f"{found['violation_rate']:.3f}"
    kept = "none" if found["retention"] is None else f"{found['retention']:.3f}"
    return "\n".join([*lines, f"kept {kept} of the claims, {found['abstained']} abstentions, merge violations {rate}"])
