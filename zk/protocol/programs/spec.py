"""Numbers that fix a training run: architecture, fixed-point scales, windows (PROTOCOL sections 9 to 11, 17.1)."""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt

from zk.protocol.codec import Reader, Writer
from zk.protocol.errors import MalformedError, ProgramError
from zk.protocol.params import MAX_LAYERS, MAX_SAMPLES, MAX_TABLE_BITS, MAX_WIDTH
from zk.protocol.programs.dataset import DatasetSpec
from zk.protocol.relations.softmax_ce import SoftmaxScales

LOSSES = ("softmax_ce", "squared_error")


@dataclass(frozen=True)
class Scales:
    """Fixed-point bits. An integer v at scale s stands for v / 2^s.

    s_x activations, s_d gradients, e learning rate (lr / B = rate * 2^-e), s_z logits or predictions, s_e exponentials;
    windows: a pre-activation magnitude, q hidden gradient (signed), w_d logit gap, w_m maximum logit or prediction (signed).
    Weights live at s_w = s_x + s_d + e, so that the update is exact.
    """

    s_x: int
    s_d: int
    e: int
    s_z: int
    s_e: int
    a: int
    q: int
    w_d: int
    w_m: int

    @property
    def s_w(self) -> int:
        return self.s_x + self.s_d + self.e

    @property
    def logit_shift(self) -> int:
        """Bits dropped from X W (scale s_x + s_w) to logits (scale s_z)."""
        return self.s_x + self.s_w - self.s_z

    @property
    def softmax(self) -> SoftmaxScales:
        return SoftmaxScales(self.s_z, self.s_e, self.s_d, self.w_d, self.w_m)

    def fields(self) -> tuple[int, ...]:
        return (self.s_x, self.s_d, self.e, self.s_z, self.s_e, self.a, self.q, self.w_d, self.w_m)

    def check(self) -> None:
        if any(not 0 <= value <= 40 for value in self.fields()) or self.logit_shift < 1 or self.s_w < 1:
            raise ProgramError(f"scales {self.fields()} are outside 0..40 bits")
        if any(not 1 <= value <= MAX_TABLE_BITS for value in (self.a, self.q, self.w_d, self.w_m)):
            raise ProgramError(f"windows {self.fields()[5:]} are outside 1..{MAX_TABLE_BITS} bits")


@dataclass(frozen=True)
class TrainingSpec:
    """Plain SGD on a multi-layer perceptron. `layers` = widths from input to output; `rows` = N of the dataset.

    For softmax_ce the targets are one-hot rows; for squared_error they are integers at scale s_z and the loss is
    1/2 |prediction - target|^2, summed over outputs and averaged over the batch. `rate` is c in lr / B = c 2^-e.
    """

    layers: tuple[int, ...]
    loss: str
    data: DatasetSpec
    batch: int
    rate: int
    scales: Scales

    @property
    def rows(self) -> int:
        return self.data.rows

    @property
    def depth(self) -> int:
        return len(self.layers) - 1

    @property
    def n_parameters(self) -> int:
        return sum(a * b + b for a, b in zip(self.layers, self.layers[1:], strict=False))

    def weight_shapes(self) -> list[tuple[str, tuple[int, ...]]]:
        """(layout name, shape) of every parameter tensor, layer by layer."""
        out: list[tuple[str, tuple[int, ...]]] = []
        for i, (d_in, d_out) in enumerate(zip(self.layers, self.layers[1:], strict=False), start=1):
            out += [(f"weight{i}", (d_in, d_out)), (f"bias{i}", (d_out,))]
        return out

    def check(self) -> None:
        if not 2 <= len(self.layers) <= MAX_LAYERS + 1 or any(not 1 <= width <= MAX_WIDTH for width in self.layers):
            raise ProgramError(f"layers {self.layers}: 1 to {MAX_LAYERS} layers of width 1 to {MAX_WIDTH}")
        if self.loss not in LOSSES:
            raise ProgramError(f"unknown loss {self.loss}; one of {', '.join(LOSSES)}")
        self.data.check()
        if not 1 <= self.batch <= min(self.rows, MAX_SAMPLES):
            raise ProgramError(f"batch {self.batch} of {self.rows} rows")
        self._check_data()
        if not 1 <= self.rate < 1 << 31:
            raise ProgramError(f"learning-rate numerator {self.rate} is outside 1..2^31-1")
        self.scales.check()
        if self.loss == "squared_error" and self.scales.s_d < self.scales.s_z:
            raise ProgramError("squared_error needs s_d >= s_z")
        if self.loss == "softmax_ce":
            widest = max(self.scales.softmax.w_r(self.layers[-1]), self.scales.softmax.w_p)
            if widest > MAX_TABLE_BITS or self.scales.s_e < 1 or self.layers[-1] < 2:
                raise ProgramError(f"softmax over {self.layers[-1]} classes needs {widest} bits, at most {MAX_TABLE_BITS}")

    def _check_data(self) -> None:
        wanted = "onehot" if self.loss == "softmax_ce" else "value"
        if (self.data.features, self.data.n_targets, self.data.targets) != (self.layers[0], self.layers[-1], wanted):
            raise ProgramError(f"layers {self.layers} with {self.loss} do not fit the dataset {self.data}")
        if self.data.x_scale != self.scales.s_x or (wanted == "value" and self.data.y_scale != self.scales.s_z):
            raise ProgramError("the dataset is committed at other scales than the training run uses")

    def initial_scales(self) -> list[int]:
        """Multiplier of the public i16 words, tensor by tensor: uniform in +-sqrt(6 / d_in) for weights, 0 for biases."""
        out = []
        for d_in in self.layers[:-1]:
            out += [isqrt((6 << (2 * self.scales.s_w)) // d_in) >> 15, 0]
        return out

    def encode(self) -> bytes:
        writer = Writer().u32(len(self.layers))
        for width in self.layers:
            writer.u32(width)
        writer.u8(LOSSES.index(self.loss)).raw(self.data.encode()).u32(self.batch).u32(self.rate)
        for value in self.scales.fields():
            writer.u8(value)
        return writer.bytes()

    @staticmethod
    def read(reader: Reader) -> TrainingSpec:
        layers = tuple(reader.u32() for _ in range(reader.count(MAX_LAYERS + 1, "layers")))
        loss = reader.u8()
        if loss >= len(LOSSES):
            raise MalformedError(f"unknown loss number {loss}")
        data, batch, rate = DatasetSpec.read(reader), reader.u32(), reader.u32()
        spec = TrainingSpec(layers, LOSSES[loss], data, batch, rate, Scales(*(reader.u8() for _ in range(9))))
        spec.check()
        return spec
