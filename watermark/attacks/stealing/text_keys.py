"""Several keys, one for each text, and no telling which: the multi-key setting of arXiv 2405.19677.

The source guesses the key of every text at random, solves, gives each text the key under which it has most greens, and repeats
up to 50 times. Here the first guess is a clustering (texts of one key share the tokens that grew more frequent), so one or two
rounds suffice; then every cluster is a single-key problem against all natural texts, for any attack on fixed lists.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from watermark.attacks.protocol import Tokens
from watermark.attacks.stealing.items import Ints, StolenLists
from watermark.errors import AttackError

Floats = npt.NDArray[np.float64]
MAX_KEYS = 64
# Clusters are first looked for among the most frequent tokens only: the rest is noise at that point.
_FREQUENT = 1000
_POWER_ROUNDS = 12
_RESTARTS = 8
_ROUNDS = 50
_PSEUDO_COUNT = 0.5


@dataclass(frozen=True)
class TextKeyLists:
    """One stolen list a key, in no particular order, and the key each marked text was given."""

    lists: tuple[StolenLists, ...]
    assignment: Ints = field(repr=False)

    def best_for(self, text: Tokens) -> StolenLists:
        """The list by which a text has most green tokens: the one to scrub it with. To spoof, any one list serves."""
        return max(self.lists, key=lambda stolen: int(stolen.masks[0, text].sum()))


def steal_per_key(
    marked: Sequence[Tokens],
    natural: Sequence[Tokens],
    vocab_size: int,
    num_keys: int,
    steal: Callable[[Sequence[Tokens], Sequence[Tokens]], StolenLists],
    rounds: int = 2,
    seed: int = 0,
) -> TextKeyLists:
    """Cluster the marked texts, steal one list a cluster, and repeat with the clusters those lists give. Raises AttackError,
    also where a cluster is left without texts."""
    if not 1 <= num_keys <= MAX_KEYS or not 1 <= rounds <= _ROUNDS:
        raise AttackError(f"a multi-key attack wants 1 to {MAX_KEYS} keys and 1 to {_ROUNDS} rounds")
    assignment = cluster_texts(marked, vocab_size, num_keys, seed)
    lists: list[StolenLists] = []
    for _ in range(rounds):
        groups = [[text for text, key in zip(marked, assignment) if key == k] for k in range(num_keys)]
        if not all(groups):
            raise AttackError(f"the marked texts do not fall into {num_keys} groups; there may be fewer keys, or too few texts")
        lists = [steal(group, natural) for group in groups]
        counts = np.array([[int(stolen.masks[0, np.unique(text)].sum()) for stolen in lists] for text in marked])
        sizes = np.array([max(1, int(stolen.masks.sum())) for stolen in lists])
        again = np.argmax(counts / np.sqrt(sizes), axis=1)
        if (again == assignment).all():
            break
        assignment = again
    return TextKeyLists(tuple(lists), assignment)


def cluster_texts(texts: Sequence[Tokens], vocab_size: int, num_keys: int, seed: int = 0) -> Ints:
    """A group for each text: k-means on the leading directions of the frequent tokens' counts, then a hard mixture of
    multinomials over all tokens until nothing moves. Raises AttackError for fewer texts than groups."""
    if len(texts) < num_keys:
        raise AttackError(f"{len(texts)} texts cannot fall into {num_keys} groups")
    if num_keys == 1:
        return np.zeros(len(texts), dtype=np.int64)
    rng = np.random.default_rng(seed)
    groups = _k_means(_directions(texts, vocab_size, num_keys - 1, rng), num_keys, rng)
    for _ in range(_ROUNDS):
        again = np.argmax(_log_likelihoods(texts, groups, vocab_size, num_keys), axis=1)
        if (again == groups).all():
            break
        groups = again
    return groups


def _directions(texts: Sequence[Tokens], vocab_size: int, count: int, rng: np.random.Generator) -> Floats:
    """Coordinates of the texts along the leading singular vectors of their standardised counts of frequent tokens."""
    totals = np.bincount(np.concatenate(list(texts)), minlength=vocab_size)
    frequent = np.argsort(-totals, kind="stable")[:_FREQUENT]
    where = np.full(vocab_size, -1, dtype=np.int64)
    where[frequent] = np.arange(len(frequent))
    table = np.zeros((len(texts), len(frequent)))
    for row, text in zip(table, texts):
        known = where[text]
        row += np.bincount(known[known >= 0], minlength=len(frequent))
    table = (table - table.mean(axis=0)) / np.sqrt(np.maximum(table.mean(axis=0), 1e-9))
    basis = rng.standard_normal((table.shape[1], count + 4))
    for _ in range(_POWER_ROUNDS):
        basis, _ = np.linalg.qr(table.T @ (table @ basis))
    left, values, _ = np.linalg.svd(table @ basis, full_matrices=False)
    return np.asarray(left[:, :count] * values[:count])


def _k_means(points: Floats, count: int, rng: np.random.Generator) -> Ints:
    """The best of several starts, each spread out as in k-means++ (Arthur & Vassilvitskii, SODA 2007)."""
    best, best_cost = np.zeros(len(points), dtype=np.int64), np.inf
    for _ in range(_RESTARTS):
        centres = points[[rng.integers(len(points))]]
        while len(centres) < count:
            gaps = _distances(points, centres).min(axis=1)
            total = gaps.sum()
            weights = gaps / total if total > 0 else np.full(len(points), 1 / len(points))
            centres = np.concatenate([centres, points[[rng.choice(len(points), p=weights)]]])
        for _ in range(_ROUNDS):
            groups = _distances(points, centres).argmin(axis=1)
            centres = np.stack([points[groups == k].mean(axis=0) if (groups == k).any() else centres[k] for k in range(count)])
        cost = _distances(points, centres).min(axis=1).sum()
        if cost < best_cost:
            best, best_cost = groups, cost
    return best


def _distances(points: Floats, centres: Floats) -> Floats:
    return np.asarray(((points[:, None, :] - centres[None]) ** 2).sum(axis=2))


def _log_likelihoods(texts: Sequence[Tokens], groups: Ints, vocab_size: int, count: int) -> Floats:
    """log P(text | group) up to a constant, every token with half a count in every group."""
    logs = []
    for k in range(count):
        members = [text for text, group in zip(texts, groups) if group == k]
        counts = np.bincount(np.concatenate([np.zeros(0, dtype=np.int64), *members]), minlength=vocab_size) + _PSEUDO_COUNT
        logs.append(np.log(counts / counts.sum()))
    table = np.stack(logs, axis=1)
    return np.stack([table[text].sum(axis=0) for text in texts])
