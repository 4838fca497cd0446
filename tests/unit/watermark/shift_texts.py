"""Texts with a shift-keyed mark from a synthetic language model, and without one."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from watermark.schemes.shift_keyed import ShiftScheme
from watermark.schemes.shift_keys import ExpKey, ItsKey

Ints = npt.NDArray[np.int64]
VOCABULARY = 1000


def logits(rng: np.random.Generator, sigma: float) -> npt.NDArray[np.float64]:
    """Gaussian logits: with 1,000 tokens, sigma 3.3 gives about 3.0 nats a token, 3.0 about 3.4, 2.5 about 4.1."""
    return rng.normal(0.0, sigma, VOCABULARY)


def marked_text(scheme: ShiftScheme, length: int, seed: int, sigma: float = 3.0) -> Ints:
    """A text of the scheme's own key from a random offset."""
    rng = np.random.default_rng(seed)
    key: Any = scheme.key
    matrix = key.matrix() if isinstance(key, ExpKey) else None
    offset, out = int(rng.integers(scheme.config.n)), []
    for i in range(length):
        scores = logits(rng, sigma)
        p = np.exp(scores - scores.max())
        p /= p.sum()
        row = (offset + i) % scheme.config.n
        if matrix is not None:
            out.append(int(np.argmax(np.log(np.maximum(matrix[row], 1e-30)) / p)))
        else:
            assert isinstance(key, ItsKey)
            place = int(np.searchsorted(np.cumsum(p[key.order]), key.xi[row]))
            out.append(int(key.order[min(place, VOCABULARY - 1)]))
    return np.array(out)


def substitute(tokens: Ints, rate: float, seed: int) -> Ints:
    """Every token replaced with probability `rate` by a uniform one."""
    rng = np.random.default_rng(seed)
    return np.where(rng.random(len(tokens)) < rate, rng.integers(0, VOCABULARY, len(tokens)), tokens)
