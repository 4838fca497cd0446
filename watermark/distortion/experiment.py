"""The experiment behind a distortion report: what to sample, in which order, with progress and cancellation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from watermark.distortion.report import DistortionReport, Samples, Text, assess
from watermark.distortion.tests_of_change import integral_transform
from watermark.errors import AttackError, CancelledError

MAX_PROMPTS = 10_000
Progress = Callable[[float, str], None]


class Sampler(Protocol):
    """A model with and without its mark. Seeds make every sample fresh and repeatable."""

    def next_tokens(self, prompts: int, seed: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]] | None:
        """The next-token distributions (prompts x vocabulary) that the sampling uses, and one marked token a prompt, every one
        under a fresh key. None where the model does not tell its distributions."""
        ...

    def marked(self, prompts: int, seed: int, fresh_keys: bool) -> list[Text]:
        """One marked text a prompt; a fresh key for each, or the audited key for all."""
        ...

    def plain(self, prompts: int, seed: int) -> list[Text]:
        """One unmarked text a prompt."""
        ...


@dataclass(frozen=True)
class Plan:
    """Sizes of an experiment. `repeats` answers of each kind to each of `repeated_prompts` prompts."""

    label: str
    token_prompts: int = 2000
    text_prompts: int = 64
    repeated_prompts: int = 8
    repeats: int = 8
    limit: int = 64
    alpha: float = 0.01
    runs: int = 1999
    seed: int = 0


def run_distortion(
    sampler: Sampler, plan: Plan, progress: Progress | None = None, cancelled: Callable[[], bool] | None = None
) -> DistortionReport:
    """Sample and test. Raises AttackError for sizes out of range, CancelledError soon after `cancelled()` turns true."""
    sizes = (plan.token_prompts, plan.text_prompts, plan.repeated_prompts * max(plan.repeats, 1))
    if max(sizes) > MAX_PROMPTS or min(sizes) < 0 or (plan.repeated_prompts and plan.repeats < 2):
        raise AttackError(f"a distortion experiment takes 0 to {MAX_PROMPTS} prompts of a kind, and at least 2 repeats")
    say = progress or (lambda fraction, message: None)

    def step(fraction: float, message: str) -> None:
        if cancelled is not None and cancelled():
            raise CancelledError("the distortion experiment was cancelled")
        say(fraction, message)

    step(0.0, "next tokens under fresh keys")
    found = sampler.next_tokens(plan.token_prompts, plan.seed) if plan.token_prompts else None
    transform = () if found is None else tuple(integral_transform(*found, np.random.default_rng([plan.seed, 9])).tolist())
    step(0.2, "texts under fresh keys")
    marked = sampler.marked(plan.text_prompts, plan.seed + 1, True) if plan.text_prompts else []
    step(0.45, "texts without the mark")
    plain = sampler.plain(plan.text_prompts, plan.seed + 2) if plan.text_prompts else []
    rounds: list[tuple[list[Text], list[Text]]] = []
    for repeat in range(plan.repeats if plan.repeated_prompts else 0):
        step(0.6 + 0.35 * repeat / plan.repeats, f"the same prompts again under one key, {repeat + 1} of {plan.repeats}")
        seed = plan.seed + 1000 + 2 * repeat
        rounds.append((sampler.marked(plan.repeated_prompts, seed, False), sampler.plain(plan.repeated_prompts, seed + 1)))
    answers = tuple(
        (tuple(marked[i] for marked, _ in rounds), tuple(plain[i] for _, plain in rounds)) for i in range(plan.repeated_prompts)
    )
    step(0.95, "testing")
    return assess(
        Samples(transform, tuple(zip(marked, plain)), answers, plan.limit), plan.label, plan.alpha, plan.runs, plan.seed
    )
