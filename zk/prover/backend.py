"""The kernels the prover runs on. Every back end gives the same bytes; the Numba one is the default."""

from __future__ import annotations

from zk.kernels import cpu as kernels

__all__ = ["kernels"]
