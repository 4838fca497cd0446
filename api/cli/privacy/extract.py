"""`assay privacy extract`: does a model continue records word for word, more than it continues controls?"""

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
    from privacy.probes.extraction_results import ExtractionResult

FORMAT = "assay-privacy-local-extraction/1"


def extract(
    records: Annotated[Path, typer.Option("--records", help="JSONL: id, text, role (member or candidate; non-member: control).")],
    model: Model,
    reference: Annotated[str | None, typer.Option("--reference", help="Model that saw none of the records.")] = None,
    prefix: Annotated[int, typer.Option("--prefix", min=1, max=10_000, help="Tokens of a record that are the prompt.")] = 50,
    suffix: Annotated[int, typer.Option("--suffix", min=1, max=10_000, help="Tokens after it that are to be produced.")] = 50,
    criterion: Annotated[str, typer.Option("--criterion", help="greedy or discoverable.")] = "greedy",
    coins: Annotated[bool, typer.Option("--coins", help="Independent coins decided which records were trained on.")] = False,
    samples: Annotated[int, typer.Option("--samples", min=0, max=1000, help="Answers really drawn for each record.")] = 0,
    temperature: Annotated[float, typer.Option("--temperature", min=0.0, max=100.0)] = 1.0,
    alpha: Alpha = 0.05,
    seed: Seed = 0,
    device: Device = "auto",
    endpoint_key_file: EndpointKey = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Extract records by their beginnings, beside controls that the model was not trained on.

    Exit 0: nothing detected. 3: memorised. 5: association only, or no verdict. Outputs hold commitments, never a text.
    """

    def work() -> tuple[dict[str, Any], str, Exit]:
        from api.cli.privacy.local_run import exit_of_words, local_run, write_result
        from api.cli.privacy.record_files import read_records
        from privacy.probes.extraction import run_extraction
        from privacy.probes.extraction_plan import ExtractionPlan

        plan = ExtractionPlan(
            prefix_tokens=prefix, suffix_tokens=suffix, criterion=criterion, assignment="coins" if coins else "declared",
            samples=samples, temperature=temperature, alpha=alpha, seed=seed,
        )  # fmt: skip
        given = read_records(records)
        specs = {"model": model, **({} if reference is None else {"reference": reference})}
        asked = {"format": FORMAT, "plan": plan.to_json(), "seed": seed}
        texts = [one.text for one in given]
        with shown_progress() as bar, local_run(asked, specs, texts, out, device, endpoint_key_file, bar) as run:
            models = {role: one.probed for role, one in run.models.items()}
            result = run_extraction(
                plan, given, models["model"], models.get("reference"),
                commit=run.redactor.commit, keep=run.keep, progress=run.bar,
            )  # fmt: skip
            found = write_result(run, FORMAT, result.to_json(), result.assumptions, _figure(result))
        return found, _describe(result, found["conditions"]), exit_of_words([result.verdict.word.value])

    found, text, code = run_silently(work, resumes=out is not None)
    if out is not None:
        say(f"wrote {out}")
    emit(found, as_json, text)
    raise typer.Exit(code)


def _describe(result: ExtractionResult, conditions: list[str]) -> str:
    from api.cli.options import table

    rows = [
        {
            "sense": rate.sense,
            "records": f"{rate.extracted} of {rate.records}",
            "controls": f"{rate.controls_extracted} of {rate.controls}",
        }
        for rate in result.rates
    ]
    lines = [f"{result.verdict}, p = {result.p_value:.3g}", table(rows, ("sense", "records", "controls"), "no rate")]
    if result.strengths is not None:
        lines.append(f"extraction strength: {result.strengths[0]:.3f} of records, {result.strengths[1]:.3f} of controls")
    if result.too_short:
        lines.append(f"{result.too_short} records are too short for prefix and suffix and were left out")
    if result.gate is not None:
        lines.append(f"controls as decoys: {result.gate}")
    return "\n".join([*lines, *(f"condition: {sentence}" for sentence in conditions)])


def _figure(result: ExtractionResult) -> str:
    """Share of records and of controls that are discoverable within 10^e answers, with intervals."""
    from api.cli.privacy.local_run import draw_panels
    from privacy.statistics.binomial import clopper_pearson
    from watermark.figures import Line, Panel

    rates = [rate for rate in result.rates if rate.sense.startswith("discoverable")]
    exponents = [float(e) for e in result.plan.queries]
    lines = []
    for place, (label, pairs) in enumerate(
        (
            ("records", [(rate.extracted, rate.records) for rate in rates]),
            ("controls", [(rate.controls_extracted, rate.controls) for rate in rates]),
        )
    ):
        points = tuple((e, hits / of) for e, (hits, of) in zip(exponents, pairs, strict=True))
        band = tuple((e, *clopper_pearson(hits, of)) for e, (hits, of) in zip(exponents, pairs, strict=True))
        lines.append(Line(label, points, band, colour=place))
    title = f"extracted with probability {result.plan.probability:g} within 10^e answers"
    panel = Panel(title, "e", "share", tuple(lines), (0.0, max(*exponents, 1.0)))
    return draw_panels([panel], "Verbatim extraction, 95 % intervals")
