"""The pad tableau's three tests (PROTOCOL 5.2, 5.3)."""

from __future__ import annotations

from dataclasses import dataclass

from zk.protocol.errors import ConstraintError, ProximityError
from zk.protocol.field import ZERO, K, P, k_add, k_mul, k_neg, k_scale, k_sub, root_of_unity
from zk.protocol.padlayout import N_BLINDING_ROWS, Cell, PadLayout
from zk.protocol.proof import Opening, Proof, column_values
from zk.protocol.schedule import Schedule
from zk.protocol.transcript import Transcript
from zk.verifier.affine import PadSystem
from zk.verifier.commitment import domain_points, evaluate_many


@dataclass
class PadChallenge:
    """theta, r', mu and the matrix rows A_i (slot weights) they define."""

    ldt: list[K]
    quadratic: list[K]
    rows: dict[int, list[K]]


def verify_pad_head(
    transcript: Transcript, pads: PadSystem, schedule: Schedule, layout: PadLayout, proof: Proof
) -> PadChallenge:
    """Labels 24 to 27 and the public sum of the linear test. Raises `ConstraintError`."""
    n_linear = len(pads.constraints) + len(layout.copies)
    counts = (n_linear, layout.n_rows - 1, layout.n_groups)
    drawn = transcript.challenge_k("24.pad", sum(counts))
    theta, ldt, quadratic = drawn[: counts[0]], drawn[counts[0] : counts[0] + counts[1]], drawn[counts[0] + counts[1] :]
    transcript.absorb_k("25.pad.ldt", proof.ldt)
    transcript.absorb_k("26.pad.lin", proof.linear)
    transcript.absorb_k("27.pad.quad", proof.quadratic)
    rows, target = _constraint_rows(pads, schedule, layout, theta)
    total = ZERO
    for coefficient in proof.linear[:: layout.profile.l]:
        total = k_add(total, coefficient)
    if k_scale(total, layout.profile.l) != target:
        raise ConstraintError("the linear test of the pad tableau has the wrong sum: some constraint does not hold")
    return PadChallenge(ldt, quadratic, rows)


def _constraint_rows(
    pads: PadSystem, schedule: Schedule, layout: PadLayout, theta: list[K]
) -> tuple[dict[int, list[K]], K]:
    """sum_c theta_c A^(c) as slot weights a tableau row, and sum_c theta_c y_c."""
    rows: dict[int, list[K]] = {}
    target = ZERO
    for weight, form in zip(theta, pads.constraints, strict=False):
        target = k_sub(target, k_mul(weight, form.constant))
        for pad, coefficient in form.pads.items():
            cell = layout.home[pad] if pad < schedule.n_scalars else layout.triples[pad - schedule.n_scalars][2]
            _add(rows, cell, k_mul(weight, coefficient), layout.profile.l)
    for weight, (left, right) in zip(theta[len(pads.constraints) :], layout.copies, strict=True):
        _add(rows, left, weight, layout.profile.l)
        _add(rows, right, k_neg(weight), layout.profile.l)
    return rows, target


def _add(rows: dict[int, list[K]], cell: Cell, weight: K, width: int) -> None:
    row = rows.setdefault(cell[0], [ZERO] * width)
    row[cell[1]] = k_add(row[cell[1]], weight)


def check_pad_columns(layout: PadLayout, challenge: PadChallenge, proof: Proof, opening: Opening, indices: list[int]) -> None:
    """w', q_lin and g at the opened columns. Raises `ProximityError`."""
    profile = layout.profile
    xs = domain_points(indices, profile.n, shift=7)
    ldt, linear, quadratic = (evaluate_many(poly, xs) for poly in (proof.ldt, proof.linear, proof.quadratic))
    weights = {row: evaluate_many(interpolate(slots), xs) for row, slots in challenge.rows.items()}
    for at, (x, column) in enumerate(zip(xs, opening.columns, strict=True)):
        flat = column_values(column)
        u = list(zip(flat[0::2], flat[1::2], strict=True))
        where = f"column {indices[at]} of the pad tableau"
        if ldt[at] != _ldt(u, challenge.ldt):
            raise ProximityError(f"{where} contradicts w'")
        value = k_add(u[1], k_scale(u[2], pow(x, profile.l, P)))
        for row, evaluations in weights.items():
            value = k_add(value, k_mul(evaluations[at], u[row]))
        if value != linear[at]:
            raise ProximityError(f"{where} contradicts q_lin")
        vanishing = (pow(x, profile.l, P) - 1) % P
        blinding = k_add(u[3], k_scale(u[4], pow(x, profile.quadratic_shift, P)))
        value = k_scale(k_sub(quadratic[at], blinding), vanishing)
        if value != _products(u, layout, challenge.quadratic):
            raise ProximityError(f"{where} contradicts g")


def _ldt(u: list[K], weights: list[K]) -> K:
    out = u[0]
    for value, weight in zip(u[1:], weights, strict=True):
        out = k_add(out, k_mul(weight, value))
    return out


def _products(u: list[K], layout: PadLayout, weights: list[K]) -> K:
    """sum_g mu_g (X_g Y_g - Z_g)."""
    out, first = ZERO, N_BLINDING_ROWS + layout.n_single_rows
    for group, weight in enumerate(weights):
        x, y, z = u[first + 3 * group : first + 3 * group + 3]
        out = k_add(out, k_mul(weight, k_sub(k_mul(x, y), z)))
    return out


def interpolate(slots: list[K]) -> list[K]:
    """Coefficients of the polynomial of degree < l with the given values on <omega_l>, in K."""
    size = len(slots)
    root = pow(root_of_unity(size), P - 2, P)
    scale = pow(size, P - 2, P)
    low, high = (_transform([value[part] for value in slots], root) for part in (0, 1))
    return [(a * scale % P, b * scale % P) for a, b in zip(low, high, strict=True)]


def _transform(values: list[int], root: int) -> list[int]:
    """out[j] = sum_i values[i] root^(ij), recursive radix 2."""
    if len(values) == 1:
        return values
    even, odd = _transform(values[0::2], root * root % P), _transform(values[1::2], root * root % P)
    out, twiddle = [0] * len(values), 1
    for i in range(len(even)):
        term = twiddle * odd[i] % P
        out[i], out[i + len(even)] = (even[i] + term) % P, (even[i] - term) % P
        twiddle = twiddle * root % P
    return out


