"""Self-salted green lists while a model writes: the likeliest candidates, and whether each lies in the list it seeds.

Colours of pairs (seed, token) that were asked before are kept in a table of fixed size, each pair in one slot of it, so that a
new pair may push out an old one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from watermark.kernels.green_list import Bools, Ints, Seeds, contains_plain

SLOT_BITS = 20
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _empty_slots() -> npt.NDArray[np.uint64]:
    return np.full(1 << SLOT_BITS, ~np.uint64(0), dtype=np.uint64)


@dataclass
class ColourTable:
    """Colours under one vocabulary size and number of steps (see `green_list.contains`). A slot holds the pair as
    seed << 32 | token << 1 | colour; no token has 31 bits, so that all ones is no pair."""

    vocab_size: int
    steps: int
    slots: npt.NDArray[np.uint64] = field(default_factory=_empty_slots, repr=False)

    def __post_init__(self) -> None:
        self.inverses = 1.0 / (self.vocab_size - np.arange(self.steps, dtype=np.float64))

    def contains(self, seeds: Seeds, tokens: Ints) -> Bools:
        """Like `green_list.contains`."""
        try:
            from watermark.kernels.candidates_numba import contains_kept_numba
        except ImportError:
            return self.contains_plain(seeds, tokens)
        return np.asarray(contains_kept_numba(self, seeds, tokens))

    def contains_plain(self, seeds: Seeds, tokens: Ints) -> Bools:
        """The plain twin."""
        pairs = (seeds.astype(np.uint64) << np.uint64(32)) | (tokens.astype(np.uint64) << np.uint64(1))
        places = ((pairs * _GOLDEN) >> np.uint64(64 - SLOT_BITS)).astype(np.int64)
        found = self.slots[places]
        colours = (found & np.uint64(1)).astype(bool)
        missing = np.flatnonzero(found & ~np.uint64(1) != pairs)
        if missing.size:
            colours[missing] = contains_plain(seeds[missing], tokens[missing], self.vocab_size, self.steps)
            self.slots[places[missing]] = pairs[missing] | colours[missing].astype(np.uint64)
        return colours

    def first_accepted(self, drawn: Proposals, select_first: bool, keep_red: float) -> Ints:
        """For every row the first token that is accepted, -1 for none (n,).

        A token is accepted with probability 1 if it is a candidate and green in the list of its seed (`select_first` false: if it
        is not contained), and with `keep_red` otherwise. Ranks and colours are looked up no further than needed.
        """
        try:
            from watermark.kernels.candidates_numba import first_accepted_numba
        except ImportError:
            return self.first_accepted_plain(drawn, select_first, keep_red)
        return np.asarray(first_accepted_numba(self, drawn, select_first, keep_red))

    def first_accepted_plain(self, drawn: Proposals, select_first: bool, keep_red: float) -> Ints:
        """The plain twin; it looks up everything."""
        own = np.take_along_axis(drawn.probabilities, drawn.tokens, axis=1)
        ranks = (drawn.probabilities[:, None, : self.vocab_size] > own[:, :, None]).sum(axis=2)
        candidate = (ranks < drawn.count) & (drawn.tokens < self.vocab_size)
        green = np.zeros(candidate.shape, dtype=bool)
        green[candidate] = self.contains_plain(drawn.seeds[candidate], drawn.tokens[candidate]) == select_first
        accepted = green | (drawn.uniform < keep_red)
        first = np.take_along_axis(drawn.tokens, accepted.argmax(axis=1)[:, None], axis=1)[:, 0]
        return np.where(accepted.any(axis=1), first, -1)

    def draw_anchored(self, drawn: AnchoredDraw, select_first: bool, keep_red: float) -> Ints:
        """`propose` and `first_accepted` in one, with the seeds of `prf.anchored_minhash_prf`, no further than needed."""
        try:
            from watermark.kernels.candidates_numba import draw_anchored_numba
        except ImportError:
            return self.draw_anchored_plain(drawn, select_first, keep_red)
        return np.asarray(draw_anchored_numba(self, drawn, select_first, keep_red))

    def draw_anchored_plain(self, drawn: AnchoredDraw, select_first: bool, keep_red: float) -> Ints:
        """The plain twin."""
        tokens = propose_plain(drawn.probabilities, 1 - drawn.uniform[:, 0])
        own = np.append(drawn.hashes, np.ones(max(0, drawn.probabilities.shape[1] - len(drawn.hashes)), dtype=np.int64))[tokens]
        with np.errstate(over="ignore"):
            least = np.minimum((drawn.anchors[:, None, :] * own[:, :, None]).min(axis=2), drawn.key * own * own)
        seeds = ((least - (least < 0)) & np.int64(0xFFFFFFFF)).astype(np.uint32)
        plain = Proposals(drawn.probabilities, drawn.count, tokens, seeds, drawn.uniform[:, 1])
        return self.first_accepted_plain(plain, select_first, keep_red)


@dataclass(frozen=True)
class AnchoredDraw:
    """Probabilities (n, V'), the key times the hash of each token of the context (n, width - 1), the key, the hash of every token
    of the vocabulary (V), and uniform numbers in [0, 1) to propose and to accept with (n, 2, k)."""

    probabilities: npt.NDArray[np.float32]
    count: int
    anchors: Ints
    key: np.int64
    hashes: Ints
    uniform: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Proposals:
    """Tokens (n, k) drawn from probabilities (n, V), with the generator seeds they give (n, k) and a uniform number each. The
    `count` likeliest tokens are candidates; of equals at the border all are."""

    probabilities: npt.NDArray[np.float32]
    count: int
    tokens: Ints
    seeds: Seeds
    uniform: npt.NDArray[np.float64]


def propose(probabilities: npt.NDArray[np.float32], uniform: npt.NDArray[np.float64]) -> Ints:
    """Draws (n, k) from the probabilities (n, V) by `uniform` (n, k) in (0, 1]. Tokens without a probability are not drawn."""
    try:
        from watermark.kernels.candidates_numba import propose_numba
    except ImportError:
        return propose_plain(probabilities, uniform)
    return np.asarray(propose_numba(probabilities, uniform))


def propose_plain(probabilities: npt.NDArray[np.float32], uniform: npt.NDArray[np.float64]) -> Ints:
    """The plain twin."""
    sums = probabilities.cumsum(axis=1, dtype=np.float64)
    return np.stack([np.searchsorted(line, u * line[-1]) for line, u in zip(sums, uniform)])


def largest(scores: npt.NDArray[np.float32], count: int) -> Ints:
    """The positions of the `count` largest scores of every row (n, count), in no order; among equals any."""
    try:
        from watermark.kernels.candidates_numba import largest_numba
    except ImportError:
        return largest_plain(scores, count)
    return np.asarray(largest_numba(scores, count))


def largest_plain(scores: npt.NDArray[np.float32], count: int) -> Ints:
    """The plain twin."""
    return np.argpartition(scores, scores.shape[1] - count, axis=1)[:, scores.shape[1] - count :].astype(np.int64)
