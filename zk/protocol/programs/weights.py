"""Program families over committed weights: range certificate and inference audits (PROTOCOL 12.5, 19.3)."""

from __future__ import annotations

from dataclasses import dataclass

from zk.protocol.errors import LimitError, ProgramError
from zk.protocol.functional import SumDim
from zk.protocol.ir import Builder, Program, term
from zk.protocol.params import MAX_PUBLIC_ENTRIES
from zk.protocol.programs.dataset import DatasetSpec, declare_dataset
from zk.protocol.programs.spec import TrainingSpec
from zk.protocol.relations.argmax import first_argmax
from zk.protocol.relations.dense import dense
from zk.protocol.relations.relu import relu_preactivation, relu_sign
from zk.protocol.relations.rescale import rescale, weight_window

WEIGHT_BITS = 32


def declare_weights(b: Builder, spec: TrainingSpec, role: str) -> list[tuple[str, tuple[str, ...]]]:
    """Declare every parameter tensor of `role`; returns (tensor name, dims)."""
    f = [b.dim(f"f{i}", width) for i, width in enumerate(spec.layers)]
    out: list[tuple[str, tuple[str, ...]]] = []
    for j, (name, _) in enumerate(spec.weight_shapes()):
        i = j // 2 + 1
        dims: tuple[str, ...] = (f[i - 1], f[i]) if j % 2 == 0 else (f[i],)
        out.append((b.stored(f"{role}.{name}", role, *dims), dims))
    return out


def build_weights_certificate(spec: TrainingSpec) -> Program:
    """Every parameter lies in [-2^31, 2^31)."""
    b = Builder(["W"])
    for name, dims in declare_weights(b, spec, "W"):
        weight_window(b, name, "range." + name.removeprefix("W."), dims, WEIGHT_BITS)
    return b.finish()


@dataclass(frozen=True)
class Evaluation:
    """Rows to score a committed model on.

    Public rows carry features (flat, [n_rows, layers[0]]), labels and groups; committed rows are all rows of role D.
    """

    n_rows: int
    n_groups: int
    features: tuple[int, ...] = ()
    labels: tuple[int, ...] = ()
    groups: tuple[int, ...] = ()
    dataset: DatasetSpec | None = None


@dataclass(frozen=True)
class AccuracyOutput:
    """Exact counts a group: rows, correct predictions, and predictions of every class (flat, [group, class])."""

    rows: tuple[int, ...]
    correct: tuple[int, ...]
    predicted: tuple[int, ...]


def build_accuracy(spec: TrainingSpec, data: Evaluation, out: AccuracyOutput) -> Program:
    """Score the model of role W in the integers of training and count per group (first arg max wins ties)."""
    if spec.loss != "softmax_ce":
        raise ProgramError("accuracy needs a classifier (loss softmax_ce)")
    b = Builder(["W"] if data.dataset is None else ["W", "D"])
    n, g = b.dim("n", data.n_rows), b.dim("g", data.n_groups)
    declare_weights(b, spec, "W")
    f = [f"f{i}" for i in range(spec.depth + 1)]
    x, labels, groups = _evaluation_tensors(b, spec, data, n, g, f)
    chosen = _predict(b, spec, x, n, f)
    hits = b.product("hits", (n,), chosen, labels)
    right = b.product("correct", (g,), groups, hits)
    votes = b.product("votes", (g, f[-1]), groups, chosen)
    b.equation((g,), term(groups, 1, SumDim(n)), term(b.public("out.rows", (g,), out.rows), -1))
    b.equation((g,), term(right), term(b.public("out.correct", (g,), out.correct), -1))
    b.equation((g, f[-1]), term(votes), term(b.public("out.predicted", (g, f[-1]), out.predicted), -1))
    return b.finish()


def _evaluation_tensors(b: Builder, spec: TrainingSpec, data: Evaluation, n: str, g: str, f: list[str]) -> tuple[str, str, str]:
    classes = spec.layers[-1]
    if data.dataset is not None:
        declare_dataset(b, data.dataset, n, f[0], f[-1])
        groups = "D.G" if data.dataset.groups else b.public("groups", (n, g), (1,) * data.n_rows)
        return "D.X", "D.Y", groups
    labels = b.public("labels", (n, f[-1]), _one_hot(data.labels, classes))
    groups = b.public("groups", (n, g), _one_hot(data.groups, data.n_groups))
    return b.public("features", (n, f[0]), data.features), labels, groups


def _one_hot(indices: tuple[int, ...], size: int) -> tuple[int, ...]:
    if len(indices) * size > MAX_PUBLIC_ENTRIES:
        raise LimitError(f"{len(indices)} rows with {size} columns, at most {MAX_PUBLIC_ENTRIES} public entries")
    if any(not 0 <= index < size for index in indices):
        raise ProgramError(f"a label or group is outside 0..{size - 1}")
    return tuple(int(j == index) for index in indices for j in range(size))


def _predict(b: Builder, spec: TrainingSpec, x: str, n: str, f: list[str]) -> str:
    """Forward pass; returns the one-hot tensor of the first arg max."""
    scales = spec.scales
    for i in range(1, spec.depth + 1):
        dims = (n, f[i])
        value = dense(b, f"L{i}", dims, x, f"W.weight{i}", f"W.bias{i}", scales.s_x)
        if i < spec.depth:
            x = relu_sign(b, f"L{i}", dims, scales.a)
            rescale(b, f"L{i}.fwd", dims, value, relu_preactivation(f"L{i}"), scales.s_w)
        else:
            logits = first_argmax(b, "out", dims, f[i], scales.w_d, scales.w_m)
            rescale(b, f"L{i}.fwd", dims, value, logits, scales.logit_shift)
    return "out.e"
