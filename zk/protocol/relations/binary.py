"""Bits and one-hot rows (PROTOCOL section 9)."""

from __future__ import annotations

from zk.protocol.ir import Builder, one, sum_over, term


def bits(b: Builder, name: str, dims: tuple[str, ...]) -> None:
    """b*b - b = 0 on the full shape: a field equation that forces {0, 1} in any field (7.7)."""
    square = b.product(f"{name}.square", dims, name, name)
    b.equation(dims, term(square), term(name, -1), is_field=True)


def one_hot(b: Builder, name: str, dims: tuple[str, ...], over: str) -> None:
    """Bits with exactly one 1 along dimension `over`."""
    bits(b, name, dims)
    b.equation(tuple(dim for dim in dims if dim != over), sum_over(name, over), one(-1))
