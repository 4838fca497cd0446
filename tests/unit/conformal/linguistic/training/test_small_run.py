"""The whole recipe on a small world: it runs, resumes, stops when asked, refuses a changed folder. Not a test of quality."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("trl")

from conformal.linguistic.training.demonstration import demonstrate
from conformal.linguistic.training.questions import TrainingError
from conformal.linguistic.training.trainer_setup import TrainingStopped, Watcher
from tests.unit.conformal.linguistic.training.small_run import MODEL, SETTINGS, SIZE

pytestmark = pytest.mark.slow


def _run(out: Path, watcher: Watcher | None = None, **changes: Any) -> dict[str, Any]:
    return demonstrate(out, size=SIZE, model_size=MODEL, settings=SETTINGS.changed(**changes), watcher=watcher)


class _StopAt:
    """Asks to stop once a message is reported."""

    def __init__(self, message: str) -> None:
        self.message, self.seen = message, False

    def watcher(self) -> Watcher:
        return Watcher(self._progress, lambda: self.seen)

    def _progress(self, fraction: float, message: str) -> None:
        self.seen = self.seen or self.message in message


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A run that was stopped in each stage and resumed, with its report."""
    out = tmp_path_factory.mktemp("world")
    for message in ("base model: loss", "fine-tuning: step 2", "learning: step 3"):
        with pytest.raises(TrainingStopped):
            _run(out, _StopAt(message).watcher())
    assert (out / "run" / "checkpoints" / "reinforced" / "checkpoint-3" / "model.safetensors").is_file()
    return out, _run(out)


def test_a_stopped_run_goes_on_to_its_report(finished: tuple[Path, dict[str, Any]]) -> None:
    out, report = finished
    for judge in ("neural", "stated (trained on)"):
        assert list(report["tables"][judge]) == ["base", "supervised", "reinforced"]
        for row in report["tables"][judge].values():
            assert all(0.0 <= row[name]["value"] <= 1.0 for name in ("accuracy", "ece", "brier", "no_answer"))
    assert (out / "run" / "reinforced" / "config.json").is_file()
    assert not any((out / "run" / "checkpoints").glob("*"))


def test_a_finished_run_is_not_run_again(finished: tuple[Path, dict[str, Any]]) -> None:
    out, report = finished
    messages: list[str] = []
    again = _run(out, Watcher(lambda fraction, message: messages.append(message)))
    assert again == json.loads(json.dumps(report)) and messages == []


def test_other_settings_in_the_same_folder_are_refused(finished: tuple[Path, dict[str, Any]]) -> None:
    with pytest.raises(TrainingError, match="settings differ"):
        _run(finished[0], kl_weight=0.5)


def test_both_stages_change_the_model(finished: tuple[Path, dict[str, Any]]) -> None:
    folders = [finished[0] / "base", finished[0] / "run" / "supervised", finished[0] / "run" / "reinforced"]
    assert len({(folder / "model.safetensors").read_bytes() for folder in folders}) == 3


def test_held_out_entities_are_in_no_training_example(finished: tuple[Path, dict[str, Any]]) -> None:
    from conformal.linguistic.training.world import make_world

    held_out = {question.id for question in make_world(0, SIZE).side("held-out")}
    taught = {json.loads(line)["id"] for line in (finished[0] / "run" / "paragraphs.jsonl").read_text().splitlines()}
    assert taught and not taught & held_out


def test_nothing_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """TRL reports each start of a trainer unless it is told not to."""
    asked: list[Any] = []
    monkeypatch.setattr(socket.socket, "connect", lambda self, address: asked.append(address))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **_: asked.append(args))
    _run(tmp_path, reward_steps=2)
    assert asked == []
