"""Every kernel of every back end equals the slow reference byte for byte; the reference obeys its definitions."""

from __future__ import annotations

import inspect
from itertools import product
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.parity.kernel_inputs import EDGES, Inputs
from zk.kernels import cpu, reference
from zk.kernels.errors import KernelInputError
from zk.kernels.reference import NON_RESIDUE, ONE, ZERO, P

BACK_ENDS = [pytest.param(reference, id="reference"), pytest.param(cpu, id="cpu")]
back_ends = pytest.mark.parametrize("kernels", BACK_ENDS)


def assert_same(actual: Any, expected: Any) -> None:
    """Require equal types, shapes, dtypes and bytes, at any depth of tuples and lists."""
    if isinstance(expected, np.ndarray):
        assert actual.dtype == expected.dtype and actual.shape == expected.shape
        assert actual.flags.c_contiguous
        np.testing.assert_array_equal(actual, expected)
    elif isinstance(expected, tuple | list):
        assert type(actual) is type(expected) and len(actual) == len(expected)
        for a, e in zip(actual, expected, strict=True):
            assert_same(a, e)
    else:
        assert type(actual) is type(expected) and actual == expected


def check_parity(name: str, *args: Any) -> None:
    """Run a kernel on both back ends and compare the result and what became of the arguments."""
    mine = [a.copy() if isinstance(a, np.ndarray) else a for a in args]
    theirs = [a.copy() if isinstance(a, np.ndarray) else a for a in args]
    assert_same(getattr(cpu, name)(*mine), getattr(reference, name)(*theirs))
    for a, b in zip(mine, theirs, strict=True):
        assert_same(a, b)


def test_back_ends_have_the_same_public_names_and_parameters() -> None:
    def public(module: ModuleType) -> dict[str, list[str]]:
        functions = inspect.getmembers(module, inspect.isfunction)
        return {name: list(inspect.signature(f).parameters) for name, f in functions if not name.startswith("_")}

    assert public(cpu) == public(reference)
    assert sorted(cpu.__all__) == sorted(public(cpu))


# --- parity ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["f_add", "f_sub", "f_mul", "k_add", "k_sub", "k_mul"])
def test_elementwise_kernels_on_all_pairs_of_edges(name: str) -> None:
    n = len(EDGES)
    left = np.repeat(np.array(EDGES, dtype=np.uint64), n)
    right = np.tile(np.array(EDGES, dtype=np.uint64), n)
    if name.startswith("k"):
        left, right = np.stack([left, right[::-1]]), np.stack([right, left])
    check_parity(name, left, right)


@pytest.mark.parametrize("shape", [(0,), (1,), (7,), (3, 5), (2, 3, 4)])
def test_field_kernels(shape: tuple[int, ...]) -> None:
    inputs = Inputs(1)
    check_parity("to_field", inputs.integers(*shape))
    for name in ("f_add", "f_sub", "f_mul"):
        check_parity(name, inputs.f(*shape), inputs.f(*shape))
    for name in ("k_add", "k_sub", "k_mul"):
        check_parity(name, inputs.k(*shape), inputs.k(*shape))
    check_parity("k_scale", inputs.k(*shape), inputs.scalar())
    check_parity("k_scale_f", inputs.f(*shape), inputs.scalar())
    check_parity("k_axpy", inputs.k(*shape), inputs.k(*shape), inputs.scalar())


@settings(deadline=None, max_examples=200)
@given(st.lists(st.one_of(st.sampled_from(EDGES), st.integers(0, P - 1)), min_size=4, max_size=4))
def test_k_mul_on_any_pair(values: list[int]) -> None:
    a0, a1, b0, b1 = values
    # Sixteen copies reach the vectorised loop and its remainder.
    a = np.array([[a0] * 19, [a1] * 19], dtype=np.uint64)
    b = np.array([[b0] * 19, [b1] * 19], dtype=np.uint64)
    expected = [(a0 * b0 + NON_RESIDUE * a1 * b1) % P, (a0 * b1 + a1 * b0) % P]
    assert cpu.k_mul(a, b).tolist() == [[expected[0]] * 19, [expected[1]] * 19]


@pytest.mark.parametrize("n", [0, 1, 2, 9, 64, 1000])
def test_k_sum(n: int) -> None:
    check_parity("k_sum", Inputs(n).k(n))
    check_parity("k_sum", np.full((2, n), P - 1, dtype=np.uint64))


@pytest.mark.parametrize(
    ("rows", "k", "n", "shift"),
    [(1, 6, 16, 1), (3, 6, 16, 5), (40, 9, 32, 7), (33, 18, 64, P - 1), (2, 1, 1, 1), (2, 1, 8, 3), (5, 16, 16, 3),
     (70, 31, 32, 1), (9, 12, 64, 1), (1, 100, 256, 1), (0, 4, 8, 1)],
)  # fmt: skip
def test_encode(rows: int, k: int, n: int, shift: int) -> None:
    check_parity("encode", Inputs(k).f(rows, k), n, shift)


@pytest.mark.parametrize(("rows", "m"), [(1, 1), (2, 2), (3, 4), (5, 64), (1, 128), (40, 32)])
def test_ntt_and_intt(rows: int, m: int) -> None:
    values = Inputs(m).f(rows, m)
    check_parity("ntt", values)
    check_parity("intt", values)
    assert_same(cpu.intt(cpu.ntt(values)), values)


def test_evaluate_points() -> None:
    inputs = Inputs(3)
    check_parity("evaluate_points", inputs.k(37), list(EDGES))
    check_parity("evaluate_points", inputs.k(200), inputs.f(13).tolist())
    check_parity("evaluate_points", inputs.k(5), [])


@pytest.mark.parametrize("n", range(8))
def test_eq_table(n: int) -> None:
    check_parity("eq_table", Inputs(n).point(n))


@pytest.mark.parametrize(("a", "b"), [(1, 1), (3, 5), (8, 64), (1, 7), (7, 1)])
def test_outer_products(a: int, b: int) -> None:
    inputs = Inputs(a)
    check_parity("outer", inputs.k(a), inputs.k(b))
    check_parity("outer_add", inputs.k(a * b), inputs.k(a), inputs.k(b))


@pytest.mark.parametrize("n", [2, 4, 6, 16, 64, 130])
def test_sumcheck_kernels(n: int) -> None:
    inputs = Inputs(n)
    check_parity("fold", inputs.k(n), inputs.scalar())
    check_parity("fold_f", inputs.f(n), inputs.scalar())
    check_parity("round2", inputs.k(n), inputs.k(n))
    check_parity("round2_f", inputs.k(n), inputs.f(n))
    check_parity("round3", inputs.k(n), inputs.k(n), inputs.k(n))
    check_parity("round3_ff", inputs.k(n), inputs.f(n), inputs.f(n))
    check_parity("eq_halve", inputs.k(n))


@pytest.mark.parametrize("edge", EDGES)
def test_rounds_on_constant_tables(edge: int) -> None:
    table = np.concatenate([np.full((2, 32), edge, dtype=np.uint64), np.zeros((2, 32), dtype=np.uint64)], axis=1)
    check_parity("round2", table, table)
    check_parity("round3", table, table, table)
    check_parity("round3_ff", table, table[0], table[1])


@pytest.mark.parametrize("log_n", [1, 2, 3, 5])
def test_gkr_kernels_at_every_used_length(log_n: int) -> None:
    size = 1 << log_n
    inputs = Inputs(log_n)
    eq = reference.eq_table(inputs.point(log_n - 1))
    for a in range(size + 1):
        check_parity("gkr_up", inputs.k(a), inputs.k(a), size // 2)
        for tail in (0, 1):
            check_parity("gkr_fold", inputs.k(a), size, tail, inputs.scalar())
        for b in sorted({0, a // 2, max(a - 1, 0), a}):
            tables = [inputs.k(a), inputs.k(a), inputs.k(b), inputs.k(b)]
            check_parity("gkr_round", *tables, eq, inputs.scalar(), size)


@pytest.mark.parametrize(
    ("a", "m", "b"),
    [(1, 1, 1), (3, 5, 1), (1, 7, 9), (4, 6, 5), (0, 3, 2), (2, 0, 3), (2, 3, 0), (2, 40, 33), (5, 33, 1), (1, 3, 600)],
)
def test_contractions(a: int, m: int, b: int) -> None:
    inputs = Inputs(a + 10 * m)
    check_parity("contract_f", inputs.f(a, m, b), inputs.k(m))
    check_parity("contract_k", inputs.k(a, m, b), inputs.k(m))
    check_parity("contract_each_k", inputs.k(a, m, b), inputs.k(a, m))
    for x in (inputs.integers(a, m, b), *(inputs.small_integers(2**n, a, m, b) for n in (3, 15, 23, 30, 31, 32))):
        check_parity("contract", x, inputs.k(m))
        check_parity("contract_each", x, inputs.k(a, m))
    check_parity("combine_rows", inputs.f(m, b), inputs.k(m))


@pytest.mark.parametrize("bound_bits", [7, 15, 16, 20, 21, 24, 31, 32, 62])
def test_contract_of_long_sums_at_the_bound(bound_bits: int) -> None:
    """Constant weights and all integers at the bound: the sums of halves or limbs grow as far as they can."""
    for sign, weight, terms in product((1, -1), (P - 1, P // 2, P // 2 - 1, P // 2 + 1, 2**31, 2**63), (2048, 3000)):
        x = np.full((1, terms, 20), sign * 2**bound_bits, dtype=np.int64)
        expected = (weight * sign * 2**bound_bits * terms) % P
        weights = np.full((2, terms), weight, dtype=np.uint64)
        for columns in (x, x[:, :, :2]):
            assert set(cpu.contract(columns, weights).ravel().tolist()) == {expected}


# --- large tables (two threads) --------------------------------------------------------------------------------------


def _parts_equal(name: str, tables: list[Any], *rest: Any) -> None:
    """A round of a large table is the sum of the rounds of its interleaved quarters."""
    n = tables[0].shape[-1]
    whole = getattr(cpu, name)(*tables, *rest)
    total = [ZERO] * len(whole)
    for quarter in range(4):
        part = getattr(cpu, name)(*(t[..., quarter:n:4] for t in tables), *rest)
        total = [((s[0] + x[0]) % P, (s[1] + x[1]) % P) for s, x in zip(total, part, strict=True)]
    assert list(whole) == total


def test_large_rounds_are_sums_of_small_ones() -> None:
    inputs, n = Inputs(11), 1 << 16
    c, a, b, f, g = inputs.k(n), inputs.k(n), inputs.k(n), inputs.f(n), inputs.f(n)
    _parts_equal("round2", [c, a])
    _parts_equal("round2_f", [c, f])
    _parts_equal("round3", [c, a, b])
    _parts_equal("round3_ff", [c, f, g])


def test_large_elementwise_results_are_those_of_their_pieces() -> None:
    inputs, n, r = Inputs(12), 1 << 15, Inputs(13).scalar()
    a, b, f = inputs.k(n), inputs.k(n), inputs.f(n)
    cut = (slice(None), slice(5, n, 7))
    assert_same(np.ascontiguousarray(cpu.k_mul(a, b)[cut]), cpu.k_mul(a[cut], b[cut]))
    assert_same(np.ascontiguousarray(cpu.k_scale(a, r)[cut]), cpu.k_scale(a[cut], r))
    assert_same(np.ascontiguousarray(cpu.f_mul(f, a[0])[5:n:7]), cpu.f_mul(f[5:n:7], a[0, 5:n:7]))
    h = n // 2
    expected = cpu.k_add(a[:, :h], cpu.k_scale(cpu.k_sub(a[:, h:], a[:, :h]), r))
    assert_same(cpu.fold(a, r), expected)
    lifted = np.stack([f, np.zeros_like(f)])
    assert_same(cpu.fold_f(f, r), cpu.fold(lifted, r))


@pytest.mark.parametrize("used", [(1 << 16) - 12345, (1 << 15) + 1, 1 << 15, 20001])
def test_large_gkr_layers(used: int) -> None:
    """Writing the tail out changes nothing; build, rounds and folds of large odd tables."""
    inputs, size, lam = Inputs(used), 1 << 16, Inputs(14).scalar()
    p, q = inputs.k(used), inputs.k(used)
    ones = np.zeros((2, size), dtype=np.uint64)
    ones[0] = 1
    whole_p, whole_q = np.zeros_like(ones), ones.copy()
    whole_p[:, :used], whole_q[:, :used] = p, q
    up = cpu.gkr_up(p, q, size // 2)
    whole_up = cpu.gkr_up(whole_p, whole_q, size // 2)
    for some, full in zip(up, whole_up, strict=True):
        assert_same(some, np.ascontiguousarray(full[:, : some.shape[1]]))
    cross = cpu.k_mul(whole_p[:, : size // 2], whole_q[:, size // 2 :])
    assert_same(whole_up[0], cpu.k_add(cross, cpu.k_mul(whole_p[:, size // 2 :], whole_q[:, : size // 2])))
    for table, whole, tail in ((p, whole_p, 0), (q, whole_q, 1)):
        folded = cpu.gkr_fold(table, size, tail, lam)
        assert_same(folded, np.ascontiguousarray(cpu.fold(whole, lam)[:, : folded.shape[1]]))
    eq = cpu.eq_table(inputs.point(15))
    b = used // 2
    halves = [whole_p.copy(), whole_q.copy()]
    halves[0][:, b:], halves[1][:, b:] = 0, ones[:, b:]
    short = cpu.gkr_round(p, q, p[:, :b], q[:, :b], eq, lam, size)
    assert short == cpu.gkr_round(whole_p, whole_q, *halves, eq, lam, size)


def test_large_gkr_round_is_the_sum_of_cubic_rounds() -> None:
    inputs, n, lam = Inputs(15), 1 << 15, Inputs(16).scalar()
    pl, ql, pr, qr = (inputs.k(n) for _ in range(4))
    eq = cpu.eq_table(inputs.point(14))
    doubled = np.concatenate([eq, eq], axis=1)
    products = [(pl, qr), (pr, ql), (cpu.k_scale(ql, lam), qr)]
    rounds = [cpu.round3(doubled, a, b) for a, b in products]
    expected = [tuple(sum(r[i][plane] for r in rounds) % P for plane in (0, 1)) for i in (0, 1)]
    assert list(cpu.gkr_round(pl, ql, pr, qr, eq, lam, n)) == expected


def test_large_contractions() -> None:
    inputs = Inputs(17)
    x, v = inputs.integers(3, 200, 150), inputs.k(200)
    expected = np.stack([reference.contract(x[:, :, o : o + 1], v)[..., 0] for o in (0, 77, 149)], axis=-1)
    assert_same(np.ascontiguousarray(cpu.contract(x, v)[:, :, [0, 77, 149]]), expected)
    small = x >> 40
    lifted = cpu.to_field(small)
    assert_same(cpu.contract(small, v), cpu.contract_f(lifted, v))
    assert_same(cpu.contract_k(np.stack([lifted, np.zeros_like(lifted)]), v), cpu.contract_f(lifted, v))
    rows = inputs.f(300, 400)
    weights = inputs.k(300)
    assert_same(cpu.combine_rows(rows, weights)[:, None], cpu.contract_f(rows[None], weights))
    columns = np.ascontiguousarray(rows.T)[:, :, None]
    assert_same(cpu.combine_rows(rows, weights), cpu.contract_f(columns, weights)[..., 0])


def test_large_encode_agrees_with_horner() -> None:
    inputs, k, n, rows = Inputs(18), 1152, 4096, 70
    coeffs = inputs.f(rows, k)
    out = cpu.encode(coeffs, n)
    omega = pow(NON_RESIDUE, (P - 1) // n, P)
    for j in (0, 1, 2, 1023, 1024, 2500, 4095):
        x = pow(omega, int(f"{j:012b}"[::-1], 2), P)
        for i in (0, 31, 32, 69):
            value = cpu.evaluate_points(np.stack([coeffs[i], coeffs[i]]), [x])[0][0]
            assert out[j, i] == value


# --- the reference itself --------------------------------------------------------------------------------------------


@back_ends
def test_anchors_of_the_protocol(kernels: ModuleType) -> None:
    """Known answers of zk/PROTOCOL.md section 21."""
    a, b = np.array([[P - 1], [2]], dtype=np.uint64), np.array([[3], [P - 5]], dtype=np.uint64)
    assert kernels.k_mul(a, b).ravel().tolist() == [18446744069414584248, 11]
    codeword = kernels.encode(np.arange(1, 7, dtype=np.uint64).reshape(1, 6), 16)
    assert codeword[:4, 0].tolist() == [21, 18446744069414584318, 1125899906842627, 18445618169507741700]


@back_ends
def test_to_field_is_the_centred_lift(kernels: ModuleType) -> None:
    x = np.array([0, 1, -1, 2**63 - 1, -(2**63)], dtype=np.int64)
    assert kernels.to_field(x).tolist() == [0, 1, P - 1, 2**63 - 1, P - 2**63]


@back_ends
def test_ntt_of_an_impulse_is_a_geometric_sequence(kernels: ModuleType) -> None:
    m = 16
    impulse = np.zeros((1, m), dtype=np.uint64)
    impulse[0, 3] = 1
    omega = pow(NON_RESIDUE, (P - 1) // m, P)
    assert pow(omega, m // 2, P) == P - 1
    assert kernels.ntt(impulse)[0].tolist() == [pow(omega, 3 * j, P) for j in range(m)]


@back_ends
def test_eq_table_sums_to_one_and_selects_points_msb_first(kernels: ModuleType) -> None:
    assert kernels.k_sum(kernels.eq_table(Inputs(4).point(6))) == ONE
    table = kernels.eq_table([ONE, ZERO, ZERO])
    assert table[0].tolist() == [0, 0, 0, 0, 1, 0, 0, 0] and not table[1].any()
    z = Inputs(5).scalar()
    assert (table := kernels.eq_table([z]))[:, 1].tolist() == list(z)
    assert kernels.k_sum(table) == ONE


@back_ends
def test_folding_all_variables_evaluates_the_extension(kernels: ModuleType) -> None:
    inputs = Inputs(6)
    table, point = inputs.k(32), inputs.point(5)
    weights = kernels.k_mul(table, kernels.eq_table(point))
    for r in point:
        table = kernels.fold(table, r)
    assert tuple(table.ravel().tolist()) == kernels.k_sum(weights)


@back_ends
def test_round_polynomials_add_up(kernels: ModuleType) -> None:
    """c0, c2, c3 and the claim give s(r), which must equal the sum over the folded tables (section 6.1)."""
    inputs = Inputs(7)
    a, b, c, r = inputs.k(16), inputs.k(16), inputs.k(16), inputs.scalar()

    def sum_of_products(*tables: np.ndarray) -> tuple[int, int]:
        product = tables[0]
        for table in tables[1:]:
            product = reference.k_mul(product, table)
        return reference.k_sum(product)

    def scaled(x: tuple[int, int], y: tuple[int, int]) -> tuple[int, int]:
        return (x[0] * y[0] + NON_RESIDUE * x[1] * y[1]) % P, (x[0] * y[1] + x[1] * y[0]) % P

    for tables in ([a, b], [a, b, c]):
        coefficients = dict(zip((0, 2, 3), getattr(kernels, f"round{len(tables)}")(*tables), strict=False))
        claim = sum_of_products(*tables)
        doubled = [2 * coefficients[0][i] + sum(coefficients[d][i] for d in coefficients if d) for i in (0, 1)]
        coefficients[1] = (claim[0] - doubled[0]) % P, (claim[1] - doubled[1]) % P
        value, power = ZERO, ONE
        for degree in range(4):
            term = scaled(coefficients.get(degree, ZERO), power)
            value = (value[0] + term[0]) % P, (value[1] + term[1]) % P
            power = scaled(power, r)
        assert value == sum_of_products(*(kernels.fold(t, r) for t in tables))


@back_ends
def test_gkr_layers_add_fractions(kernels: ModuleType) -> None:
    """The root of the tree is the sum of all leaf fractions: p0 prod(others) = sum_i p_i prod_{j != i} q_j."""
    inputs = Inputs(8)
    p, q = inputs.f(5), np.array([3, 5, 7, 11, 13], dtype=np.uint64)
    layer = np.stack([p, np.zeros_like(p)]), np.stack([q, np.zeros_like(q)])
    for half in (4, 2, 1):
        layer = kernels.gkr_up(*layer, half)
    product = 3 * 5 * 7 * 11 * 13
    expected = sum(int(x) * (product // int(y)) for x, y in zip(p, q, strict=True)) % P
    assert layer[0].ravel().tolist() == [expected, 0] and layer[1].ravel().tolist() == [product, 0]


@back_ends
def test_contract_is_the_matrix_product(kernels: ModuleType) -> None:
    rng = np.random.default_rng(9)
    x, low, high = rng.integers(-50, 50, (3, 4, 5)), rng.integers(0, 99, 4), rng.integers(0, 99, 4)
    out = kernels.contract(x, np.stack([low, high]).astype(np.uint64))
    expected = [np.einsum("amb,m->ab", x, weights) for weights in (low, high)]
    assert [[int(y) % P for y in plane.ravel()] for plane in expected] == [p.ravel().tolist() for p in out]


# --- the boundary ----------------------------------------------------------------------------------------------------


def test_strided_and_read_only_arrays_are_accepted() -> None:
    inputs = Inputs(10)
    wide, r = inputs.k(64), inputs.scalar()
    frozen = np.ascontiguousarray(wide[:, ::2])
    frozen.flags.writeable = False
    assert_same(cpu.fold(wide[:, ::2], r), reference.fold(wide[:, ::2], r))
    assert_same(cpu.fold(frozen, r), reference.fold(frozen, r))
    target = wide.copy()
    cpu.k_axpy(target[:, ::2], frozen, r)
    expected = wide.copy()
    reference.k_axpy(expected[:, ::2], frozen, r)
    assert_same(target, expected)


def test_k_axpy_onto_itself() -> None:
    a, r = Inputs(20).k(33), Inputs(21).scalar()
    expected = reference.k_add(a, reference.k_scale(a, r))
    cpu.k_axpy(a, a, r)
    assert_same(a, expected)


def test_wrong_arrays_are_refused_by_name() -> None:
    inputs = Inputs(19)
    with pytest.raises(KernelInputError, match="uint64"):
        cpu.fold(np.zeros((2, 4), dtype=np.int64), ONE)  # type: ignore[arg-type]
    with pytest.raises(KernelInputError, match="even length"):
        cpu.fold(inputs.k(3), ONE)
    with pytest.raises(KernelInputError, match="one length"):
        cpu.round2(inputs.k(4), inputs.k(8))
    with pytest.raises(KernelInputError, match="one shape"):
        cpu.f_mul(inputs.f(3), inputs.f(4))
    with pytest.raises(KernelInputError, match="K array of shape"):
        cpu.k_scale(inputs.f(3), ONE)
    with pytest.raises(KernelInputError, match="power of two"):
        cpu.encode(inputs.f(2, 6), 4)
    with pytest.raises(KernelInputError, match="weights"):
        cpu.contract_f(inputs.f(2, 3, 4), inputs.k(4))
    with pytest.raises(KernelInputError, match="store"):
        cpu.gkr_fold(inputs.k(9), 8, 0, ONE)
