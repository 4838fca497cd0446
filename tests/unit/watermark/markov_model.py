"""A model to write with where none is at hand: Gaussian logits that follow from the last token."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

VOCABULARY = 512


@cache
def chain(spread: float = 2.5) -> torch.Tensor:
    """Logits (V x V), about 3 nats a token."""
    return spread * torch.randn(VOCABULARY, VOCABULARY, generator=torch.Generator().manual_seed(1))


def write(
    mark: Any, length: int, rows: int = 4, seed: int = 0, prompt: int = 5, filters: Callable[[Any], Any] | None = None
) -> npt.NDArray[np.int64]:
    """Texts (rows x length) without their prompts; `mark` None writes without one."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(VOCABULARY, (rows, prompt), generator=generator)
    processor = None if mark is None else mark.logits_processor(prompt, [1000 * seed + row for row in range(rows)])
    for _ in range(length):
        scores = chain()[ids[:, -1]]
        if filters is not None:
            scores = filters(scores)
        if processor is not None:
            scores = processor(ids, scores)
        drawn = torch.multinomial(torch.softmax(scores, dim=1), 1, generator=generator)
        ids = torch.cat([ids, drawn], dim=1)
    return ids[:, prompt:].numpy()
