"""Program family `mlp-sgd`: T steps of SGD on a multi-layer perceptron (PROTOCOL sections 9 to 12)."""

from __future__ import annotations

from zk.protocol.functional import Gather, Term
from zk.protocol.ir import SEG, Builder, Program, term
from zk.protocol.programs.dataset import declare_dataset
from zk.protocol.programs.spec import TrainingSpec
from zk.protocol.relations.dense import dense, dense_backward
from zk.protocol.relations.master import master_bias, master_weight
from zk.protocol.relations.relu import relu_preactivation, relu_sign
from zk.protocol.relations.rescale import rescale, signed_window, weight_window
from zk.protocol.relations.softmax_ce import softmax

Order = tuple[tuple[int, ...], ...]


def build_training(spec: TrainingSpec, order: Order, initial: list[tuple[int, ...]] | None, range_bits: int = 0) -> Program:
    """The segment program over `order` = idx(t, b). `initial` holds public initial weights (in `weight_shapes` order)
    or None, in which case the role W_in opens them, range-checked to `range_bits` if not 0. Roles: D, [W_in,] W_out."""
    roles = ["D", "W_out"] if initial is not None else ["D", "W_in", "W_out"]
    b = Builder(roles, order)
    step, batch, rows = b.dim("t", len(order)), b.dim("b", spec.batch), b.dim("n", spec.rows)
    f = [b.dim(f"f{i}", width) for i, width in enumerate(spec.layers)]
    scales = spec.scales
    _declare_weights(b, spec, f, initial, range_bits)
    declare_dataset(b, spec.data, rows, f[0], f[-1])
    gather = Gather(rows, step, batch)
    x = [b.virtual("L0.H", (step, batch, f[0]), term("D.X", 1, gather))]
    delta: dict[int, str] = {}
    for i in range(1, spec.depth):
        dims = (step, batch, f[i])
        x.append(relu_sign(b, f"L{i}", dims, scales.a))
        b.stored(f"L{i}.Q", SEG, *dims)
        signed_window(b, f"L{i}.Q", dims, scales.q)
        delta[i] = b.product(f"L{i}.delta", dims, f"L{i}.S", f"L{i}.Q")
    top = (step, batch, f[-1])
    logits, delta[spec.depth] = _loss(b, spec, top, gather)
    rate = (spec.rate,) * len(order)
    for i in range(1, spec.depth + 1):
        w = master_weight(b, f"L{i}", (step, f[i - 1], f[i]), f"W_in.weight{i}", f"W_out.weight{i}", x[i - 1], delta[i], rate)
        bias = master_bias(b, f"L{i}", (step, batch, f[i]), f"W_in.bias{i}", f"W_out.bias{i}", delta[i], rate, scales.s_x)
        value = dense(b, f"L{i}", (step, batch, f[i]), x[i - 1], w, bias, scales.s_x)
        if i < spec.depth:
            rescale(b, f"L{i}.fwd", (step, batch, f[i]), value, relu_preactivation(f"L{i}"), scales.s_w)
        else:
            rescale(b, f"L{i}.fwd", top, value, logits, scales.logit_shift)
        if i > 1:
            below = (step, batch, f[i - 1])
            back = dense_backward(b, f"L{i - 1}", below, delta[i], w)
            rescale(b, f"L{i - 1}.bwd", below, back, (term(f"L{i - 1}.Q"),), scales.s_w)
    return b.finish()


def _declare_weights(
    b: Builder, spec: TrainingSpec, f: list[str], initial: list[tuple[int, ...]] | None, range_bits: int
) -> None:
    for j, (name, _) in enumerate(spec.weight_shapes()):
        i = j // 2 + 1
        dims = (f[i - 1], f[i]) if name.startswith("weight") else (f[i],)
        if initial is None:
            b.stored(f"W_in.{name}", "W_in", *dims)
            if range_bits:
                weight_window(b, f"W_in.{name}", f"range.{name}", dims, range_bits)
        else:
            b.public(f"W_in.{name}", dims, initial[j])
        b.stored(f"W_out.{name}", "W_out", *dims)


def _loss(b: Builder, spec: TrainingSpec, dims: tuple[str, ...], gather: Gather) -> tuple[tuple[Term, ...], str]:
    """Declare the output layer; returns the terms of logits (or predictions) and the name of its gradient."""
    scales = spec.scales
    if spec.loss == "softmax_ce":
        logits = softmax(b, "out", dims, dims[-1], spec.layers[-1], scales.softmax)
        label = term("D.Y", -(1 << scales.s_d), gather)
        return logits, b.virtual("out.delta", dims, term("out.p"), label)
    b.stored("out.V", SEG, *dims)
    signed_window(b, "out.V", dims, scales.w_m)
    gain = 1 << (scales.s_d - scales.s_z)
    gradient = b.virtual("out.delta", dims, term("out.V", gain), term("D.Y", -gain, gather))
    return (term("out.V"),), gradient
