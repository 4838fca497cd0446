"""What both trainers share: settings, the callback that reports and stops, checkpoints that were written whole."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conformal.linguistic.training.folder import device_of, import_transformers
from conformal.linguistic.training.questions import TrainingError
from conformal.linguistic.training.sampling import Progress

_WHOLE = ("model.safetensors", "optimizer.pt", "scheduler.pt", "trainer_state.json", "rng_state.pth")


class TrainingStopped(TrainingError):
    """The caller asked to stop; a checkpoint was written and the same call goes on from it."""


@dataclass(frozen=True)
class Watcher:
    """Who is told how far training is, and who may stop it between two steps."""

    progress: Progress = lambda fraction, message: None
    stop: Callable[[], bool] = lambda: False

    def part(self, start: float, end: float, what: str) -> Watcher:
        """The same, for a stage that covers [start, end] of the whole."""
        report = self.progress
        return Watcher(lambda fraction, message: report(start + (end - start) * fraction, f"{what}: {message}"), self.stop)

    def check(self) -> None:
        """Raises TrainingStopped when the caller asked to stop."""
        if self.stop():
            raise TrainingStopped("stopped; the same call goes on from here")


def common_settings(folder: Path, *, rate: float, batch: int, seed: int, save_steps: int) -> dict[str, Any]:
    """Arguments both TRL configurations take. float32, nothing reported anywhere, a checkpoint every `save_steps` steps."""
    return {
        "output_dir": str(folder),
        "learning_rate": rate,
        "per_device_train_batch_size": batch,
        "seed": seed,
        "save_strategy": "steps",
        "save_steps": save_steps,
        "save_total_limit": 2,
        "report_to": [],
        "push_to_hub": False,
        "disable_tqdm": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "use_cpu": device_of() == "cpu",
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": False,
        "logging_steps": 5,
        "lr_scheduler_type": "linear",
    }


def watching_callback(watcher: Watcher) -> Any:
    """A transformers callback that reports each step and turns a wish to stop into a checkpoint and an end."""
    callback: Any = import_transformers().TrainerCallback

    class Watching(callback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            watcher.progress(state.global_step / max(1, state.max_steps), f"step {state.global_step} of {state.max_steps}")
            if watcher.stop():
                control.should_save = control.should_training_stop = True

    return Watching()


def run_trainer(trainer: Any, folder: Path, watcher: Watcher) -> list[dict[str, Any]]:
    """Train from the last whole checkpoint, if there is one. Returns the log. Raises TrainingStopped."""
    from transformers.trainer_callback import PrinterCallback

    trainer.remove_callback(PrinterCallback)
    last = last_checkpoint(folder)
    trainer.train(resume_from_checkpoint=str(last) if last else None)
    watcher.check()
    return list(trainer.state.log_history)


def last_checkpoint(folder: Path) -> Path | None:
    """The latest checkpoint that was written whole; later ones that were not are removed."""
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2] or 0))
    while found:
        path = found.pop()
        if all((path / name).is_file() for name in _WHOLE):
            return path
        shutil.rmtree(path, ignore_errors=True)
    return None


def silence(trainer_class: Any) -> Any:
    """The trainer without its report to Hugging Face and without model cards that name the machine's folders."""

    class Quiet(trainer_class):
        def _send_telemetry(self) -> None:
            """Nothing leaves the machine."""

        def create_model_card(self, *_: Any, **__: Any) -> None:
            """None is written."""

    Quiet.__name__ = trainer_class.__name__
    return Quiet
