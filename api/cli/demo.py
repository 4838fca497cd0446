"""`assay demo`: the whole story on bundled data."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from api.cli.exits import CommandError, Exit
from api.cli.options import Json, emit
from api.demo import Story, tell

demo = typer.Typer()
MARKER = "config.toml"


@demo.command()
def demo_command(
    out: Annotated[Path, typer.Option("--out", help="Folder for everything the demo makes.")] = Path("demo-run"),
    as_json: Json = False,
) -> None:
    """Train and prove on scikit-learn's digits, publish, audit, verify offline, refuse forgeries."""
    _clear(out)
    screen = Console(stderr=True)
    started = time.monotonic()
    with screen.status("starting") as status:
        story = tell(out, status.update if screen.is_terminal and not as_json else lambda message: None)
    total = time.monotonic() - started
    found = story.to_json() | {"total_seconds": total}
    if as_json:
        emit(found, True, "")
    else:
        _show(story, total)
    if not found["ok"]:
        raise typer.Exit(Exit.REFUTED)


def _clear(out: Path) -> None:
    """Remove what an earlier demo left; anything else is not ours to delete."""
    if not out.exists() or not any(out.iterdir()):
        return
    if not (out / MARKER).exists():
        raise CommandError(f"{out} exists and was not made by the demo; choose another --out", Exit.USAGE)
    shutil.rmtree(out)


def _show(story: Story, total: float) -> None:
    screen = Console(width=110, highlight=False)
    run = story.run
    assert run is not None and story.offline is not None
    screen.print(
        "\n[bold]Assay demo[/bold]: a provider proved how a model was trained; an auditor checked it without data or weights\n"
    )
    table = Table(box=None, pad_edge=False)
    for column, justify in (("what", "left"), ("value", "left")):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    table.add_row("model", f"64-64-10 on scikit-learn's digits, {run.n_steps} SGD steps in {run.n_segments} chained segments")
    table.add_row("proving", f"{1000 * run.seconds_proving / run.n_steps:.1f} ms a step, {run.seconds_proving:.1f} s in all")
    table.add_row("proofs", f"{run.proof_bytes / 1e6:.2f} MB, {run.proof_bytes / 1000 / run.n_steps:.1f} KB a step")
    table.add_row(
        "test accuracy", f"proven integer model {_percent(run.integer_accuracy)}, float64 SGD {_percent(run.float_accuracy)}"
    )
    for name, seconds in story.seconds.items():
        table.add_row(name, f"{seconds:.1f} s")
    for audit in story.audits:
        table.add_row(audit.kind, f"{audit.verdict.upper()}  {_outputs(audit.outputs)}  ({audit.seconds:.1f} s)")
    table.add_row("offline verification", story.offline.verdict.upper())
    for name, reason in story.forgeries.items():
        table.add_row("forged copy", f"{name}: " + (f"REFUSED ({reason[:60]})" if reason else "[red]ACCEPTED[/red]"))
    table.add_row("total", f"{total:.1f} s")
    screen.print(table)
    screen.print("\nThe verdicts rest on these conditions:")
    for condition in story.offline.conditions:
        screen.print(f"  - {condition}", soft_wrap=True)
    screen.print("\nFiles")
    for label, path in (
        ("proofs and commitments (public)", story.out / "run" / "public"),
        ("data, weights and seeds (private)", story.out / "run" / "private"),
        ("signed reports", story.out / "reports"),
        ("figure", story.out / "reports" / "model.accuracy" / "figure.svg"),
    ):
        screen.print(f"  {label:<34} {path}", soft_wrap=True)
    screen.print(f"\nNext: assay verify {story.out / 'reports' / 'model.accuracy'}", soft_wrap=True)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f} %"


def _outputs(outputs: object) -> str:
    assert isinstance(outputs, dict)
    shown = {
        "accuracy": lambda v: f"accuracy {v}",
        "gap": lambda v: f"gap {v}",
        "counts": lambda v: f"counts {v}",
        "squared_distance": lambda v: f"squared distance {v}",
        "steps": lambda v: f"{v} steps",
    }
    return ", ".join(render(outputs[name]) for name, render in shown.items() if outputs.get(name) is not None)
