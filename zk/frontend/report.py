"""The plan of a run in words: scales, windows, observed maxima and headroom."""

from __future__ import annotations

import math
from dataclasses import dataclass

from zk.frontend.quantise import TrainingPlan


@dataclass(frozen=True)
class WindowLine:
    """One window: largest magnitude seen in the dry run, largest magnitude allowed, spare factor as bits."""

    tensor: str
    bits: int
    observed: int
    allowed: int

    @property
    def headroom_bits(self) -> float:
        return math.log2(self.allowed / max(self.observed, 1))


def window_lines(plan: TrainingPlan) -> list[WindowLine]:
    """Every window that the dry run can fill."""
    scales, maxima = plan.spec.scales, plan.rounded_run.maxima
    out = []
    if plan.spec.depth > 1:
        out.append(_line("pre-activation", scales.a, maxima.hidden, scales.s_x, False))
        out.append(_line("hidden gradient", scales.q, maxima.gradient, scales.s_d, True))
    out.append(_line("output", scales.w_m, maxima.output, scales.s_z, True))
    if plan.spec.loss == "softmax_ce":
        out.append(_line("logit gap", scales.w_d, maxima.gap, scales.s_z, False))
    checked = max(segment.range_bits for segment in plan.segments)
    if checked:
        out.append(_line("weight", checked, maxima.weight, scales.s_w, True))
    return out


def plan_report(plan: TrainingPlan) -> str:
    """Short text for a person; one fact a line."""
    spec, scales = plan.spec, plan.spec.scales
    checked = sum(1 for segment in plan.segments if segment.range_bits)
    lines = [
        f"network {'-'.join(map(str, spec.layers))}, {spec.loss}, {spec.n_parameters} parameters",
        f"rows {len(plan.train)} train, {len(plan.test)} test; batch {spec.batch}, {plan.total_steps} steps "
        f"in {len(plan.segments)} segments of {plan.segment_steps}, {checked} with range-checked weights",
        f"learning rate {plan.requested_rate:g}: {plan.effective_rate:.6g} = {spec.rate} * 2^-{scales.e} * {spec.batch}",
        f"scale bits: features {scales.s_x} (window {spec.data.x_bits}), gradients {scales.s_d}, output {scales.s_z}, "
        f"exponentials {scales.s_e}, weights {scales.s_w}",
    ]
    for line in window_lines(plan):
        lines.append(
            f"window {line.tensor}: {line.bits} bits, largest {line.observed} of {line.allowed}, "
            f"headroom {line.headroom_bits:.1f} bits"
        )
    if plan.float_score is not None and plan.rounded_score is not None:
        lines.append(
            f"test {plan.score_name}: float64 {plan.float_score:.4f}, with all roundings {plan.rounded_score:.4f} "
            "(provisional seed)"
        )
    return "\n".join(lines)


def _line(tensor: str, bits: int, value: float, scale: int, signed: bool) -> WindowLine:
    allowed = (1 << (bits - 1)) - 1 if signed else (1 << bits) - 1
    return WindowLine(tensor, bits, math.ceil(value * 2.0**scale), allowed)
