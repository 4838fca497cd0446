"""Time every hot kernel and print nanoseconds per entry.

    python -m benchmarks.kernels [filter] [--log-size 18] [--threads 1]

An entry is a stored table entry for rounds, folds and layers, a (row, l) slot with l = n/4 for encode, and a
multiply-accumulate for contractions. The best of several runs is printed; nothing is asserted.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator

import numpy as np

from zk.kernels import cpu
from zk.kernels.cpu import arguments

Case = tuple[str, int, Callable[[], object]]
LAM = (2**63 + 11, 2**62 + 5)


def _random(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.integers(0, 2**64 - 2**32 + 1, shape, dtype=np.uint64)


def _best_seconds(call: Callable[[], object], budget_s: float = 0.4) -> float:
    call()
    best, spent = float("inf"), 0.0
    while spent < budget_s:
        start = time.perf_counter()
        call()
        elapsed = time.perf_counter() - start
        best, spent = min(best, elapsed), spent + elapsed
    return best


def _elementwise(rng: np.random.Generator, n: int) -> Iterator[Case]:
    f, g, k, m = _random(rng, n), _random(rng, n), _random(rng, 2, n), _random(rng, 2, n)
    yield "f_mul", n, lambda: cpu.f_mul(f, g)
    yield "k_add", n, lambda: cpu.k_add(k, m)
    yield "k_mul", n, lambda: cpu.k_mul(k, m)
    yield "k_scale", n, lambda: cpu.k_scale(k, LAM)
    yield "k_axpy", n, lambda: cpu.k_axpy(m, k, LAM)
    yield "k_sum", n, lambda: cpu.k_sum(k)
    yield "eq_table", n, lambda: cpu.eq_table([LAM] * (n.bit_length() - 1))
    u, v = _random(rng, 2, 64), _random(rng, 2, n // 64)
    yield "outer", n, lambda: cpu.outer(u, v)
    yield "outer_add", n, lambda: cpu.outer_add(m, u, v)


def _sumcheck(rng: np.random.Generator, n: int) -> Iterator[Case]:
    a, b, c, f, g = (*(_random(rng, 2, n) for _ in range(3)), _random(rng, n), _random(rng, n))
    yield "fold", n, lambda: cpu.fold(a, LAM)
    yield "fold_f", n, lambda: cpu.fold_f(f, LAM)
    yield "round2", n, lambda: cpu.round2(a, b)
    yield "round2_f", n, lambda: cpu.round2_f(a, f)
    yield "round3", n, lambda: cpu.round3(a, b, c)
    yield "round3_ff", n, lambda: cpu.round3_ff(a, f, g)


def _whole_gkr(p: np.ndarray, q: np.ndarray) -> None:
    """Build all layers, then all rounds and folds of every layer's sumcheck, with fixed challenges."""
    layers = [(p, q)]
    while layers[-1][0].shape[1] > 1:
        layers.append(cpu.gkr_up(*layers[-1], layers[-1][0].shape[1] // 2))
    for p, q in layers[-3::-1]:
        h = p.shape[1] // 2
        pl, ql, pr, qr = p[:, :h], q[:, :h], p[:, h:], q[:, h:]
        size, eq = h, cpu.eq_table([LAM] * (h.bit_length() - 2))
        while size > 1:
            cpu.gkr_round(pl, ql, pr, qr, eq, LAM, size)
            pl, ql = cpu.gkr_fold(pl, size, 0, LAM), cpu.gkr_fold(ql, size, 1, LAM)
            pr, qr = cpu.gkr_fold(pr, size, 0, LAM), cpu.gkr_fold(qr, size, 1, LAM)
            size //= 2
            if size > 1:
                eq = cpu.eq_halve(eq)


def _gkr(rng: np.random.Generator, n: int) -> Iterator[Case]:
    pl, ql, pr, qr, eq = (*(_random(rng, 2, n) for _ in range(4)), _random(rng, 2, n // 2))
    p, q = _random(rng, 2, 4 * n), _random(rng, 2, 4 * n)
    yield "gkr_up", 4 * n, lambda: cpu.gkr_up(p, q, 2 * n)
    yield "gkr_round", n, lambda: cpu.gkr_round(pl, ql, pr, qr, eq, LAM, n)
    yield "gkr_round ragged", n // 2, lambda: cpu.gkr_round(*(t[:, : n // 2] for t in (pl, ql, pr, qr)), eq, LAM, n)
    yield "gkr_fold", n, lambda: cpu.gkr_fold(pl, n, 1, LAM)
    yield "eq_halve", n, lambda: cpu.eq_halve(pl)
    yield "gkr whole, per leaf", 4 * n, lambda: _whole_gkr(p, q)


def _contract(rng: np.random.Generator, n: int) -> Iterator[Case]:
    x, f, k = rng.integers(-(2**15), 2**15, n), _random(rng, n), _random(rng, 2, n)
    big, v = rng.integers(-(2**50), 2**50, n), _random(rng, 2, 256)
    each, w = _random(rng, 2, n // 8192, 64), _random(rng, 2, 1024)
    yield "contract b=1", n, lambda: cpu.contract(x.reshape(-1, 256, 1), v)
    yield "contract b=128", n, lambda: cpu.contract(x.reshape(-1, 256, 128), v)
    yield "contract b=10", n - n % 2560, lambda: cpu.contract(x[: n - n % 2560].reshape(-1, 256, 10), v)
    yield "contract 50 bit", n, lambda: cpu.contract(big.reshape(-1, 256, 128), v)
    yield "contract_each", n, lambda: cpu.contract_each(x.reshape(-1, 64, 128), each)
    yield "contract_f b=128", n, lambda: cpu.contract_f(f.reshape(-1, 256, 128), v)
    yield "contract_f b=1", n, lambda: cpu.contract_f(f.reshape(-1, 256, 1), v)
    yield "contract_k b=128", n, lambda: cpu.contract_k(k.reshape(2, -1, 256, 128), v)
    yield "contract_k b=1", n, lambda: cpu.contract_k(k.reshape(2, -1, 256, 1), v)
    yield "combine_rows", n, lambda: cpu.combine_rows(f.reshape(1024, -1), w)


def _ntt(rng: np.random.Generator, n: int) -> Iterator[Case]:
    coeffs, narrow, values = _random(rng, 300, 9216), _random(rng, 6, 672), _random(rng, 4, 4096)
    yield "encode 300 x 9216 -> 32768", 300 * 8192, lambda: cpu.encode(coeffs, 32768)
    yield "encode 6 x 672 -> 4096", 6 * 1024, lambda: cpu.encode(narrow, 4096)
    yield "ntt 4 x 4096", 4 * 4096, lambda: cpu.ntt(values)
    k = _random(rng, 2, 9216)
    yield "evaluate_points 128 x 9216", 128 * 9216, lambda: cpu.evaluate_points(k, list(range(3, 131)))


def _tiny(rng: np.random.Generator, n: int) -> Iterator[Case]:
    for size in (2, 64):
        a, b, c, eq = (*(_random(rng, 2, size) for _ in range(3)), _random(rng, 2, size // 2))
        yield f"call: fold of {size}", 1, lambda a=a: cpu.fold(a, LAM)  # type: ignore[misc]
        yield f"call: round2 of {size}", 1, lambda a=a, b=b: cpu.round2(a, b)  # type: ignore[misc]
        yield f"call: round3 of {size}", 1, lambda a=a, b=b, c=c: cpu.round3(a, b, c)  # type: ignore[misc]
        yield f"call: gkr_fold of {size}", 1, lambda a=a, s=size: cpu.gkr_fold(a, s, 1, LAM)  # type: ignore[misc]
        yield (
            f"call: gkr_round of {size}",
            1,
            lambda a=a, b=b, e=eq, s=size: (  # type: ignore[misc]
                cpu.gkr_round(a, b, b, a, e, LAM, s)
            ),
        )


def main() -> None:
    """Run the cases whose name contains the filter."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("filter", nargs="?", default="", help="run only the cases whose name contains this")
    parser.add_argument("--log-size", type=int, default=18, help="tables of 2^LOG_SIZE entries")
    parser.add_argument("--threads", type=int, default=1, help="1 or 2")
    options = parser.parse_args()
    arguments.N_THREADS = options.threads
    rng = np.random.default_rng(7)
    for group in (_elementwise, _sumcheck, _gkr, _contract, _ntt, _tiny):
        for name, entries, call in group(rng, 1 << options.log_size):
            if options.filter in name:
                print(f"{name:28s} {_best_seconds(call) / entries * 1e9:9.2f} ns", flush=True)


if __name__ == "__main__":
    main()
