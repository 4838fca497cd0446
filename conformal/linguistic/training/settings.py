"""The numbers of a training run. The defaults are the paper's (arXiv 2404.00474, appendix), the world's fit a tiny model."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any

from conformal.linguistic.training.questions import TrainingError


@dataclass(frozen=True)
class Settings:
    """Every member enters the identity of a run. Raises TrainingError for a number that cannot be used.

    Rates are AdamW's; `reward_batch` counts paragraphs a step, `generations` of them for one question; `kl_weight` multiplies
    the log ratio to the supervised model, summed over a paragraph (nats).
    """

    seed: int = 0
    held_out: float = 0.3
    samples: int = 8
    sample_temperature: float = 0.7
    answer_tokens: int = 32
    most_answers: int = 4
    sampling_batch: int = 256
    question_tokens: int = 128
    paragraph_tokens: int = 300
    supervised_epochs: int = 3
    supervised_rate: float = 5e-6
    supervised_batch: int = 32
    reward_steps: int = 1500
    reward_rate: float = 1e-5
    reward_batch: int = 512
    accumulation: int = 16
    generations: int = 4
    reward_temperature: float = 0.7
    kl_weight: float = 0.1
    warmup_steps: int = 10
    save_steps: int = 50
    evaluation_temperature: float = 0.3

    def __post_init__(self) -> None:
        for member in fields(self):
            value = getattr(self, member.name)
            least = 0 if member.name in ("seed", "warmup_steps", "kl_weight", "evaluation_temperature") else None
            if not math.isfinite(value) or value < 0 or (least is None and value <= 0):
                raise TrainingError(f"the setting {member.name} must be a positive number, not {value}")
        if self.generations < 2:
            raise TrainingError("generations must be 2 or more: the baseline of a paragraph is the mean of its siblings")
        if self.reward_batch % self.accumulation:
            raise TrainingError("reward_batch must be a multiple of accumulation")

    def changed(self, **members: Any) -> Settings:
        """The same with some members replaced."""
        return replace(self, **members)


WORLD_SETTINGS = Settings(
    samples=10,
    sample_temperature=1.0,
    answer_tokens=9,
    most_answers=2,
    paragraph_tokens=20,
    question_tokens=16,
    supervised_epochs=12,
    supervised_rate=8e-4,
    supervised_batch=64,
    reward_steps=240,
    reward_rate=8e-4,
    reward_batch=128,
    accumulation=1,
    generations=4,
    reward_temperature=1.2,
    kl_weight=0.05,
)
