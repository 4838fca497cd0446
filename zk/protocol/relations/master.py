"""Exact master weights (PROTOCOL section 10): W_t = W_0 - sum_{s<t} c_s G_s over the integers, never stored."""

from __future__ import annotations

from zk.protocol.functional import Kernel, SumDim
from zk.protocol.ir import Builder, term


def master_weight(
    b: Builder, layer: str, dims: tuple[str, str, str], w_in: str, w_out: str, x: str, delta: str, rate: tuple[int, ...]
) -> str:
    """Virtual weights `layer.W` over (t, in, out) and the checkpoint equation w_out = W_T; returns the name of W.

    G[t,i,o] = sum_b X[t,b,i] Delta[t,b,o] has scale s_x + s_d; `rate` holds the public integers c_t.
    """
    step, d_in, d_out = dims
    gradient = b.product(f"{layer}.G", (step, d_in, d_out), x, delta)
    name = b.virtual(f"{layer}.W", (step, d_in, d_out), term(w_in), term(gradient, -1, Kernel(step, rate)))
    b.equation((d_in, d_out), term(w_out), term(w_in, -1), term(gradient, 1, SumDim(step, rate)))
    return name


def master_bias(
    b: Builder,
    layer: str,
    dims: tuple[str, str, str],
    b_in: str,
    b_out: str,
    delta: str,
    rate: tuple[int, ...],
    x_scale_bits: int,
) -> str:
    """Virtual bias over (t, out): beta_t = beta_0 - sum_{s<t} c_s 2^s_x sum_b Delta[s,b,.] (10.3)."""
    step, batch, d_out = dims
    scale = 1 << x_scale_bits
    total = SumDim(batch)
    name = b.virtual(f"{layer}.bias", (step, d_out), term(b_in), term(delta, -scale, total, Kernel(step, rate)))
    b.equation((d_out,), term(b_out), term(b_in, -1), term(delta, scale, total, SumDim(step, rate)))
    return name
