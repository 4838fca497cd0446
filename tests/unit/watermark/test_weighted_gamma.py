"""The exact tail of two weighted Gamma variables against the negative-binomial mixture, and its edges."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from watermark.nulls.moment_gamma import log_q_real
from watermark.nulls.weighted_gamma import log_q_nodes, weighted_log_q


def mixture(shape: int, a: float, b: float, s: float, terms: int = 6000) -> float:
    """log P by another road: a Gamma(T) is b Gamma(T + K), K negative binomial, all terms positive (b < a).

    The smaller weight scales a Gamma(2T + K); rational weights, floats for exp(-s / b) only.
    """
    rho = b / a
    log_weight, log_term, log_tail = shape * math.log(rho), -s / b, -math.inf
    logs = []
    x = s / b
    for j in range(2 * shape):  # log Q(2T, x)
        log_tail = np.logaddexp(log_tail, log_term)
        log_term += math.log(x) - math.log(j + 1)
    for k in range(terms):
        logs.append(log_weight + log_tail)
        log_tail = np.logaddexp(log_tail, log_term)
        log_term += math.log(x) - math.log(2 * shape + k + 1)
        log_weight += math.log1p(-rho) + math.log(shape + k) - math.log(k + 1)
    return float(np.logaddexp.reduce(logs))


@pytest.mark.parametrize(
    ("shape", "a", "b", "s"),
    [(1, 0.9, 0.1, 3.0), (1, 0.6, 0.4, 300.0), (5, 0.8, 0.2, 2.0), (20, 0.9, 0.1, 18.0), (50, 0.51, 0.49, 151.0),
     (50, 0.9, 0.1, 151.0), (200, 0.8, 0.2, 585.0), (400, 0.95, 0.05, 403.0), (3, 0.3, 0.7, 1000.0)],
)  # fmt: skip
def test_equals_the_mixture(shape: int, a: float, b: float, s: float) -> None:
    terms = int(4 * shape * max(a, b) / min(a, b) + 40 * s + 500)
    assert weighted_log_q(shape, a, b, s) == pytest.approx(mixture(shape, max(a, b), min(a, b), s, terms), abs=1e-9)


def test_two_unequal_exponentials() -> None:
    """shape 1: (a e^(-s/a) - b e^(-s/b)) / (a - b), in closed form."""
    for s in (0.01, 1.0, 20.0, 500.0):
        exact = (0.75 * math.exp(-s / 0.75) - 0.25 * math.exp(-s / 0.25)) / 0.5
        assert weighted_log_q(1, 0.75, 0.25, s) == pytest.approx(math.log(exact), abs=1e-9)


def test_equal_and_zero_weights_are_plain_gammas() -> None:
    assert weighted_log_q(30, 0.5, 0.5, 40.0) == pytest.approx(float(log_q_nodes(60, np.array([80.0]))[0]), abs=1e-12)
    assert weighted_log_q(30, 0.0, 1.0, 40.0) == pytest.approx(float(log_q_nodes(30, np.array([40.0]))[0]), abs=1e-12)
    assert weighted_log_q(30, 1e-9, 1.0, 40.0) == pytest.approx(weighted_log_q(30, 0.0, 1.0, 40.0), abs=1e-6)
    assert weighted_log_q(30, 0.499999999, 0.500000001, 40.0) == pytest.approx(weighted_log_q(30, 0.5, 0.5, 40.0), abs=1e-6)


def test_edges() -> None:
    assert weighted_log_q(5, 0.9, 0.1, 0.0) == 0.0
    assert weighted_log_q(500, 0.9, 0.1, 1e-6) == pytest.approx(0.0, abs=1e-9)
    assert weighted_log_q(100, 0.9, 0.1, 1e5) < -1e5  # far below what a double can hold
    for wrong in ((0, 0.5, 0.5, 1.0), (3, -0.1, 1.1, 1.0), (3, 0.0, 0.0, 1.0), (3, math.nan, 1.0, 1.0)):
        with pytest.raises(ValueError):
            weighted_log_q(*wrong)


def test_log_q_against_rational_sums() -> None:
    for shape in (1, 2, 7, 31, 32, 60):
        for x in (Fraction(1, 8), Fraction(5), Fraction(shape), Fraction(3 * shape), Fraction(700)):
            term = total = Fraction(1)
            for j in range(1, shape):
                term *= x / j
                total += term
            exact = -float(x) + math.log(total.numerator) - math.log(total.denominator)
            assert float(log_q_nodes(shape, np.array([float(x)]))[0]) == pytest.approx(exact, abs=1e-9, rel=1e-12)


def test_real_shapes_against_scipy() -> None:
    special = pytest.importorskip("scipy.special")
    for shape in (0.7, 1.0, 17.3, 243.9, 1220.5):
        for factor in (0.5, 0.99, 1.01, 1.3):
            x = shape * factor
            exact = special.gammaincc(shape, x)
            if exact > 1e-290:
                assert math.exp(log_q_real(shape, x)) == pytest.approx(exact, rel=1e-8)
