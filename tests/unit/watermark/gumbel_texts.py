"""Texts marked with vLLM's Gumbel watermark from a synthetic model: Gaussian logits, about 2.5 nats a token at the default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from watermark.schemes.gumbel_config import read_config


def gumbel_text(config: Mapping[str, Any], length: int, seed: int, vocab: int = 500, sigma: float = 3.0) -> npt.NDArray[np.int64]:
    """`length` tokens; contexts that occurred before are sampled unmarked, as vLLM does with deduplication."""
    checked = read_config(config)
    rng = np.random.default_rng(seed)
    text = [-1] * checked.context_width
    seen: set[tuple[int, ...]] = set()
    for _ in range(length):
        logits = sigma * rng.standard_normal(vocab)
        context = tuple(text[-checked.context_width :])
        if context in seen:
            u = rng.random(vocab)
        else:
            which = int(checked.alpha is not None and rng.random() < checked.alpha)
            u = checked.row(np.array(context), vocab, which).astype(np.float64)
        seen.add(context)
        text.append(int(np.argmax(logits - np.log(-np.log(u)))))
    return np.array(text[checked.context_width :], dtype=np.int64)
