"""Stealing green lists by counting: (f_w - f_l) / sqrt(f_w + f_l), item by item.

f_w and f_l are the numbers of marked and natural texts an item stands in. If an item were as frequent in both, its score would be
standard normal; a green item is more frequent in marked texts, a red one less. No solver and no detector are needed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from watermark.attacks.protocol import Tokens
from watermark.attacks.stealing.items import Ints, ItemTexts, ListClasses, StolenLists
from watermark.errors import AttackError

Floats = npt.NDArray[np.float64]
DEFAULT_THRESHOLD = 2.0
_ROUNDS = 200
_TOLERANCE = 1e-7
_FLOOR = 1e-9


@dataclass(frozen=True)
class Mixture:
    """Two kinds of items: of all `n` occurrences of one, a binomial share stands in marked texts. `weight` is that of green."""

    green: float
    red: float
    weight: float

    def posterior(self, marked: Ints, total: Ints) -> Floats:
        """P(green) of items seen `marked` times in marked texts, `total` times in all."""
        prior = math.log(self.weight) - math.log1p(-self.weight)
        gain, loss = math.log(self.green / self.red), math.log((1 - self.green) / (1 - self.red))
        log_odds = prior + marked * gain + (total - marked) * loss
        return np.asarray(1 / (1 + np.exp(-np.clip(log_odds, -700, 700))))


def signed_scores(marked: Ints, natural: Ints, share: float = 0.5) -> Floats:
    """(f_w - f_l) / sqrt(f_w + f_l), 0 for items never seen. `share` is the share of marked texts, where the two collections
    differ in size: then (f_w - share n) / sqrt(n share (1 - share)) with n = f_w + f_l, the same for one half."""
    total = marked + natural
    return np.asarray((marked - share * total) / np.sqrt(np.maximum(total, 1) * share * (1 - share)))


def fit_mixture(marked: Ints, natural: Ints, share: float, gamma: float) -> Mixture:
    """Maximum likelihood by expectation-maximisation, started at a green share above and a red one below `share`."""
    seen = marked + natural > 0
    # items with equal counts behave alike: a few thousand kinds instead of every item
    kinds, times = np.unique(np.stack([marked[seen], natural[seen]], axis=1), axis=0, return_counts=True)
    k, n = kinds[:, 0], kinds.sum(axis=1)
    found = Mixture(min(0.95, 1.3 * share), 0.8 * share, gamma)
    for _ in range(_ROUNDS):
        p = found.posterior(k, n) * times
        q = times - p
        new = Mixture(
            _inside((p * k).sum() / max((p * n).sum(), _FLOOR)),
            _inside((q * k).sum() / max((q * n).sum(), _FLOOR)),
            _inside(p.sum() / times.sum()),
        )
        moved = abs(new.green - found.green) + abs(new.red - found.red) + abs(new.weight - found.weight)
        found = new
        if moved < _TOLERANCE:
            break
    return found


def _inside(value: float) -> float:
    return float(min(1 - _FLOOR, max(_FLOOR, value)))


def steal_by_counts(
    marked: Sequence[Tokens],
    natural: Sequence[Tokens],
    vocab_size: int,
    classes: ListClasses | None = None,
    threshold: float = DEFAULT_THRESHOLD,
    gamma: float = 0.25,
) -> StolenLists:
    """Call green every item whose score exceeds `threshold`. `gamma` only starts the fit behind `estimated_precision`: the
    mean probability, under a two-kind binomial mixture, that a called item is green. It trusts that all green items gain
    alike; items that come in bursts make it too high, and on context-dependent schemes, where no fixed list exists, it means
    nothing. Raises AttackError.
    """
    if not math.isfinite(threshold):
        raise AttackError("the threshold of signed counts must be a finite number")
    classes = classes or ListClasses()
    texts = ItemTexts.of(marked, natural, vocab_size, classes)
    f_w, f_l = texts.counts()
    return lists_of_counts(
        f_w, f_l, len(texts.marked) / (len(texts.marked) + len(texts.natural)), classes.count, threshold, gamma
    )


def lists_of_counts(f_w: Ints, f_l: Ints, share: float, num_lists: int, threshold: float, gamma: float) -> StolenLists:
    """The lists of item counts (see `steal_by_counts`)."""
    called = signed_scores(f_w, f_l, share) > threshold
    mixture = fit_mixture(f_w, f_l, share, gamma)
    estimate = float(mixture.posterior(f_w[called], (f_w + f_l)[called]).mean()) if called.any() else None
    details = {"threshold": threshold, "gain_green": mixture.green / share, "gain_red": mixture.red / share}
    return StolenLists("signed-counts", called.reshape(num_lists, -1), estimate, details)
