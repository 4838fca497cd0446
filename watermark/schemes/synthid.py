"""SynthID-Text scores as transformers and google-deepmind/synthid-text compute them, with a p-value they lack.

Reference: `SynthIDTextWatermarkLogitsProcessor` (transformers 5.23.0), the same hashing as google-deepmind/synthid-text addb4a1;
mean and weighted mean as in that repository (Dathathri et al., Nature 634, 2024). Not the hashing of the Gemini application.

g(n-gram, depth) = table[((h + k) a + 1 mod 2^64) mod N], h a linear congruential hash of the n-gram, k the key of the depth. For
N a power of two the index is (a h + 1) + a k mod N: a key is a shift of a fixed table and has log2 N bits. That gives an exact
null (`watermark.nulls.key_shift`) under the assumption that the keys are drawn independently and uniformly modulo N. The
g-values of a text are in truth not independent coins: n-grams that agree modulo N get the same ones at every depth.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from watermark.detection import MIN_SCORED, Detection, DetectOptions, Span, TokenScore
from watermark.detectors.score_spans import find_spans
from watermark.errors import ConfigError, TokenError
from watermark.nulls.key_shift import log_tail_over_shifts, scores_of_all_shifts
from watermark.primitives import mersenne
from watermark.primitives.synthid_hash import MULTIPLIER, UInts, accumulate
from watermark.schemes.synthid_config import DEFAULTS, SynthIDConfig, read_config

DIALECT_ID = "synthid-text/transformers@5.23.0"
DEFAULT_DEPTH = 30
MAX_G_VALUES = 1 << 28
DEFAULT_NGRAM = 5
# Mean lift of g over 1/2 at depth d (from 0) for tokens of TYPICAL_ENTROPY_NATS: measured on synthetic Gaussian logits.
_LIFT, _LIFT_DECAY = 0.14, 22.0


def depth_weights(depth: int) -> npt.NDArray[np.float64]:
    """The reference's weights of the weighted mean: from 10 down to 1, scaled to a mean of 1."""
    weights = np.linspace(10, 1, depth)
    return weights * (depth / weights.sum())


class SynthIDScheme:
    """One configuration with its keys."""

    def __init__(self, config: SynthIDConfig) -> None:
        self.config = config
        self._keys = np.array([key & (1 << 64) - 1 for key in config.keys], dtype=np.uint64)

    @cached_property
    def table(self) -> npt.NDArray[np.uint8]:
        """`torch.randint(0, 2, (N,))` of the CPU generator: the low bit of one word each."""
        state = mersenne.generator(self.config.sampling_table_seed)
        return (mersenne.words(state, self.config.sampling_table_size) & np.uint32(1)).astype(np.uint8)

    def hashes(self, tokens: npt.NDArray[np.int64]) -> tuple[UInts, UInts]:
        """The hash of each n-gram's context and of the n-gram itself: (len - ngram_len + 1,) each."""
        width = self.config.ngram_len
        count = tokens.size - width + 1
        data = tokens.view(np.uint64)
        state = np.ones(count, dtype=np.uint64)
        context = state
        for i in range(width):
            context = state
            state = accumulate(state, data[i : i + count])
        return context, state

    def sample(self, hashed: UInts) -> npt.NDArray[np.uint8]:
        """g-values (n, depth) of hashed n-grams."""
        g = np.empty((hashed.size, self._keys.size), dtype=np.uint8)
        for depth, key in enumerate(self._keys):
            keys = accumulate(hashed, key).view(np.int64)
            g[:, depth] = self.table[keys % np.int64(self.config.sampling_table_size)]
        return g

    def row(self, context: npt.NDArray[np.int64], vocab_size: int) -> npt.NDArray[np.uint8]:
        """g-values (vocab_size, depth) of every continuation of one context of ngram_len - 1 tokens (zeros before the text)."""
        state = np.ones(1, dtype=np.uint64)
        for token in context.astype(np.uint64):
            state = accumulate(state, token)
        return self.sample(accumulate(state, np.arange(vocab_size, dtype=np.uint64)))

    def masks(self, tokens: npt.NDArray[np.int64], context_hashes: UInts) -> npt.NDArray[np.bool_]:
        """Which n-grams count: the context did not occur among the last `context_history_size` ones, no EOS before the end."""
        history = self.config.context_history_size
        index = np.arange(context_hashes.size)
        order = np.argsort(context_hashes, kind="stable")
        same = context_hashes[order[1:]] == context_hashes[order[:-1]]
        previous = np.full(index.size, -history - 1)
        previous[order[1:][same]] = order[:-1][same]
        mask = index - previous > history
        mask &= ~((context_hashes == 0) & (index < history))  # the history starts as zeros
        if self.config.eos_token_id is not None:
            ends = np.flatnonzero(tokens == self.config.eos_token_id)
            if ends.size:
                mask &= index + self.config.ngram_len - 1 < ends[0]
        return mask

    def hazards(self) -> tuple[str, ...]:
        size, keys = self.config.sampling_table_size, self.config.keys
        found = [f"keys count modulo {size} only, {math.log2(size):.0f} bits a depth: this hashing resists no search"]
        if max(keys) < 1 << 16 and min(keys) >= 0:
            found.append("all keys are below 2^16: the p-value supposes keys drawn uniformly; draw 64 random bits each")
        if len({key % size for key in keys}) < len(keys):
            found.append("some depths have the same key modulo the table size; they count once")
        if self.config.debug_mode:
            found.append("debug_mode makes generation ignore the model")
        return tuple(found)

    def detect(self, tokens: npt.NDArray[np.int64], options: DetectOptions) -> Detection:
        """Test one text. Without a complete n-gram there is no p-value. Raises TokenError above MAX_G_VALUES."""
        config = self.config
        base = Detection(
            scheme="synthid",
            dialect=DIALECT_ID,
            num_tokens=tokens.size,
            num_tokens_scored=0,
            alpha=options.alpha,
            log_p=None,
            test={"method": "none", "ngrams": 0},
            num_distinct=0,
            sufficient_tokens=_sufficient(len(config.keys), options.alpha),
        )
        if tokens.size * len(config.keys) > MAX_G_VALUES:
            raise TokenError(
                f"{tokens.size} tokens at {len(config.keys)} depths are more than {MAX_G_VALUES} g-values; split the text"
            )
        if tokens.size < config.ngram_len:
            return base.with_warnings(f"no complete {config.ngram_len}-gram")
        contexts, hashed = self.hashes(tokens)
        mask = self.masks(tokens, contexts)
        if not mask.any():
            return base.with_warnings("no n-gram is left after the masks")
        g = self.sample(hashed)
        by_depth = g[mask].mean(axis=0)
        counted = np.zeros(mask.size, dtype=np.bool_)
        scored = np.flatnonzero(mask)
        counted[scored[np.unique(hashed[mask], return_index=True)[1]]] = True
        found = replace(
            base,
            num_tokens_scored=int(mask.sum()),
            num_distinct=int(counted.sum()),
            statistic=float(by_depth.mean()),
            details={"weighted_mean": float((by_depth * depth_weights(g.shape[1])).mean())},
            tokens=_token_scores(tokens.size, g, counted, config.ngram_len) if options.tokens else (),
        )
        if config.sampling_table_size & (config.sampling_table_size - 1):
            return found.with_warnings("no p-value: sampling_table_size is not a power of two, so a key is no shift of the table")
        return self._tested(found, hashed, g, counted, options)

    def _tested(
        self, found: Detection, hashed: UInts, g: npt.NDArray[np.uint8], counted: npt.NDArray[np.bool_], options: DetectOptions
    ) -> Detection:
        size = self.config.sampling_table_size
        depths = np.unique([key % size for key in self.config.keys], return_index=True)[1]
        depths.sort()
        weights = np.rint(np.linspace(10, 1, len(self.config.keys))).astype(np.int64)[depths]
        index = np.flatnonzero(counted)
        residues = (hashed[index] * MULTIPLIER % np.uint64(size)).astype(np.int64)
        kept = g[index][:, depths]
        table = self.table.astype(np.float64)

        def tail(start: int, end: int) -> tuple[float, int]:
            null = scores_of_all_shifts(residues[start:end], table)
            return log_tail_over_shifts(null, kept[start:end].sum(axis=0, dtype=np.int64), weights)

        log_p, step = tail(0, index.size)
        test = {
            "method": "key-shift",
            "ngrams": index.size,
            "depths": depths.tolist(),
            "weights": weights.tolist(),
            "ones": kept.sum(axis=0, dtype=np.int64).tolist(),
            "coarsening": step,
        }
        spans: tuple[Span, ...] = ()
        if options.spans:
            rate = float(table.mean())
            spread = math.sqrt(float((weights**2).sum()) * rate * (1 - rate)) or 1.0
            scores = 1 + (_weighted(kept, weights) - rate * float(weights.sum())) / spread
            spans = find_spans(scores, index, lambda a, b: tail(a, b)[0], options.alpha)
            spans = tuple(Span(span.start, span.end + self.config.ngram_len - 1, span.p_value) for span in spans)
        return replace(found, log_p=log_p, test=test, spans=spans)


def _weighted(g: npt.NDArray[np.uint8], weights: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """The weighted sum over depths of each n-gram, depth by depth: long texts have many g-values."""
    total = np.zeros(g.shape[0])
    for depth, weight in enumerate(weights.tolist()):
        total += weight * g[:, depth]
    return total


def _token_scores(
    num_tokens: int, g: npt.NDArray[np.uint8], counted: npt.NDArray[np.bool_], ngram_len: int
) -> tuple[TokenScore, ...]:
    """Mean g of the n-gram that ends at each token; the first ngram_len - 1 tokens end none."""
    means = (_weighted(g, depth_weights(g.shape[1])) / g.shape[1]).tolist()
    head = [TokenScore(i, 0.0, None, False) for i in range(min(ngram_len - 1, num_tokens))]
    seen = counted.tolist()
    return (*head, *(TokenScore(i + ngram_len - 1, mean, None, seen[i]) for i, mean in enumerate(means)))


def _sufficient(depth: int, alpha: float) -> int:
    """n-grams for power 0.8 at `alpha` by the normal approximation, one-sided."""
    weights = depth_weights(depth)
    lift = float((weights * _LIFT * np.exp(-np.arange(depth) / _LIFT_DECAY)).sum())
    spread = math.sqrt(float((weights**2).sum()) / 4)
    z_alpha = math.sqrt(max(0.0, -2 * math.log(2 * alpha)))  # above the normal quantile
    return max(MIN_SCORED, math.ceil(((z_alpha + 0.8416) * spread / lift) ** 2))


class SynthIDDialect:
    """SynthID-Text with the open hashing."""

    id = DIALECT_ID
    defects: tuple[str, ...] = (
        "the reference has scores and no p-value; its thresholds come from trained detectors",
        "a key enters modulo the table size only: 16 bits a depth, and n-grams that agree there share all their g-values",
    )

    def open(self, config: Mapping[str, Any]) -> SynthIDScheme:
        return SynthIDScheme(read_config(config))

    def new_config(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """`depth` (default 30) says how many keys are drawn; the other options are members of the configuration."""
        if "keys" in options:
            raise ConfigError("a new configuration draws its own keys; leave keys out and give depth")
        given = dict(options)
        depth = given.pop("depth", DEFAULT_DEPTH)
        if type(depth) is not int or depth < 1:
            raise ConfigError("depth must be a positive integer")
        config = {"ngram_len": DEFAULT_NGRAM, **DEFAULTS, **given}
        config["keys"] = [secrets.randbits(63) for _ in range(min(depth, 1 << 12))]
        read_config(config)
        return config

    def secrets(self) -> tuple[str, ...]:
        return ("keys",)


DIALECT = SynthIDDialect()
