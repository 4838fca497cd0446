"""The shift-keyed, distortion-free family (arXiv 2307.15593): EXP and ITS, with and without edits.

The reference's statistic is the least cost over key offsets of aligning a block of k tokens, over all blocks. Assay's p-value is
exact for EXP without edits, and Monte Carlo over fresh keys otherwise. Nothing is padded: a text shorter than a block is not
scorable.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from watermark.detection import MIN_SCORED, TYPICAL_ENTROPY_NATS, Detection, DetectOptions, TokenScore
from watermark.detectors.alignment import BlockTest, exact_block_test
from watermark.detectors.alignment_spans import find_aligned_spans
from watermark.errors import TokenError
from watermark.families import as_tokens
from watermark.kernels.alignment import block_minima, edit_minima
from watermark.nulls.permutation import PermutationResult, least_p_value, permutation_test
from watermark.nulls.weighted_gamma import log_q_nodes
from watermark.schemes.shift_keys import ExpKey, Floats, ItsKey, Words, words_to_float24, words_to_float64

Ints = npt.NDArray[np.int64]
Variant = Literal["exp", "exp-edit", "its", "its-edit"]
# Without a block length in the configuration: the whole text up to here, beyond it blocks of half that, half overlapping.
WHOLE_TEXT = 400
MAX_CELLS = 20_000_000_000
# Entries of the table of costs, rows times tokens: about 1 GiB at its highest.
MAX_TABLE = 1 << 25
_Z_POWER = 0.8416212335729143


@dataclass(frozen=True)
class ShiftConfig:
    """`n` key rows, `k` tokens a block (None: by the length of the text), `gap` the price of an insertion or deletion.

    `median`: the JavaScript demo's statistic is the median over blocks, not the least. `double`: numbers are 32-bit
    words in double precision, instead of 24 bits in single.
    """

    dialect: str
    variant: Variant
    n: int
    vocab_size: int
    k: int | None
    gap: float
    median: bool = False
    double: bool = False


@dataclass
class ShiftScheme:
    """A configuration with its key. `reference_key`, where it differs, gives the reference figures only."""

    config: ShiftConfig
    key: ExpKey | ItsKey = field(repr=False)
    reference_key: ExpKey | None = field(default=None, repr=False)

    def hazards(self) -> tuple[str, ...]:
        """Defects of the key: entries of the Python demo's key that single precision rounds to 1."""
        found = ["the key is expanded from 32 bits: whoever holds a marked text can try all keys"]
        poison = self.reference_key.poison() if self.reference_key is not None else []
        if poison:
            row, token = poison[0]
            found.append(
                f"{len(poison)} entries of this key round to 1 in single precision (row {row}, token {token}, ...): the reference"
                " calls any text with such a token marked; do not generate with this key"
            )
        return tuple(found)

    def detect(self, tokens: Ints, options: DetectOptions) -> Detection:
        """See `watermark.families.Scheme`."""
        tokens = as_tokens(tokens, self.config.vocab_size)
        k, stride = self._blocks(len(tokens))
        if not 0 < k <= len(tokens):
            return self._not_scorable(len(tokens), k, options)
        costs = self.costs(tokens, self.key)
        observed = self._statistic(costs, k, stride)
        reference, warnings = self._reference(tokens, observed, k, stride)
        test: dict[str, Any]
        if self.config.variant == "exp":
            exact = exact_block_test(costs, tokens, k, stride)
            log_p, test, distinct, least_p = exact.log_p, _describe_exact(exact), exact.shape, 0.0
        else:
            found = self._permute(tokens, observed, k, stride, options)
            log_p, test, least_p = math.log(found.p_value), _describe_draws(found, observed), least_p_value(options.runs)
            distinct = len(np.unique(tokens)) if self._is_exp() else min(k, self.config.n)
            if least_p > options.alpha:
                warnings += (f"{options.runs} draws cannot give a p-value of {options.alpha} or less; ask for more runs",)
        return Detection(
            scheme=self.config.variant,
            dialect=self.config.dialect,
            num_tokens=len(tokens),
            num_tokens_scored=len(tokens),
            alpha=options.alpha,
            log_p=log_p,
            test={**test, "k": k, "stride": stride, "n": self.config.n},
            num_distinct=distinct,
            sufficient_tokens=sufficient_tokens(self.config.variant, self.config.n, options.alpha),
            statistic=reference,
            warnings=warnings,
            tokens=self._token_scores(costs, k, stride) if options.tokens else (),
            spans=find_aligned_spans(costs, options.alpha) if options.spans and self._is_exp() else (),
            least_p=least_p,
        )

    def costs(self, tokens: Ints, key: ExpKey | ItsKey) -> Floats:
        """(n, m): the cost of writing each token at each key row, in the reference's precision."""
        unique, back = np.unique(tokens, return_inverse=True)
        if isinstance(key, ItsKey):
            return _spread(self._its_costs(key.xi, key.ranks[unique]), back)
        with np.errstate(divide="ignore"):
            return _spread(np.log(1 - key.columns(unique)), back)

    def _its_costs(self, xi: Floats, ranks: Ints) -> Floats:
        """(n, tokens): distances of xi (single precision) from ranks / V, rounded as the reference rounds them."""
        return np.abs(xi[:, None] - (ranks / self.config.vocab_size).astype(np.float32)[None, :])

    def _is_exp(self) -> bool:
        return self.config.variant.startswith("exp")

    def _blocks(self, m: int) -> tuple[int, int]:
        """Block length and stride for a text of m tokens. Raises TokenError when that is more work than allowed."""
        k, stride = self.config.k, 1
        if k is None:
            k, stride = (m, 1) if m <= WHOLE_TEXT else (WHOLE_TEXT // 2, WHOLE_TEXT // 4)
        blocks = max(0, (m - k) // stride + 1)
        if self.config.n * m > MAX_TABLE:
            raise TokenError(f"{m} tokens are too many at once for a key of {self.config.n} rows; give parts of the text")
        cells = self.config.n * k * (k if "edit" in self.config.variant else 1) * blocks
        if cells > MAX_CELLS:
            raise TokenError(
                f"{m} tokens in blocks of {k} are too much work for this test; give a smaller k, or parts of the text"
            )
        return k, stride

    def _statistic(self, costs: Floats, k: int, stride: int) -> float:
        edits = "edit" in self.config.variant
        minima = edit_minima(costs, k, self.config.gap, stride) if edits else block_minima(costs, k, stride)[0]
        return float(np.median(minima) if self.config.median else minima.min())

    def _reference(self, tokens: Ints, observed: float, k: int, stride: int) -> tuple[float, tuple[str, ...]]:
        if self.reference_key is None:
            return observed, ()
        statistic = self._statistic(self.costs(tokens, self.reference_key), k, stride)
        if math.isfinite(statistic):
            return statistic, ()
        return statistic, (
            "the text holds a token whose key entry the reference rounds to 1: its statistic is -Infinity for any text with that"
            " token; the p-value here is that of the key in double precision",
        )

    def _permute(self, tokens: Ints, observed: float, k: int, stride: int, options: DetectOptions) -> PermutationResult:
        unique, back = np.unique(tokens, return_inverse=True)

        def draw(rng: np.random.Generator) -> float:
            return self._statistic(_spread(self._null_costs(rng, len(unique)), back), k, stride)

        return permutation_test(observed, draw, options.runs, options.seed, options.threads, cancelled=options.cancelled)

    def _null_costs(self, rng: np.random.Generator, n_unique: int) -> Floats:
        """Costs (n, distinct tokens) under a fresh key, drawn as the real one is."""
        config = self.config
        if self._is_exp():
            drawn: Words = rng.integers(0, 1 << 32, size=(config.n, n_unique), dtype=np.uint32)
            xi = words_to_float64(drawn) if config.double else words_to_float24(drawn)
            return np.log(1 - xi)
        ranks = rng.choice(config.vocab_size, size=n_unique, replace=False, shuffle=True)
        return self._its_costs(words_to_float24(rng.integers(0, 1 << 32, size=config.n, dtype=np.uint32)), ranks)

    def _token_scores(self, costs: Floats, k: int, stride: int) -> tuple[TokenScore, ...]:
        """Every token at the offset of the best block without edits; EXP: -log(1 - xi), ITS: 1/3 - |xi - rank|."""
        minima, offsets = block_minima(costs, k, stride)
        best = int(minima.argmin())
        rows = (int(offsets[best]) - best * stride + np.arange(costs.shape[1])) % self.config.n
        picked = costs[rows, np.arange(costs.shape[1])].astype(np.float64)
        scores = -picked if self._is_exp() else 1 / 3 - picked
        inside = range(best * stride, best * stride + k)
        return tuple(TokenScore(i, float(score), None, i in inside) for i, score in enumerate(scores))

    def _not_scorable(self, m: int, k: int, options: DetectOptions) -> Detection:
        sentence = "the text is empty" if m == 0 else f"the text has {m} tokens, fewer than a block of {k}; nothing is padded"
        return Detection(
            scheme=self.config.variant,
            dialect=self.config.dialect,
            num_tokens=m,
            num_tokens_scored=0,
            alpha=options.alpha,
            log_p=None,
            test={"method": "none", "k": k, "n": self.config.n},
            num_distinct=0,
            sufficient_tokens=max(k, sufficient_tokens(self.config.variant, self.config.n, options.alpha)),
            warnings=(sentence,),
        )


def _spread(costs: Floats, back: Ints) -> Floats:
    """(n, m) costs of all tokens from those of the distinct ones; the numbers of one token lie side by side."""
    return np.take(np.ascontiguousarray(costs.T), back, axis=0).T


def _describe_exact(found: BlockTest) -> dict[str, Any]:
    return {"method": "gamma-union", "shape": found.shape, "score": found.score, "looked": found.looked}


def _describe_draws(found: PermutationResult, statistic: float) -> dict[str, Any]:
    return {
        "method": "permutation",
        "draws": found.draws,
        "exceedances": found.exceedances,
        "stopped": found.stopped,
        "statistic": statistic,
    }


@lru_cache(maxsize=256)
def sufficient_tokens(variant: Variant, n: int, alpha: float) -> int:
    """Tokens for power 0.8 without edits at TYPICAL_ENTROPY_NATS.

    EXP: a marked token scores 1 + (pi^2 / 6 - 1) H on average. ITS needs about three times as many (arXiv 2307.15593, figure 2).
    """
    gain = (math.pi**2 / 6 - 1) * TYPICAL_ENTROPY_NATS
    m = MIN_SCORED
    while True:
        score = m * (1 + gain) - _Z_POWER * math.sqrt(2 * m)
        if math.log(n) + float(log_q_nodes(m, np.array([max(score, 1e-9)]))[0]) <= math.log(alpha):
            return m if variant.startswith("exp") else 3 * m
        m += max(1, m // 20)
