"""The tiny model: natural entropy, trained once, found again only when intact, the same bits from the same seed."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from audit.runners import tiny
from audit.runners.protocol import RunnerError
from tests import tiny_model

pytest.importorskip("transformers")

from audit.runners import tiny_training

SMALL = tiny.Recipe(vocab_size=300, hidden=16, feed_forward=32, layers=1, heads=2, context=64, sequence=32, batch=2, steps=3)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(tiny, "RECIPES", {"small": SMALL})
    monkeypatch.setattr(tiny_training, "training_text", lambda: tiny.training_text()[:20_000])
    return tmp_path / "cache"


def test_entropy_is_like_that_of_natural_text() -> None:
    measured = tiny.training_card(tiny_model.folder())["measured"]
    assert 2.0 < measured["sampled_entropy_nats"] < 4.0
    assert 2.0 < measured["heldout_entropy_nats"] < 4.0
    assert measured["heldout_perplexity"] < 150
    assert measured["parameters"] < 3_000_000


def test_held_out_text_is_not_trained_on() -> None:
    training, held_out = tiny.training_text(), tiny.heldout_text()
    assert len(held_out) > 25_000
    paragraphs = [part for part in held_out.split("\n\n") if len(part) > 200]
    assert sum(part in training for part in paragraphs) <= 0.05 * len(paragraphs)


def test_same_seed_same_bits_and_other_seed_others(cache: Path) -> None:
    first = tiny.training_card(tiny.tiny_folder(0, recipe="small"))["files"]
    other = tiny.training_card(tiny.tiny_folder(1, recipe="small"))["files"]
    for path in cache.iterdir():
        if path.is_dir():
            (path / tiny.CARD).unlink()
    again = tiny.training_card(tiny.tiny_folder(0, recipe="small"))["files"]
    assert again == first
    assert other["model.safetensors"] != first["model.safetensors"]
    assert other["tokenizer.json"] == first["tokenizer.json"]


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "training.json"])
def test_altered_cache_is_made_anew(cache: Path, name: str) -> None:
    folder = tiny.tiny_folder(0, recipe="small")
    before = (folder / "model.safetensors").read_bytes()
    path = folder / name
    path.write_bytes(path.read_bytes()[:-1] + bytes([path.read_bytes()[-1] ^ 1]))
    assert tiny.tiny_folder(0, recipe="small") == folder
    assert (folder / "model.safetensors").read_bytes() == before
    assert json.loads((folder / "training.json").read_text())["files"]["model.safetensors"]


def test_added_file_is_not_accepted(cache: Path) -> None:
    folder = tiny.tiny_folder(0, recipe="small")
    (folder / "chat_template.jinja").write_text("{{ 1 }}")
    tiny.tiny_folder(0, recipe="small")
    assert not (folder / "chat_template.jinja").exists()


def test_killed_training_leaves_nothing(cache: Path) -> None:
    def stop(fraction: float, message: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tiny.tiny_folder(0, stop, recipe="small")
    assert [path for path in cache.iterdir() if path.is_dir()] == []


def test_parallel_users_train_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained, train = [], tiny_training.train

    def slow(folder: Path, *rest: Any) -> dict[str, float]:
        trained.append(folder)
        time.sleep(0.2)
        return train(folder, *rest)

    monkeypatch.setattr(tiny_training, "train", slow)
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(tiny.tiny_folder(0, recipe="small"))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(trained) == 1
    assert len(set(found)) == 1 and len(found) == 3


def test_unknown_recipe_and_unwritable_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RunnerError, match="no recipe"):
        tiny.tiny_folder(0, recipe="huge")
    cache.write_text("a file")
    with pytest.raises(RunnerError, match="ASSAY_CACHE"):
        tiny.tiny_folder(0, recipe="small")
