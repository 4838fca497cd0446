"""Membership kernels: plain and compiled twins agree with the permutation itself, and that with torch's."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from tests.data.folder import ROOT
from watermark.kernels import green_list
from watermark.kernels.green_list import contains, contains_plain, green_rows_plain, permutation
from watermark.primitives.mersenne import generator, randperm

SEEDS = np.array([0, 1, 42, 15485863, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF], dtype=np.uint32)


def every_pair(vocab_size: int) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    return np.repeat(SEEDS, vocab_size), np.tile(np.arange(vocab_size), len(SEEDS))


def truth(vocab_size: int, steps: int) -> np.ndarray:  # type: ignore[type-arg]
    first = [set(randperm(generator(int(seed)), vocab_size)[:steps].tolist()) for seed in SEEDS]
    return np.array([token in entries for entries in first for token in range(vocab_size)])


@pytest.mark.parametrize("vocab_size", [1, 2, 3, 7, 8, 9, 64])
def test_every_number_of_steps(vocab_size: int) -> None:
    numba = pytest.importorskip("watermark.kernels.green_list_numba")
    seeds, tokens = every_pair(vocab_size)
    for steps in range(vocab_size + 1):
        expected = truth(vocab_size, steps)
        assert np.array_equal(contains_plain(seeds, tokens, vocab_size, steps), expected), steps
        assert np.array_equal(numba.contains_numba(seeds, tokens, vocab_size, steps), expected), steps
        rows = green_rows_plain(SEEDS, vocab_size, steps)
        assert np.array_equal(np.unpackbits(rows, axis=1, count=vocab_size).ravel().astype(bool), expected), steps
        assert np.array_equal(numba.green_rows_numba(SEEDS, vocab_size, steps), rows), steps


@pytest.mark.parametrize(("vocab_size", "steps"), [(623, 600), (624, 623), (625, 625), (1249, 1248), (2000, 500), (2000, 1500)])
def test_across_blocks_of_words(vocab_size: int, steps: int) -> None:
    """The compiled kernel works through 624 generator words at a time."""
    numba = pytest.importorskip("watermark.kernels.green_list_numba")
    seeds, tokens = every_pair(vocab_size)
    expected = truth(vocab_size, steps)
    assert np.array_equal(numba.contains_numba(seeds, tokens, vocab_size, steps), expected)
    assert np.array_equal(contains_plain(seeds, tokens, vocab_size, steps), expected)
    assert np.array_equal(numba.green_rows_numba(SEEDS, vocab_size, steps), green_rows_plain(SEEDS, vocab_size, steps))


def test_large_vocabularies() -> None:
    numba = pytest.importorskip("watermark.kernels.green_list_numba")
    rng = np.random.default_rng(1)
    for vocab_size in (50265, 50272, 151936):
        seeds, tokens = rng.integers(0, 1 << 32, 40, dtype=np.uint32), rng.integers(0, vocab_size, 40)
        for steps in (vocab_size // 4, vocab_size - vocab_size // 4):
            expected = [
                int(t) in set(randperm(generator(int(s)), vocab_size)[:steps].tolist()) for s, t in zip(seeds[:3], tokens)
            ]
            plain = contains_plain(seeds, tokens, vocab_size, steps)
            assert plain[:3].tolist() == expected
            assert np.array_equal(numba.contains_numba(seeds, tokens, vocab_size, steps), plain)


def test_last_entries_are_the_others() -> None:
    """The legacy form takes the last G entries: those outside the first V - G."""
    for seed in SEEDS.tolist():
        entries = randperm(generator(seed), 100)
        outside = ~contains_plain(np.full(100, seed, dtype=np.uint32), np.arange(100), 100, 75)
        assert set(np.flatnonzero(outside)) == set(entries[75:].tolist())


def test_permutation_equals_torch() -> None:
    torch = pytest.importorskip("torch")
    for n in (1, 2, 10, 625, 50272):
        for seed in (0, 42, 4057296106, 0xFFFFFFFF):
            expected = torch.randperm(n, generator=torch.Generator().manual_seed(seed)).numpy()
            assert np.array_equal(randperm(generator(seed), n), expected)


def test_long_permutations_are_compiled_from_the_third_on(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba")
    for made in (0, 100):
        monkeypatch.setattr(green_list, "_shuffled", made)
        for n in (1, 2, 624, 625, 5000):
            assert np.array_equal(permutation(15485863 + (1 << 40), n), randperm(generator(15485863 + (1 << 40)), n))
    with pytest.raises(ValueError, match="permutation"):
        permutation(1, 0)


def test_small_jobs_stay_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Below NUMBA_FROM nothing is compiled; without Numba large jobs work too."""
    script = (
        "import sys, numpy as np\n"
        "from watermark.kernels import green_list as g\n"
        "pairs = np.arange(100, dtype=np.uint32), np.arange(100)\n"
        "g.contains(*pairs, 1000, 250)\n"
        "assert 'numba' not in sys.modules\n"
        "sys.modules['numba'] = None\n"
        "g._answered = g.NUMBA_FROM\n"
        "assert np.array_equal(g.contains(*pairs, 1000, 250), g.contains_plain(*pairs, 1000, 250))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    monkeypatch.setattr(green_list, "_answered", 0)
    seeds, tokens = every_pair(64)
    assert np.array_equal(contains(seeds, tokens, 64, 16), truth(64, 16))
