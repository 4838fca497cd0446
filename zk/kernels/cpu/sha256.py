"""SHA-256 of many messages of one length (FIPS 180-4): one message a lane of 32-bit words.

A processor without SHA instructions hashes sixteen messages at once about six times as fast as one after the other.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import types

from zk.kernels.cpu.arguments import check, split
from zk.kernels.cpu.emit import intrinsic, kernel, widest_vectors

Bytes = npt.NDArray[np.uint8]
LANES = 16
BLOCK = 64
_I32, _I64 = ir.IntType(32), ir.IntType(64)
_VECTOR = ir.VectorType(_I32, LANES)
# Below this many bytes a second thread costs more than it saves.
_PARALLEL_BYTES = 1 << 16


def _root_bits(n: int, k: int) -> int:
    """First 32 bits of the fractional part of the k-th root of n."""
    low, high = 0, 1 << 40
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if middle**k <= n << (32 * k) else (low, middle - 1)
    return low & 0xFFFFFFFF


_PRIMES = [n for n in range(2, 312) if all(n % d for d in range(2, n))]
_KEYS = [_root_bits(prime, 3) for prime in _PRIMES]
_INITIAL = np.array([_root_bits(prime, 2) for prime in _PRIMES[:8]], dtype=np.uint32)


def _vectors(context: Any, builder: Any, signature: Any, args: Any, k: int) -> list[Any]:
    """Pointers to the rows of argument k, a C-contiguous uint32 array (n, LANES)."""
    data = context.make_array(signature.args[k])(context, builder, args[k]).data
    start = builder.bitcast(data, _VECTOR.as_pointer())
    return [builder.gep(start, [_I64(row)]) for row in range(16)]


def _splat(word: int) -> Any:
    return ir.Constant(_VECTOR, [_I32(word)] * LANES)


def _transpose(builder: Any, rows: list[Any]) -> list[Any]:
    """Swap row and lane indices, one bit at a time."""
    for bit in (1, 2, 4, 8):
        low = [lane + LANES - bit if lane & bit else lane for lane in range(LANES)]
        high = [lane + LANES if lane & bit else lane + bit for lane in range(LANES)]
        masks = [ir.Constant(_VECTOR, [_I32(x) for x in mask]) for mask in (low, high)]
        for i in range(LANES):
            if not i & bit:
                pair = rows[i], rows[i + bit]
                rows[i], rows[i + bit] = (builder.shuffle_vector(*pair, mask) for mask in masks)
    return rows


@intrinsic
def _load_block(typingctx, source, offset, stride, words):  # type: ignore[no-untyped-def]
    """words[r, lane] = big-endian word r of the 64 bytes at offset + lane stride of source; bounds are not checked."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        data, at = context.make_array(signature.args[0])(context, builder, args[0]).data, args[1]
        rows = []
        for _ in range(LANES):
            pointer = builder.bitcast(builder.gep(data, [at]), _VECTOR.as_pointer())
            rows.append(builder.load(pointer, align=1))
            at = builder.add(at, args[2])
        swap = builder.module.declare_intrinsic(f"llvm.bswap.v{LANES}i32", (), ir.FunctionType(_VECTOR, [_VECTOR]))
        targets = _vectors(context, builder, signature, args, 3)
        for row, target in zip(_transpose(builder, rows), targets, strict=True):
            builder.store(builder.call(swap, [row]), target, align=4)
        return context.get_dummy_value()

    return types.void(source, types.intp, types.intp, words), codegen


@intrinsic
def _compress(typingctx, state, words):  # type: ignore[no-untyped-def]
    """One block of every lane: state (8, LANES) takes in words (16, LANES)."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        targets = _vectors(context, builder, signature, args, 0)[:8]
        w = [builder.load(pointer, align=4) for pointer in _vectors(context, builder, signature, args, 1)]
        start = [builder.load(pointer, align=4) for pointer in targets]
        end = _rounds(builder, start, w)
        for old, new, target in zip(start, end, targets, strict=True):
            builder.store(builder.add(old, new), target, align=4)
        return context.get_dummy_value()

    return types.void(state, words), codegen


def _rounds(builder: Any, state: list[Any], w: list[Any]) -> list[Any]:
    """Emit the 64 rounds and the message schedule (FIPS 180-4, 6.2.2); names are those of the standard."""
    add, xor, both = builder.add, builder.xor, builder.and_

    def rotations(x: Any, *counts: int) -> Any:
        parts = [builder.or_(builder.lshr(x, _splat(n)), builder.shl(x, _splat(32 - n))) for n in counts]
        return parts[0] if len(parts) == 1 else xor(parts[0], rotations(x, *counts[1:]))

    a, b, c, d, e, f, g, h = state
    for t in range(64):
        if t >= 16:
            x, y = w[(t + 1) % 16], w[(t + 14) % 16]
            sigma0 = xor(rotations(x, 7, 18), builder.lshr(x, _splat(3)))
            sigma1 = xor(rotations(y, 17, 19), builder.lshr(y, _splat(10)))
            w[t % 16] = add(add(w[t % 16], sigma0), add(w[(t + 9) % 16], sigma1))
        choice = xor(g, both(e, xor(f, g)))
        majority = builder.or_(both(a, b), both(c, builder.or_(a, b)))
        t1 = add(add(h, add(_splat(_KEYS[t]), w[t % 16])), add(rotations(e, 6, 11, 25), choice))
        t2 = add(rotations(a, 2, 13, 22), majority)
        a, b, c, d, e, f, g, h = add(t1, t2), a, b, c, add(d, t1), e, f, g
    return [a, b, c, d, e, f, g, h]


@kernel
def _hash_groups(messages, n_blocks, tails, initial, out, start, stop):  # type: ignore[no-untyped-def]
    """Digest words of the groups start..stop of LANES rows: n_blocks blocks of messages, then all of tails."""
    widest_vectors()
    width, tail_width = messages.shape[1], tails.shape[1]
    body, rest = messages.reshape(messages.size), tails.reshape(tails.size)
    words = np.empty((16, LANES), dtype=np.uint32)
    for group in range(start, stop):
        state = out[group]
        for r in range(8):
            for lane in range(LANES):
                state[r, lane] = initial[r]
        first = group * LANES
        for block in range(n_blocks):
            _load_block(body, first * width + block * BLOCK, width, words)
            _compress(state, words)
        for block in range(tail_width // BLOCK):
            _load_block(rest, first * tail_width + block * BLOCK, tail_width, words)
            _compress(state, words)


def sha256(messages: Bytes) -> Bytes:
    """Return the SHA-256 digests of the rows of messages, uint8 (n, width) -> (n, 32)."""
    check(messages.ndim == 2 and messages.dtype == np.uint8, "messages must be a uint8 array (n, width)")
    n, width = messages.shape
    missing = -n % LANES
    if missing or not messages.flags.carray:
        messages = np.concatenate([messages, np.zeros((missing, width), dtype=np.uint8)])
    n_blocks, n_rest = divmod(width, BLOCK)
    tails = np.zeros((n + missing, BLOCK if n_rest < BLOCK - 8 else 2 * BLOCK), dtype=np.uint8)
    tails[:, :n_rest] = messages[:, BLOCK * n_blocks :]
    tails[:, n_rest] = 0x80
    tails[:, -8:] = np.frombuffer((8 * width).to_bytes(8, "big"), dtype=np.uint8)
    n_groups = len(messages) // LANES
    out = np.empty((n_groups, 8, LANES), dtype=np.uint32)
    minimum = 2 if n * (width + BLOCK) >= _PARALLEL_BYTES else n_groups + 1
    split(_hash_groups, n_groups, messages, n_blocks, tails, _INITIAL, out, minimum=minimum)
    return out.transpose(0, 2, 1).reshape(-1, 8)[:n].astype(">u4", order="C").view(np.uint8)
