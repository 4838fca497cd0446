"""The recipe on the synthetic world: base model, both stages, judged on held-out entities by a reader not used in training."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from conformal.linguistic.readers.extractive import ExtractiveReader
from conformal.linguistic.training.evaluation import Judge
from conformal.linguistic.training.folder import open_folder
from conformal.linguistic.training.neural_reader import NeuralReader
from conformal.linguistic.training.questions import Question
from conformal.linguistic.training.recipe import Readers, extractive_judge, stated_reader, train
from conformal.linguistic.training.reward import RewardRule
from conformal.linguistic.training.settings import WORLD_SETTINGS, Settings
from conformal.linguistic.training.trainer_setup import Watcher
from conformal.linguistic.training.world import World, WorldSize, make_world
from conformal.linguistic.training.world_model import WorldModelSize, train_world_model


def demonstrate(
    out: Path,
    *,
    seed: int = 0,
    size: WorldSize | None = None,
    model_size: WorldModelSize | None = None,
    settings: Settings | None = None,
    rule: RewardRule | None = None,
    watcher: Watcher | None = None,
) -> dict[str, Any]:
    """The report of a world's run; `out/base` is its base model, `out/run` the run. Resumes. Raises TrainingError, OSError."""
    watcher = watcher or Watcher()
    world = make_world(seed, size)
    base = base_model(world, out, seed, model_size or WorldModelSize(), watcher.part(0.0, 0.2, "base model"))
    chosen = (settings or WORLD_SETTINGS).changed(seed=seed)
    judges = {"neural": neural_judge(world, base, seed), ExtractiveReader().name: extractive_judge()}
    readers = Readers(stated_reader, judges, world.candidates)
    return train(
        base, world.questions, out / "run", readers, settings=chosen, rule=rule, watcher=watcher.part(0.2, 1.0, "training")
    )


def base_model(world: World, out: Path, seed: int, size: WorldModelSize, watcher: Watcher) -> Path:
    """The directory of the base model, trained now unless it was."""
    folder, building = out / "base", out / ".base.part"
    if not folder.is_dir():
        shutil.rmtree(building, ignore_errors=True)
        train_world_model(world, building, seed, size, watcher)
        building.rename(folder)
    return folder


def neural_judge(world: World, base: Path, seed: int) -> Judge:
    """A neural reader over the values of the world, taught on random paragraphs, in the form the recipe calls."""
    tokenizer, _ = open_folder(base)
    values = sorted({value for options in world.candidates.values() for value in options})
    token_of = {value: tokenizer.convert_tokens_to_ids(value) for value in values}
    reader = NeuralReader(
        lambda texts: tokenizer(texts)["input_ids"] if any(texts) else [[]] * len(texts), token_of, len(tokenizer), seed
    )
    reader.learn()

    def read(question: Question, text: str, options: Sequence[str]) -> Mapping[str, float]:
        return reader.read(text)

    return read
