"""A run of seconds: a small world, a small model, few steps."""

from __future__ import annotations

from conformal.linguistic.training.settings import WORLD_SETTINGS
from conformal.linguistic.training.world import WorldSize
from conformal.linguistic.training.world_model import WorldModelSize

SIZE = WorldSize(entities=60, values=4)
MODEL = WorldModelSize(hidden=32, feed_forward=64, layers=1, heads=2, epochs=10, batch=32)
SETTINGS = WORLD_SETTINGS.changed(
    supervised_epochs=1, reward_steps=6, reward_batch=16, save_steps=2, samples=4, warmup_steps=1, most_answers=2
)
