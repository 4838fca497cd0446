"""SHA-256 of many rows at once equals hashlib, at every padding length and group size."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from zk.kernels import cpu, reference


@pytest.mark.parametrize("n_rows", [1, 15, 16, 17, 100])
@pytest.mark.parametrize("width", [0, 1, 55, 56, 63, 64, 65, 119, 120, 128, 2049])
def test_rows_hash_as_hashlib_does(n_rows: int, width: int) -> None:
    messages = np.random.default_rng(width).integers(0, 256, (n_rows, width), dtype=np.uint8)
    expected = [hashlib.sha256(row.tobytes()).digest() for row in messages]
    assert [row.tobytes() for row in cpu.sha256(messages)] == expected
    assert np.array_equal(reference.sha256(messages), cpu.sha256(messages))


def test_a_slice_of_rows_and_of_columns_hashes_as_a_copy() -> None:
    messages = np.random.default_rng(5).integers(0, 256, (64, 200), dtype=np.uint8)
    part = messages[3:50, 7:150]
    assert np.array_equal(cpu.sha256(part), reference.sha256(np.ascontiguousarray(part)))
