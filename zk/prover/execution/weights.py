"""Limbs that range-check weights: incoming weights of a segment and the weights certificate (PROTOCOL 10.4, 12.5)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zk.protocol.errors import ProvingError
from zk.protocol.programs.spec import TrainingSpec
from zk.protocol.programs.weights import WEIGHT_BITS
from zk.prover.execution.exact import IntArray
from zk.prover.execution.windows import limbs, require_row_windows, signed


def weight_limbs(spec: TrainingSpec, weights: Sequence[IntArray], bits: int = WEIGHT_BITS) -> dict[str, IntArray]:
    """Tensors `range.<name>.limb<k>` of w + 2^(bits-1), for all parameters in `spec.weight_shapes()` order.

    Raises `WindowError` for a weight outside [-2^(bits-1), 2^(bits-1)). With the default width these are the SEG
    tensors of `build_weights_certificate`.
    """
    if len(weights) != len(spec.weight_shapes()):
        raise ProvingError(f"{len(weights)} weight arrays given, {len(spec.weight_shapes())} expected")
    out: dict[str, IntArray] = {}
    for (name, _), array in zip(spec.weight_shapes(), weights, strict=True):
        window = signed(name, np.asarray(array, dtype=np.int64), bits)
        require_row_windows([window], f"a range check of {bits} bits does not cover it")
        out |= limbs(f"range.{name}", window.values + (1 << (bits - 1)), bits)
    return out
