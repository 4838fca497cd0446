"""Context-hashed Gumbel sampling as vLLM does it: argmax over v of logit_v - log(-log u_v), u from the last output tokens.

Computed as the argmin of -log(u_v) / p_v, in double precision: apart from near ties the same token.

A context that came before in the same text is sampled without the mark where the configuration counts every context once;
otherwise it would force the same token again, and texts would loop. Source: vllm/v1/watermarking/gumbel.py and gpu_sampler.py
(`deduplicate_contexts` "single_turn").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from watermark.generation.marks import Ints, draw_from, only, row_generator, softmax_on_cpu
from watermark.kernels.embedding import Floats, least_arrival
from watermark.schemes.gumbel_config import GumbelConfig


@dataclass
class GumbelRow:
    """The coins that choose between two keys and draw what is not keyed, and the contexts of this text so far."""

    coins: np.random.Generator
    seen: set[bytes] = field(default_factory=set)


class GumbelWriter:
    """Single key, or two of which the second is used with probability alpha."""

    reads_prompt, final, vocab_size = False, True, None

    def __init__(self, config: GumbelConfig) -> None:
        self.config, self.width = config, config.context_width

    def start(self, seed: int) -> GumbelRow:
        return GumbelRow(row_generator(seed, 1))

    def step(self, rows: Sequence[GumbelRow], contexts: Ints, written: Ints, scores: torch.Tensor) -> torch.Tensor:
        keyed, chosen = self._choose(rows, contexts, softmax_on_cpu(scores))
        picked = torch.from_numpy(chosen).to(scores.device)
        if len(keyed) == len(rows):
            return only(scores, picked)
        out = scores.clone()
        out[keyed] = only(scores[keyed], picked)
        return out

    def draw(self, rows: Sequence[GumbelRow], contexts: Ints, written: Ints, scores: torch.Tensor) -> Ints:
        probabilities = softmax_on_cpu(scores)
        keyed, chosen = self._choose(rows, contexts, probabilities)
        if len(keyed) == len(rows):
            return chosen
        tokens = draw_from(scores, np.array([row.coins.random() for row in rows]))
        tokens[keyed] = chosen
        return tokens

    def _choose(self, rows: Sequence[GumbelRow], contexts: Ints, probabilities: Floats) -> tuple[list[int], Ints]:
        """Which rows are keyed in this step, and their tokens."""
        keyed = [i for i, row in enumerate(rows) if self._is_keyed(row, contexts[i].tobytes())]
        if not keyed:
            return keyed, np.zeros(0, dtype=np.int64)
        keys = [self._key(rows[i]) for i in keyed]
        if len(keyed) == len(rows):
            return keyed, least_arrival(probabilities, contexts, keys)
        return keyed, least_arrival(probabilities[keyed], contexts[keyed], keys)

    def _is_keyed(self, row: GumbelRow, context: bytes) -> bool:
        if not self.config.deduplicate_contexts:
            return True
        known = len(row.seen)
        row.seen.add(context)
        return len(row.seen) > known

    def _key(self, row: GumbelRow) -> int:
        second = self.config.alpha is not None and row.coins.random() < self.config.alpha
        return self.config.keys[1] if second else self.config.keys[0]
