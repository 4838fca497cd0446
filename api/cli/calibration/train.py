"""`assay calibration train`: teach a model to state confidences that mean what they say; judged on held-out questions."""

from __future__ import annotations

import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.exits import CommandError, Exit
from api.cli.options import Json, emit, say
from api.cli.outcome import clear_errors
from api.cli.progress import shown_progress

if TYPE_CHECKING:
    from conformal.linguistic.training.settings import Settings
    from conformal.linguistic.training.trainer_setup import Watcher

_MEMORY = "not enough memory; choose a smaller model, or a smaller --reward-batch with a larger --accumulation"
_COLUMNS = ("accuracy", "ece", "brier", "reward", "no_answer")


def train(
    model: Annotated[Path | None, typer.Option("--model", help="Hugging Face directory of a causal language model.")] = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="JSONL: id, question, answers (spellings), optionally entity and split.")
    ] = None,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of the run; the same command goes on with it.")] = Path(
        "calibrated"
    ),
    world: Annotated[bool, typer.Option("--world", help="Instead: a small model on a synthetic world of facts.")] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Everything random comes from it.")] = 0,
    reward: Annotated[str, typer.Option("--reward", help="log, brier, or published (uncorrected).")] = "log",
    held_out: Annotated[float | None, typer.Option("--held-out", help="Share of the entities held out.")] = None,
    samples: Annotated[int | None, typer.Option("--samples", min=2, max=256, help="Answers sampled a question.")] = None,
    reward_steps: Annotated[int | None, typer.Option("--reward-steps", min=1, help="Steps of the second stage.")] = None,
    reward_batch: Annotated[int | None, typer.Option("--reward-batch", min=2, help="Paragraphs a step.")] = None,
    accumulation: Annotated[int | None, typer.Option("--accumulation", min=1, help="Parts a step is split into.")] = None,
    paragraph_tokens: Annotated[int | None, typer.Option("--paragraph-tokens", min=1, help="Longest paragraph.")] = None,
    reward_rate: Annotated[float | None, typer.Option("--reward-rate", help="Learning rate of the second stage.")] = None,
    supervised_rate: Annotated[float | None, typer.Option("--supervised-rate", help="Learning rate of the first.")] = None,
    kl_weight: Annotated[float | None, typer.Option("--kl-weight", min=0.0, help="Weight of the KL term.")] = None,
    as_json: Json = False,
) -> None:
    """Train in two stages (arXiv 2404.00474): fine-tuning on paragraphs that state how often each answer was sampled, then
    reinforcement learning on a proper score of what a reader takes from the paragraphs.

    Resumes after a kill. Prints accuracy and calibration of the base, the fine-tuned and the trained model on held-out
    entities, with 95 % intervals. The trained model lies in OUT/reinforced, with --world in OUT/run/reinforced.
    """
    if world == (model is not None) or (model is None) != (data is None):
        raise CommandError("give --model DIR and --data QUESTIONS.jsonl, or --world alone", Exit.USAGE)
    given = {
        "held_out": held_out,
        "samples": samples,
        "reward_steps": reward_steps,
        "reward_batch": reward_batch,
        "accumulation": accumulation,
        "paragraph_tokens": paragraph_tokens,
        "reward_rate": reward_rate,
        "supervised_rate": supervised_rate,
        "kl_weight": kl_weight,
    }
    changes = {name: value for name, value in given.items() if value is not None}
    with clear_errors(resumes=True, memory=_MEMORY), shown_progress(as_json) as progress, _interruptible() as stop:
        from conformal.linguistic.training.folder import require_packages
        from conformal.linguistic.training.trainer_setup import Watcher

        require_packages()
        watcher = Watcher(progress, stop)
        report = _train(model, data, out, seed, reward, changes, watcher)
        if stop():
            raise KeyboardInterrupt
    emit(report, as_json, _as_text(report))
    if not as_json:
        say(f"the trained model: {(out / 'run' if world else out) / 'reinforced'}")


def _train(
    model: Path | None, data: Path | None, out: Path, seed: int, reward: str, changes: dict[str, Any], watcher: Watcher
) -> dict[str, Any]:
    from conformal.linguistic.training.demonstration import demonstrate
    from conformal.linguistic.training.questions import read_questions
    from conformal.linguistic.training.recipe import open_readers, train
    from conformal.linguistic.training.reward import RewardRule
    from conformal.linguistic.training.settings import WORLD_SETTINGS, Settings
    from conformal.linguistic.training.trainer_setup import TrainingStopped

    rule = RewardRule(form=reward)
    # transformers warns of options that TRL sets.
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"transformers\b")
    try:
        if model is None or data is None:
            return demonstrate(out, seed=seed, settings=WORLD_SETTINGS.changed(**changes), rule=rule, watcher=watcher)
        settings: Settings = Settings(seed=seed).changed(**changes)
        questions = read_questions(data)
        return train(model, questions, out, open_readers(), settings=settings, rule=rule, watcher=watcher)
    except TrainingStopped:
        raise KeyboardInterrupt from None


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """The first Ctrl-C asks training to stop after its step and leave a checkpoint; a second one interrupts at once."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return

    def on_signal(number: int, frame: FrameType | None) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()
        say("stopping after this step; press Ctrl-C again to stop at once")

    before = signal.signal(signal.SIGINT, on_signal)
    try:
        yield asked.is_set
    finally:
        signal.signal(signal.SIGINT, before)


def _as_text(report: dict[str, Any]) -> str:
    lines = [f"{report['held_out']} held-out questions; 95 % intervals by resampled entities; change against the base model"]
    for judge, models in report["tables"].items():
        lines += ["", f"reader: {judge}", "             " + "".join(column.ljust(24) for column in _COLUMNS)]
        for name, row in models.items():
            lines.append(name.ljust(13) + "".join(_cell(row[column]).ljust(24) for column in _COLUMNS))
            if "change" in row["accuracy"]:
                lines.append("  change     " + "".join(_cell(row[column], "change_").ljust(24) for column in _COLUMNS))
        floors = ", ".join(f"{name} {row['ece']['noise_floor']:.3f}" for name, row in models.items())
        lines.append(f"  ece that chance alone gives a calibrated model: {floors}")
    return "\n".join(line.rstrip() for line in lines)


def _cell(entry: dict[str, float], prefix: str = "") -> str:
    value = entry["change"] if prefix else entry["value"]
    sign = "+" if prefix else ""
    return f"{value:{sign}.3f} ({entry[prefix + 'low']:.3f}, {entry[prefix + 'high']:.3f})"
