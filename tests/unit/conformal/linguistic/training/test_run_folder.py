"""The folder of a run: one run, one writer, nothing half written."""

from __future__ import annotations

from pathlib import Path

import pytest

from conformal.linguistic.training.questions import TrainingError
from conformal.linguistic.training.run_folder import RunFolder, digest_of_folder
from conformal.linguistic.training.settings import Settings
from conformal.linguistic.training.trainer_setup import last_checkpoint

IDENTITY = {"model": "a", "settings": {"seed": 1}}


def test_the_same_run_goes_on_and_another_is_refused(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    with folder.opened(IDENTITY):
        folder.finish("paragraphs")
    with folder.opened(dict(IDENTITY)):
        assert folder.done("paragraphs") and not folder.done("supervised")
    with (
        pytest.raises(TrainingError, match="another run \\(settings differ\\)"),
        folder.opened(IDENTITY | {"settings": {"seed": 2}}),
    ):
        pass


def test_two_at_once_are_refused(tmp_path: Path) -> None:
    with (
        RunFolder(tmp_path).opened(IDENTITY),
        pytest.raises(TrainingError, match="in use"),
        RunFolder(tmp_path).opened(IDENTITY),
    ):
        pass


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(TrainingError, match=r"thesis\.tex"), RunFolder(tmp_path).opened(IDENTITY):
        pass


@pytest.mark.parametrize("damage", ["", "{", "[" * 50_000, "[]", "null"])
def test_a_damaged_record_is_refused(tmp_path: Path, damage: str) -> None:
    folder = RunFolder(tmp_path)
    with folder.opened(IDENTITY):
        pass
    (tmp_path / "run.json").write_text(damage)
    with pytest.raises(TrainingError), folder.opened(IDENTITY):
        pass


@pytest.mark.parametrize("line", ["{", "[]", "null"])
def test_changed_paragraphs_are_refused(tmp_path: Path, line: str) -> None:
    folder = RunFolder(tmp_path)
    folder.write("paragraphs.jsonl", line)
    with pytest.raises(TrainingError, match="changed"):
        folder.read_lines(folder.paragraphs)


def test_one_byte_or_one_name_changes_the_digest_of_a_model(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    first = digest_of_folder(tmp_path)
    (tmp_path / "config.json").write_text("{ }")
    second = digest_of_folder(tmp_path)
    (tmp_path / "config.json").rename(tmp_path / "other.json")
    assert len({first, second, digest_of_folder(tmp_path)}) == 3


def test_half_a_checkpoint_is_passed_over(tmp_path: Path) -> None:
    names = ("model.safetensors", "optimizer.pt", "scheduler.pt", "trainer_state.json", "rng_state.pth")
    for number in (5, 10):
        folder = tmp_path / f"checkpoint-{number}"
        folder.mkdir()
        for name in names[: 5 if number == 5 else 3]:
            (folder / name).touch()
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-5"
    assert not (tmp_path / "checkpoint-10").exists()
    assert last_checkpoint(tmp_path / "none") is None


@pytest.mark.parametrize(
    "members",
    [
        {"samples": 0},
        {"reward_rate": float("nan")},
        {"reward_rate": float("inf")},
        {"kl_weight": -0.1},
        {"generations": 1},
        {"reward_batch": 100, "accumulation": 16},
        {"held_out": -0.5},
    ],
)
def test_settings_that_cannot_be_used_are_refused(members: dict[str, float]) -> None:
    with pytest.raises(TrainingError):
        Settings().changed(**members)
