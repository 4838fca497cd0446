"""Spoofing: an unmarked model writes with the stolen boosts on its logits, so that its text is taken for the marked model's."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from watermark.attacks.protocol import Tokens
from watermark.attacks.stealing.protocol import NextLogits, Stolen
from watermark.attacks.stealing.writing import write_texts
from watermark.errors import AttackError

# The source of the boosts (eth-sri/watermark-stealing) adds 7.5 to 10 times the mean boost; a call by a fixed list is a boost
# of 1.
DEFAULT_STRENGTH = 5.0


def spoof(
    next_logits: NextLogits,
    stolen: Stolen | None,
    prompts: Sequence[Tokens],
    length: int,
    rng: np.random.Generator,
    strength: float = DEFAULT_STRENGTH,
    cancelled: Callable[[], bool] | None = None,
) -> list[Tokens]:
    """Write `length` tokens after each prompt with `strength` times the boost on the logits; `stolen` None is the control.

    Raises AttackError, CancelledError.
    """
    if not math.isfinite(strength) or abs(strength) > 100:
        raise AttackError("the strength of a spoof is a number between -100 and 100")
    if stolen is None:
        return write_texts(next_logits, prompts, length, rng, None, cancelled=cancelled)

    def add(contexts: Sequence[Tokens]) -> npt.NDArray[np.float32]:
        return np.float32(strength) * stolen.boosts(contexts)

    return write_texts(next_logits, prompts, length, rng, add, cancelled=cancelled)
