"""Numba kernels of `watermark.kernels.candidates`. Twins there; equality is tested."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from watermark.kernels.candidates import SLOT_BITS
from watermark.kernels.embedding_numba import BLOCK
from watermark.kernels.green_list_numba import _N, _contains_one

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_ONE = np.uint64(1)
_SHIFT = 64 - SLOT_BITS


@njit(cache=True)
def _lookup(seed: Any, token: int, vocab_size: int, steps: int, inverses: Any, slots: Any, state: Any, words: Any) -> bool:
    pair = (np.uint64(seed) << np.uint64(32)) | (np.uint64(token) << _ONE)
    place = (pair * _GOLDEN) >> np.uint64(_SHIFT)
    held = slots[place]
    if held & ~_ONE == pair:
        return held & _ONE == _ONE
    found = _contains_one(seed, token, vocab_size, steps, inverses, state, words)
    slots[place] = pair | np.uint64(found)
    return found


@njit(cache=True)
def _contains_kept(seeds: Any, tokens: Any, vocab_size: int, steps: int, inverses: Any, slots: Any, out: Any) -> None:
    state, words = np.empty(_N, np.uint32), np.empty(_N, np.uint32)
    for n in range(len(seeds)):
        out[n] = _lookup(seeds[n], tokens[n], vocab_size, steps, inverses, slots, state, words)


def contains_kept_numba(table: Any, seeds: Any, tokens: Any) -> Any:
    """See `watermark.kernels.candidates.ColourTable.contains`."""
    out = np.zeros(len(seeds), dtype=np.bool_)
    _contains_kept(seeds, tokens, table.vocab_size, table.steps, table.inverses, table.slots, out)
    return out


@njit(cache=True)
def _is_candidate(line: Any, token: int, count: int, vocab_size: int) -> bool:
    if token >= vocab_size:
        return False
    own, above = line[token], 0
    for v in range(vocab_size):
        above += line[v] > own
    return above < count


@njit(cache=True)
def _first_accepted(
    probabilities: Any,
    count: int,
    tokens: Any,
    seeds: Any,
    uniform: Any,
    select_first: bool,
    keep_red: float,
    vocab_size: int,
    steps: int,
    inverses: Any,
    slots: Any,
    out: Any,
) -> None:
    state, words = np.empty(_N, np.uint32), np.empty(_N, np.uint32)
    for row in range(len(tokens)):
        for k in range(tokens.shape[1]):
            token = tokens[row, k]
            accepted = uniform[row, k] < keep_red
            if not accepted and _is_candidate(probabilities[row], token, count, vocab_size):
                accepted = _lookup(seeds[row, k], token, vocab_size, steps, inverses, slots, state, words) == select_first
            if accepted:
                out[row] = token
                break


@njit(cache=True, fastmath={"reassoc", "nsz", "contract"})
def _sum(line: Any, first: int, end: int) -> float:
    total = 0.0
    for v in range(first, end):
        total += line[v]
    return total


@njit(cache=True)
def _block_sums(line: Any, sums: Any) -> float:
    """Running sums after each block of tokens, into `sums`; the last of them."""
    total = 0.0
    for block in range(len(sums)):
        total += _sum(line, BLOCK * block, min(BLOCK * (block + 1), len(line)))
        sums[block] = total
    return total


@njit(cache=True)
def _find(line: Any, sums: Any, target: float) -> int:
    """The first token at which the running sum reaches the target; the last possible one where rounding leaves it below."""
    block: int = min(int(np.searchsorted(sums, target)), len(sums) - 1)
    total, last = (sums[block - 1] if block else 0.0), -1
    for v in range(BLOCK * block, len(line)):
        if line[v] > 0:
            total += line[v]
            last = v
            if total >= target:
                return v
    v = BLOCK * block
    while last < 0 and v > 0:
        v -= 1
        if line[v] > 0:
            last = v
    return max(last, 0)


@njit(cache=True)
def _anchored_seed(anchors: Any, key: Any, own: Any) -> Any:
    """The seed of `prf.anchored_minhash_prf`: products wrap at 64 bits, the least of them mod (2^64 - 1)."""
    least = key * own * own
    for i in range(len(anchors)):
        value = anchors[i] * own
        if value < least:
            least = value
    return np.uint32((least - (least < 0)) & np.int64(0xFFFFFFFF))


@njit(cache=True)
def _draw_anchored(
    probabilities: Any,
    count: int,
    anchors: Any,
    key: Any,
    hashes: Any,
    uniform: Any,
    select_first: bool,
    keep_red: float,
    vocab_size: int,
    steps: int,
    inverses: Any,
    slots: Any,
    out: Any,
) -> None:
    state, words = np.empty(_N, np.uint32), np.empty(_N, np.uint32)
    sums = np.empty(probabilities.shape[1] // BLOCK + 1, np.float64)
    for row in range(len(probabilities)):
        total = _block_sums(probabilities[row], sums)
        for k in range(uniform.shape[2]):
            token = _find(probabilities[row], sums, (1.0 - uniform[row, 0, k]) * total)
            accepted = uniform[row, 1, k] < keep_red
            if not accepted and _is_candidate(probabilities[row], token, count, vocab_size):
                seed = _anchored_seed(anchors[row], key, hashes[token])
                accepted = _lookup(seed, token, vocab_size, steps, inverses, slots, state, words) == select_first
            if accepted:
                out[row] = token
                break


def draw_anchored_numba(table: Any, drawn: Any, select_first: bool, keep_red: float) -> Any:
    """See `watermark.kernels.candidates.ColourTable.draw_anchored`."""
    out = np.full(len(drawn.probabilities), -1, dtype=np.int64)
    given = (drawn.probabilities, drawn.count, drawn.anchors, drawn.key, drawn.hashes, drawn.uniform)
    _draw_anchored(*given, select_first, keep_red, table.vocab_size, table.steps, table.inverses, table.slots, out)
    return out


def first_accepted_numba(table: Any, drawn: Any, select_first: bool, keep_red: float) -> Any:
    """See `watermark.kernels.candidates.ColourTable.first_accepted`."""
    out = np.full(len(drawn.tokens), -1, dtype=np.int64)
    given = (drawn.probabilities, drawn.count, drawn.tokens, drawn.seeds, drawn.uniform)
    _first_accepted(*given, select_first, keep_red, table.vocab_size, table.steps, table.inverses, table.slots, out)
    return out


@njit(cache=True)
def _propose(probabilities: Any, uniform: Any, tokens: Any) -> None:
    sums = np.empty(probabilities.shape[1] // BLOCK + 1, np.float64)
    for row in range(len(probabilities)):
        total = _block_sums(probabilities[row], sums)
        for k in range(uniform.shape[1]):
            tokens[row, k] = _find(probabilities[row], sums, uniform[row, k] * total)


def propose_numba(probabilities: Any, uniform: Any) -> Any:
    """See `watermark.kernels.candidates.propose`."""
    tokens = np.empty(uniform.shape, dtype=np.int64)
    _propose(probabilities, uniform, tokens)
    return tokens


@njit(cache=True)
def _largest(scores: Any, count: int, out: Any) -> None:
    """A heap of the `count` largest so far, the least of them on top."""
    values = np.empty(count, np.float32)
    for row in range(len(scores)):
        line, places = scores[row], out[row]
        for v in range(count):
            values[v], places[v] = line[v], v
        for start in range(count // 2 - 1, -1, -1):
            _sink(values, places, start, count)
        for v in range(count, len(line)):
            if line[v] > values[0]:
                values[0], places[0] = line[v], v
                _sink(values, places, 0, count)


@njit(cache=True)
def _sink(values: Any, places: Any, at: int, count: int) -> None:
    value, place = values[at], places[at]
    while True:
        child = 2 * at + 1
        if child >= count:
            break
        if child + 1 < count and values[child + 1] < values[child]:
            child += 1
        if values[child] >= value:
            break
        values[at], places[at] = values[child], places[child]
        at = child
    values[at], places[at] = value, place


def largest_numba(scores: Any, count: int) -> Any:
    """See `watermark.kernels.candidates.largest`."""
    out = np.empty((len(scores), count), dtype=np.int64)
    _largest(scores, count, out)
    return out
