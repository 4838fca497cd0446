"""Tuning of a soft prompt (ProPILE, arXiv 2307.01881, section 4): AdamW on theta alone, the model's weights fixed.

Deviations: a share of the training subjects is held back and decides when to stop, and which theta is kept; the rate is given in
units of the root mean square of the initial embeddings, so that one default serves models of any scale. Every batch follows
from the seed and the step alone, so that a tuning that was cut off goes on exactly where it was.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np

from privacy.errors import ModelAccessError, PlanError, ProbeCancelledError
from privacy.probes.model import Cancelled, Progress
from privacy.probes.white_box.model import Example, Soft, WhiteBoxModel

MAX_SOFT_TOKENS, MAX_STEPS, MAX_BATCH = 512, 100_000, 4096
INITIAL_TEXT = "The following entries of a directory name people, their telephone numbers, e-mail addresses and where they live."
_BETAS, _EPSILON, _WEIGHT_DECAY = (0.9, 0.99), 1e-8, 0.01
_WARM_UP = 0.05


@dataclass(frozen=True)
class Tuning:
    """How a soft prompt is tuned. `rate`: the peak of the learning rate, in root mean squares of the initial embeddings.

    The loss on the validation subjects is taken every `check_every` steps; after `patience` checks without a new best one the
    tuning stops. Raises PlanError.
    """

    soft_tokens: int = 20
    steps: int = 400
    rate: float = 0.1
    batch: int = 16
    validation_share: float = 0.2
    check_every: int = 20
    patience: int = 6
    checkpoint_every: int = 100
    seed: int = 0
    initial_text: str = INITIAL_TEXT

    def __post_init__(self) -> None:
        for name, most in (("soft_tokens", MAX_SOFT_TOKENS), ("steps", MAX_STEPS), ("batch", MAX_BATCH)):
            if not 1 <= getattr(self, name) <= most:
                raise PlanError(f"{name} lies between 1 and {most}, not {getattr(self, name)}")
        if not 0 < self.rate < math.inf or not 0 < self.validation_share <= 0.5:
            raise PlanError("the rate is a positive number, the validation share above 0 and at most 0.5")
        if min(self.check_every, self.patience, self.checkpoint_every) < 1 or self.seed < 0:
            raise PlanError("check_every, patience and checkpoint_every are at least 1, the seed is not negative")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class LossCurve:
    """Mean losses (nats a value) of many subjects: of the training batches between checks, and of the validation subjects.

    Told are shares of the first validation loss, in tenths. Whoever has the model and knows the other subjects' values (he may
    have signed for them himself) could take a loss apart, and find by trying whose value it needs.
    """

    steps: tuple[int, ...] = ()
    training: tuple[float, ...] = ()
    validation: tuple[float, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "steps": list(self.steps),
            "training": self._shares(self.training),
            "validation": self._shares(self.validation),
        }

    def _shares(self, losses: Sequence[float]) -> list[float]:
        first = self.validation[0] if self.validation else 0.0
        return [round(loss / first, 1) if first > 0 else 1.0 for loss in losses]


@dataclass
class TuningState:
    """All that a tuning needs to go on after `step` steps. Arrays are L_s x d; none of it is text."""

    soft: Soft = field(repr=False)
    first: Soft = field(repr=False)
    second: Soft = field(repr=False)
    best: Soft = field(repr=False)
    step: int = 0
    best_step: int = 0
    best_loss: float = math.inf
    stale: int = 0
    running: tuple[float, ...] = ()
    curve: LossCurve = LossCurve()

    @classmethod
    def start(cls, initial: Soft) -> TuningState:
        zero = np.zeros_like(initial)
        return cls(initial.copy(), zero, zero.copy(), initial.copy())


class StateKeeper(Protocol):
    """Where the state of a tuning is kept between checks."""

    def load(self) -> TuningState | None: ...

    def save(self, state: TuningState) -> None: ...


def initial_prompt(model: WhiteBoxModel, tuning: Tuning) -> Soft:
    """Embeddings of the first L_s tokens of the initial text, which is repeated as needed. Raises PlanError, ModelAccessError."""
    ids = model.tokenize(tuning.initial_text)
    if not ids:
        raise PlanError("the initial text of a soft prompt has no tokens")
    soft = np.asarray(model.embed([ids[i % len(ids)] for i in range(tuning.soft_tokens)]), dtype=np.float32)
    if soft.ndim != 2 or soft.shape[0] != tuning.soft_tokens or not np.isfinite(soft).all() or not soft.any():
        raise ModelAccessError("the model gives no usable embeddings of its tokens")
    return soft


def split_examples(examples: Sequence[Example], tuning: Tuning) -> tuple[list[Example], list[Example]]:
    """Examples of the training subjects and of the validation subjects, by the seed. Raises PlanError below two of either."""
    subjects = sorted({example.subject for example in examples})
    order = np.random.default_rng([tuning.seed, 1]).permutation(len(subjects))
    held = max(2, round(tuning.validation_share * len(subjects)))
    if len(subjects) - held < 2:
        raise PlanError(f"{len(subjects)} subjects are too few to tune on some and validate on others")
    back = {subjects[i] for i in order[:held]}
    return [e for e in examples if e.subject not in back], [e for e in examples if e.subject in back]


def tune(
    model: WhiteBoxModel,
    examples: Sequence[Example],
    tuning: Tuning,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
    keeper: StateKeeper | None = None,
) -> tuple[Soft, LossCurve, int]:
    """The soft prompt with the least validation loss, the losses on the way, and the step at which it was reached.

    The initial prompt takes part: what never improves on it is returned unchanged. Raises PlanError, ModelAccessError where a
    loss is not finite, ProbeCancelledError after the state was kept.
    """  # fmt: skip
    training, validation = split_examples(examples, tuning)
    initial = initial_prompt(model, tuning)
    state = (keeper.load() if keeper is not None else None) or TuningState.start(initial)
    if state.soft.shape != initial.shape:
        raise PlanError("the kept state of this tuning is of another shape; start in an empty folder")
    scale = float(np.sqrt(np.mean(np.square(initial, dtype=np.float64))))
    if state.step == 0 and not state.curve.steps:
        _check(state, _finite(model.prompted_loss(state.soft, validation)))
    while state.step < tuning.steps and state.stale < tuning.patience:
        if cancelled is not None and cancelled():
            if keeper is not None:
                keeper.save(state)
            raise ProbeCancelledError(f"tuning was cancelled after {state.step} of {tuning.steps} steps")
        loss, gradient = model.prompted_gradient(state.soft, _batch(training, tuning, state.step))
        _step(state, gradient, scale * tuning.rate * _schedule(state.step, tuning.steps))
        state.step += 1
        state.running = (*state.running, _finite(loss))
        if state.step % tuning.check_every == 0 or state.step == tuning.steps:
            _check(state, _finite(model.prompted_loss(state.soft, validation)))
            if progress is not None:
                progress(state.step / tuning.steps, f"tuned {state.step} of {tuning.steps} steps")
        if keeper is not None and state.step % tuning.checkpoint_every == 0:
            keeper.save(state)
    if keeper is not None:
        keeper.save(state)
    return state.best, state.curve, state.best_step


def _batch(examples: Sequence[Example], tuning: Tuning, step: int) -> list[Example]:
    rng = np.random.default_rng([tuning.seed, 2, step])
    size = min(tuning.batch, len(examples))
    return [examples[i] for i in rng.choice(len(examples), size, replace=False)]


def _schedule(step: int, steps: int) -> float:
    """Warm-up over 5 % of the steps, then a cosine down to a tenth."""
    warm = max(1, round(_WARM_UP * steps))
    if step < warm:
        return (step + 1) / warm
    return 0.55 + 0.45 * math.cos(math.pi * (step - warm) / max(1, steps - warm))


def _step(state: TuningState, gradient: Soft, rate: float) -> None:
    """One step of AdamW (Loshchilov & Hutter, arXiv 1711.05101), the gradient clipped to norm 1."""
    grad = np.asarray(gradient, dtype=np.float32)
    norm = float(np.linalg.norm(grad))
    if grad.shape != state.soft.shape or not math.isfinite(norm):
        raise ModelAccessError("the gradient of a soft prompt is of the wrong shape or not finite; try another dtype (float32)")
    grad = np.asarray(grad / max(1.0, norm), dtype=np.float32)
    b1, b2 = _BETAS
    state.first = np.asarray(b1 * state.first + (1 - b1) * grad, dtype=np.float32)
    state.second = np.asarray(b2 * state.second + (1 - b2) * np.square(grad), dtype=np.float32)
    count = state.step + 1
    move = (state.first / (1 - b1**count)) / (np.sqrt(state.second / (1 - b2**count)) + _EPSILON)
    state.soft = np.asarray(state.soft * (1 - rate * _WEIGHT_DECAY) - rate * move, dtype=np.float32)


def _check(state: TuningState, loss: float) -> None:
    """One validation loss: into the curve, and the best theta kept."""
    trained = float(np.mean(state.running)) if state.running else loss
    curve = state.curve
    state.curve = LossCurve((*curve.steps, state.step), (*curve.training, trained), (*curve.validation, loss))
    state.running = ()
    if loss < state.best_loss:
        state.best, state.best_loss, state.best_step, state.stale = state.soft.copy(), loss, state.step, 0
    else:
        state.stale += 1


def _finite(loss: float) -> float:
    if not math.isfinite(loss):
        raise ModelAccessError("the loss of a soft prompt is not finite; try another dtype (float32) or a lower rate")
    return float(loss)


def curve_from(record: Mapping[str, Any]) -> LossCurve:
    """The inverse of the curve's plain fields."""
    return LossCurve(*(tuple(record[name]) for name in ("steps", "training", "validation")))
