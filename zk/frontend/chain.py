"""Segments of a run whose static bounds hold from the first to the last (PROTOCOL 7.7, 10.4, 18.1)."""

from __future__ import annotations

from dataclasses import dataclass

from zk.frontend.errors import PlanError
from zk.protocol.bounds import Interval, infer_bounds
from zk.protocol.errors import VerificationError
from zk.protocol.ir import Program
from zk.protocol.params import MAX_LOG_LEAVES, MAX_PUBLIC_ENTRIES, MAX_SAMPLES, padded
from zk.protocol.programs.spec import TrainingSpec
from zk.protocol.programs.training import build_training
from zk.protocol.registration import RANGE_WIDTHS

WORD = 1 << 15


@dataclass(frozen=True)
class SegmentPlan:
    """Steps first_step .. first_step + n_steps - 1; `range_bits` > 0 range-checks the incoming weights."""

    first_step: int
    n_steps: int
    range_bits: int


def plan_segments(spec: TrainingSpec, total_steps: int, segment_steps: int, weight_max: int) -> list[SegmentPlan]:
    """Segments of `segment_steps` (the last one shorter), each range-checked only where its bounds would overflow.

    `weight_max` is the largest integer weight the dry run saw; a range check must leave room for twice as much. Raises
    `PlanError` with the protocol's reason when a segment cannot be proven at these scales.
    """
    chain = _Chain(spec)
    incoming: dict[str, Interval] | None = None
    if segment_steps * spec.batch > MAX_SAMPLES:
        raise PlanError(f"segment_steps x batch_size is {segment_steps * spec.batch}, at most {MAX_SAMPLES} samples")
    out = []
    for first in range(0, total_steps, segment_steps):
        n_steps = min(segment_steps, total_steps - first)
        range_bits, incoming = chain.extend(n_steps, incoming, weight_max, is_first=first == 0)
        out.append(SegmentPlan(first, n_steps, range_bits))
    return out


def count_leaves(program: Program) -> int:
    """Padded lookup leaves of a program, tables included."""
    total = sum(table.n_rows for table in program.tables())
    for lookup in program.lookups:
        size = 1
        for dim in lookup.dims:
            size *= padded(program.sizes[dim])
        total += size
    return total


class _Chain:
    """Programs by (steps, public initial weights, range check): bounds do not depend on which rows a step reads."""

    def __init__(self, spec: TrainingSpec) -> None:
        self._spec = spec
        self._known = spec.data.bounds()
        self._programs: dict[tuple[int, bool, int], Program] = {}
        self._memory: dict[tuple[int, bool, int], dict[str, Interval]] = {}

    def extend(
        self, n_steps: int, incoming: dict[str, Interval] | None, weight_max: int, is_first: bool
    ) -> tuple[int, dict[str, Interval]]:
        """(range bits, bounds of the outgoing weights as bounds of the next incoming ones)."""
        public = is_first and self._spec.n_parameters <= MAX_PUBLIC_ENTRIES
        widths = [0] if public else list(RANGE_WIDTHS)
        reason = ""
        for bits in widths:
            if bits == 0 and not public and incoming is None:
                continue
            if bits and 2 * weight_max >= 1 << (bits - 1):
                reason = f"{reason}; weights of {weight_max.bit_length()} bits leave no headroom in a {bits}-bit check"
                continue
            try:
                return bits, self._outgoing(n_steps, public, bits, incoming)
            except VerificationError as error:
                reason = f"{reason}; {error}" if reason else str(error)
        raise PlanError(f"static bounds of a segment of {n_steps} steps do not hold: {reason.lstrip('; ')}")

    def _outgoing(self, n_steps: int, public: bool, bits: int, incoming: dict[str, Interval] | None) -> dict[str, Interval]:
        key = (n_steps, public, bits)
        if (public or bits) and key in self._memory:
            return self._memory[key]
        given = dict(self._known)
        if not public and not bits and incoming is not None:
            given |= incoming
        bounds = infer_bounds(self._program(*key), given)
        out = {f"W_in.{name}": bounds[f"W_out.{name}"] for name, _ in self._spec.weight_shapes()}
        if public or bits:
            self._memory[key] = out
        return out

    def _program(self, n_steps: int, public: bool, bits: int) -> Program:
        key = (n_steps, public, bits)
        if key not in self._programs:
            order = ((0,) * self._spec.batch,) * n_steps
            program = build_training(self._spec, order, self._extreme_initial() if public else None, bits)
            if count_leaves(program) > 1 << MAX_LOG_LEAVES:
                raise PlanError(f"{n_steps} steps need {count_leaves(program)} lookups, at most 2^{MAX_LOG_LEAVES}")
            self._programs[key] = program
        return self._programs[key]

    def _extreme_initial(self) -> list[tuple[int, ...]]:
        """Initial weights at the extremes of their words: bounds then hold for every run seed."""
        out = []
        for (_, shape), scale in zip(self._spec.weight_shapes(), self._spec.initial_scales(), strict=True):
            count = shape[0] * (shape[1] if len(shape) == 2 else 1)
            out.append((-WORD * scale,) * (count - 1) + ((WORD - 1) * scale if count > 1 else -WORD * scale,))
        return out
