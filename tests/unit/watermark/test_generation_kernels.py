"""Kernels of generation equal their plain twins."""

from __future__ import annotations

import numpy as np
import pytest

from watermark.kernels.candidates import AnchoredDraw, ColourTable, Proposals, largest, largest_plain, propose, propose_plain
from watermark.kernels.embedding import (
    ListTable,
    first_reaching,
    first_reaching_plain,
    least_arrival,
    least_arrival_plain,
)
from watermark.kernels.green_list import contains_plain, green_rows_plain
from watermark.kernels.philox import uniform_rows, uniform_rows_plain
from watermark.kernels.tournament import find_starts, find_starts_plain, play, play_plain
from watermark.primitives.lm_hash import hash_int
from watermark.primitives.prf import ANCHORED, prf_seeds


@pytest.mark.parametrize(("width", "vocab_size"), [(4, 256), (1, 101), (5, 7), (9, 64)])
def test_philox_rows(width: int, vocab_size: int) -> None:
    rng = np.random.default_rng(width)
    contexts = rng.integers(-1, 1 << 20, (3, width))
    keys = [0, 42, (1 << 64) - 1]
    found = uniform_rows(contexts, keys, vocab_size)
    assert found.dtype == np.float32 and np.array_equal(found, uniform_rows_plain(contexts, keys, vocab_size))


def test_tournament_layers() -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.full(300, 0.1), 4).astype(np.float32)
    table, starts = rng.integers(0, 2, 812).astype(np.uint8), rng.integers(0, 512, (4, 9))
    plain, fast = probabilities.copy(), probabilities.copy()
    play_plain(plain, table, starts)
    play(fast, table, starts)
    assert np.allclose(plain, fast, atol=1e-6) and np.allclose(fast.sum(axis=1), 1, atol=1e-5)
    assert not np.allclose(fast, probabilities, atol=1e-3)


@pytest.mark.parametrize("size", [1, 8, 65536])
def test_tournament_starts(size: int) -> None:
    rng = np.random.default_rng(size)
    contexts, shifts = rng.integers(-1, 1 << 40, (5, 4)), rng.integers(0, size, 30)
    hashed, starts = find_starts(contexts, shifts, size)
    plain_hashed, plain_starts = find_starts_plain(contexts, shifts, size)
    assert hashed.dtype == np.uint64 and np.array_equal(hashed, plain_hashed) and len(set(hashed.tolist())) == 5
    assert np.array_equal(starts, plain_starts) and starts.min() >= 0 and starts.max() < size


@pytest.mark.parametrize("count", [1, 2, 41, 200])
def test_largest(count: int) -> None:
    scores = np.random.default_rng(count).permutation(600).reshape(3, 200).astype(np.float32)
    scores[:, :20] = -np.inf
    chosen = [np.sort(np.take_along_axis(scores, f(scores, count), 1)) for f in (largest, largest_plain)]
    assert np.array_equal(*chosen)


def test_colours_that_are_kept() -> None:
    rng = np.random.default_rng(1)
    seeds, tokens = rng.integers(0, 1 << 32, 400, dtype=np.uint32), rng.integers(0, 500, 400)
    wanted = contains_plain(seeds, tokens, 500, 125)
    fast, plain = ColourTable(500, 125), ColourTable(500, 125)
    for _ in range(2):  # the second time from the table
        assert np.array_equal(fast.contains(seeds, tokens), wanted)
        assert np.array_equal(plain.contains_plain(seeds, tokens), wanted)
    assert np.array_equal(fast.slots, plain.slots)


def test_a_new_pair_pushes_out_an_old_one() -> None:
    table = ColourTable(64, 16, np.full(1 << 20, ~np.uint64(0), dtype=np.uint64))
    rng = np.random.default_rng(2)
    seeds, tokens = rng.integers(0, 1 << 32, 3000, dtype=np.uint32), rng.integers(0, 64, 3000)
    table.slots[:] = (np.uint64(7) << np.uint64(32)) | np.uint64(3)  # a foreign pair in every slot
    assert np.array_equal(table.contains(seeds, tokens), contains_plain(seeds, tokens, 64, 16))


@pytest.mark.parametrize("size", [5, 256, 1003])
def test_draws(size: int) -> None:
    rng = np.random.default_rng(size)
    probabilities = rng.dirichlet(np.full(size, 0.2), 5).astype(np.float32)
    probabilities[:, :2] = 0
    probabilities[:, -size // 3 :] = 0  # whole blocks of the end cannot be drawn
    probabilities[:, 2] = 0.01
    order, targets = rng.permutation(size), np.r_[1.0, 1e-9, rng.random(3)]
    found = first_reaching(probabilities, order, targets)
    assert np.array_equal(found, first_reaching_plain(probabilities, order, targets))
    contexts, keys = rng.integers(-1, 99, (5, 4)), [0, 1, 1 << 40, (1 << 64) - 1, 77]
    arrived = least_arrival(probabilities, contexts, keys)
    assert np.array_equal(arrived, least_arrival_plain(probabilities, contexts, keys))
    for tokens in (found, arrived):
        assert (probabilities[np.arange(5), tokens] > 0).all()


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("size", [5, 256, 1003])
def test_bias_of_lists_that_are_kept(size: int, inverted: bool) -> None:
    rng = np.random.default_rng(size)
    steps = max(1, size // 4)
    fast, plain = (ListTable(size, steps, inverted, max_bytes=64 * size) for _ in range(2))
    for _ in range(4):  # more seeds than slots: lists push one another out
        seeds = rng.integers(0, 300, 40).astype(np.uint32)
        scores = rng.normal(size=(40, size + 3)).astype(np.float32)
        found = fast.add_bias(scores, seeds, 2.0)
        assert np.array_equal(found, plain.add_bias_plain(scores, seeds, 2.0))
        listed = np.unpackbits(green_rows_plain(seeds, size, steps), axis=1, count=size).astype(bool) != inverted
        assert np.array_equal(plain.colours(seeds), listed) and np.array_equal(fast.colours(seeds), listed)
        assert np.allclose(found[:, :size] - scores[:, :size], 2.0 * listed, atol=1e-6)
        assert np.array_equal(found[:, size:], scores[:, size:])
    assert np.array_equal(fast.lists, plain.lists) and np.array_equal(fast.owners, plain.owners)


@pytest.mark.parametrize("select_first", [True, False])
@pytest.mark.parametrize("keep_red", [0.0, 0.3])
def test_proposals_and_their_acceptance(select_first: bool, keep_red: float) -> None:
    rng = np.random.default_rng(3)
    probabilities = rng.dirichlet(np.full(70, 0.5), 200).astype(np.float32)
    uniform = 1 - rng.random((200, 4))
    tokens = propose(probabilities, uniform)
    assert np.array_equal(tokens, propose_plain(probabilities, uniform))
    seeds = rng.integers(0, 1 << 32, tokens.shape, dtype=np.uint32)
    drawn = Proposals(probabilities, 9, tokens, seeds, rng.random(tokens.shape))
    fast, plain = ColourTable(64, 16), ColourTable(64, 16)
    found = fast.first_accepted(drawn, select_first, keep_red)
    assert np.array_equal(found, plain.first_accepted_plain(drawn, select_first, keep_red))
    assert -1 in found and (found[found >= 0] == tokens[found >= 0, 0]).mean() < 1


@pytest.mark.parametrize("select_first", [True, False])
@pytest.mark.parametrize("key", [15_485_863, -3, 1 << 62])
def test_draws_of_selfhash(select_first: bool, key: int) -> None:
    """The kernel, its twin, and the three steps it stands for."""
    rng = np.random.default_rng(5)
    probabilities = rng.dirichlet(np.full(70, 0.5), 200).astype(np.float32)
    contexts, hashes = rng.integers(0, 64, (200, 3)), hash_int(np.arange(64))
    with np.errstate(over="ignore"):
        anchors = np.int64(key) * hash_int(contexts)
    drawn = AnchoredDraw(probabilities, 9, anchors, np.int64(key), hashes, rng.random((200, 2, 4)))
    found = ColourTable(64, 16).draw_anchored(drawn, select_first, 0.2)
    assert np.array_equal(found, ColourTable(64, 16).draw_anchored_plain(drawn, select_first, 0.2))
    tokens = propose(probabilities, 1 - drawn.uniform[:, 0])
    grams = np.concatenate([np.repeat(contexts[:, None], 4, axis=1), tokens[:, :, None]], axis=2)
    seeds = prf_seeds(ANCHORED, grams.reshape(-1, 4), key).reshape(tokens.shape)
    steps = Proposals(probabilities, 9, tokens, seeds, drawn.uniform[:, 1])
    assert np.array_equal(found, ColourTable(64, 16).first_accepted(steps, select_first, 0.2))
    assert -1 in found and len(set(found.tolist())) > 9
