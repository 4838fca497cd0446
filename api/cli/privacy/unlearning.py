"""`assay privacy unlearning`: does a model that was made to forget answer as one that never knew?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.exits import CommandError, Exit
from api.cli.options import Json, emit, say
from api.cli.privacy.local_run import Alpha, Device, EndpointKey, Out, Seed
from api.cli.privacy.silence import run_silently
from api.cli.progress import shown_progress

if TYPE_CHECKING:
    from privacy.probes.unlearning_results import UnlearningResult

FORMAT = "assay-privacy-local-unlearning/1"


def unlearning(
    forget: Annotated[Path, typer.Option("--forget", help="JSONL: entity, context, answer, alternatives; what should be gone.")],
    model: Annotated[str, typer.Option("--model", help="The unlearned model: tiny, a directory, or http(s)://HOST/v1#MODEL.")],
    reference: Annotated[str, typer.Option("--reference", help="Model trained alike without the forget set.")],
    original: Annotated[str | None, typer.Option("--original", help="Model before unlearning, as a control.")] = None,
    retain: Annotated[Path | None, typer.Option("--retain", help="JSONL of the same form: what should be kept.")] = None,
    margin: Annotated[
        list[str] | None, typer.Option("--margin", help="METRIC=NUMBER, the largest difference that counts as none; repeat.")
    ] = None,
    rewordings: Annotated[int, typer.Option("--rewordings", min=0, max=64, help="Other wordings of each question.")] = 4,
    relearning: Annotated[
        bool, typer.Option("--relearning", help="Also train copies of both on a part, and ask the rest.")
    ] = False,
    alpha: Alpha = 0.05,
    seed: Seed = 0,
    device: Device = "auto",
    endpoint_key_file: EndpointKey = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Equivalence with a model that never saw the data, within margins stated beforehand, by entity.

    Exit 0: forgotten within the margins. 3: not forgotten, or unlike the reference. 5: inconclusive (it says how many entities
    would do). Outputs hold means and counts, never a text.
    """

    def work() -> tuple[dict[str, Any], str, Exit]:
        from api.cli.privacy.local_run import local_run, write_result
        from api.cli.privacy.record_files import read_facts
        from privacy.probes.relearning import relearn
        from privacy.probes.unlearning import run_unlearning
        from privacy.probes.unlearning_plan import MARGINS, Relearning, UnlearningPlan

        plan = UnlearningPlan(
            margins=_margins(margin) or dict(MARGINS), alpha=alpha, rewordings=rewordings,
            relearning=Relearning(seed=seed) if relearning else None,
        )  # fmt: skip
        facts = [read_facts(path) if path is not None else [] for path in (forget, retain)]
        specs = {"model": model, "reference": reference, **({} if original is None else {"original": original})}
        texts = [text for own in facts for one in own for text in (one.entity, one.context, one.answer)]
        asked = {"format": FORMAT, "plan": plan.to_json()}
        with shown_progress() as bar, local_run(asked, specs, texts, out, device, endpoint_key_file, bar) as run:
            models = {role: one.probed for role, one in run.models.items()}
            result = run_unlearning(
                plan, facts[0], facts[1], models["model"], models["reference"], models.get("original"),
                tune=relearn if relearning else None, keep=run.keep, progress=run.bar
            )  # fmt: skip
            found = write_result(run, FORMAT, result.to_json(), result.reasons, _figure(result))
        return found, _describe(result, found["conditions"]), _exit_of(result)

    found, text, code = run_silently(work, resumes=out is not None)
    if out is not None:
        say(f"wrote {out}")
    emit(found, as_json, text)
    raise typer.Exit(code)


def _margins(given: list[str] | None) -> dict[str, float]:
    found: dict[str, float] = {}
    for one in given or []:
        name, equals, number = one.partition("=")
        try:
            if not equals:
                raise ValueError
            found[name.strip()] = float(number)
        except ValueError:
            raise CommandError("--margin takes METRIC=NUMBER, such as probability=0.1", Exit.USAGE) from None
    return found


def _exit_of(result: UnlearningResult) -> Exit:
    from privacy.probes.unlearning_results import Forgetting
    from privacy.statistics.equivalence import Outcome

    if result.verdict in (Forgetting.REMEMBERED, Forgetting.UNLIKE) or result.utility is Outcome.DIFFERENT:
        return Exit.REFUTED
    done = result.verdict is Forgetting.FORGOTTEN and result.utility is not Outcome.INCONCLUSIVE
    return Exit.OK if done else Exit.INCONCLUSIVE


def _describe(result: UnlearningResult, conditions: list[str]) -> str:
    from api.cli.options import table

    rows = [
        {
            "set": name,
            "metric": one.metric,
            "entities": one.differences.n,
            "difference": f"{one.differences.mean:+.3f}" if one.differences.told else "-",
            "interval": "-" if one.interval is None else f"{one.interval[0]:+.3f} to {one.interval[1]:+.3f}",
            "margin": f"{one.margin:g}",
            "outcome": one.outcome.value,
        }
        for name, compared in result.sections.items()
        for one in compared
    ]
    columns = ("set", "metric", "entities", "difference", "interval", "margin", "outcome")
    lines = [f"forget set: {result.verdict.value}", table(rows, columns, "nothing was compared")]
    if result.utility is not None:
        lines.insert(1, f"retain set: {result.utility.value}")
    return "\n".join([*lines, *(f"condition: {sentence}" for sentence in conditions)])


def _figure(result: UnlearningResult) -> str:
    """A panel a set: for each metric the mean difference with its interval; dotted lines are the margins of the first metric."""
    from api.cli.privacy.local_run import draw_panels
    from watermark.figures import Line, Panel

    panels = []
    for name, compared in result.sections.items():
        lines = []
        for place, one in enumerate(one for one in compared if one.interval is not None):
            low, high = one.interval or (-one.margin, one.margin)
            at = float(place)
            lines.append(Line(one.metric, ((at, one.differences.mean), (at + 0.6, one.differences.mean)),
                              ((at, low, high), (at + 0.6, low, high)), colour=place))  # fmt: skip
        span = (
            max([one.margin for one in compared] + [abs(v) for one in compared for v in (one.interval or (0.0,))] + [0.05]) * 1.2
        )
        marks = (compared[0].margin, -compared[0].margin) if compared else ()
        panels.append(
            Panel(name, "metric", "difference", tuple(lines), (0.0, max(1.0, float(len(compared)))), (-span, span), marks)
        )
    return draw_panels(panels, "Differences from a model that never saw the data")
