"""Linear layers: forward and backward matrix products (PROTOCOL section 9, matmul)."""

from __future__ import annotations

from zk.protocol.functional import Term
from zk.protocol.ir import Builder, term


def dense(b: Builder, layer: str, dims: tuple[str, ...], x: str, w: str, bias: str, x_scale_bits: int) -> tuple[Term, ...]:
    """Terms of X W + 2^s_x bias at scale s_x + s_w; `bias` lives at the scale of w."""
    return term(b.product(f"{layer}.Z", dims, x, w)), term(bias, 1 << x_scale_bits)


def dense_backward(b: Builder, layer: str, dims: tuple[str, ...], delta: str, w: str) -> tuple[Term, ...]:
    """Terms of Delta W^T, where `dims` are those of the layer below."""
    return (term(b.product(f"{layer}.U", dims, delta, w)),)
