"""Windows and limbs of executed tensors: every range a proof will look up is checked before anything is proven."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zk.protocol.errors import WindowError
from zk.protocol.relations.rescale import limb_names
from zk.prover.execution.exact import IntArray


@dataclass(frozen=True)
class Window:
    """Tensor `name`, values of shape (rows..., width) or (rows...), allowed interval [low, high]."""

    name: str
    values: IntArray
    low: int
    high: int

    def holds(self) -> bool:
        return self.values.size == 0 or (int(self.values.min()) >= self.low and int(self.values.max()) <= self.high)

    def first_outside(self) -> tuple[int, ...]:
        """Index of the first value outside, in row-major order."""
        outside = (self.values < self.low) | (self.values > self.high)
        return tuple(int(i) for i in np.unravel_index(int(np.argmax(outside)), outside.shape))


def signed(name: str, values: IntArray, width: int) -> Window:
    return Window(name, values, -(1 << (width - 1)), (1 << (width - 1)) - 1)


def unsigned(name: str, values: IntArray, width: int) -> Window:
    return Window(name, values, 0, (1 << width) - 1)


def limbs(prefix: str, values: IntArray, shift: int) -> dict[str, IntArray]:
    """Limb tensors of values in [0, 2^shift), named as `zk.protocol.relations.rescale.declare_limbs` names them."""
    return {name: (values >> offset) & ((1 << width) - 1) for name, offset, width in limb_names(prefix, shift)}


def rescale_limbs(prefix: str, value: IntArray, result: IntArray, shift: int) -> dict[str, IntArray]:
    """Limbs of value + 2^(shift-1) - 2^shift result, which must lie in [0, 2^shift)."""
    rest = value + ((1 << shift) >> 1) - (result << shift)
    if rest.size and (int(rest.min()) < 0 or int(rest.max()) >> shift):
        raise WindowError(f"{prefix}: a rounding remainder lies outside 0..2^{shift}-1, a defect of the executor")
    return limbs(prefix, rest, shift)


def require_step_windows(windows: Sequence[Window], order: IntArray, first_step: int) -> None:
    """Refuse the earliest violation (step first, then the order given) among tensors of shape (T, B[, width])."""
    broken = [(window.first_outside(), window) for window in windows if not window.holds()]
    if not broken:
        return
    index, window = min(broken, key=lambda item: item[0][0])
    t, b = index[:2]
    unit = f", unit {index[2]}" if len(index) > 2 else ""
    raise WindowError(
        f"{window.name}: value {int(window.values[index])} at step {first_step + t}, sample {b} "
        f"(dataset row {int(order[t, b])}){unit} leaves its window [{window.low}, {window.high}]; "
        "plan the run with wider windows or a smaller learning rate"
    )


def require_row_windows(windows: Sequence[Window], advice: str) -> None:
    """Refuse the first violation among tensors whose first dimension counts rows (or parameters)."""
    for window in windows:
        if not window.holds():
            index = window.first_outside()
            where = ", ".join(str(i) for i in index)
            raise WindowError(
                f"{window.name}: value {int(window.values[index])} at row {index[0]} (index {where}) "
                f"leaves its window [{window.low}, {window.high}]; {advice}"
            )
