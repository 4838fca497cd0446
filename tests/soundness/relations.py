"""One small case a relation, with inputs public so that exactly one witness is right."""

from __future__ import annotations

import numpy as np

from tests.soundness.harness import Array, Case
from zk.protocol.functional import Term
from zk.protocol.ir import SEG, Builder, term
from zk.protocol.params import limb_widths
from zk.protocol.relations.argmax import first_argmax
from zk.protocol.relations.compare import at_least
from zk.protocol.relations.relu import relu_preactivation, relu_sign
from zk.protocol.relations.rescale import rescale, signed_window
from zk.protocol.relations.softmax_ce import SoftmaxScales, softmax
from zk.protocol.tables import exp_values

SOFTMAX = SoftmaxScales(s_z=2, s_e=4, s_d=3, w_d=5, w_m=5)


def ints(*values: int) -> Array:
    return np.array(values, dtype=np.int64)


def public(b: Builder, name: str, dims: tuple[str, ...], values: Array) -> Term:
    return term(b.public(name, dims, tuple(int(v) for v in values.reshape(-1))))


def limbs_of(prefix: str, value: Array, shift: int) -> dict[str, Array]:
    out, offset = {}, 0
    for i, width in enumerate(limb_widths(shift)):
        out[f"{prefix}.limb{i}"] = (value >> offset) & ((1 << width) - 1)
        offset += width
    return out


def rescale_case(values: tuple[int, ...] = (37, -37, 8, -8, 7), shift: int = 4, window: int = 4) -> Case:
    """Y = round(V / 2^shift), V public, Y in a signed window."""
    b, v = Builder([]), ints(*values)
    n = (b.dim("n", len(values)),)
    value = public(b, "V", n, v)
    y = b.stored("Y", SEG, *n)
    signed_window(b, y, n, window)
    rescale(b, "q", n, (value,), (term(y),), shift)
    quotient = (v + (1 << shift >> 1)) >> shift
    rest = v + (1 << shift >> 1) - (quotient << shift)
    return Case(b.finish(), {"Y": quotient, **limbs_of("q", rest, shift)})


def relu_case(values: tuple[int, ...] = (20, -20, 0, 1, -1), width: int = 5) -> Case:
    """Y = V rounded by one bit, with magnitude A and sign S; H = S*A is the activation."""
    b, v = Builder([]), ints(*values)
    n = (b.dim("n", len(values)),)
    value = public(b, "V", n, v)
    relu_sign(b, "L", n, width)
    rescale(b, "L.fwd", n, (value,), relu_preactivation("L"), 1)
    y = (v + 1) >> 1
    sign = (y >= 0).astype(np.int64)
    return Case(b.finish(), {"L.A": np.where(y >= 0, y, -y - 1), "L.S": sign, **limbs_of("L.fwd", v + 1 - 2 * y, 1)})


def compare_case(values: tuple[int, ...] = (5, 0, -1, -6), width: int = 4) -> Case:
    """bit = [x >= 0]."""
    b, x = Builder([]), ints(*values)
    n = (b.dim("n", len(values)),)
    at_least(b, "c", n, (public(b, "x", n, x),), width)
    bit = (x >= 0).astype(np.int64)
    return Case(b.finish(), {"c.bit": bit, **limbs_of("c.A", np.where(x >= 0, x, -x - 1), width)})


def argmax_case(rows: tuple[tuple[int, ...], ...] = ((3, 7, 7), (5, 1, -2), (2, 2, 2))) -> Case:
    """First index of the maximum of public rows."""
    b, z = Builder([]), np.array(rows, dtype=np.int64)
    dims = (b.dim("n", z.shape[0]), b.dim("c", z.shape[1]))
    value = public(b, "z", dims, z)
    terms = first_argmax(b, "out", dims, "c", 4, 5)
    b.equation(dims, *terms, value.scaled(-1))
    top = z.max(axis=1)
    chosen = np.eye(z.shape[1], dtype=np.int64)[z.argmax(axis=1)]
    return Case(b.finish(), {"out.d": top[:, None] - z, "out.m": top, "out.e": chosen})


def softmax_case(rows: tuple[tuple[int, ...], ...] = ((4, -1, 4), (9, 2, 0))) -> Case:
    """Probabilities of public logits."""
    b, z = Builder([]), np.array(rows, dtype=np.int64)
    dims = (b.dim("n", z.shape[0]), b.dim("c", z.shape[1]))
    value = public(b, "z", dims, z)
    terms = softmax(b, "out", dims, "c", z.shape[1], SOFTMAX)
    b.equation(dims, *terms, value.scaled(-1))
    return Case(b.finish(), softmax_witness(z, z.max(axis=1)))


def softmax_witness(z: Array, top: Array) -> dict[str, Array]:
    """The unique columns for a claimed maximum `top` (right when it is the maximum)."""
    gaps = top[:, None] - z
    table = np.array(exp_values(SOFTMAX.s_z, SOFTMAX.s_e, SOFTMAX.w_d), dtype=np.int64)
    e = table[np.clip(gaps, 0, len(table) - 1)]
    total = e.sum(axis=1, keepdims=True)
    p = ((e << (SOFTMAX.s_d + 1)) + total) // (2 * total)
    chosen = np.eye(z.shape[1], dtype=np.int64)[z.argmax(axis=1)]
    rest = (e << (SOFTMAX.s_d + 1)) + total - 2 * total * p
    return {"out.d": gaps, "out.E": e, "out.p": p, "out.r": rest, "out.m": top, "out.e": chosen}
