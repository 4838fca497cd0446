"""`assay privacy membership`: which records was a model trained on, as far as its likelihoods tell?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.exits import Exit
from api.cli.options import Json, emit, say
from api.cli.privacy.local_run import Alpha, Device, EndpointKey, Model, Out, Seed
from api.cli.privacy.silence import run_silently
from api.cli.progress import shown_progress

if TYPE_CHECKING:
    from privacy.probes.membership_results import MembershipResult

FORMAT = "assay-privacy-local-membership/1"
SCORES = "loss, zlib, min-k:SHARE, min-k++:SHARE, reference, rmia"


def membership(
    records: Annotated[Path, typer.Option("--records", help="JSONL: id, text, role; see docs/privacy.md for the roles.")],
    model: Model,
    reference: Annotated[
        list[str] | None, typer.Option("--reference", help="Model of the same tokenizer that saw none; repeat for several.")
    ] = None,
    score: Annotated[
        list[str] | None, typer.Option("--score", help=f"Repeat; the first decides: {SCORES}. Default: reference if given, loss.")
    ] = None,
    fpr: Annotated[list[float] | None, typer.Option("--fpr", help="False-positive rates; repeat. Default 0.01 and 0.05.")] = None,
    coins: Annotated[bool, typer.Option("--coins", help="Independent coins decided which records were trained on.")] = False,
    max_tokens: Annotated[int, typer.Option("--max-tokens", min=2, max=100_000, help="Texts are cut there.")] = 512,
    alpha: Alpha = 0.05,
    seed: Seed = 0,
    device: Device = "auto",
    endpoint_key_file: EndpointKey = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Recognise members at low false-positive rates, candidates one by one, and the collection as a whole.

    Exit 0: nothing detected. 3: memorised. 5: association only, or no verdict. Outputs hold commitments and ranks, never a text.
    """

    def work() -> tuple[dict[str, Any], str, Exit]:
        from api.cli.privacy.local_run import exit_of_words, local_run, write_result
        from api.cli.privacy.record_files import read_records
        from privacy.probes.membership import run_membership
        from privacy.probes.membership_plan import MembershipPlan

        others = {f"reference {i}": spec for i, spec in enumerate(reference or [], 1)}
        plan = MembershipPlan(
            scores=tuple(score or (["reference"] if others else []) + ["loss", "zlib", "min-k:0.2"]),
            fpr=tuple(fpr or (0.01, 0.05)), alpha=alpha, assignment="coins" if coins else "declared",
            max_tokens=max_tokens, seed=seed,
        )  # fmt: skip
        given = read_records(records)
        asked = {"format": FORMAT, "plan": plan.to_json()}
        texts = [one.text for one in given]
        with (
            shown_progress() as bar,
            local_run(asked, {"model": model, **others}, texts, out, device, endpoint_key_file, bar) as run,
        ):
            first, *rest = (one.probed for one in run.models.values())
            result = run_membership(
                plan, given, first, rest, commit=run.redactor.commit, keep=run.keep, progress=run.bar
            )  # fmt: skip
            found = write_result(run, FORMAT, result.to_json(), result.reasons, _figure(result))
        return found, _describe(result, found["conditions"]), exit_of_words(_words(result))

    found, text, code = run_silently(work, resumes=out is not None)
    if out is not None:
        say(f"wrote {out}")
    emit(found, as_json, text)
    raise typer.Exit(code)


def _words(result: MembershipResult) -> list[str]:
    words = [one.verdict.word.value for one in result.candidates]
    return words + [one.word.value for one in (result.verdict, result.dataset and result.dataset.verdict) if one]


def _describe(result: MembershipResult, conditions: list[str]) -> str:
    from api.cli.options import table

    lines = []
    if result.verdict is not None:
        lines.append(f"members: {result.verdict}")
        rows = [
            {
                "score": one.score,
                "rate": f"{level.rate.threshold.fpr:g}",
                "members": f"{level.rate.above} of {level.rate.members}",
                "others": f"{level.false_above} of {level.non_members}",
                "AUC": f"{one.auc.value:.3f}",
            }
            for one in result.scores
            for level in one.levels
        ]
        lines.append(table(rows, ("score", "rate", "members", "others", "AUC"), "no score"))
    if result.candidates:
        lines.append(f"candidates: {result.found} of {len(result.candidates)} memorised")
        rows = [
            {
                "record": one.commitment[:16],
                "p": f"{one.p_value:.3g}",
                "p_adjusted": f"{one.p_adjusted:.3g}",
                "verdict": str(one.verdict),
            }
            for one in result.candidates
        ]
        lines.append(table(rows, ("record", "p", "p_adjusted", "verdict"), "no candidate"))
    if result.gate is not None:
        lines.append(f"decoys: {result.gate}")
    if result.dataset is not None:
        lines.append(f"as a collection: {result.dataset.verdict}, p = {result.dataset.p_value:.3g}")
    lines += [f"control {one.name}: p = {one.p_value:.3g}" for one in result.controls]
    return "\n".join([*lines, *(f"condition: {sentence}" for sentence in conditions)])


def _figure(result: MembershipResult) -> str:
    """Members recognised at each false-positive rate, with intervals; the diagonal is chance."""
    from api.cli.privacy.local_run import draw_panels
    from watermark.figures import Line, Panel

    panels = []
    for place, one in enumerate(result.scores):
        levels = sorted(one.levels, key=lambda level: level.rate.threshold.fpr)
        points = tuple((level.rate.threshold.fpr, level.rate.above / level.rate.members) for level in levels)
        band = tuple((level.rate.threshold.fpr, *level.rate.interval) for level in levels)
        top = max(points[-1][0], 1e-3)
        chance = Line("chance", ((0.0, 0.0), (top, top)), colour=7, dash=2)
        panels.append(Panel(one.score, "false-positive rate", "members", (Line("members", points, band), chance), (0.0, top)))
        if place == 7:
            break
    return draw_panels(panels, "Members recognised, 95 % intervals")
