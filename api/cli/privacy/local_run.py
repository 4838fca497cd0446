"""Local runs on files of the user's own: models opened, ranks kept, one public result and a figure. Values stay in memory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.exits import CommandError, Exit
from api.cli.progress import Progress

if TYPE_CHECKING:
    from api.cli.privacy.named_model import OpenModel
    from api.cli.privacy.run_folder import RunFolder
    from audit.privacy.screen import Keep, Screen
    from privacy.redaction import Redactor
    from watermark.figures import Panel

Model = Annotated[str, typer.Option("--model", help="tiny, a Hugging Face directory, or http(s)://HOST/v1#MODEL.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
EndpointKey = Annotated[Path | None, typer.Option("--endpoint-key-file", help="File with the endpoint's API key.")]
Out = Annotated[Path | None, typer.Option("-o", "--out", help="Folder of the run; an interrupted run goes on there.")]
Alpha = Annotated[float, typer.Option("--alpha", min=1e-6, max=0.4999, help="Chance of a false statement.")]
Seed = Annotated[int, typer.Option("--seed", min=0, max=(1 << 63) - 1, help="Of splits and samples.")]

SCREENED = 300
"""So many values of a file are looked for in everything before it is written; of longer files the first ones."""
UNSIGNED = "run on this machine and signed by nobody"


@dataclass(frozen=True)
class LocalRun:
    """What a probe is given. `commit` names records and values in public under a key of this run's, kept in its run.json."""

    models: Mapping[str, OpenModel]
    folder: RunFolder
    screen: Screen = field(repr=False)
    bar: Progress

    @property
    def redactor(self) -> Redactor:
        from privacy.redaction import Redactor

        return Redactor(hashlib.sha256(f"assay-privacy-records/{self.folder.token}".encode()).digest())

    @property
    def keep(self) -> Keep:
        return self.screen.keep(self.folder.keep)


@contextmanager
def local_run(
    asked: Mapping[str, Any], specs: Mapping[str, str], values: Sequence[str], out: Path | None, device: str, key: Path | None,
    bar: Progress,
) -> Iterator[LocalRun]:  # fmt: skip
    """Open folder and models. `asked` says what the run is, `values` what may never leave it. Two roles may share no model."""
    from api.cli.privacy.named_model import digest_of_named, opened
    from api.cli.privacy.run_folder import RunFolder
    from audit.privacy.screen import Screen

    screen = Screen(values[:SCREENED])
    digests = {role: digest_of_named(spec) for role, spec in specs.items()}
    roles = list(digests)
    for place, role in enumerate(roles):
        same = next((other for other in roles[:place] if digests[other] == digests[role]), None)
        if same is not None:
            raise CommandError(f"{role} and {same} are the same model; they must differ", Exit.USAGE)
    manifest = {**asked, "models": digests, "records": _digest_of(values)}
    with screen.reasons(), RunFolder(out, manifest) as folder, ExitStack() as stack:
        home = next(iter(specs.values())).partition("#")[0]  # the key belongs to the address of the first model
        models = {
            role: stack.enter_context(opened(spec, device, bar, key if spec.partition("#")[0] == home else None))
            for role, spec in specs.items()
        }
        yield LocalRun(models, folder, screen, bar)


def _digest_of(values: Sequence[str]) -> str:
    """Enters the manifest, of which a keyed digest is kept."""
    return hashlib.sha256(json.dumps(list(values)).encode()).hexdigest()


def write_result(
    run: LocalRun, format_: str, result: Mapping[str, Any], conditions: Sequence[str], figure: str
) -> dict[str, Any]:
    """result.json and figure.svg, each looked at before it is written; what they hold is returned."""
    from api.cli.privacy.named_model import REMOTE

    remote = [REMOTE] if any(model.remote for model in run.models.values()) else []
    content = {"format": format_, "result": dict(result), "conditions": [UNSIGNED, *remote, *conditions]}
    files = {"result.json": json.dumps(content, indent=2).encode() + b"\n", "figure.svg": figure.encode()}
    for name, made in run.screen.files(files).items():
        run.folder.write(name, made)
    return content


def draw_panels(panels: Sequence[Panel], title: str) -> str:
    """The figure of a result; an empty one says so."""
    from watermark.figures import Panel, render

    return render(panels or [Panel("nothing to draw", "", "", ())], title, columns=2)


def exit_of_words(words: Sequence[str]) -> Exit:
    """Of the claim that nothing is memorised, from the verdicts given."""
    from privacy.statistics.validity import Word

    if Word.MEMORISED.value in words:
        return Exit.REFUTED
    return Exit.OK if words and set(words) == {Word.NOT_DETECTED.value} else Exit.INCONCLUSIVE
