"""Binomial tails and windows of the green-list tests, against SciPy and brute force."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from watermark.detectors.green_count import first_of_each, row_codes
from watermark.detectors.green_power import expected_green, sufficient_tokens
from watermark.detectors.window_scan import best_window, log_p_scan, parse_sizes
from watermark.errors import ConfigError, TokenError
from watermark.nulls import normal
from watermark.nulls.binomial import log_tail

FRACTIONS = (1e-4, 0.01, 0.25, 12568 / 50272, 0.5, 0.75, 0.999)


@pytest.mark.parametrize("count", [1, 2, 15, 16, 17, 100, 1000, 20_000])
def test_binomial_tail_equals_scipy(count: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(count)
    for fraction in FRACTIONS:
        chosen = {0, 1, count // 2, int(count * fraction), int(count * fraction) + 1, count - 1, count}
        for green in chosen | set(rng.integers(0, count + 1, 20).tolist()):
            expected = stats.binom.logsf(green - 1, count, fraction)
            assert expected < -650 or log_tail(green, count, fraction) == pytest.approx(expected, rel=1e-10, abs=1e-13)


def test_binomial_tail_far_out() -> None:
    """Towards and past the underflow of doubles: against sums of integers."""
    for count, green, share in ((400, 390, (1, 4)), (1500, 1400, (1, 4)), (600, 600, (1, 100)), (900, 500, (1, 50))):
        top, bottom = share[0], share[1] - share[0]
        exact = sum(math.comb(count, k) * top**k * bottom ** (count - k) for k in range(green, count + 1))
        expected = _log_integer(exact) - count * math.log(share[1])
        assert log_tail(green, count, share[0] / share[1]) == pytest.approx(expected, rel=1e-11) and expected < -490


def _log_integer(value: int) -> float:
    shift = max(0, value.bit_length() - 60)
    return math.log(value >> shift) + shift * math.log(2)


def test_binomial_edges() -> None:
    assert log_tail(0, 10, 0.25) == 0.0 and log_tail(-1, 10, 0.25) == 0.0 and log_tail(0, 0, 0.25) == 0.0
    assert log_tail(11, 10, 0.25) == -math.inf and log_tail(1, 0, 0.25) == -math.inf
    assert log_tail(10, 10, 0.25) == pytest.approx(10 * math.log(0.25))
    tails = [log_tail(green, 300, 0.25) for green in range(302)]
    assert all(a > b or a == b == 0.0 for a, b in itertools.pairwise(tails))


def test_normal_tail() -> None:
    assert normal.upper_tail(4.0) == pytest.approx(3.167124183311992e-05, rel=1e-12)
    for z in (-5.0, 0.0, 3.0, 29.9, 30.1):
        assert math.exp(normal.log_upper_tail(z)) == pytest.approx(normal.upper_tail(z), rel=1e-11)
    assert normal.log_upper_tail(100.0) == pytest.approx(-5005.524208694205, rel=1e-12)
    assert normal.quantile(1e-3) == pytest.approx(3.090232306167813, rel=1e-12)


def test_first_of_each_row() -> None:
    rng = np.random.default_rng(3)
    for width, bound in ((1, 5), (2, 4), (5, 3), (6, 1 << 22), (16, 50272)):
        rows = rng.integers(0, bound, (300, width))
        rows[100:200] = rows[:100]
        rows[250] = bound - 1
        seen: set[tuple[int, ...]] = set()
        expected = [not (tuple(row) in seen or seen.add(tuple(row))) for row in rows.tolist()]  # type: ignore[func-returns-value]
        assert first_of_each(row_codes(rows, bound)).tolist() == expected
    assert first_of_each(np.zeros(0, dtype=np.int64)).tolist() == []


def test_windows_of_every_size() -> None:
    """The reference's best window: every size below the whole text, at every place."""
    rng = np.random.default_rng(4)
    green = rng.random(60) < 0.25
    green[20:35] = True
    found = best_window(green, 0.25, None, 1)
    z = max(
        ((green[a : a + n].sum() - 0.25 * n) / math.sqrt(n * 0.25 * 0.75), n) for n in range(1, 60) for a in range(60 - n + 1)
    )
    assert found is not None and (found.z_score, found.size) == (pytest.approx(z[0], rel=1e-6), z[1])
    assert best_window(np.ones(1, dtype=bool), 0.25, None, 1) is None  # never the whole text
    with pytest.raises(TokenError, match="give sizes"):
        best_window(np.zeros(20_001, dtype=bool), 0.25, None, 1)


def test_scan_looks_at_the_whole_text_and_pays_for_every_window() -> None:
    green = np.zeros(100, dtype=bool)
    green[::2] = True  # no window is better than the whole
    log_p, windows = log_p_scan(green, 0.25, None, 1)  # type: ignore[misc]
    assert windows > 40 and log_p == pytest.approx(log_tail(50, 100, 0.25) + math.log(windows))
    log_p, windows = log_p_scan(green, 0.25, (100,), 1)  # type: ignore[misc]
    assert windows == 1 and log_p == log_tail(50, 100, 0.25)
    log_p, windows = log_p_scan(green, 0.25, (20, 40, 200), 5)  # type: ignore[misc]
    assert windows == 17 + 13 and log_p == pytest.approx(log_tail(20, 40, 0.25) + math.log(30))
    assert log_p_scan(green, 0.25, (101,), 1) is None and log_p_scan(green[:0], 0.25, None, 1) is None


def test_window_sizes() -> None:
    assert parse_sizes("max") is None and parse_sizes("20") == (20,) and parse_sizes(" 20, 40 ,") == (20, 40)
    for text in ("", ",", "0", "-5", "1.5", "x", "²", "٣", "9" * 10, "9" * 6000, ",".join(["1"] * 65), "max,20"):
        with pytest.raises(ConfigError, match="window_size"):
            parse_sizes(text)


def test_sufficient_lengths() -> None:
    assert 0.4 < expected_green(0.25, 2.0) < 0.7 and expected_green(0.25, 50.0) <= 1.0
    assert sufficient_tokens(0.25, 2.0, 1e-3) < sufficient_tokens(0.25, 2.0, 1e-6) < sufficient_tokens(0.25, 1.0, 1e-6)
    assert sufficient_tokens(0.25, None, 1e-3) == sufficient_tokens(0.25, 2.0, 1e-3)
    assert sufficient_tokens(0.25, float("inf"), 1e-3) >= 16 and sufficient_tokens(0.25, 1e-9, 1e-3) == 1 << 30
