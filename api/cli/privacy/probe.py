"""`assay privacy probe`: does a model give away what a data subject signed for? Run here, without a service, and unsigned."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.exits import CommandError, Exit
from api.cli.options import Json, emit, say
from api.cli.privacy.silence import run_silently
from api.cli.progress import Progress, shown_progress

if TYPE_CHECKING:
    from api.cli.privacy.consented import Consented
    from api.cli.privacy.named_model import OpenModel
    from api.cli.privacy.run_folder import RunFolder
    from audit.privacy.screen import Screen
    from privacy.people import Person
    from privacy.probes.plan import ProbePlan
    from privacy.probes.results import ProbeResult
    from privacy.templates import Template

FORMAT = "assay-privacy-local-probe/1"
TIERS = ("full", "top-k", "text")
_FEWEST_NULLS = 199
MAX_DECOYS, MAX_DEFAULT_DECOYS = 10_000, 1000
RAW = "no reference model: any model finds a fluent value likely, so that a low rank is an association only (--reference)"
REFERENCE = "the reference model was not trained on these values, by the word of whoever named it"

Request = Annotated[list[Path], typer.Option("--request", help="Signed consent request; repeat for several subjects.")]
Openings = Annotated[list[Path], typer.Option("--openings", help="Its values (mode 0600), in the order of --request.")]
Model = Annotated[str, typer.Option("--model", help="tiny, a Hugging Face directory, or http(s)://HOST/v1#MODEL.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
EndpointKey = Annotated[Path | None, typer.Option("--endpoint-key-file", help="File with the endpoint's API key.")]


@dataclass(frozen=True)
class _Asked:
    """What was typed."""

    consented: Consented
    model: str
    reference: str | None
    plan: ProbePlan
    device: str
    endpoint_key: Path | None


def probe(
    request: Request,
    openings: Openings,
    model: Model,
    reference: Annotated[
        str | None, typer.Option("--reference", help="Model that never saw the values; without it: association only.")
    ] = None,
    nulls: Annotated[int | None, typer.Option("--nulls", min=1, max=1_000_000, help="Generated values a target.")] = None,
    alpha: Annotated[float, typer.Option("--alpha", min=1e-6, max=0.5, help="Chance of a false accusation.")] = 0.05,
    decoys: Annotated[
        int | None, typer.Option("--decoys", min=1, max=MAX_DECOYS, help="Invented people; default: enough.")
    ] = None,
    decoy_rate: Annotated[
        float | None, typer.Option("--decoy-rate", min=1e-6, max=0.5, help="False accusations that decoys must rule out.")
    ] = None,
    templates: Annotated[Path | None, typer.Option("--templates", help="Prompts of your own; see docs/privacy.md.")] = None,
    tier: Annotated[str | None, typer.Option("--tier", help=f"{', '.join(TIERS)}; default: the best the model offers.")] = None,
    region: Annotated[str, typer.Option("--region", help="Country of phone numbers without a country code.")] = "US",
    samples: Annotated[int, typer.Option("--samples", min=1, max=1_000_000, help="Text tier: answers an item.")] = 300,
    device: Device = "auto",
    endpoint_key_file: EndpointKey = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Folder of the run; an interrupted run goes on there.")] = None,
    as_json: Json = False,
) -> None:
    """Rank each consented value among generated ones of its format; decoys decide whether the run says anything.

    Exit 0: nothing detected. 3: something is memorised. 5: association only, or no verdict. A consent is used once; with -o an
    interrupted run goes on. Nothing that is written, printed or kept holds a value.
    """
    if tier is not None and tier not in TIERS:
        raise CommandError(f"--tier is one of {', '.join(TIERS)}", Exit.USAGE)

    def work() -> tuple[dict[str, Any], str, Exit]:
        from api.cli.privacy.consented import read_consented
        from api.cli.privacy.result_table import describe

        consented = read_consented(request, openings, region)
        people = consented.people()
        plan = _plan(consented, people, nulls, alpha, decoys, decoy_rate, templates, tier, region, samples)
        with shown_progress() as progress:
            asked = _Asked(consented, model, reference, plan, device, endpoint_key_file)
            content, result = _run(asked, people, out, progress)
        return content, describe(result, content["conditions"]), _exit_of(result)

    found, text, code = run_silently(work, resumes=out is not None)
    if out is not None:
        say(f"wrote {out}")
    emit(found, as_json, text)
    raise typer.Exit(code)


def _plan(
    consented: Consented, people: Sequence[Person], nulls: int | None, alpha: float, decoys: int | None, rate: float | None,
    templates: Path | None, tier: str | None, region: str, samples: int,
) -> ProbePlan:  # fmt: skip
    from privacy.probes.model import Access
    from privacy.probes.plan import ProbePlan
    from privacy.statistics.planning import nulls_needed

    plan = ProbePlan(
        types=consented.types,
        alpha=alpha,
        decoys=decoys or 0,
        decoy_rate=rate,
        templates=None if templates is None else read_template_file(templates),
        access=None if tier is None else Access(tier),
        region=region,
        samples=samples,
    )
    if nulls is None:
        nulls = max(_FEWEST_NULLS, nulls_needed(plan.tests(people), alpha))
    return replace(plan, nulls=nulls, decoys=decoys or enough_decoys(alpha, plan.tolerated))


def enough_decoys(alpha: float, tolerated: float) -> int:
    """Decoys that plans take: enough for the level, and so many that a sound run passes them. Raises PlanError."""
    from privacy.probes.plan import LEAST_PASSING, passing_chance
    from privacy.statistics.planning import decoys_needed

    count = decoys_needed(alpha)
    while count < MAX_DEFAULT_DECOYS and passing_chance(count, alpha, tolerated) < LEAST_PASSING:
        count += max(1, count // 4)
    return count


def read_template_file(path: Path) -> tuple[Template, ...]:
    """Prompts of the user's own. Raises TemplateError, ConsentError."""
    from api.cli.privacy.private_files import read_bounded
    from privacy.templates import read_templates

    return read_templates(read_bounded(path, "the file of templates"))


def _run(asked: _Asked, people: Sequence[Person], out: Path | None, progress: Progress) -> tuple[dict[str, Any], ProbeResult]:
    """Measure and write. What can be refused is refused before a model is loaded, and before the consents count as used."""
    from api.cli.privacy.consented import IDENTITY
    from api.cli.privacy.named_model import REMOTE, digest_of_named
    from api.cli.privacy.run_folder import RunFolder
    from audit.privacy.screen import Screen
    from privacy.invented.people import draw_people
    from privacy.probes.results import blind_spot

    consented = asked.consented
    digest = digest_of_named(asked.model)
    consented.guarded(digest, "")
    manifest = _manifest(asked, digest)
    named = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
    plan = replace(asked.plan, seed=int.from_bytes(consented.derive(f"nulls/{named}"), "big"))
    names = [person.values["name"] for person in people]
    decoys = draw_people(random.Random(consented.derive(f"decoys/{named}")), plan.decoys, plan.types, names)
    plan.check([*people, *decoys])
    screen = Screen(consented.values)
    with screen.reasons(), RunFolder(out, manifest) as folder, _both(asked, progress) as models:
        result = _measure(asked, plan, [*people, *decoys], models, folder, screen, progress)
        conditions = [IDENTITY, RAW if models[1] is None else REFERENCE, *([REMOTE] if models[0].remote else [])]
        blind = blind_spot(result)
        conditions += [] if blind is None else [f"nothing detected shows nothing here: {blind}"]
        content = _content(consented, result, [*conditions, *result.assumptions])
        _write(folder, screen, content, result)
    return content, result


def _manifest(asked: _Asked, digest: str) -> dict[str, Any]:
    plan = {**asked.plan.to_json(), "templates": [one.to_json() for one in asked.plan.templates or ()]}
    consents = [consent.digest for consent in asked.consented.consents]
    return {"format": FORMAT, "consents": consents, "model": digest, "reference": asked.reference, "plan": plan}


@contextmanager
def _both(asked: _Asked, progress: Progress) -> Iterator[tuple[OpenModel, OpenModel | None]]:
    from api.cli.privacy.named_model import opened

    with ExitStack() as stack:
        model = stack.enter_context(opened(asked.model, asked.device, progress, asked.endpoint_key))
        if asked.reference is None:
            yield model, None
            return
        reference = stack.enter_context(opened(asked.reference, asked.device, progress))
        if reference.digest == model.digest:
            raise CommandError("the reference is the model itself; name one that never saw the values", Exit.USAGE)
        yield model, reference


def _measure(
    asked: _Asked, plan: ProbePlan, people: Sequence[Person], models: tuple[OpenModel, OpenModel | None], folder: RunFolder,
    screen: Screen, progress: Progress,
) -> ProbeResult:  # fmt: skip
    from privacy.probes.black_box import run_black_box
    from privacy.redaction import Redactor

    model, reference = models
    return run_black_box(
        plan,
        people,
        model.probed,
        None if reference is None else reference.probed,
        release=asked.consented.guarded(model.digest, folder.token).release,
        commit=Redactor(asked.consented.derive("commitments of decoys")).commit,
        keep=screen.keep(folder.keep),
        progress=screen.progress(progress),
    )


def _content(consented: Consented, result: ProbeResult, conditions: Sequence[str]) -> dict[str, Any]:
    consents = [{"digest": one.digest, "subject": one.subject, "purpose": one.purpose} for one in consented.consents]
    return {"format": FORMAT, "consents": consents, "result": result.to_json(), "conditions": list(conditions)}


def _write(folder: RunFolder, screen: Screen, content: dict[str, Any], result: ProbeResult) -> None:
    from api.cli.privacy.rank_figure import draw_ranks

    data = json.dumps(content, indent=2).encode() + b"\n"
    for name, made in screen.files({"result.json": data, "figure.svg": draw_ranks(result).encode()}).items():
        folder.write(name, made)


def _exit_of(result: ProbeResult) -> Exit:
    """Of the claim that nothing is memorised; it holds only where memory would have been seen."""
    from privacy.probes.results import blind_spot
    from privacy.statistics.validity import Word

    words = {item.verdict.word for person in result.people for item in person.items}
    if Word.MEMORISED in words:
        return Exit.REFUTED
    return Exit.OK if words == {Word.NOT_DETECTED} and blind_spot(result) is None else Exit.INCONCLUSIVE
