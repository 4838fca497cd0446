"""The pad tableau (PROTOCOL section 5): commit pads and products, answer the three tests, open columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zk.protocol.field import ONE, ZERO, K, k_add, k_neg, k_sub
from zk.protocol.padlayout import N_BLINDING_ROWS, Cell, PadLayout
from zk.protocol.params import PadProfile
from zk.protocol.schedule import Schedule
from zk.prover.backend import kernels
from zk.prover.commitment import Tree, hash_columns
from zk.prover.functional import to_list
from zk.prover.randomness import expand_field, salts

Array = np.ndarray


@dataclass
class PadTableau:
    """Coefficients K (2, rows, k); slot values K (2, rows, l) of the message rows; pads by slot number."""

    layout: PadLayout
    coefficients: Array
    slots: Array
    pads: list[K]
    tree: Tree


def commit_pads(layout: PadLayout, schedule: Schedule, seed: bytes, tag: bytes) -> PadTableau:
    """Draw every pad and blinding coefficient from `seed`, fill products and copies, encode and hash."""
    profile = layout.profile
    n_rows = layout.n_rows
    blinding = N_BLINDING_ROWS * profile.k
    n_slots = (n_rows - N_BLINDING_ROWS) * profile.l
    n_random = (n_rows - N_BLINDING_ROWS) * profile.h
    drawn = expand_field(seed, "pads", 2 * (blinding + n_slots + n_random)).reshape(2, -1)
    slots = np.zeros((2, n_rows, profile.l), dtype=np.uint64)
    slots[:, N_BLINDING_ROWS:] = drawn[:, blinding : blinding + n_slots].reshape(2, -1, profile.l)
    _fill_products(slots, layout, schedule)
    coefficients = np.zeros((2, n_rows, profile.k), dtype=np.uint64)
    coefficients[:, :N_BLINDING_ROWS] = drawn[:, :blinding].reshape(2, N_BLINDING_ROWS, profile.k)
    _fix_linear_blinding(coefficients, profile.l)
    if n_rows > N_BLINDING_ROWS:
        random = drawn[:, blinding + n_slots :].reshape(2, -1, profile.h)
        coefficients[:, N_BLINDING_ROWS:] = _embed(slots[:, N_BLINDING_ROWS:], random, profile)
    encoded = _encode(coefficients, profile)
    tree = hash_columns(encoded, salts(seed, profile.n), tag)
    pads = [_cell(slots, cell) for cell in layout.home]
    return PadTableau(layout, coefficients, slots, pads, tree)


def _cell(slots: Array, cell: Cell) -> K:
    return (int(slots[0, cell[0], cell[1]]), int(slots[1, cell[0], cell[1]]))


def _fill_products(slots: Array, layout: PadLayout, schedule: Schedule) -> None:
    """X and Y cells hold the pads of their product (copies included), Z their product; unused triples stay consistent."""
    for left, right in layout.copies:
        slots[:, left[0], left[1]] = slots[:, right[0], right[1]]
    first = N_BLINDING_ROWS + layout.n_single_rows
    for group in range(layout.n_groups):
        x, y, z = (first + 3 * group + part for part in range(3))
        slots[:, z] = kernels.k_mul(np.ascontiguousarray(slots[:, x]), np.ascontiguousarray(slots[:, y]))


def _fix_linear_blinding(coefficients: Array, width: int) -> None:
    """Correct L0[0] so that L0(X) + X^l L1(X) sums to zero over <omega_l>: only exponents divisible by l count."""
    total = ZERO
    for row in (1, 2):
        for at in range(0, coefficients.shape[2], width):
            total = k_add(total, (int(coefficients[0, row, at]), int(coefficients[1, row, at])))
    fixed = k_sub((int(coefficients[0, 1, 0]), int(coefficients[1, 1, 0])), total)
    coefficients[0, 1, 0], coefficients[1, 1, 0] = fixed


def _embed(slots: Array, random: Array, profile: PadProfile) -> Array:
    """U(X) = Mhat(X) + (X^l - 1) R(X) with Mhat interpolating the slots on <omega_l>."""
    out = np.zeros((2, slots.shape[1], profile.k), dtype=np.uint64)
    for plane in (0, 1):
        message = kernels.intt(np.ascontiguousarray(slots[plane]))
        out[plane, :, : profile.l] = message
        head = np.ascontiguousarray(out[plane, :, : profile.h])
        out[plane, :, : profile.h] = kernels.f_sub(head, np.ascontiguousarray(random[plane]))
        out[plane, :, profile.l :] = random[plane]
    return out


def _encode(coefficients: Array, profile: PadProfile) -> Array:
    """Columns [n, 2 * rows] with lo and hi of every K-row side by side."""
    n_rows = coefficients.shape[1]
    interleaved = np.ascontiguousarray(coefficients.transpose(1, 0, 2)).reshape(2 * n_rows, profile.k)
    return kernels.encode(interleaved, profile.n, 7)


def low_degree_answer(tableau: PadTableau, weights: list[K]) -> list[K]:
    """w' = B_ldt + sum r'_i U_i over all other rows."""
    return _sum_rows(tableau.coefficients, [ONE, *weights])


def _sum_rows(coefficients: Array, weights: list[K]) -> list[K]:
    out = np.zeros((2, coefficients.shape[2]), dtype=np.uint64)
    for row, weight in enumerate(weights):
        kernels.k_axpy(out, np.ascontiguousarray(coefficients[:, row]), weight)
    return to_list(out)


def linear_answer(tableau: PadTableau, rows: dict[int, list[K]]) -> list[K]:
    """q_lin = L0 + X^l L1 + sum_i A_i U_i, with A_i interpolating the slot weights of row i."""
    profile = tableau.layout.profile
    size = 1 << (profile.n_linear - 1).bit_length()
    out = np.zeros((2, size), dtype=np.uint64)
    out[:, : profile.k] = tableau.coefficients[:, 1]
    shifted = np.zeros_like(out)
    shifted[:, profile.l : profile.l + profile.k] = tableau.coefficients[:, 2]
    out = kernels.k_add(out, shifted)
    for row, slots in rows.items():
        weights = np.array(slots, dtype=np.uint64).T.copy()
        a = np.stack([kernels.intt(np.ascontiguousarray(plane[None]))[0] for plane in weights])
        product = _multiply(a, np.ascontiguousarray(tableau.coefficients[:, row]), size)
        out = kernels.k_add(out, product)
    return to_list(out[:, : profile.n_linear])


def _multiply(a: Array, b: Array, size: int) -> Array:
    """Product of two K-polynomials of total length at most `size`."""
    fa, fb = _forward(a, size), _forward(b, size)
    return _backward(kernels.k_mul(fa, fb))


def _forward(poly: Array, size: int) -> Array:
    wide = np.zeros((2, size), dtype=np.uint64)
    wide[:, : poly.shape[1]] = poly
    return kernels.ntt(wide)


def _backward(values: Array) -> Array:
    return kernels.intt(values)


def quadratic_answer(tableau: PadTableau, weights: list[K]) -> list[K]:
    """g = G0 + X^s G1 + sum_g mu_g (X_g Y_g - Z_g) / (X^l - 1)."""
    profile, layout = tableau.layout.profile, tableau.layout
    size = 1 << (2 * profile.k - 2).bit_length()
    numerator = np.zeros((2, size), dtype=np.uint64)
    first = N_BLINDING_ROWS + layout.n_single_rows
    for group, weight in enumerate(weights):
        x, y, z = (np.ascontiguousarray(tableau.coefficients[:, first + 3 * group + part]) for part in range(3))
        product = _multiply(x, y, size)
        kernels.k_axpy(product, np.concatenate([z, np.zeros((2, size - profile.k), np.uint64)], axis=1), k_neg(ONE))
        kernels.k_axpy(numerator, product, weight)
    quotient = _divide_by_vanishing(numerator, profile.l)
    out = np.zeros((2, profile.n_quadratic), dtype=np.uint64)
    out[:, : profile.k] = tableau.coefficients[:, 3]
    shifted = np.zeros_like(out)
    shifted[:, profile.quadratic_shift :] = tableau.coefficients[:, 4]
    out = kernels.k_add(out, shifted)
    return to_list(kernels.k_add(out, np.ascontiguousarray(quotient[:, : profile.n_quadratic])))


def _divide_by_vanishing(numerator: Array, width: int) -> Array:
    """numerator / (X^width - 1), exact: quotient[j] = sum of numerator[j + width], numerator[j + 2 width], ..."""
    size = numerator.shape[1]
    out = np.zeros_like(numerator)
    for start in range(size - 2 * width, -1, -width):
        above = np.ascontiguousarray(numerator[:, start + width : start + 2 * width])
        carried = np.ascontiguousarray(out[:, start + width : start + 2 * width])
        out[:, start : start + width] = kernels.k_add(above, carried)
    return out
