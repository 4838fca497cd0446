"""The exception family of the kernels."""

from __future__ import annotations


class KernelInputError(ValueError):
    """An array handed to a kernel has the wrong dtype, shape or length."""
