"""`assay calibration train` from the shell: wrong usage, a missing group, a run on a model directory that resumes."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from api.cli.calibration.train import train
from api.cli.exits import CommandError

app = typer.Typer()
app.command()(train)

QUICK = ["--reward-steps", "2", "--reward-batch", "8", "--accumulation", "2", "--samples", "2", "--paragraph-tokens", "24"]


def _error(*arguments: str) -> CommandError:
    result = CliRunner().invoke(app, list(arguments))
    assert isinstance(result.exception, CommandError), result.output
    return result.exception


@pytest.mark.parametrize(
    "arguments", [(), ("--model", "m"), ("--data", "q"), ("--world", "--model", "m"), ("--world", "--model", "m", "--data", "q")]
)
def test_a_model_with_data_or_the_world(arguments: tuple[str, ...]) -> None:
    assert _error(*arguments).code == 2


def test_a_missing_package_is_one_line_with_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "conformal.linguistic.training.folder.find_spec", lambda name: None if name == "trl" else found(name), raising=True
    )
    message = _error("--world", "--out", str(tmp_path)).message
    assert "pip install 'assay-audit[training]'" in message and "trl" in message and "\n" not in message


def _questions(path: Path, count: int = 12, **members: Any) -> Path:
    rows = [{"id": str(i), "question": f"Number {i}?", "answers": [str(i)]} | members for i in range(count)]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


@pytest.mark.slow
@pytest.mark.parametrize(("reward", "held_out"), [("linear", "0.3"), ("log", "1.5"), ("log", "nan")])
def test_bad_numbers_are_refused(tmp_path: Path, reward: str, held_out: str) -> None:
    pytest.importorskip("trl")
    data = _questions(tmp_path / "q.jsonl")
    arguments = ["--model", str(tmp_path), "--data", str(data), "--out", str(tmp_path / "out")]
    assert "\n" not in _error(*arguments, "--reward", reward, "--held-out", held_out).message
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_directory_that_is_no_model_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("trl")
    data = _questions(tmp_path / "q.jsonl")
    for model in (tmp_path / "absent", tmp_path):
        message = _error("--model", str(model), "--data", str(data), "--out", str(tmp_path / "out"), *QUICK).message
        assert str(model) in message


@pytest.mark.slow
def test_a_model_directory_is_trained_and_the_same_command_gives_its_report(tmp_path: Path) -> None:
    """The questions come from a file and are open: nothing of the world is known to the run but its base model."""
    pytest.importorskip("trl")
    from conformal.linguistic.training.trainer_setup import Watcher
    from conformal.linguistic.training.world import make_world
    from conformal.linguistic.training.world_model import train_world_model
    from tests.unit.conformal.linguistic.training.small_run import MODEL, SIZE

    world = make_world(0, SIZE)
    train_world_model(world, tmp_path / "model", 0, MODEL, Watcher())
    data = tmp_path / "q.jsonl"
    rows = [{"id": q.id, "question": q.text, "answers": list(q.answers), "entity": q.entity} for q in world.questions]
    data.write_text("\n".join(map(json.dumps, rows)))
    arguments = ["--model", str(tmp_path / "model"), "--data", str(data), "--out", str(tmp_path / "out")]
    first = CliRunner().invoke(app, [*arguments, *QUICK, "--json"], catch_exceptions=False)
    report = json.loads(first.stdout)
    assert set(report["tables"]["extractive/1"]) == {"base", "supervised", "reinforced"}
    assert (tmp_path / "out" / "reinforced" / "model.safetensors").is_file()
    assert json.loads(CliRunner().invoke(app, [*arguments, *QUICK, "--json"]).stdout) == report
    text = CliRunner().invoke(app, [*arguments, *QUICK], catch_exceptions=False).stdout
    assert "accuracy" in text and "reinforced" in text
    assert "settings differ" in _error(*arguments, *QUICK, "--kl-weight", "0.2").message
