"""Columns of more than 4096 rows: the packed sums of the column check must not carry into each other.

`zk.verifier.commitment.PACK` leaves 140 bits for a sum of products below 2^128, enough for 4096 rows; 65536 are allowed in
one tableau and several tableaux are stacked. Beyond that the check is no longer the linear identity of PROTOCOL 4.3 step 6.
"""

from __future__ import annotations

from operator import mul

import numpy as np

from tests.soundness.attacks.datasets import commit_rows, histogram, onehot_spec
from zk.protocol.field import P
from zk.protocol.params import MAX_ROLES, MAX_ROWS
from zk.verifier.commitment import pack, unpack
from zk.verifier.verify import verify


def test_a_packed_sum_over_the_largest_stack_is_exact() -> None:
    rows = 6 * MAX_ROWS if MAX_ROLES >= 5 else MAX_ROWS
    weight, value = (P - 1, P - 1), P - 1
    total = unpack(sum(map(mul, pack([weight]) * rows, [value] * rows)))
    assert total == (rows % P, rows % P)


def test_an_honest_proof_over_twenty_thousand_rows_verifies() -> None:
    n_rows, n_classes = 1 << 16, 4
    rng = np.random.default_rng(5)
    labels = np.eye(n_classes, dtype=np.int64)[rng.integers(0, n_classes, n_rows)]
    data = commit_rows(rng.integers(-32, 32, (n_rows, 1)), labels)
    assert data.layout.n_rows > 20_000
    counts = tuple(int(count) for count in labels.sum(axis=0))
    pair = histogram(onehot_spec(n_rows, 1, n_classes), data, counts)
    verify(*pair[1:], allow_toy=True)
