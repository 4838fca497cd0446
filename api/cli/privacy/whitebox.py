"""`assay privacy whitebox`: what does a tuned soft prompt add on people that it was not tuned on?"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.exits import CommandError, Exit
from api.cli.options import Json, emit, say
from api.cli.privacy.local_run import Alpha, Device, Model, Out, Seed
from api.cli.privacy.silence import run_silently
from api.cli.progress import shown_progress

if TYPE_CHECKING:
    from api.cli.privacy.local_run import LocalRun
    from privacy.people import Person
    from privacy.probes.white_box.results import WhiteBoxPlan, WhiteBoxResult
    from privacy.probes.white_box.soft_prompt import Commit

FORMAT = "assay-privacy-local-whitebox/1"
_TUNING = "tuning"


def whitebox(
    people: Annotated[Path, typer.Option("--people", help="JSONL: id, and values by type with a name among them.")],
    model: Model,
    types: Annotated[str, typer.Option("--types", help="What is probed, such as phone,email.")],
    trained: Annotated[int, typer.Option("--trained", min=10, max=20_000, help="People to tune on; the others are measured.")],
    canaries: Annotated[
        bool, typer.Option("--canaries", help="All of them were drawn before training by the generator of the nulls.")
    ] = False,
    reference: Annotated[str | None, typer.Option("--reference", help="Model in process that never saw the values.")] = None,
    soft_tokens: Annotated[int, typer.Option("--soft-tokens", min=1, max=512, help="Length of the soft prompt.")] = 20,
    steps: Annotated[int, typer.Option("--steps", min=1, max=100_000, help="Most steps of a tuning.")] = 400,
    nulls: Annotated[int | None, typer.Option("--nulls", min=1, max=1_000_000, help="Generated values a target.")] = None,
    decoys: Annotated[int | None, typer.Option("--decoys", min=1, max=10_000, help="Invented people; default: enough.")] = None,
    templates: Annotated[Path | None, typer.Option("--templates", help="Prompts of your own; see docs/privacy.md.")] = None,
    alpha: Alpha = 0.05,
    seed: Seed = 0,
    device: Device = "auto",
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Tune a soft prompt on some people and one on invented ones; measure both on the others, whom no prompt saw.

    Exit 0: nothing detected, and no gain shown (which is not "none"). 3: the prompt recalls held-out people's values, or some are
    memorised. 5: no statement. Needs the weights. Tuned prompts may hold what they were tuned on: they are deleted at the end.
    """

    def work() -> tuple[dict[str, Any], str, Exit]:
        from api.cli.privacy.local_run import local_run, write_result
        from api.cli.privacy.probe import REFERENCE
        from api.cli.privacy.rank_figure import draw_ranks
        from api.cli.privacy.record_files import read_people

        given = read_people(people, canaries)
        plan = _plan(given, types, trained, nulls, decoys, templates, alpha, soft_tokens, steps, seed)
        specs = {"model": model, **({} if reference is None else {"reference": reference})}
        asked = {"format": FORMAT, "plan": plan.to_json(), "trained": trained, "canaries": canaries, "seed": seed}
        secret = [value for person in given for value in person.values.values()]
        with shown_progress() as bar, local_run(asked, specs, secret, out, device, None, bar) as run:
            result = _run(run, plan, given, trained, seed)
            conditions = [*([REFERENCE] if reference else []), *result.to_json()["assumptions"]]
            found = write_result(run, FORMAT, result.to_json(), conditions, draw_ranks(result.prompted))
        return found, _describe(result, found["conditions"]), _exit_of(result)

    found, text, code = run_silently(work, resumes=out is not None)
    if out is not None:
        say(f"wrote {out}")
    emit(found, as_json, text)
    raise typer.Exit(code)


def _plan(
    people: Sequence[Person], types: str, trained: int, nulls: int | None, decoys: int | None, templates: Path | None,
    alpha: float, soft_tokens: int, steps: int, seed: int,
) -> WhiteBoxPlan:  # fmt: skip
    from api.cli.privacy.probe import enough_decoys, read_template_file
    from api.cli.privacy.subject_values import is_type, known_types
    from privacy.probes.plan import ProbePlan
    from privacy.probes.white_box.results import WhiteBoxPlan
    from privacy.probes.white_box.tuning import Tuning
    from privacy.statistics.planning import nulls_needed

    wanted = tuple(dict.fromkeys(one.strip() for one in types.split(",") if one.strip()))
    if not wanted or not all(map(is_type, wanted)):
        raise CommandError(f"--types names one or several of {', '.join(known_types())}", Exit.USAGE)
    probe = ProbePlan(
        types=wanted,
        alpha=alpha,
        templates=None if templates is None else read_template_file(templates),
    )
    tested = max(1, len(people) - trained)
    count = nulls or nulls_needed(tested * max(1, len(probe.types)), alpha)
    probe = replace(probe, nulls=count, decoys=decoys or enough_decoys(alpha, probe.tolerated))
    return WhiteBoxPlan(probe, Tuning(soft_tokens=soft_tokens, steps=steps, seed=seed))


def _run(run: LocalRun, plan: WhiteBoxPlan, people: Sequence[Person], trained: int, seed: int) -> WhiteBoxResult:
    import shutil

    from api.cli.privacy.named_model import white_box_of
    from privacy.probes.white_box.run import run_white_box
    from privacy.probes.white_box.subjects import split_people

    commit = run.redactor.commit
    people = [replace(person, id=f"subject-{commit('id', person.id)[:16]}") for person in people]  # ids may be names
    train, others = split_people(people, trained, seed, commit)
    decoys = _draw_decoys(plan, people, f"{run.folder.token}/decoys", commit)
    secret = int.from_bytes(hashlib.sha256(f"{run.folder.token}/nulls".encode()).digest(), "big")
    plan = replace(plan, probe=replace(plan.probe, seed=secret))
    models = [white_box_of(one) for one in run.models.values()]
    folder = None if run.folder.path is None else run.folder.path / _TUNING
    result = run_white_box(
        plan, train, [*others, *decoys], *models,
        commit=commit, release=commit, folder=folder, keep=run.keep, progress=run.bar,
    )  # fmt: skip
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
    return result


def _draw_decoys(plan: WhiteBoxPlan, people: Sequence[Person], seed: str, commit: Commit) -> list[Person]:
    """Invented people who share no name and no value with anybody: a chance meeting would be taken for an overlap."""
    from privacy.invented.people import draw_people
    from privacy.probes.white_box.soft_prompt import Marks

    taken, names = Marks.of(people, commit), [person.values["name"] for person in people]
    drawn = draw_people(random.Random(seed), 2 * plan.probe.decoys, plan.probe.types, names)
    shared = set(taken.overlap(drawn, commit))
    return [person for place, person in enumerate(drawn, 1) if place not in shared][: plan.probe.decoys]


def _exit_of(result: WhiteBoxResult) -> Exit:
    from privacy.probes.results import blind_spot
    from privacy.probes.white_box.results import GainWord
    from privacy.statistics.validity import Word

    """Of the claim that nothing is memorised, nor brought out by tuning."""
    probes = (result.black_box, result.prompted)
    words = {item.verdict.word for probe in probes for person in probe.people for item in person.items}
    if Word.MEMORISED in words or result.word is GainWord.SHOWN:
        return Exit.REFUTED
    seen = result.word is GainWord.NOT_SHOWN and all(blind_spot(probe) is None for probe in probes)
    return Exit.OK if words == {Word.NOT_DETECTED} and seen else Exit.INCONCLUSIVE


def _describe(result: WhiteBoxResult, conditions: list[str]) -> str:
    lines = [f"{result.word.value}: the soft prompt on {len(result.prompted.people)} people that it was not tuned on"]
    for whose, gains in (("people", result.gains), ("decoys", result.decoy_gains)):
        for gain in gains:
            low, high = gain.interval
            lines.append(
                f"{whose}: ranks better by {gain.mean:+.4f} of the nulls than with {gain.over} ({low:+.4f} to {high:+.4f}),"
                f" p = {gain.p_value:.3g}"
            )
    for name, probe in (("without", result.black_box), ("control", result.control), ("prompted", result.prompted)):
        lines.append(f"{name}: {probe.found} of {len(probe.people)} memorised; decoys: {probe.gate}")
    return "\n".join([*lines, *(f"condition: {sentence}" for sentence in conditions)])
