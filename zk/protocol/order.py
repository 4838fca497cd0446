"""Everything derived from the beacon: run seed, data order, public initial weights (PROTOCOL section 12)."""

from __future__ import annotations

import hashlib
import struct
from functools import lru_cache

SEED = b"zkaudit/v1/seed"
ORDER = b"zkaudit/v1/order"
INIT = b"zkaudit/v1/init"


def run_seed(dataset: bytes, initial: bytes, program: bytes, chain: bytes, round_number: int, randomness: bytes) -> bytes:
    """H(domain | canonical D record | W_0 record or init descriptor | program digest | chain | u64 round | randomness)."""
    body = dataset + initial + program + chain + struct.pack("<Q", round_number) + randomness
    return hashlib.sha256(SEED + body).digest()


@lru_cache(maxsize=4)
def epoch_permutation(seed: bytes, epoch: int, n_rows: int) -> tuple[int, ...]:
    """Row indices sorted by (128-bit key, index): a permutation by construction."""
    keys: list[tuple[bytes, int]] = []
    for i in range((n_rows + 1) // 2):
        block = hashlib.sha256(ORDER + seed + struct.pack("<II", epoch, i)).digest()
        keys.append((block[:16], 2 * i))
        keys.append((block[16:], 2 * i + 1))
    return tuple(index for _, index in sorted(keys[:n_rows]))


def batch_order(seed: bytes, first_step: int, n_steps: int, n_rows: int, batch: int) -> tuple[tuple[int, ...], ...]:
    """idx(t, b) for steps first_step .. first_step + n_steps - 1; the tail of every epoch is dropped."""
    per_epoch = n_rows // batch
    permutations: dict[int, tuple[int, ...]] = {}
    out = []
    for step in range(first_step, first_step + n_steps):
        epoch, at = divmod(step, per_epoch)
        if epoch not in permutations:
            permutations[epoch] = epoch_permutation(seed, epoch, n_rows)
        out.append(permutations[epoch][at * batch : (at + 1) * batch])
    return tuple(out)


def initial_values(seed: bytes, tensor: int, n_entries: int, scale: int) -> tuple[int, ...]:
    """Public initial weights: i16 little-endian words of H(domain | seed | u32 tensor | u32 block), times `scale`."""
    out: list[int] = []
    block = 0
    while len(out) < n_entries:
        digest = hashlib.sha256(INIT + seed + struct.pack("<II", tensor, block)).digest()
        out += [word * scale for word in struct.unpack("<16h", digest)]
        block += 1
    return tuple(out[:n_entries])
