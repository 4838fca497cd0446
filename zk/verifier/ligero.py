"""The pad tableau's three tests (PROTOCOL 5.2, 5.3)."""

from __future__ import annotations

from zk.protocol.claims.constraints import PadChallenge
from zk.protocol.errors import ConstraintError, ProximityError
from zk.protocol.field import ZERO, K, P, k_add, k_mul, k_scale, k_sub, root_of_unity
from zk.protocol.padlayout import N_BLINDING_ROWS, PadLayout
from zk.protocol.proof import Opening, Proof, column_values
from zk.verifier.commitment import domain_points, evaluate_many


def check_public_sum(challenge: PadChallenge, layout: PadLayout, linear: list[K]) -> None:
    """The sum of q_lin over <omega_l> must equal the combined right sides. Raises `ConstraintError`."""
    total = ZERO
    for coefficient in linear[:: layout.profile.l]:
        total = k_add(total, coefficient)
    if k_scale(total, layout.profile.l) != challenge.target:
        raise ConstraintError("the linear test of the pad tableau has the wrong sum: some constraint does not hold")


def check_pad_columns(layout: PadLayout, challenge: PadChallenge, proof: Proof, opening: Opening, indices: list[int]) -> None:
    """w', q_lin and g at the opened columns. Raises `ProximityError`."""
    profile = layout.profile
    xs = domain_points(indices, profile.n, shift=7)
    polynomials = [proof.ldt, proof.linear, proof.quadratic, *(interpolate(slots) for slots in challenge.rows.values())]
    ldt, linear, quadratic, *rows = evaluate_many(polynomials, xs)
    weights = dict(zip(challenge.rows, rows, strict=True))
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
