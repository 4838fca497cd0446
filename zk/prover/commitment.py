"""Store tableaux: encode, hash, open (PROTOCOL sections 4.1 to 4.4)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np

from zk.protocol.errors import ProvingError
from zk.protocol.hashing import BAND, BAND_ROWS, BANDED_LEAF, NARROW_LEAF, SALT_BYTES
from zk.protocol.layout import Layout
from zk.protocol.params import STORE_PROFILES, StoreProfile, padded
from zk.protocol.proof import Opening
from zk.protocol.record import Record, tag16
from zk.prover.backend import kernels
from zk.prover.merkle import build_tree, digests, open_paths, row_numbers
from zk.prover.randomness import expand_field, fresh_seed, salts

Array = np.ndarray


@dataclass
class Tree:
    """Encoded columns [n, values] of a tableau with salts and Merkle levels, uint8 [nodes, 32] from the leaves up."""

    encoded: Array
    salts: bytes
    levels: list[Array]

    @property
    def root(self) -> bytes:
        return self.levels[-1][0].tobytes()

    def open(self, indices: list[int]) -> Opening:
        columns = [self.encoded[j].astype("<u8").tobytes() for j in indices]
        chosen = [self.salts[SALT_BYTES * j : SALT_BYTES * (j + 1)] for j in indices]
        return Opening(chosen, columns, open_paths(self.levels, indices))


def hash_columns(encoded: Array, salt_bytes: bytes, tag: bytes) -> Tree:
    """Leaves and Merkle levels; the byte formats are those of `zk.protocol.hashing.leaf_digest`."""
    n_columns, n_values = encoded.shape
    encoded = np.ascontiguousarray(encoded).astype("<u8", copy=False)
    tags = np.broadcast_to(np.frombuffer(tag, dtype=np.uint8), (n_columns, len(tag)))
    salted = np.frombuffer(salt_bytes, dtype=np.uint8).reshape(n_columns, SALT_BYTES)
    head = (tags, row_numbers(n_columns), salted)
    if n_values <= BAND_ROWS:
        leaves = digests(NARROW_LEAF, *head, encoded.view(np.uint8))
    else:
        bands = (digests(BAND, encoded[:, at : at + BAND_ROWS].view(np.uint8)) for at in range(0, n_values, BAND_ROWS))
        leaves = digests(BANDED_LEAF, *head, *bands)
    return Tree(encoded, salt_bytes, build_tree(leaves))


@dataclass
class StoreTableau:
    """A committed tableau with everything needed to open it; `tensors` are the committed integers by layout name."""

    layout: Layout
    profile: StoreProfile
    record: Record
    seed: bytes
    tensors: dict[str, Array]
    rows: Array  # F [m, k]: message, random coefficients, zeros; in SEG two rows more, the halves of the blinding K-row
    tree: Tree = field(repr=False)

    @property
    def message(self) -> Array:
        return self.rows[: self.layout.n_rows, : self.profile.l]

    @property
    def has_blinding(self) -> bool:
        return len(self.rows) > self.layout.n_rows


def flatten(layout: Layout, profile: StoreProfile, tensors: dict[str, Array]) -> Array:
    """Integers of a tableau as int64 [m, l]: every tensor row-major over its padded dims at its offset."""
    flat = np.zeros(layout.n_rows * profile.l, dtype=np.int64)
    for placed in layout.tensors:
        values = tensors[placed.name]
        if values.shape != placed.shape:
            raise ProvingError(f"tensor {placed.name} has shape {values.shape}, the layout says {placed.shape}")
        block = flat[placed.offset : placed.offset + (1 << placed.log_size)]
        block.reshape([padded(size) for size in placed.shape])[tuple(slice(0, size) for size in placed.shape)] = values
    return flat.reshape(layout.n_rows, profile.l)


def commit_store(
    layout: Layout,
    profile: StoreProfile,
    tensors: dict[str, Array],
    kind: int,
    context: bytes,
    *,
    one_time: bool = False,
    seed: bytes | None = None,
) -> StoreTableau:
    """Commit. One-time tableaux (SEG) get h1 random coefficients a row and the blinding K-row.

    `seed` re-creates a tableau that was committed before; it must come from that tableau's private opening.
    """
    message = kernels.to_field(flatten(layout, profile, tensors))
    n_random = profile.h1 if one_time else profile.h
    if seed is None:
        seed = fresh_seed(hashlib.sha256(message.data).digest(), bytes([kind]), context)
    m, n_blinding = layout.n_rows, 2 if one_time else 0
    drawn = expand_field(seed, "rows", m * n_random + n_blinding * profile.k)
    rows = np.zeros((m + n_blinding, profile.k), dtype=np.uint64)
    rows[:m, : profile.l] = message
    rows[:m, profile.l : profile.l + n_random] = drawn[: m * n_random].reshape(m, n_random)
    rows[m:] = drawn[m * n_random :].reshape(n_blinding, profile.k)
    tag = tag16(kind, layout.digest(), context)
    tree = hash_columns(kernels.encode(rows, profile.n), salts(seed, profile.n), tag)
    record = Record(profile.name, kind, context, layout.digest(), m, profile.n, tree.root)
    return StoreTableau(layout, profile, record, seed, tensors, rows, tree)


def profile_named(name: str) -> StoreProfile:
    if name not in STORE_PROFILES:
        raise ProvingError(f"unknown profile {name}; one of {', '.join(STORE_PROFILES)}")
    return STORE_PROFILES[name]
