"""Configurations of vLLM's context-hashed Gumbel watermark, single and dual key, and the uniforms they give.

Generation draws argmax_v (logit_v - log(-log u_v)) with u of the last `context_width` output tokens (-1 before the text), the
dual key scheme with key B where a coin of bias `alpha` says so and with key A otherwise. Source: vllm/v1/watermarking
@ a6d669adc4b8 (golden values: `vllm_gumbel`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from watermark.errors import ConfigError
from watermark.families import MAX_VOCABULARY
from watermark.primitives import philox

MAX_CONTEXT_WIDTH = 64
SINGLE, DUAL = "gumbel", "dual_key_gumbel"
DEFAULTS: dict[str, Any] = {"context_width": 4, "deduplicate_contexts": True, "p_value_threshold": 0.01}
DEFAULT_DUAL_ALPHA = 0.1


@dataclass(frozen=True)
class GumbelConfig:
    """`keys` are the 64-bit PRF keys: one, or those derived as A and B. `weights` are their shares in the score."""

    scheme: str
    keys: tuple[int, ...] = field(repr=False)
    context_width: int
    deduplicate_contexts: bool
    p_value_threshold: float
    alpha: float | None = None
    vocab_size: int | None = None

    @property
    def weights(self) -> tuple[float, ...]:
        return (1.0,) if self.alpha is None else (1.0 - self.alpha, self.alpha)

    def contexts(self, tokens: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """(n, context_width): what precedes each token, -1 before the text."""
        padded = np.concatenate([np.full(self.context_width, -1, dtype=np.int64), tokens])
        return np.lib.stride_tricks.sliding_window_view(padded, self.context_width)[: tokens.size]

    def uniforms(self, contexts: npt.NDArray[np.int64], tokens: npt.NDArray[np.int64], which: int = 0) -> npt.NDArray[np.float32]:
        """u of each (context, token) under key number `which`: `contexts` (n, context_width), `tokens` (n,)."""
        return philox.uniforms(contexts, tokens, self.keys[which])

    def row(self, context: npt.NDArray[np.int64], vocab_size: int, which: int = 0) -> npt.NDArray[np.float32]:
        """u of every token of the vocabulary after one context (context_width,), under key number `which`."""
        return philox.vocabulary_uniforms(context, vocab_size, self.keys[which])


def dual_keys(key: int) -> tuple[int, int]:
    """Keys A and B of a base key: the first 8 bytes, big endian, of SHA-256(b"key_a" or b"key_b", key as 8 bytes)."""
    first, second = (
        int.from_bytes(hashlib.sha256(domain + key.to_bytes(8, "big")).digest()[:8], "big") for domain in (b"key_a", b"key_b")
    )
    return first, second


def read_config(config: Mapping[str, Any]) -> GumbelConfig:
    """Check a configuration as `data/watermark` writes it. Raises ConfigError naming the member at fault."""
    known = {"scheme", "key", *DEFAULTS, "alpha", "vocab_size"}
    for name in config:
        if name not in known:
            raise ConfigError(f"config member {str(name)[:40]!r} is unknown; known: {', '.join(sorted(known))}")
    scheme = config.get("scheme", SINGLE)
    if scheme not in (SINGLE, DUAL):
        raise ConfigError(f"scheme must be {SINGLE!r} or {DUAL!r}, not {str(scheme)[:40]!r}")
    key = config.get("key")
    if type(key) is not int or not 0 <= key < 1 << 64:
        raise ConfigError("key must be an integer from 0 to 2^64 - 1")
    values = {**DEFAULTS, **config}
    if type(values["deduplicate_contexts"]) is not bool:
        raise ConfigError("deduplicate_contexts must be true or false")
    alpha = None
    if scheme == DUAL:
        alpha = _fraction("alpha", config.get("alpha", DEFAULT_DUAL_ALPHA))
    elif config.get("alpha") is not None:
        raise ConfigError(f"alpha belongs to {DUAL!r} only")
    size = config.get("vocab_size")
    return GumbelConfig(
        scheme=scheme,
        keys=(key,) if alpha is None else dual_keys(key),
        context_width=_integer("context_width", values["context_width"], MAX_CONTEXT_WIDTH),
        deduplicate_contexts=values["deduplicate_contexts"],
        p_value_threshold=_fraction("p_value_threshold", values["p_value_threshold"]),
        alpha=alpha,
        vocab_size=None if size is None else _integer("vocab_size", size, MAX_VOCABULARY),
    )


def _integer(name: str, value: Any, limit: int) -> int:
    if type(value) is not int or not 1 <= value <= limit:
        raise ConfigError(f"{name} must be an integer from 1 to {limit}, not {str(value)[:40]!r}")
    return value


def _fraction(name: str, value: Any) -> float:
    if type(value) not in (int, float) or not 0 <= value <= 1:
        raise ConfigError(f"{name} must be a number from 0 to 1, not {str(value)[:40]!r}")
    return float(value)
